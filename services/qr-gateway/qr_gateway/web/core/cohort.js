/**
 * The selection: patients, and which of their plans. Pure functions over values; it lives in memory
 * only, since it names patients.
 */

/** @typedef {"all" | "plans"} Wanted */
/**
 * @typedef {{
 *   label: string, course: string, approval: string, dose: number | null, fractions: number | null,
 *   structureSet: string, selected: boolean
 * }} CohortPlan
 */
/**
 * One patient; `wanted` tells whether everything is meant, or the plans that are selected.
 *
 * @typedef {{
 *   patientId: string, name: string, birthDate: string, wanted: Wanted, plans: readonly CohortPlan[]
 * }} CohortPatient
 */
/** @typedef {{ patient_id: string, course_id?: string, plan_id?: string, file_name: string }} ObjectiveFile */
/** @typedef {ReadonlyMap<string, CohortPatient>} Cohort */
/** @typedef {{ patientId: string, planLabel: string | null }} Order */

/**
 * Return the selection with these patients added; plans of a patient who is in it already are joined.
 *
 * @param {Cohort} cohort
 * @param {readonly CohortPatient[]} patients
 * @returns {Cohort}
 */
export function added(cohort, patients) {
  const next = new Map(cohort);
  for (const patient of patients) {
    const there = next.get(patient.patientId);
    next.set(patient.patientId, there ? joined(there, patient) : patient);
  }
  return next;
}

/**
 * @param {Cohort} cohort
 * @param {readonly string[]} patientIds
 * @returns {Cohort}
 */
export function without(cohort, patientIds) {
  const next = new Map(cohort);
  for (const patientId of patientIds) next.delete(patientId);
  return next;
}

/**
 * @param {Cohort} cohort
 * @param {string} patientId
 * @param {Partial<CohortPatient>} changes
 * @returns {Cohort}
 */
export function changed(cohort, patientId, changes) {
  const patient = cohort.get(patientId);
  return patient ? new Map(cohort).set(patientId, { ...patient, ...changes }) : cohort;
}

/**
 * Return what is to be retrieved, one order per patient and plan.
 *
 * A patient of whom selected plans are wanted and none is selected gives no order: nothing is not all.
 *
 * @param {Cohort} cohort
 * @returns {Order[]}
 */
export function orders(cohort) {
  return [...cohort.values()].flatMap((patient) => {
    const { patientId } = patient;
    /** @type {(string | null)[]} */
    const labels = patient.wanted === "all" ? [null] : labelsOf(patient);
    return labels.map((planLabel) => ({ patientId, planLabel }));
  });
}

/**
 * Return the labels of the plans that are wanted of a patient, each once.
 *
 * @param {CohortPatient} patient
 */
export function labelsOf(patient) {
  const selected = patient.plans.filter((plan) => plan.selected && plan.label !== "");
  return patient.wanted === "all" ? [] : [...new Set(selected.map((plan) => plan.label))];
}

/**
 * Return the selection as the server writes it for other programs.
 *
 * @param {Cohort} cohort
 * @param {readonly ObjectiveFile[]} objectiveFiles
 */
export function toHandOff(cohort, objectiveFiles) {
  return {
    patients: [...cohort.values()].map((patient) => {
      const [last_name = "", first_name = ""] = patient.name.split(", ");
      return {
        patient_id: patient.patientId,
        first_name,
        last_name,
        date_of_birth: patient.birthDate,
        selected: true,
        plans: patient.plans.map((plan) => ({
          patient_id: patient.patientId,
          course_id: plan.course,
          plan_id: plan.label,
          approval_status: plan.approval,
          total_dose: plan.dose,
          number_of_fractions: plan.fractions,
          structure_set_id: plan.structureSet,
          selected: plan.selected,
        })),
      };
    }),
    objective_files: objectiveFiles,
  };
}

/**
 * Return the patients that count of a list that the server has read.
 *
 * @param {any} list
 * @returns {CohortPatient[]}
 */
export function fromHandOff(list) {
  const kept = list.patients.filter((/** @type {any} */ one) => one.selected);
  return kept.map((/** @type {any} */ one) => {
    const plans = one.plans.map((/** @type {any} */ plan) => ({
      label: plan.plan_id,
      course: plan.course_id ?? "",
      approval: plan.approval_status ?? "",
      dose: plan.total_dose ?? null,
      fractions: plan.number_of_fractions ?? null,
      structureSet: plan.structure_set_id ?? "",
      selected: plan.selected,
    }));
    return {
      patientId: one.patient_id,
      name: [one.last_name, one.first_name].filter(Boolean).join(", "),
      birthDate: one.date_of_birth ?? "",
      wanted: plans.some((/** @type {CohortPlan} */ plan) => plan.selected) ? "plans" : "all",
      plans,
    };
  });
}

/**
 * Return a plan of the index as part of the selection.
 *
 * @param {any} row of `GET /v1/plans`, or of a peer's plans
 * @returns {CohortPlan}
 */
export function planOf(row) {
  return {
    label: row.rt_plan_label ?? "",
    course: "",
    approval: row.approval_status ?? "",
    dose: row.total_dose_gy ?? null,
    fractions: row.number_of_fractions_planned ?? null,
    structureSet: "",
    selected: true,
  };
}

/**
 * @param {CohortPatient} there
 * @param {CohortPatient} more
 * @returns {CohortPatient}
 */
function joined(there, more) {
  const plans = new Map(there.plans.map((plan) => [plan.label, plan]));
  for (const plan of more.plans) {
    const known = plans.get(plan.label);
    plans.set(plan.label, { ...plan, selected: plan.selected || Boolean(known?.selected) });
  }
  return {
    ...there,
    name: there.name || more.name,
    birthDate: there.birthDate || more.birthDate,
    wanted: more.wanted,
    plans: [...plans.values()],
  };
}
