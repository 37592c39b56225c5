/** Patients that are at a PACS and have not been retrieved yet: C-FIND, exact unless patterns are asked for. */

import { get } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { date, number, personName } from "../../core/format.js";
import { personal } from "../../core/storage.js";
import { checkBox, optionsOf, rangeField, selectField, textField } from "../../parts/field.js";
import { message, showError } from "../../parts/notice.js";
import { pageOf, table } from "../../parts/table.js";
import { addPatients } from "./add.js";

export function peerPanel() {
  const peer = selectField({ label: "PACS", choices: [], required: true });
  const id = textField({ label: "Patient ID", maxLength: 64 });
  const name = textField({ label: "Name", hint: "Family^Given, as DICOM writes it.", maxLength: 128 });
  const born = rangeField({ label: "Birth date", type: "date", separator: "-" });
  const studied = rangeField({ label: "Study date", type: "date", separator: "-" });
  const wildcards = checkBox({
    label: "* and ? are patterns",
    hint: "Otherwise they are characters like any other.",
  });
  const said = h("div");
  /** @type {readonly any[]} */
  let found = [];
  const rows = table({
    caption: "Patients at the PACS",
    columns: [
      { title: "Patient ID", class: "break", cell: (row) => h("b", null, row.patient_id) },
      { title: "Name", class: "break", cell: (row) => personName(row.patient_name) },
      { title: "Born", class: "nowrap", cell: (row) => date(row.patient_birth_date) },
      { title: "Modalities", class: "break", cell: (row) => row.modalities.join(", ") },
      { title: "Plans", cell: (row) => (row.has_plans === null ? "not told" : row.has_plans ? "yes" : "no") },
      { title: "Studies", number: true, cell: (row) => number(row.number_of_studies) },
      { title: "Latest study", class: "nowrap", cell: (row) => date(row.latest_study_date) },
    ],
    empty: { title: "No patient found", text: "Ask the PACS by at least one of these." },
    select: {
      key: (row) => row.patient_id,
      label: (row) => `patient ${row.patient_id}`,
      onChange: (chosen) => adding.show(chosen.length),
    },
    load: async (wanted) => pageOf(found, wanted),
  });
  const adding = addPatients(
    () => rows.chosen,
    plansAt,
    () => rows.clear(),
  );
  /** @type {import("./add.js").PlansOf} */
  async function plansAt(patientId) {
    const answer = await get(`/v1/peers/${encodeURIComponent(peer.value)}/plans`, { patient_id: patientId });
    const plans = [...answer.plans];
    return plans.sort((one, other) =>
      String(other.rt_plan_date ?? other.study_date ?? "").localeCompare(
        String(one.rt_plan_date ?? one.study_date ?? ""),
      ),
    );
  }
  const button = h("button", { class: "primary" }, "Ask the PACS");
  const form = h(
    "form",
    { class: "stack", role: "search", "aria-label": "Find patients at a PACS", novalidate: true },
    h("div", { class: "grid" }, peer, id, name, born.element, studied.element, wildcards.element),
    h("div", { class: "row" }, button),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!peer.check()) return peer.control.focus();
    button.disabled = true;
    fill(said);
    try {
      const answer = await get(`/v1/peers/${encodeURIComponent(peer.value)}/patients`, {
        patient_id: id.value.trim(),
        patient_name: name.value.trim(),
        birth_date: born.value(),
        study_date: studied.value(),
        wildcards: wildcards.control.checked,
      });
      found = answer.patients;
      if (answer.truncated)
        fill(said, message("warn", h("p", null, "There are more than these: ask for less.")));
      await rows.start();
      adding.show(0);
    } catch (error) {
      showError(said, error);
    }
    button.disabled = false;
  });
  void get("/v1/peers").then(
    ({ peers }) => {
      fill(
        peer.control,
        optionsOf(peers.map((/** @type {any} */ one) => [one.name, `${one.name} (${one.ae_title})`])),
      );
      if (peers.some((/** @type {any} */ one) => one.name === personal().peer)) peer.value = personal().peer;
    },
    (error) => showError(said, error),
  );
  void rows.start();
  return h("div", { class: "stack" }, form, said, adding.element, rows);
}
