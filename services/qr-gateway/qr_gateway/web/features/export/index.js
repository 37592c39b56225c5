/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/export",
  title: "Export",
  role: "reader",
  icon: "take",
  element: "export-view",
  load: () => import("./view.js"),
};
