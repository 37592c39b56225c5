/** A list of terms that all have to hold; rows are added and taken away. */

import { h } from "../../core/dom.js";
import { icon } from "../../parts/icon.js";
import { tagField } from "../../parts/tag-field.js";

/**
 * @param {string} legend
 * @param {readonly string[]} first
 * @param {() => void} [onChange]
 */
export function termList(legend, first, onChange) {
  /** @type {import("../../parts/tag-field.js").DtTagField[]} */
  let fields = [];
  const place = h("div", { class: "stack tight" });
  /** @param {string} value */
  function add(value) {
    const field = tagField({
      label: `Term ${fields.length + 1}`,
      value,
      placeholder: fields.length === 0 ? "BeamSequence/TreatmentMachineName=?" : "",
      onInput: onChange,
    });
    const row = h(
      "div",
      { class: "row" },
      h("div", { class: "grow" }, field),
      h(
        "button",
        {
          type: "button",
          class: "quiet icon-only",
          "aria-label": "Remove this term",
          on: { click: () => remove(field, row) },
        },
        icon("cross"),
      ),
    );
    fields.push(field);
    place.append(row);
    return field;
  }
  /** @param {import("../../parts/tag-field.js").DtTagField} field @param {HTMLElement} row */
  function remove(field, row) {
    if (fields.length === 1) field.value = "";
    else {
      fields = fields.filter((one) => one !== field);
      row.remove();
      fields[0]?.control.focus();
    }
    onChange?.();
  }
  (first.length > 0 ? first : [""]).forEach(add);
  const element = h(
    "fieldset",
    { class: "stack tight" },
    h("legend", null, legend),
    h(
      "p",
      { class: "small soft" },
      "Keyword or (gggg,eeee), / into sequences, then =value: ? tells it, * and ? in text are patterns, 10..20 and 20240101-20240131 are ranges.",
    ),
    place,
    h(
      "div",
      null,
      h(
        "button",
        { type: "button", class: "quiet", on: { click: () => add("").control.focus() } },
        icon("plus"),
        "Another term",
      ),
    ),
  );
  return {
    element,
    values: () => fields.map((field) => field.value.trim()).filter(Boolean),
    first: () => fields[0],
  };
}
