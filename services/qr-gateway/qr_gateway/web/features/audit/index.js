/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/audit",
  title: "Audit",
  role: "admin",
  icon: "shield",
  element: "audit-view",
  load: () => import("./view.js"),
};
