/** How often each value occurs: a list whose bars are beside its numbers, not instead of them. */

import { h } from "../core/dom.js";
import { number } from "../core/format.js";

/**
 * @param {string} label
 * @param {readonly { name: string, count: number }[]} rows
 */
export function bars(label, rows) {
  const most = Math.max(1, ...rows.map((row) => row.count));
  return h(
    "ul",
    { class: "bars", "aria-label": label },
    rows.map((row) => {
      const bar = h("span", { class: "bar" });
      bar.style.setProperty("width", `${(100 * row.count) / most}%`);
      return h(
        "li",
        null,
        h("span", { class: "name" }, row.name || "(empty)"),
        h("span", { class: "track", "aria-hidden": "true" }, bar),
        h("span", { class: "number count" }, number(row.count)),
      );
    }),
  );
}
