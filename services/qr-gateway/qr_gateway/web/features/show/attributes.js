/** The attributes of an instance, sequences to be opened, with a filter over all of them. */

import { get } from "../../core/api.js";
import { debounced } from "../../core/debounce.js";
import { fill, h } from "../../core/dom.js";
import { bytes } from "../../core/format.js";
import { textField } from "../../parts/field.js";
import { message, showError } from "../../parts/notice.js";

/**
 * @typedef {{
 *   tag: string, keyword: string, name: string, vr: string, values: string[], truncated: boolean,
 *   length_bytes: number | null, bulk: boolean, items: Attribute[][]
 * }} Attribute
 */

/** @param {string} uid */
export function attributesOf(uid) {
  const filter = textField({ label: "Filter", hint: "Part of a name, keyword, tag or value." });
  const place = h("div", { class: "tree", "aria-busy": "true" });
  void get(`/v1/instances/${uid}/attributes`).then(
    (answer) => {
      const show = () => {
        const kept = matching(answer.attributes, filter.value.trim().toLowerCase());
        fill(
          place,
          answer.cut
            ? message("warn", h("p", null, "Something is left out: the object is damaged, or very large."))
            : null,
          h(
            "ul",
            null,
            kept.map((one) => item(one, filter.value.trim() !== "")),
          ),
        );
        place.removeAttribute("aria-busy");
      };
      filter.addEventListener("input", debounced(show));
      show();
    },
    (error) => showError(place, error),
  );
  return h("div", { class: "stack tight" }, filter, place);
}

/** @param {Attribute[]} attributes @param {string} text @returns {Attribute[]} */
function matching(attributes, text) {
  if (text === "") return attributes;
  return attributes.flatMap((one) => {
    if ([one.tag, one.keyword, one.name, ...one.values].some((part) => part.toLowerCase().includes(text)))
      return [one];
    const items = one.items.map((each) => matching(each, text)).filter((each) => each.length > 0);
    return items.length > 0 ? [{ ...one, items }] : [];
  });
}

/** @param {Attribute} one @param {boolean} open @returns {HTMLElement} */
function item(one, open) {
  const name = [
    h("span", { class: "uid soft" }, one.tag),
    h(
      "span",
      { class: "words" },
      h("b", null, one.name || one.keyword || "private"),
      " ",
      h("small", null, one.vr),
      value(one),
    ),
  ];
  if (one.items.length === 0) return h("li", null, h("div", { class: "leaf" }, name));
  const below = h("ul");
  const details = h("details", null, h("summary", null, name), below);
  const grow = () => {
    if (below.childElementCount > 0) return;
    fill(
      below,
      one.items.map((each, at) =>
        h(
          "li",
          null,
          h("div", { class: "leaf soft small" }, `Item ${at + 1} of ${one.items.length}`),
          h(
            "ul",
            null,
            each.map((row) => item(row, open)),
          ),
        ),
      ),
    );
  };
  details.addEventListener("toggle", () => {
    if (details.open) grow();
  });
  if (open) {
    grow();
    details.open = true;
  }
  return h("li", null, details);
}

/** @param {Attribute} one */
function value(one) {
  if (one.vr === "SQ")
    return h("small", null, ` ${one.items.length} item${one.items.length === 1 ? "" : "s"}`);
  if (one.bulk)
    return h("small", null, ` ${one.length_bytes === null ? "" : bytes(one.length_bytes)}, not shown`);
  return h(
    "span",
    { class: "break" },
    ` ${one.values.join(" \\ ")}`,
    one.truncated ? h("small", null, " …") : null,
  );
}
