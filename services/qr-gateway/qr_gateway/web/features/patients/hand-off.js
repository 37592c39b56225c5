/** Lists that other programs hand over, and ours for them; the server reads and writes them. */

import { post } from "../../core/api.js";
import { added, fromHandOff, toHandOff } from "../../core/cohort.js";
import { h } from "../../core/dom.js";
import { counted, stamp } from "../../core/format.js";
import { store } from "../../core/store.js";
import { dialog } from "../../parts/dialog.js";
import { areaField } from "../../parts/field.js";
import { openButton, save } from "../../parts/files.js";
import { inWords, toast } from "../../parts/notice.js";

/**
 * Add the patients of a list to the selection.
 *
 * @param {string} text
 * @returns {Promise<string>} what is wrong with it, empty if nothing is
 */
export async function readHandOff(text) {
  let list;
  try {
    list = await post("/v1/handoff", { text });
  } catch (error) {
    toast(`The list was not read. ${inWords(error)}`, "bad");
    return inWords(error);
  }
  const patients = fromHandOff(list);
  const files = list.objective_files ?? [];
  store.update({
    cohort: added(store.get().cohort, patients),
    objectives:
      files.length > 0 ? { folder: list.objectives_staging_path ?? "", files } : store.get().objectives,
  });
  const plans = patients.reduce((sum, one) => sum + one.plans.filter((plan) => plan.selected).length, 0);
  toast(`${counted(patients.length, "patient")} with ${counted(plans, "selected plan")} added.`);
  return "";
}

/** Ask for a list, as a file or pasted. */
export async function importList() {
  const field = areaField({
    label: "Or paste the list",
    rows: 8,
    hint: "JSON, as the patient browser exports it.",
  });
  await dialog({
    title: "Import a list of patients",
    body: [
      h("p", null, "Patients and plans of the list are added to the selection."),
      openButton("Open a file…", (text) => {
        field.value = text;
        field.error = "";
      }),
      field,
    ],
    actions: [{ value: "read", label: "Add to the selection", class: "primary" }],
    check: async () => {
      field.error =
        field.value.trim() === "" ? "Open a file or paste a list." : await readHandOff(field.value);
      return field.control.getAttribute("aria-invalid") !== "true";
    },
  });
}

/** Save the selection as a list. */
export async function exportList() {
  const { cohort, objectives } = store.get();
  try {
    const written = await post("/v1/handoff/document", toHandOff(cohort, objectives?.files ?? []));
    save(
      new Blob([written.text], { type: "application/json" }),
      written.file_name || `patients-${stamp()}.json`,
    );
  } catch (error) {
    toast(inWords(error), "bad");
  }
}

/**
 * Return the list in an address: JSON, or its UTF-8 in base64url.
 *
 * @param {string} handed
 */
export function textOfAddress(handed) {
  if (/^\s*[[{]/.test(handed)) return handed;
  try {
    const bytes = atob(handed.replaceAll("-", "+").replaceAll("_", "/").replaceAll(" ", "+"));
    return new TextDecoder().decode(Uint8Array.from(bytes, (one) => one.charCodeAt(0)));
  } catch {
    return handed; // the server says what is wrong with it
  }
}
