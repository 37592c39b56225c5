/** From rows of a search to the selection: all data, approved plans, the most recent plan, or these. */

import { get } from "../../core/api.js";
import { added, planOf } from "../../core/cohort.js";
import { fill, h } from "../../core/dom.js";
import { counted, date, personName } from "../../core/format.js";
import { store } from "../../core/store.js";
import { icon } from "../../parts/icon.js";
import { inWords, toast } from "../../parts/notice.js";

/** @typedef {import("../../core/cohort.js").CohortPatient} CohortPatient */
/** @typedef {import("../../core/cohort.js").CohortPlan} CohortPlan */
/** @typedef {"all" | "approved" | "recent"} Which */
/** How to ask for a patient's plans, newest first. @typedef {(patientId: string) => Promise<any[]>} PlansOf */

const AT_ONCE = 4;

/**
 * Return the buttons above a table of patients.
 *
 * @param {() => any[]} chosen
 * @param {PlansOf} plansOf
 * @param {() => void} done
 */
export function addPatients(chosen, plansOf, done) {
  const said = h("span", { class: "small soft", role: "status" }, "Nothing is ticked");
  const button = (/** @type {string} */ label, /** @type {Which} */ which, /** @type {string} */ cls = "") =>
    h("button", { type: "button", class: cls, disabled: true, on: { click: () => void add(which) } }, label);
  const buttons = [
    button("Add all data", "all", "primary"),
    button("Add approved plans", "approved"),
    button("Add most recent plan", "recent"),
  ];
  /** @param {Which} which */
  async function add(which) {
    const rows = chosen();
    buttons.forEach((one) => (one.disabled = true));
    try {
      const patients = await resolved(rows, which, plansOf);
      store.update({ cohort: added(store.get().cohort, patients) });
      const left = rows.length - patients.length;
      const rest = left > 0 ? ` ${counted(left, "patient")} had no such plan.` : "";
      toast(`${counted(patients.length, "patient")} added to the selection.${rest}`);
      done();
    } catch (error) {
      toast(inWords(error), "bad");
    }
    show(chosen().length);
  }
  /** @param {number} count */
  function show(count) {
    said.textContent = count === 0 ? "Nothing is ticked" : `${counted(count, "patient")} ticked`;
    buttons.forEach((one) => (one.disabled = count === 0));
  }
  return { element: h("div", { class: "row" }, said, buttons), show };
}

/**
 * Return the button above a table of plans.
 *
 * @param {() => any[]} chosen
 * @param {() => void} done
 */
export function addPlans(chosen, done) {
  const said = h("span", { class: "small soft", role: "status" }, "Nothing is ticked");
  const button = h("button", { type: "button", class: "primary", disabled: true, on: { click: add } });
  fill(button, icon("plus"), "Add these plans");
  function add() {
    const rows = chosen();
    store.update({
      cohort: added(
        store.get().cohort,
        rows.map((row) => patientOf(row, [planOf(row)])),
      ),
    });
    toast(`${counted(rows.length, "plan")} added to the selection.`);
    done();
    show(0);
  }
  /** @param {number} count */
  function show(count) {
    said.textContent = count === 0 ? "Nothing is ticked" : `${counted(count, "plan")} ticked`;
    button.disabled = count === 0;
  }
  return { element: h("div", { class: "row" }, said, button), show };
}

/**
 * The plans of a patient as the index knows them.
 *
 * @type {PlansOf}
 */
export async function indexedPlans(patientId) {
  const answer = await get("/v1/plans", { patient_id: patientId, sort: "-plan_date", limit: 1000 });
  return answer.plans;
}

/** @param {any[]} rows @param {Which} which @param {PlansOf} plansOf @returns {Promise<CohortPatient[]>} */
async function resolved(rows, which, plansOf) {
  if (which === "all") return rows.map((row) => patientOf(row, []));
  /** @type {CohortPatient[]} */
  const found = [];
  for (let at = 0; at < rows.length; at += AT_ONCE) {
    const some = rows.slice(at, at + AT_ONCE);
    const plans = await Promise.all(some.map((row) => plansOf(row.patient_id)));
    some.forEach((row, index) => {
      const every = plans[index] ?? [];
      const kept =
        which === "recent" ? every.slice(0, 1) : every.filter((plan) => plan.approval_status === "APPROVED");
      if (kept.length > 0) found.push(patientOf(row, kept.map(planOf)));
    });
  }
  return found;
}

/** @param {any} row @param {CohortPlan[]} plans @returns {CohortPatient} */
function patientOf(row, plans) {
  return {
    patientId: row.patient_id,
    name: personName(row.patient_name),
    birthDate: date(row.patient_birth_date),
    wanted: plans.length > 0 ? "plans" : "all",
    plans,
  };
}
