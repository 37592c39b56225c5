/** The kinds of jobs, and what is told of each. */

/**
 * @typedef {{
 *   name: string, title: string, path: string, about: string, none: string, role: string,
 *   subject: (job: any) => string, again: ((job: any) => any) | null
 * }} Kind
 */

/** @type {readonly Kind[]} */
export const KINDS = [
  {
    name: "retrievals",
    title: "Retrievals",
    path: "/v1/retrievals",
    about: "Patient and plan",
    none: "Retrieve something under Export.",
    role: "retriever",
    subject: (job) => {
      const { patient_id: patientId, plan_label: label, only_approved: approved } = job.request;
      return [patientId, label ?? "all data", approved ? "approved only" : ""].filter(Boolean).join(" · ");
    },
    // what has landed is not moved again: the same order asks for the missing ones only
    again: (job) => ({ peer: job.peer, ...job.request }),
  },
  {
    name: "exports",
    title: "Exports",
    path: "/v1/exports",
    about: "What, and where to",
    none: "Export something that has been retrieved under Export.",
    role: "exporter",
    subject: (job) => {
      const { selection, number, anonymised, destination } = job.asked;
      const what = selection === "patient" ? "All of a patient" : `${number} ${selection}`;
      const where = destination.peer
        ? `to ${destination.peer}`
        : destination.zip
          ? "as a ZIP file"
          : "to the export bucket";
      return [what, where, anonymised ? "anonymised" : ""].filter(Boolean).join(" · ");
    },
    again: null,
  },
  {
    name: "sends",
    title: "Sends",
    path: "/v1/sends",
    about: "Studies",
    none: "Send something to a peer under Import.",
    role: "exporter",
    subject: (job) =>
      `${job.request.study_instance_uids.length} ${job.request.study_instance_uids.length === 1 ? "study" : "studies"}`,
    again: (job) => ({ peer: job.peer, ...job.request }),
  },
];
