/** What a person should know: beside what it is about, or for a moment at the corner. */

import { ApiError } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { icon } from "./icon.js";

/** @typedef {"info" | "warn" | "bad"} Weight */

const SHOWN_MS = 7000;
const spoken = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

/** The place of toasts, for the frame of the page. */
export function toastPlace() {
  return spoken;
}

/**
 * @param {Weight} weight
 * @param {...import("../core/dom.js").Child} children
 */
export function message(weight, ...children) {
  return h(
    "div",
    { class: `message ${weight}`, role: weight === "bad" ? "alert" : null },
    icon(weight === "info" ? "info" : "warn"),
    h("div", { class: "grow break" }, children),
  );
}

/**
 * Return what went wrong in words.
 *
 * @param {unknown} error
 */
export function inWords(error) {
  if (error instanceof ApiError) return error.sentence;
  return error instanceof Error ? error.message : String(error);
}

/**
 * Show what went wrong in a place of the page.
 *
 * @param {Element} place
 * @param {unknown} error
 * @param {() => void} [again]
 */
export function showError(place, error, again) {
  const button = again
    ? h("button", { type: "button", on: { click: again } }, icon("again"), "Try again")
    : null;
  fill(place, message("bad", h("p", null, inWords(error)), button));
}

/**
 * Say something for a moment; what is bad stays until it is taken away.
 *
 * @param {string} text
 * @param {Weight} [weight]
 */
export function toast(text, weight = "info") {
  const element = h(
    "div",
    { class: `toast ${weight}` },
    h("p", null, text),
    h(
      "button",
      {
        type: "button",
        class: "quiet icon-only",
        "aria-label": "Dismiss",
        on: { click: () => element.remove() },
      },
      icon("cross"),
    ),
  );
  spoken.append(element);
  if (weight !== "bad") setTimeout(() => element.remove(), SHOWN_MS);
}

/**
 * A sign for a state: colour, and the word.
 *
 * @param {"good" | "warn" | "bad" | "accent" | ""} kind
 * @param {string} text
 */
export function tag(kind, text) {
  return h("span", { class: `tag ${kind}`.trim() }, text);
}

/**
 * @param {string} title
 * @param {string} text
 */
export function empty(title, text) {
  return h("div", { class: "empty" }, h("b", null, title), text);
}
