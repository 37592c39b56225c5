/** The runs of this page: live per patient and plan, what is missing and why, again, cancel, download. */

import { fill, h } from "../../core/dom.js";
import { bytes, counted, moment, number } from "../../core/format.js";
import { link } from "../../core/router.js";
import { allEnded, cancelRun, retryRun } from "../../core/run.js";
import { store } from "../../core/store.js";
import { downloadOf } from "../../parts/download.js";
import { icon } from "../../parts/icon.js";
import { faultInWords, standing, stateTag } from "../../parts/job.js";
import { tag } from "../../parts/notice.js";
import { progressBar } from "../../parts/progress.js";
import { card } from "../../parts/view.js";

/** @typedef {import("../../core/run.js").Run} Run */
/** @typedef {import("../../core/run.js").Line} Line */

const MISSING_SHOWN = 5;

/** @param {AbortSignal} leaving */
export function runsPlace(leaving) {
  const place = h("div", { class: "stack" });
  /** @type {Map<string, ReturnType<typeof runCard>>} */
  const cards = new Map();
  store.watch(
    (state) => state.runs,
    (runs) => {
      for (const run of runs) {
        if (!cards.has(run.id)) {
          const made = runCard(run.id);
          cards.set(run.id, made);
          place.prepend(made.element);
        }
        cards.get(run.id)?.show(run);
      }
    },
    leaving,
  );
  return place;
}

/** @param {string} id */
function runCard(id) {
  const bar = progressBar("Progress of the run");
  const buttons = h("div", { class: "row" });
  const list = h("div");
  /** @type {Map<string, { element: HTMLElement, show: (line: Line) => void }>} */
  let lines = new Map();
  const cancel = h(
    "button",
    { type: "button", class: "danger", on: { click: () => void cancelRun(id) } },
    icon("stop"),
    "Cancel",
  );
  const retry = h(
    "button",
    { type: "button", on: { click: () => retryRun(id) } },
    icon("again"),
    "Try again what is missing",
  );
  fill(buttons, cancel, retry);
  const element = card("Run", [bar, buttons, list]);
  const title = element.querySelector("h2");
  /** @param {Run} run */
  function show(run) {
    const every = [...run.lines, ...run.exports];
    const done =
      allEnded(every) &&
      (run.exporting === null ||
        run.exports.length > 0 ||
        run.lines.every((line) => line.state !== "complete" && line.state !== "partial"));
    if (title) title.textContent = `${run.title} · ${moment(run.startedAt)}`;
    bar.show(partOf(every), inWords(run), done);
    cancel.hidden = done;
    retry.hidden = !done || every.every((line) => line.state === "complete");
    const known = every.map((line) => line.key).join();
    if (known !== [...lines.keys()].join()) {
      const kept = lines;
      lines = new Map(every.map((line) => [line.key, kept.get(line.key) ?? lineRow()]));
      fill(
        list,
        [...lines.values()].map((row) => row.element),
      );
    }
    for (const line of every) lines.get(line.key)?.show(line);
  }
  return { element, show };
}

function lineRow() {
  const state = h("span");
  const title = h("b");
  const text = h("span", { class: "small soft grow" });
  const detail = h("div");
  const element = h("div", { class: "run" }, h("div", { class: "line" }, state, title, text), detail);
  let before = "";
  /** @param {Line} line */
  function show(line) {
    title.textContent = line.title;
    text.textContent = line.job === null ? line.problem || "Waiting to be sent" : standing(line.job)[1];
    fill(
      state,
      line.state === "refused"
        ? tag("bad", "Refused")
        : line.state === "waiting"
          ? tag("", "Waiting")
          : stateTag(line.state),
    );
    const now = `${line.key} ${line.state} ${line.job?.ended_at ?? ""} ${line.job?.missing?.length ?? line.job?.not_there?.length ?? ""} ${line.job?.quarantined?.length ?? ""}`;
    if (now !== before) fill(detail, detailOf(line));
    before = now;
  }
  return { element, show };
}

/** @param {Line} line */
function detailOf(line) {
  const { job } = line;
  if (job === null) return null;
  const kind = line.path.split("/").at(-1) ?? "";
  // a list of a retrieval, a number in the view of an export
  const missing = [...(Array.isArray(job.missing) ? job.missing : []), ...(job.not_there ?? [])];
  const plans = (job.plans ?? []).filter((/** @type {any} */ one) => one.outcome === "unavailable");
  return [
    line.problem || job.problem ? h("p", { class: "small" }, line.problem || job.problem) : null,
    plans.map((/** @type {any} */ one) =>
      h("p", { class: "small" }, tag("bad", "unavailable"), ` ${one.label}: ${one.reason}`),
    ),
    held(job.quarantined ?? []),
    missing.length > 0
      ? h(
          "ul",
          { class: "why" },
          missing
            .slice(0, MISSING_SHOWN)
            .map((/** @type {any} */ one) =>
              h("li", null, `${one.why || one.level}: ${one.reason} `, h("span", { class: "uid" }, one.uid)),
            ),
          missing.length > MISSING_SHOWN ? h("li", null, `and ${missing.length - MISSING_SHOWN} more`) : null,
        )
      : null,
    h(
      "p",
      { class: "small row" },
      saved(job),
      h(
        "a",
        { href: link("/jobs", { kind, id: job.id }) },
        "Job",
        h("span", { class: "unseen" }, ` of ${line.title}`),
      ),
      kind === "exports" ? downloadOf(job) : null,
    ),
  ];
}

/** What was held back, by reason. @param {any[]} quarantined */
function held(quarantined) {
  /** @type {Map<string, number>} */
  const reasons = new Map();
  for (const one of quarantined) {
    const why = one.faults.map(faultInWords).join("; ");
    reasons.set(why, (reasons.get(why) ?? 0) + 1);
  }
  return reasons.size === 0
    ? null
    : h(
        "ul",
        { class: "why" },
        [...reasons].map(([why, count]) => h("li", null, `${counted(count, "instance")} held back: ${why}`)),
      );
}

/** @param {any} job */
function saved(job) {
  const every = job.catalogue_instances;
  const moved = job.progress.instances_moved;
  if (!every || every <= moved) return null;
  return h(
    "span",
    { class: "soft" },
    `${number(every - moved)} of the patient's ${counted(every, "instance")} did not have to be moved.`,
  );
}

/** @param {Run} run */
function inWords(run) {
  const every = [...run.lines, ...run.exports];
  const ended = every.filter((line) => allEnded([line]));
  const moved = run.lines.reduce((sum, line) => sum + (line.job?.progress.bytes_moved ?? 0), 0);
  const short = every.filter((line) =>
    ["partial", "failed", "refused", "cancelled"].includes(line.state),
  ).length;
  return [
    `${ended.length} of ${counted(every.length, "job")} ended`,
    `${bytes(moved)} moved`,
    short > 0 ? `${short} not complete` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

/** @param {readonly Line[]} lines */
function partOf(lines) {
  const sum = lines.reduce(
    (so, line) => so + (allEnded([line]) ? 1 : line.job ? (standing(line.job)[0] ?? 0) : 0),
    0,
  );
  return lines.length === 0 ? null : sum / lines.length;
}
