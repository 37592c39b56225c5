/** Patients of the index, by what is typed, as it is typed. */

import { get } from "../../core/api.js";
import { debounced } from "../../core/debounce.js";
import { h } from "../../core/dom.js";
import { date, number, personName } from "../../core/format.js";
import { link } from "../../core/router.js";
import { rangeField, selectField, textField } from "../../parts/field.js";
import { table } from "../../parts/table.js";
import { addPatients, indexedPlans } from "./add.js";

export function patientsPanel() {
  const id = textField({ label: "Patient ID", hint: "Any part of it; * and ? stand for anything." });
  const name = textField({ label: "Name" });
  const plans = selectField({
    label: "Plans",
    choices: [
      ["", "With or without"],
      ["true", "Has plans"],
      ["false", "Has none"],
    ],
  });
  const modality = textField({ label: "Modality", hint: "Of a series, like CT or RTDOSE.", maxLength: 16 });
  const studied = rangeField({ label: "Study date", type: "date", separator: "-" });
  const born = rangeField({ label: "Birth date", type: "date", separator: "-" });
  const filters = () => ({
    id: id.value.trim(),
    name: name.value.trim(),
    has_plans: plans.value,
    modality: modality.value.trim(),
    study_date: studied.value(),
    birth_date: born.value(),
  });
  const rows = table({
    caption: "Patients found",
    sort: "patient_id",
    columns: [
      {
        title: "Patient ID",
        sort: "patient_id",
        class: "break",
        cell: (row) => h("b", null, row.patient_id || "(no ID)"),
      },
      { title: "Name", sort: "patient_name", class: "break", cell: (row) => personName(row.patient_name) },
      { title: "Born", sort: "birth_date", class: "nowrap", cell: (row) => date(row.patient_birth_date) },
      { title: "Sex", cell: (row) => row.patient_sex ?? "" },
      { title: "Plans", number: true, cell: (row) => number(row.number_of_plans) },
      { title: "Studies", number: true, cell: (row) => number(row.number_of_studies) },
      { title: "Instances", number: true, cell: (row) => number(row.number_of_instances) },
      {
        title: "Latest study",
        sort: "latest_study_date",
        class: "nowrap",
        cell: (row) => date(row.latest_study_date),
      },
      {
        title: "",
        cell: (row) =>
          h(
            "a",
            { class: "button", href: link("/show", { patient_id: row.patient_id }) },
            "Show",
            h("span", { class: "unseen" }, ` ${row.patient_id}`),
          ),
      },
    ],
    empty: {
      title: "No patient found",
      text: "Nothing in the index fulfils all of this. A patient who has not been retrieved yet can be found at a PACS.",
    },
    select: {
      key: (row) => row.patient_id,
      label: (row) => `patient ${row.patient_id}`,
      onChange: (chosen) => adding.show(chosen.length),
    },
    load: async (wanted, signal) => {
      const answer = await get("/v1/patients", { ...filters(), ...wanted }, signal);
      return { rows: answer.patients, next: answer.next, total: answer.total };
    },
  });
  const adding = addPatients(
    () => rows.chosen,
    indexedPlans,
    () => rows.clear(),
  );
  const form = h(
    "form",
    { class: "grid", role: "search", "aria-label": "Find patients" },
    id,
    name,
    studied.element,
    born.element,
    plans,
    modality,
  );
  const search = debounced(() => void rows.start().then(() => adding.show(0)));
  form.addEventListener("input", search);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  void rows.start();
  return h("div", { class: "stack" }, form, adding.element, rows);
}
