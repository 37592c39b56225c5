/** Dialogs on the browser's own: focus stays inside, Escape closes, focus goes back. */

import { h, uniqueId } from "../core/dom.js";
import { icon } from "./icon.js";

/** @typedef {import("../core/dom.js").Child} Child */

/**
 * Show a dialog until it is closed; return the value of the button that closed it, or "".
 *
 * @param {{
 *   title: string, body: Child, actions?: readonly { value: string, label: string, class?: string }[],
 *   check?: (value: string) => boolean | Promise<boolean>
 * }} options `check` may keep the dialog open by returning false
 * @returns {Promise<string>}
 */
export function dialog({ title, body, actions = [], check }) {
  const id = uniqueId("dialog");
  const form = h(
    "form",
    { method: "dialog", novalidate: true },
    h(
      "header",
      null,
      h("h2", { id }, title),
      h(
        "button",
        {
          type: "button",
          class: "quiet icon-only",
          "aria-label": "Close",
          on: { click: () => box.close("") },
        },
        icon("cross"),
      ),
    ),
    h("div", { class: "inside" }, body),
    actions.length > 0 ? h("footer", null, actions.map(actionButton)) : null,
  );
  const box = h("dialog", { "aria-labelledby": id }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
    const value = button?.value ?? actions.at(-1)?.value ?? "";
    if (check === undefined || (await check(value))) box.close(value);
  });
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue);
    });
  });
}

/**
 * Ask before something is done.
 *
 * @param {string} title
 * @param {string} question
 * @param {string} yes what the button says
 */
export async function confirmed(title, question, yes) {
  const answer = await dialog({
    title,
    body: h("p", null, question),
    actions: [
      { value: "", label: "Keep" },
      { value: "yes", label: yes, class: "danger" },
    ],
  });
  return answer === "yes";
}

/** @param {{ value: string, label: string, class?: string }} action */
function actionButton(action) {
  return h("button", { value: action.value, class: action.class }, action.label);
}
