/** What has been collected: patients and the plans that are wanted of each. */

import { changed, labelsOf, without } from "../../core/cohort.js";
import { fill, h } from "../../core/dom.js";
import { counted, date, number } from "../../core/format.js";
import { go, link } from "../../core/router.js";
import { store } from "../../core/store.js";
import { confirmed } from "../../parts/dialog.js";
import { checkBox } from "../../parts/field.js";
import { icon } from "../../parts/icon.js";
import { empty, tag } from "../../parts/notice.js";
import { pageOf, table } from "../../parts/table.js";
import { card } from "../../parts/view.js";
import { exportList, importList } from "./hand-off.js";

/** @typedef {import("../../core/cohort.js").CohortPatient} CohortPatient */
/** @typedef {import("../../core/cohort.js").CohortPlan} CohortPlan */

/** @param {AbortSignal} leaving */
export function selection(leaving) {
  const said = h("p", { class: "small soft", role: "status" });
  const place = h("div");
  const button = (
    /** @type {string} */ label,
    /** @type {() => void} */ click,
    /** @type {string} */ cls = "",
  ) => h("button", { type: "button", class: cls, on: { click } }, label);
  const save = button("Save list", () => void exportList());
  const clear = button("Clear", () => void forget());
  const onward = h(
    "button",
    { type: "button", class: "primary", on: { click: () => go("/export") } },
    icon("take"),
    "Export these",
  );
  const rows = table({
    caption: "Selected patients",
    columns: COLUMNS,
    load: async (wanted) => pageOf([...store.get().cohort.values()], wanted),
  });
  const nothing = empty(
    "Nothing selected yet",
    "Tick patients or plans in a search below and add them here, or import a list from your planning system.",
  );
  store.watch(
    (state) => state.cohort,
    (cohort) => {
      const patients = [...cohort.values()];
      const plans = patients.reduce((sum, one) => sum + labelsOf(one).length, 0);
      said.textContent =
        patients.length === 0
          ? ""
          : `${counted(patients.length, "patient")}, ${counted(plans, "plan")} by name`;
      for (const one of [save, clear, onward]) one.disabled = patients.length === 0;
      if (patients.length === 0) fill(place, nothing);
      else {
        if (!rows.isConnected) fill(place, rows);
        void rows.reload();
      }
    },
    leaving,
  );
  return card("Selection", place, {
    flush: true,
    actions: [said, button("Import list…", () => void importList()), save, clear, onward],
  });
}

const COLUMNS = [
  {
    title: "Patient ID",
    class: "break",
    cell: (/** @type {CohortPatient} */ one) => h("b", null, one.patientId),
  },
  { title: "Name", class: "break", cell: (/** @type {CohortPatient} */ one) => one.name },
  { title: "Born", class: "nowrap", cell: (/** @type {CohortPatient} */ one) => date(one.birthDate) },
  { title: "Wanted", cell: wanted },
  {
    title: "",
    class: "nowrap",
    cell: (/** @type {CohortPatient} */ one) => [
      h("a", { class: "button", href: link("/show", { patient_id: one.patientId }) }, "Show", unseen(one)),
      " ",
      h(
        "button",
        {
          type: "button",
          class: "quiet icon-only",
          "aria-label": `Remove ${one.patientId}`,
          title: "Remove",
          on: { click: () => store.update({ cohort: without(store.get().cohort, [one.patientId]) }) },
        },
        icon("cross"),
      ),
    ],
  },
];

/** @param {CohortPatient} one */
function wanted(one) {
  const labels = labelsOf(one);
  const select = h(
    "select",
    {
      "aria-label": `What is wanted of ${one.patientId}`,
      on: { change: () => change(one, { wanted: select.value === "all" ? "all" : "plans" }) },
      props: { value: one.wanted },
    },
    h("option", { value: "all" }, "All data"),
    h("option", { value: "plans" }, `Selected plans (${labels.length})`),
  );
  select.value = one.wanted;
  if (one.wanted === "all") return select;
  return h(
    "div",
    { class: "stack tight" },
    select,
    one.plans.length === 0
      ? tag("warn", "No plan is known")
      : h(
          "ul",
          { class: "cohort-plans" },
          one.plans.map((plan) => h("li", null, planBox(one, plan))),
        ),
  );
}

/** @param {CohortPatient} patient @param {CohortPlan} plan */
function planBox(patient, plan) {
  const facts = [
    plan.course,
    plan.approval,
    plan.dose === null ? "" : `${number(plan.dose)} Gy`,
    plan.fractions === null ? "" : counted(plan.fractions, "fraction"),
  ];
  return checkBox({
    label: plan.label,
    hint: facts.filter(Boolean).join(" · "),
    checked: plan.selected,
    onChange: (selected) =>
      change(patient, {
        plans: patient.plans.map((one) => (one.label === plan.label ? { ...one, selected } : one)),
      }),
  }).element;
}

/** @param {CohortPatient} patient @param {Partial<CohortPatient>} changes */
function change(patient, changes) {
  store.update({ cohort: changed(store.get().cohort, patient.patientId, changes) });
}

/** @param {CohortPatient} one */
function unseen(one) {
  return h("span", { class: "unseen" }, ` ${one.patientId}`);
}

async function forget() {
  if (
    await confirmed(
      "Clear the selection",
      "All patients and plans are taken out of the selection. Nothing is deleted.",
      "Clear",
    )
  ) {
    store.update({ cohort: new Map(), objectives: null });
  }
}
