/** Whether and how it is anonymised; what cannot be done whole cannot be begun. */

import { fill, h } from "../../core/dom.js";
import { personal } from "../../core/storage.js";
import { checkBox, textField } from "../../parts/field.js";
import { profileFields } from "../../parts/profile.js";
import { card } from "../../parts/view.js";

/**
 * @typedef {{
 *   newId: string, newName: string, profile: string, options: string[], allowPartial: boolean,
 *   burnedIn: string[]
 * }} Anonymising
 */

export const DEFAULT_OPTIONS = ["CleanDesc", "RetainDeviceIdent"];
const BURNED_IN = /** @type {const} */ ([
  ["rt_image", "RT images"],
  ["scout", "Scouts"],
  ["secondary_capture", "Screenshots"],
  ["ultrasound", "Ultrasound"],
  ["document", "Documents"],
]);
const WRITABLE = /^[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]{0,62}[\x21-\x5b\x5d-\x7e])?$/;

/** @param {() => void} changed @param {() => number} count of patients */
export function anonymiseCard(changed, count) {
  const on = checkBox({
    label: "Anonymise",
    hint: "Every object is rewritten, read again and proven; if one cannot be, nothing leaves.",
    onChange: () => {
      agree();
      changed();
    },
  });
  const newId = textField({
    label: "New patient ID",
    required: true,
    maxLength: 64,
    onInput: () => (numbered(), changed()),
  });
  const newName = textField({ label: "New patient name", required: true, maxLength: 64, onInput: changed });
  const partial = checkBox({
    label: "Export the others if one object cannot be processed",
    onChange: changed,
  });
  const burned = BURNED_IN.map(([name, label]) => ({ name, box: checkBox({ label, onChange: changed }) }));
  const burnedIn = () => burned.filter(({ box }) => box.control.checked).map(({ name }) => name);
  const visible = h(
    "fieldset",
    { class: "stack tight" },
    h("legend", null, "Export although a name may be visible in the picture"),
    h(
      "p",
      { class: "small soft" },
      "Nobody can prove that pixels hold no name: these are held back, and the export with them, unless you have looked.",
    ),
    h(
      "div",
      { class: "row" },
      burned.map(({ box }) => box.element),
    ),
  );
  const place = h("div");
  let profile = profileFields({ profile: personal().profile, options: DEFAULT_OPTIONS, onChange: changed });
  const more = h("details", { class: "more" }, h("summary", null, "Profile and options"), place);
  const fields = h(
    "div",
    { class: "stack", hidden: true },
    h("div", { class: "grid wide" }, newId, newName),
    visible,
    partial.element,
    more,
  );
  fill(place, profile.element);

  function agree() {
    fields.hidden = !on.control.checked;
    for (const field of [newId, newName]) field.control.disabled = !on.control.checked;
    numbered();
  }

  function numbered() {
    newId.hint =
      count() > 1
        ? `Several patients become ${newId.value || "NEW"}-01, ${newId.value || "NEW"}-02 … in their order.`
        : "";
  }

  return {
    element: card("Anonymisation", [on.element, fields]),
    agree,
    on: () => on.control.checked,
    /** @param {any} settings of the server */
    offer(settings) {
      const options =
        personal().profileOptions.length > 0 ? personal().profileOptions : settings.export_options;
      profile = profileFields({
        profile: personal().profile || settings.export_profile,
        options,
        onChange: changed,
      });
      fill(place, profile.element);
    },
    complete: () => !on.control.checked || (newId.value.trim() !== "" && newName.value.trim() !== ""),
    options: () =>
      on.control.checked
        ? {
            anonymize: true,
            newPatientId: newId.value.trim(),
            newPatientName: newName.value.trim(),
            ...(partial.control.checked ? { allowPartialExport: true } : {}),
            ...(burnedIn().length > 0 ? { allowBurnedIn: burnedIn() } : {}),
          }
        : {},
    /** @returns {Anonymising | null} */
    given: () =>
      on.control.checked
        ? {
            newId: newId.value.trim(),
            newName: newName.value.trim(),
            profile: profile.profile(),
            options: profile.options(),
            allowPartial: partial.control.checked,
            burnedIn: burnedIn(),
          }
        : null,
    wrong() {
      if (!on.control.checked) return "";
      const there = [newId, newName].map((field) => field.check());
      if (there.includes(false)) return "An anonymised export needs a new patient ID and a new name.";
      for (const field of [newId, newName]) {
        if (WRITABLE.test(field.value.trim())) continue;
        field.error = "1 to 64 letters, digits and signs of ASCII, no backslash.";
        return "The new patient ID or name cannot be written into every object.";
      }
      return "";
    },
  };
}
