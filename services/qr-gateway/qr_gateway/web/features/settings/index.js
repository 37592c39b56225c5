/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/settings",
  title: "Settings",
  role: "reader",
  icon: "gear",
  element: "settings-view",
  load: () => import("./view.js"),
};
