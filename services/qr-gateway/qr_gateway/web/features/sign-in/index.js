/** @type {import("../../core/views.js").ViewInfo} */
export const view = {
  path: "/sign-in",
  title: "Sign in",
  role: "anyone",
  icon: "shield",
  element: "sign-in-view",
  load: () => import("./view.js"),
};
