/** How far something is: seen at once, and told now and then to those who listen. */

import { fill, h } from "../core/dom.js";

const TOLD_EVERY_MS = 8000;

export class DtProgress extends HTMLElement {
  #bar = h("progress", { max: "1" });
  #text = h("span", { class: "small soft" });
  #told = h("span", { class: "unseen", role: "status" });
  #last = 0;

  /** @param {string} label */
  configure(label) {
    this.#bar.setAttribute("aria-label", label);
    this.className = "stack tight";
    fill(this, this.#bar, this.#text, this.#told);
    return this;
  }

  /**
   * @param {number | null} part 0 to 1; null: nobody knows
   * @param {string} text
   * @param {boolean} [important] to be told at once
   */
  show(part, text, important = false) {
    if (part === null) this.#bar.removeAttribute("value");
    else this.#bar.value = part;
    this.#text.textContent = text;
    const now = performance.now();
    if (important || now - this.#last > TOLD_EVERY_MS) {
      this.#last = now;
      this.#told.textContent = text;
    }
  }
}

customElements.define("dt-progress", DtProgress);

/** @param {string} label */
export function progressBar(label) {
  return new DtProgress().configure(label);
}
