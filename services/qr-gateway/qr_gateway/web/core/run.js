/**
 * A run: retrievals of a selection, then the exports of what has landed. It lives in the page's state, so
 * that other views may be looked at meanwhile; the work itself is the server's and goes on without the page.
 */

import { ApiError, follow, get, post, serverBack } from "./api.js";
import { indexed } from "./indexed.js";
import { store } from "./store.js";

/** @typedef {import("./cohort.js").Order} Order */
/**
 * One job of a run. `job` is what the server tells of it, null before it was taken.
 *
 * @typedef {{
 *   key: string, title: string, path: string, body: any, job: any, state: string, problem: string
 * }} Line
 */
/**
 * What has to be exported once everything has landed; null if nothing is.
 *
 * @typedef {(lines: readonly Line[]) => readonly { title: string, body: any }[]} Exporting
 */
/**
 * @typedef {{
 *   id: string, startedAt: string, title: string, lines: readonly Line[], exports: readonly Line[],
 *   exporting: Exporting | null, downloads: boolean
 * }} Run
 */

/** A browser opens six connections to a server; the page needs some of them for itself. */
const FOLLOWED = 3;
const ENDED = new Set(["complete", "partial", "failed", "cancelled", "refused"]);
/** @type {Map<string, AbortController>} */
const stops = new Map();

/**
 * Begin; the state tells how it goes.
 *
 * @param {{
 *   title: string, peer: string, method: string, onlyApproved: boolean, orders: readonly Order[],
 *   exporting: Exporting | null, downloads: boolean
 * }} wanted
 */
export function startRun({ title, peer, method, onlyApproved, orders, exporting, downloads }) {
  const id = crypto.randomUUID();
  const lines = orders.map((order, at) =>
    waiting(
      `${id}-${at}`,
      order.planLabel === null ? `${order.patientId} · all data` : `${order.patientId} · ${order.planLabel}`,
      "/v1/retrievals",
      {
        peer,
        patient_id: order.patientId,
        plan_label: order.planLabel,
        only_approved: onlyApproved,
        method,
      },
    ),
  );
  /** @type {Run} */
  const run = { id, startedAt: new Date().toISOString(), title, lines, exports: [], exporting, downloads };
  store.update({ runs: [run, ...store.get().runs] });
  void carryOut(id);
}

/** Ask every job of a run to end. @param {string} id */
export async function cancelRun(id) {
  stops.get(id)?.abort();
  const run = runOf(id);
  for (const line of [...(run?.lines ?? []), ...(run?.exports ?? [])]) {
    if (ENDED.has(line.state)) continue;
    if (line.job === null) change(id, line.key, { state: "cancelled" });
    else await post(`${line.path}/${line.job.id}/cancel`, undefined).catch(() => null);
  }
}

/** Ask again for what is missing; what has landed is not moved again. @param {string} id */
export function retryRun(id) {
  const again = (/** @type {Line} */ line) =>
    line.state === "complete" ? line : { ...waiting(`${line.key}+`, line.title, line.path, line.body) };
  update(id, (run) => ({ ...run, lines: run.lines.map(again), exports: [] }));
  void carryOut(id);
}

/** @param {readonly Line[]} lines */
export function allEnded(lines) {
  return lines.every((line) => ENDED.has(line.state));
}

/** @param {string} id */
async function carryOut(id) {
  const stop = new AbortController();
  stops.set(id, stop);
  await each(id, "lines", stop.signal);
  const run = runOf(id);
  if (!run || stop.signal.aborted || run.exporting === null) return;
  await Promise.all(run.lines.map((line) => caughtUp(id, line, stop.signal)));
  if (stop.signal.aborted) return;
  const orders = run.exporting(runOf(id)?.lines ?? []);
  const round = crypto.randomUUID();
  update(id, (now) => ({
    ...now,
    exports: orders.map((order, at) => waiting(`${round}-${at}`, order.title, "/v1/exports", order.body)),
  }));
  await each(id, "exports", stop.signal);
}

/** @param {string} id @param {Line} line @param {AbortSignal} signal */
async function caughtUp(id, line, signal) {
  if (line.state !== "complete" && line.state !== "partial") return;
  change(id, line.key, { problem: "The index reads what has arrived." });
  const there = await indexed(line.job, signal).catch(() => false);
  change(id, line.key, {
    problem: there ? "" : "The index does not know all that has arrived: the export may lack some of it.",
  });
}

/**
 * Send the orders one after another, and follow a few jobs at a time.
 *
 * @param {string} id
 * @param {"lines" | "exports"} which
 * @param {AbortSignal} signal
 */
async function each(id, which, signal) {
  const keys = (runOf(id)?.[which] ?? []).filter((line) => !ENDED.has(line.state)).map((line) => line.key);
  for (const key of keys) {
    if (signal.aborted) break;
    await submit(id, key, signal);
  }
  const rest = [...keys];
  const worker = async () => {
    for (let key = rest.shift(); key !== undefined; key = rest.shift()) await listen(id, key);
  };
  await Promise.all(Array.from({ length: FOLLOWED }, worker));
}

/** @param {string} id @param {string} key @param {AbortSignal} signal */
async function submit(id, key, signal) {
  const line = lineOf(id, key);
  if (!line) return;
  for (;;) {
    try {
      // the same key again is the same job: a request whose answer was lost is sent once more
      const job = await post(line.path, line.body, { headers: { "Idempotency-Key": key } });
      return change(id, key, { job, state: job.state });
    } catch (error) {
      if (signal.aborted) return change(id, key, { state: "cancelled" });
      if (!(error instanceof ApiError) || !error.away)
        return change(id, key, { state: "refused", problem: problemOf(error) });
      await serverBack();
    }
  }
}

/** @param {string} id @param {string} key */
async function listen(id, key) {
  const line = lineOf(id, key);
  if (!line || line.job === null) return;
  const path = `${line.path}/${line.job.id}`;
  const signal = new AbortController().signal; // to the end, also after a cancel: it tells what has landed
  for (;;) {
    try {
      await follow(
        `${path}/events`,
        (_event, job) => job.state && change(id, key, { job, state: job.state }),
        signal,
      );
      const job = await get(path);
      return change(id, key, { job, state: job.state });
    } catch (error) {
      if (!(error instanceof ApiError) || !error.away)
        return change(id, key, { state: "failed", problem: problemOf(error) });
      await serverBack();
    }
  }
}

/** @param {string} key @param {string} title @param {string} path @param {any} body @returns {Line} */
function waiting(key, title, path, body) {
  return { key, title, path, body, job: null, state: "waiting", problem: "" };
}

/** @param {unknown} error */
function problemOf(error) {
  if (error instanceof ApiError) return error.sentence;
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} id */
function runOf(id) {
  return store.get().runs.find((run) => run.id === id);
}

/** @param {string} id @param {string} key */
function lineOf(id, key) {
  const run = runOf(id);
  return [...(run?.lines ?? []), ...(run?.exports ?? [])].find((line) => line.key === key);
}

/** @param {string} id @param {(run: Run) => Run} act */
function update(id, act) {
  store.update({ runs: store.get().runs.map((run) => (run.id === id ? act(run) : run)) });
}

/** @param {string} id @param {string} key @param {Partial<Line>} changes */
function change(id, key, changes) {
  const changed = (/** @type {Line} */ line) => (line.key === key ? { ...line, ...changes } : line);
  update(id, (run) => ({ ...run, lines: run.lines.map(changed), exports: run.exports.map(changed) }));
}
