/** The distinct values of an attribute, the most frequent first, as bars. */

import { get } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { counted } from "../../core/format.js";
import { bars } from "../../parts/bars.js";
import { message, showError } from "../../parts/notice.js";
import { tagField } from "../../parts/tag-field.js";
import { termList } from "./terms.js";

const READ = 1000;
const SHOWN = 40;

export function valuesPanel() {
  const path = tagField({
    label: "Values of",
    required: true,
    placeholder: "BeamSequence/TreatmentMachineName",
  });
  const terms = termList("Only instances of which these hold", []);
  const place = h("div", { "aria-live": "polite" });
  const form = h(
    "form",
    { class: "stack", role: "search", "aria-label": "List values", novalidate: true },
    path,
    h("details", { class: "more" }, h("summary", null, "Restrict"), terms.element),
    h("div", null, h("button", { class: "primary" }, "Count")),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!path.check()) return path.control.focus();
    try {
      const answer = await get("/v1/values", { tag: path.value.trim(), where: terms.values(), limit: READ });
      fill(place, shown(answer));
    } catch (error) {
      showError(place, error);
    }
  });
  return h("div", { class: "stack" }, form, place);
}

/** @param {any} answer of `GET /v1/values` */
function shown(answer) {
  /** @type {{ name: string, count: number }[]} */
  const rows = answer.values.map((/** @type {any} */ one) => ({
    name: one.value,
    count: one.number_of_instances,
  }));
  rows.sort((one, other) => other.count - one.count);
  const more = answer.next !== null;
  const rest = rows.slice(SHOWN).reduce((sum, one) => sum + one.count, 0);
  return h(
    "div",
    { class: "stack" },
    h("h3", null, `${answer.tag}: ${more ? "more than " : ""}${counted(rows.length, "value")}`),
    more
      ? message(
          "info",
          h(
            "p",
            null,
            `Counted are the first ${READ} values in their own order; restrict the search to see the others.`,
          ),
        )
      : null,
    rows.length === 0
      ? h("p", { class: "soft" }, "No instance of the index has it.")
      : bars(`Values of ${answer.tag}`, rows.slice(0, SHOWN)),
    rest > 0
      ? h(
          "p",
          { class: "small soft" },
          `and ${counted(rows.length - SHOWN, "other value")} of ${counted(rest, "instance")}`,
        )
      : null,
  );
}
