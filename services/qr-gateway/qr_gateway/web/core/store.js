/** One state for the whole page; whoever shows a part of it is told when that part changes. */

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./cohort.js").Cohort} Cohort */
/** @typedef {import("./cohort.js").ObjectiveFile} ObjectiveFile */
/** @typedef {import("./run.js").Run} Run */
/**
 * @typedef {{
 *   session: Session | null, signedOut: boolean, connected: boolean, cohort: Cohort, runs: readonly Run[],
 *   objectives: { folder: string, files: ObjectiveFile[] } | null
 * }} State
 */
/** @template T @typedef {(value: T) => void} Listener */

/** @type {State} */
let state = {
  session: null,
  signedOut: false,
  connected: true,
  cohort: new Map(),
  runs: [],
  objectives: null,
};

/** @type {Set<(before: State, after: State) => void>} */
const watchers = new Set();

export const store = {
  /** @returns {Readonly<State>} */
  get() {
    return state;
  },

  /** @param {Partial<State>} changes */
  update(changes) {
    const before = state;
    state = { ...state, ...changes };
    for (const watcher of [...watchers]) watcher(before, state);
  },

  /**
   * Call `listener` now, and whenever what `select` returns is another value; until `signal` aborts.
   *
   * @template T
   * @param {(state: State) => T} select
   * @param {Listener<T>} listener
   * @param {AbortSignal} [signal]
   */
  watch(select, listener, signal) {
    /** @type {(before: State, after: State) => void} */
    const watcher = (before, after) => {
      const value = select(after);
      if (select(before) !== value) listener(value);
    };
    watchers.add(watcher);
    signal?.addEventListener("abort", () => watchers.delete(watcher), { once: true });
    listener(select(state));
  },
};
