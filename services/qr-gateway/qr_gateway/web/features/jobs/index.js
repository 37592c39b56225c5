/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/jobs",
  title: "Jobs",
  role: "reader",
  icon: "list",
  element: "jobs-view",
  load: () => import("./view.js"),
};
