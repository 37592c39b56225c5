/** Files from the page to the person, and from the person to the page. */

import { h } from "../core/dom.js";

const KEPT_MS = 60_000;

/**
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const anchor = h("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/**
 * @param {unknown} value
 * @param {string} name
 */
export function saveJson(value, name) {
  save(new Blob([`${JSON.stringify(value, null, 2)}\n`], { type: "application/json" }), name);
}

/**
 * Return a button that opens a file and hands on its text.
 *
 * @param {import("../core/dom.js").Child} label
 * @param {(text: string) => void} onText
 */
export function openButton(label, onText) {
  const input = h("input", {
    type: "file",
    accept: ".json,application/json",
    class: "unseen",
    tabindex: "-1",
    "aria-hidden": "true",
    on: {
      change: async () => {
        const [file] = input.files ?? [];
        input.value = "";
        if (file) onText(await file.text());
      },
    },
  });
  return h("span", null, h("button", { type: "button", on: { click: () => input.click() } }, label), input);
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether the clipboard took it
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
