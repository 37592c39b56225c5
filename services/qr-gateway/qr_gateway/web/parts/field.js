/** A control with its label, hint and error, tied together for those who do not see them. */

import { fill, h, uniqueId } from "../core/dom.js";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */
/**
 * @typedef {{
 *   label: string, hint?: string, value?: string, required?: boolean, class?: string,
 *   disabled?: boolean, onInput?: (value: string) => void
 * }} Common
 */
/** @typedef {readonly (readonly [value: string, label: string])[]} Choices */

export class DtField extends HTMLElement {
  /** @type {Control} */
  control = document.createElement("input");
  #hint = h("span", { class: "hint" });
  #error = h("span", { class: "error" });
  #label = "";

  /**
   * @param {Control} control
   * @param {Common} options
   */
  configure(control, { label, hint, value, required, class: cls, disabled, onInput }) {
    const id = control.id || uniqueId("field");
    this.control = control;
    this.#label = label;
    this.className = `field ${cls ?? ""}`.trim();
    control.id = id;
    control.required = Boolean(required);
    control.disabled = Boolean(disabled);
    if (value !== undefined) control.value = value;
    this.#hint.id = `${id}-hint`;
    this.#error.id = `${id}-error`;
    this.#error.setAttribute("aria-live", "polite");
    control.setAttribute("aria-describedby", `${this.#hint.id} ${this.#error.id}`);
    control.addEventListener("input", () => {
      this.error = "";
      onInput?.(control.value);
    });
    const must = required ? h("span", { class: "must", "aria-hidden": "true" }, " *") : null;
    fill(this, h("label", { for: id }, label, must), control, this.#hint, this.#error);
    this.hint = hint ?? "";
  }

  get value() {
    return this.control.value;
  }

  set value(text) {
    this.control.value = text;
  }

  /** @param {string} text */
  set hint(text) {
    this.#hint.textContent = text;
    this.#hint.hidden = text === "";
  }

  /** @param {string} text empty: there is none */
  set error(text) {
    this.#error.textContent = text;
    if (text) this.control.setAttribute("aria-invalid", "true");
    else this.control.removeAttribute("aria-invalid");
  }

  /** Return whether what is required is there; says so if it is not. */
  check() {
    if (this.control.required && !this.control.disabled && this.value.trim() === "") {
      this.error = `${this.#label} is needed.`;
      return false;
    }
    if (!this.control.validity.valid) {
      this.error = this.control.validationMessage;
      return false;
    }
    return true;
  }
}

customElements.define("dt-field", DtField);

/**
 * @param {Common & {
 *   type?: string, placeholder?: string, maxLength?: number, min?: number, max?: number, step?: string,
 *   mono?: boolean, autocomplete?: string, pattern?: string
 * }} options
 */
export function textField(options) {
  const { type, placeholder, maxLength, min, max, step, autocomplete, pattern, ...common } = options;
  const control = h("input", {
    type: type ?? "text",
    placeholder,
    maxlength: maxLength,
    min,
    max,
    step,
    pattern,
    autocomplete: autocomplete ?? "off",
    spellcheck: "false",
  });
  return made(control, common);
}

/** @param {Common & { choices: Choices }} options */
export function selectField({ choices, ...common }) {
  return made(h("select", null, optionsOf(choices)), common);
}

/** @param {Common & { rows?: number, placeholder?: string }} options */
export function areaField({ rows, placeholder, ...common }) {
  return made(h("textarea", { rows: rows ?? 4, placeholder, spellcheck: "false" }), common);
}

/** @param {Choices} choices */
export function optionsOf(choices) {
  return choices.map(([value, label]) => h("option", { value }, label));
}

/**
 * Return a check box in its label, and the box.
 *
 * @param {{
 *   label: string, hint?: string, checked?: boolean, disabled?: boolean,
 *   onChange?: (checked: boolean) => void
 * }} options
 */
export function checkBox({ label, hint, checked, disabled, onChange }) {
  const id = uniqueId("check");
  const control = h("input", {
    type: "checkbox",
    "aria-labelledby": id,
    "aria-describedby": hint ? `${id}-hint` : null,
    props: { checked: Boolean(checked), disabled: Boolean(disabled) },
    on: { change: () => onChange?.(control.checked) },
  });
  const element = h(
    "label",
    { class: "check" },
    control,
    h("span", null, h("span", { id }, label), hint ? h("small", { id: `${id}-hint` }, hint) : null),
  );
  return { element, control };
}

/**
 * Return a choice of one of several, as a group with a legend.
 *
 * @param {{
 *   legend: string, value: string, quiet?: boolean, onChange: (value: string) => void,
 *   choices: readonly { value: string, label: string, hint?: string }[]
 * }} options
 */
export function choiceGroup({ legend, value, quiet, choices, onChange }) {
  const name = uniqueId("choice");
  return h(
    "fieldset",
    { class: "stack tight" },
    h("legend", { class: quiet ? "unseen" : null }, legend),
    h(
      "div",
      { class: "choices" },
      choices.map((one) =>
        h(
          "label",
          { class: "choice" },
          h("input", {
            type: "radio",
            name,
            value: one.value,
            props: { checked: one.value === value },
            on: { change: () => onChange(one.value) },
          }),
          h("span", null, h("b", null, one.label), one.hint ? h("small", null, one.hint) : null),
        ),
      ),
    ),
  );
}

/**
 * Return two fields for the ends of a range; `value()` is `from..to`, empty if both are.
 *
 * @param {{ label: string, type?: string, step?: string, separator?: string, unit?: string }} options
 */
export function rangeField({ label, type = "number", step = "any", separator = "..", unit = "" }) {
  const name = unit ? `${label} (${unit})` : label;
  const end = (/** @type {string} */ which) =>
    h("input", { type, step, "aria-label": `${name}, ${which}`, autocomplete: "off" });
  const [from, to] = [end("from"), end("to")];
  const element = h(
    "div",
    { class: type === "date" ? "field days" : "field", role: "group", "aria-label": name },
    h("span", { class: "label" }, name),
    h("div", { class: "range" }, from, h("span", { class: "soft", "aria-hidden": "true" }, "–"), to),
  );
  const plain = (/** @type {HTMLInputElement} */ one) =>
    type === "date" ? one.value.replaceAll("-", "") : one.value.trim();
  return {
    element,
    value: () => (plain(from) || plain(to) ? `${plain(from)}${separator}${plain(to)}` : ""),
    clear: () => {
      from.value = "";
      to.value = "";
    },
  };
}

/** @param {Control} control @param {Common} options */
function made(control, options) {
  const field = new DtField();
  field.configure(control, options);
  return field;
}
