/** What views have in common: a heading, cards, tabs, and an end. */

import { fill, h, uniqueId } from "../core/dom.js";

/** @typedef {import("../core/dom.js").Child} Child */

/** An element that is a view: `leaving` aborts when another view takes its place. */
export class View extends HTMLElement {
  #leaving = new AbortController();

  /** @returns {AbortSignal} */
  get leaving() {
    return this.#leaving.signal;
  }

  connectedCallback() {
    this.className = "view";
    this.#leaving = new AbortController();
    this.show();
  }

  disconnectedCallback() {
    this.#leaving.abort();
  }

  /** Fill the element. */
  show() {}
}

/**
 * @param {string} title
 * @param {Child} text
 * @param {...Child} actions
 */
export function heading(title, text, ...actions) {
  return h(
    "header",
    { class: "title" },
    h("div", null, h("h1", { tabindex: "-1" }, title), h("p", null, text)),
    actions.length > 0 ? h("div", { class: "row" }, actions) : null,
  );
}

/**
 * @param {string} title
 * @param {Child} content
 * @param {{ actions?: Child, footer?: Child, flush?: boolean }} [options] `flush`: without padding
 */
export function card(title, content, { actions, footer, flush } = {}) {
  const id = uniqueId("card");
  return h(
    "section",
    { class: "card", "aria-labelledby": id },
    h("header", null, h("h2", { id }, title), actions ? h("div", { class: "row" }, actions) : null),
    flush ? content : h("div", { class: "inside" }, content),
    footer ? h("footer", null, footer) : null,
  );
}

/**
 * Return tabs over panels; a panel is filled when it is first opened.
 *
 * @param {string} label
 * @param {readonly { name: string, title: string, panel: () => Child }[]} tabs_
 * @param {string} [first]
 */
export function tabs(label, tabs_, first) {
  const base = uniqueId("tab");
  const panel = h("div", { class: "inside", role: "tabpanel", id: `${base}-panel`, tabindex: "-1" });
  /** @type {Map<string, Child>} */
  const filled = new Map();
  const buttons = tabs_.map((one) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `${base}-${one.name}`,
        "aria-controls": panel.id,
        on: { click: () => open(one.name) },
      },
      one.title,
    ),
  );
  /** @param {string} name */
  function open(name) {
    tabs_.forEach((one, at) => {
      const chosen = one.name === name;
      const button = /** @type {HTMLButtonElement} */ (buttons[at]);
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
      if (!chosen) return;
      panel.setAttribute("aria-labelledby", button.id);
      if (!filled.has(name)) filled.set(name, one.panel());
      fill(panel, filled.get(name));
    });
  }
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": label }, buttons);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (step === undefined || at < 0) return;
    event.preventDefault();
    const next = (at + step + buttons.length) % buttons.length;
    open(tabs_[next]?.name ?? "");
    buttons[next]?.focus();
  });
  open(first ?? tabs_[0]?.name ?? "");
  return h("div", { class: "tabbed" }, list, panel);
}
