/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/patients",
  title: "Patients",
  role: "reader",
  icon: "people",
  element: "patients-view",
  load: () => import("./view.js"),
};
