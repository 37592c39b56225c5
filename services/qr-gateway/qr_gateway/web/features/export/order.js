/** From what has landed to the orders of exports, one for each patient. */

/** @typedef {import("../../core/run.js").Line} Line */
/** @typedef {import("./anonymise.js").Anonymising} Anonymising */
/** @typedef {import("./destination.js").Destination} Destination */

/**
 * @param {Anonymising | null} anonymising
 * @param {Destination} destination
 * @returns {import("../../core/run.js").Exporting}
 */
export function exportOrders(anonymising, destination) {
  return (lines) => {
    const patients = new Map();
    for (const line of lines) {
      const id = line.body.patient_id;
      if (!patients.has(id)) patients.set(id, []);
      patients.get(id).push(line);
    }
    const digits = Math.max(2, String(patients.size).length);
    return [...patients].flatMap(([patientId, own], at) => {
      const landed = own.filter(
        (/** @type {Line} */ line) => line.state === "complete" || line.state === "partial",
      );
      const selection = selectionOf(patientId, landed);
      if (selection === null) return [];
      // the place in the whole list: a patient who failed does not give their number to the next one
      const suffix = patients.size > 1 ? `-${String(at + 1).padStart(digits, "0")}` : "";
      return [
        {
          title: `Export of ${patientId}`,
          body: { selection, ...anonymised(anonymising, suffix), destination: place(destination) },
        },
      ];
    });
  };
}

/** @param {string} patientId @param {readonly Line[]} landed */
function selectionOf(patientId, landed) {
  if (landed.length === 0) return null;
  if (landed.some((line) => line.body.plan_label === null && !line.body.only_approved))
    return { patient: patientId };
  const plans = landed.flatMap((line) =>
    (line.job?.plans ?? []).filter((/** @type {any} */ one) => one.outcome === "selected"),
  );
  const uids = [...new Set(plans.map((one) => one.sop_instance_uid))];
  return uids.length > 0 ? { plans: uids } : null;
}

/** @param {Anonymising | null} how @param {string} suffix */
function anonymised(how, suffix) {
  if (how === null) return {};
  return {
    anonymise: {
      new_patient_id: how.newId + suffix,
      new_patient_name: how.newName + suffix,
      profile: how.profile.replace(/\.csv$/, ""),
      options: how.options,
      allow_partial: how.allowPartial,
      allow_burned_in: how.burnedIn,
    },
  };
}

/** @param {Destination} destination */
function place(destination) {
  if (destination.kind === "peer") return { peer: destination.peer };
  return destination.kind === "zip" ? { zip: true } : { bucket: {} };
}
