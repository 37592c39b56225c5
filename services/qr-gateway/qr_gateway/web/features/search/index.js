/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/search",
  title: "Search",
  role: "reader",
  icon: "find",
  element: "search-view",
  load: () => import("./view.js"),
};
