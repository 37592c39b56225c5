/** Profile and options of de-identification; what contradicts each other cannot be ticked together. */

import { h } from "../core/dom.js";
import { checkBox, selectField } from "./field.js";

const PROFILES = /** @type {const} */ ([
  ["AriaSecurityProfile.csv", "ARIA: descriptions that ARIA needs are kept, cleaned"],
  ["BasicSecurityProfile.csv", "Basic: PS3.15 as it is; ARIA cannot import the result"],
]);
/** @type {readonly (readonly [name: string, label: string, hint: string])[]} */
const OPTIONS = [
  ["CleanDesc", "Clean descriptions", "Keep descriptions, without names, IDs and dates."],
  ["CleanStructdCont", "Clean structured content", "The same for content items."],
  ["CleanGraph", "Clean graphics", "Keep annotations, cleaned."],
  ["RetainDeviceIdent", "Keep device identity", "Machines, stations, serial numbers."],
  ["RetainInstitutionIdent", "Keep institution identity", ""],
  ["RetainPatientChars", "Keep patient characteristics", "Sex, age, size, weight."],
  ["RetainSafePrivate", "Keep safe private attributes", ""],
  ["RetainUIDs", "Keep UIDs", "The objects can then be linked to the originals."],
  ["RetainLongFullDates", "Keep full dates", "Not together with shifted dates."],
  [
    "RetainLongModifDates",
    "Shift dates",
    "By the same time for the whole patient; not together with full dates.",
  ],
];
const DATES = ["RetainLongFullDates", "RetainLongModifDates"];

/**
 * @param {{
 *   profile: string, options: readonly string[], disabled?: boolean, onChange?: () => void
 * }} given
 */
export function profileFields({ profile, options, disabled, onChange }) {
  const choice = selectField({
    label: "Profile",
    choices: PROFILES,
    value: profile || PROFILES[0][0],
    disabled,
    onInput: onChange,
  });
  const boxes = new Map(
    OPTIONS.map(([name, label, hint]) => {
      const box = checkBox({
        label,
        hint,
        checked: options.includes(name),
        disabled,
        onChange: () => (agree(), onChange?.()),
      });
      return /** @type {const} */ ([name, box]);
    }),
  );
  /** What is ticked forbids its opposite. */
  function agree() {
    for (const name of DATES) {
      const other = boxes.get(DATES.find((one) => one !== name) ?? "");
      const box = boxes.get(name);
      if (box && other) box.control.disabled = Boolean(disabled) || other.control.checked;
    }
  }
  agree();
  return {
    element: h(
      "div",
      { class: "stack" },
      choice,
      h(
        "fieldset",
        { class: "stack tight" },
        h("legend", null, "Options"),
        h(
          "div",
          { class: "grid" },
          [...boxes.values()].map((box) => box.element),
        ),
      ),
    ),
    profile: () => choice.value,
    options: () => [...boxes].filter(([, box]) => box.control.checked).map(([name]) => name),
  };
}
