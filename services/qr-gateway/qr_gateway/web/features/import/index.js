/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/import",
  title: "Import",
  role: "exporter",
  icon: "give",
  element: "import-view",
  load: () => import("./view.js"),
};
