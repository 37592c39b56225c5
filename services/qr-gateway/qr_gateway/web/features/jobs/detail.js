/** One job: live while it runs, then what is there, what is missing and why. */

import { follow, get, post } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { bytes, counted, duration, moment, number, stateInWords, words } from "../../core/format.js";
import { go, link } from "../../core/router.js";
import { may } from "../../core/session.js";
import { icon } from "../../parts/icon.js";
import { downloadOf } from "../../parts/download.js";
import { faultInWords, isFinal, standing, stateTag } from "../../parts/job.js";
import { inWords, message, showError, tag, toast } from "../../parts/notice.js";
import { progressBar } from "../../parts/progress.js";
import { pageOf, table } from "../../parts/table.js";
import { card, heading } from "../../parts/view.js";

/** @typedef {import("./kinds.js").Kind} Kind */

/** @param {Element} place @param {Kind} kind @param {string} id @param {AbortSignal} leaving */
export async function jobPage(place, kind, id, leaving) {
  const path = `${kind.path}/${encodeURIComponent(id)}`;
  const bar = progressBar("Progress");
  const buttons = h("div", { class: "row" });
  const facts = h("div");
  const report = h("div", { class: "stack" });
  fill(
    place,
    heading(
      "Job",
      h("span", { class: "uid" }, id),
      h("a", { class: "button", href: link("/jobs", { kind: kind.name }) }, icon("left"), "All jobs"),
    ),
    card("How it stands", [bar, facts, buttons]),
    report,
  );
  /** @param {any} job */
  const show = (job) => {
    const [part, text] = standing(job);
    bar.show(part, [stateInWords(job.state), text].filter(Boolean).join(" · "), isFinal(job.state));
    fill(facts, factsOf(kind, job));
    fill(buttons, actions(kind, job, path));
  };
  try {
    show(await get(path, undefined, leaving));
    await follow(`${path}/events`, (_event, data) => data.progress && show(data), leaving);
    if (leaving.aborted) return;
    const job = await get(path, undefined, leaving);
    show(job);
    fill(report, reportOf(job));
  } catch (error) {
    if (!leaving.aborted) showError(report, error, () => void jobPage(place, kind, id, leaving));
  }
}

/** @param {Kind} kind @param {any} job */
function factsOf(kind, job) {
  const rows = [
    ["State", stateTag(job.state)],
    [kind.about, kind.subject(job)],
    ["Peer", job.peer],
    ["Problem", job.problem],
    ["Begun", moment(job.created_at)],
    ["Ended", moment(job.ended_at)],
    ["Took", duration(job.started_at, job.ended_at)],
    [
      "Moved",
      `${bytes(job.progress.bytes_moved)}, ${counted(job.progress.instances_moved, "instance")}, ${counted(job.progress.requests, "request")}`,
    ],
    ["Files", job.files ? `${counted(job.files, "file")}, ${bytes(job.size_bytes)}` : ""],
    ["Where", job.prefix],
    ["Who became whom", job.pseudonym_map],
    ["The PACS lists", job.catalogue_instances ? counted(job.catalogue_instances, "instance") : ""],
  ];
  return h(
    "dl",
    { class: "facts" },
    rows.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
  );
}

/** @param {Kind} kind @param {any} job @param {string} path */
function actions(kind, job, path) {
  if (!may(kind.role)) return null;
  if (!isFinal(job.state)) {
    const stop = h(
      "button",
      { type: "button", class: "danger", disabled: job.cancel_requested },
      icon("stop"),
      job.cancel_requested ? "Cancelling…" : "Cancel",
    );
    stop.addEventListener(
      "click",
      () => void acted(post(`${path}/cancel`, undefined), "It is asked to end; what has landed stays."),
    );
    return stop;
  }
  if (job.asked?.destination.zip) return downloadOf(job);
  const again = kind.again;
  if (again === null || job.state === "complete") return null;
  const retry = h("button", { type: "button", class: "primary" }, icon("again"), "Try again what is missing");
  retry.addEventListener("click", async () => {
    const next = await acted(post(kind.path, again(job)), "Tried again: what is there already is not moved.");
    if (next) go("/jobs", { kind: kind.name, id: next.id });
  });
  return retry;
}

/** @param {Promise<any>} act @param {string} done */
async function acted(act, done) {
  try {
    const answer = await act;
    toast(done);
    return answer;
  } catch (error) {
    toast(inWords(error), "bad");
    return null;
  }
}

/** @param {any} job */
function reportOf(job) {
  return [
    ...(job.messages ?? []).map((/** @type {string} */ text) => message("info", h("p", null, text))),
    plans(job.plans ?? []),
    listed("Missing", job.missing ?? [], [
      ["Why it was expected", (row) => row.why],
      ["Why it is not here", (row) => row.reason],
      ["Modality", (row) => row.modality],
      ["UID", (row) => h("span", { class: "uid" }, row.uid)],
    ]),
    listed("Not in the export", job.not_there ?? [], [
      ["What", (row) => row.why],
      ["Why not", (row) => row.reason],
      ["UID", (row) => h("span", { class: "uid" }, row.uid)],
    ]),
    listed("Held back", job.quarantined ?? [], [
      ["Why", (row) => row.faults.map(faultInWords).join("; ")],
      ["UID", (row) => h("span", { class: "uid" }, row.sop_instance_uid)],
    ]),
    listed("Not sent", job.not_sent ?? [], [
      ["What", (row) => row.role],
      ["Outcome", (row) => words(row.outcome)],
      ["Reason", (row) => [row.reason, row.comment ? ` – ${row.comment}` : ""]],
      ["UID", (row) => h("span", { class: "uid" }, row.sop_instance_uid)],
    ]),
    listed("References to what the PACS does not have", job.dangling ?? [], [
      ["Reference", (row) => words(row.relation)],
      ["UID", (row) => h("span", { class: "uid" }, row.uid)],
      ["Held by", (row) => h("span", { class: "uid" }, row.referenced_by)],
    ]),
  ];
}

/** @param {any[]} found */
function plans(found) {
  return listed("Plans of the patient", found, [
    ["Plan", (row) => h("b", null, row.label || "(no label)")],
    ["Approval", (row) => row.approval_status],
    [
      "Outcome",
      (row) =>
        tag(
          row.outcome === "selected" ? "good" : row.outcome === "unavailable" ? "bad" : "",
          words(row.outcome),
        ),
    ],
    ["Reason", (row) => row.reason],
  ]);
}

/** @param {string} title @param {any[]} found @param {readonly (readonly [string, (row: any) => import("../../core/dom.js").Child])[]} columns */
function listed(title, found, columns) {
  if (found.length === 0) return null;
  const rows = table({
    caption: title,
    columns: columns.map(([name, cell]) => ({ title: name, class: "break", cell })),
    load: async (wanted) => pageOf(found, wanted),
  });
  void rows.start();
  return card(`${title} (${number(found.length)})`, rows, { flush: true });
}
