/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/help",
  title: "Help",
  role: "anyone",
  icon: "help",
  element: "help-view",
  load: () => import("./view.js"),
};
