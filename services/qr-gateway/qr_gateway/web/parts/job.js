/** How a job stands, as a sign and as a bar; the same wherever jobs are shown. */

import { bytes, counted, number, stateInWords, words } from "../core/format.js";
import { tag } from "./notice.js";

/** @type {Record<string, "good" | "warn" | "bad" | "accent" | "">} */
const KINDS = {
  queued: "",
  running: "accent",
  complete: "good",
  partial: "warn",
  failed: "bad",
  cancelled: "warn",
};

/** @param {string} state */
export function stateTag(state) {
  return tag(KINDS[state] ?? "", stateInWords(state));
}

/** Why an object was held back, in words. @param {string} fault */
export function faultInWords(fault) {
  const [kind, what = ""] = fault.split(":", 2);
  if (kind === "burned_in") return `a name may be visible in it (${words(what)})`;
  return words(fault).replace(":", ": ");
}

/** @param {string} state */
export function isFinal(state) {
  return state !== "queued" && state !== "running" && state !== "waiting";
}

/**
 * Return the part that is done, and what it does and has done in words.
 *
 * @param {any} job a view of a job
 * @returns {[number | null, string]}
 */
export function standing(job) {
  const { progress } = job;
  const part =
    progress.expected > 0 ? Math.min(1, progress.landed / progress.expected) : isFinal(job.state) ? 1 : null;
  const moved = progress.bytes_moved > 0 ? `${bytes(progress.bytes_moved)} moved` : "";
  const there =
    progress.expected > 0 ? `${number(progress.landed)} of ${counted(progress.expected, "instance")}` : "";
  const step = isFinal(job.state) ? "" : progress.step;
  return [part, [step, there, moved].filter(Boolean).join(" · ")];
}
