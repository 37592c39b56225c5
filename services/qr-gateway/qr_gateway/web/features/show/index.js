/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/show",
  title: "Show",
  role: "reader",
  icon: "tree",
  element: "show-view",
  load: () => import("./view.js"),
};
