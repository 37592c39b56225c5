/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/diagnostics",
  title: "Diagnostics",
  role: "reader",
  icon: "pulse",
  element: "diagnostics-view",
  load: () => import("./view.js"),
};
