/** Who did what, newest first; patients are pseudonyms. For admins. */

import { get } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { moment } from "../../core/format.js";
import { selectField, textField } from "../../parts/field.js";
import { tag } from "../../parts/notice.js";
import { table } from "../../parts/table.js";
import { View, card, heading } from "../../parts/view.js";

const ACTIONS = /** @type {const} */ ([
  ["", "Any"],
  ["C", "Create"],
  ["R", "Read"],
  ["U", "Update"],
  ["D", "Delete"],
  ["E", "Execute"],
]);
const OUTCOMES = /** @type {const} */ ([
  ["", "Any"],
  ["success", "Success"],
  ["refused", "Refused"],
  ["failed", "Failed"],
]);

class AuditView extends View {
  show() {
    const since = textField({ label: "Since", type: "datetime-local" });
    const until = textField({ label: "Until", type: "datetime-local" });
    const action = selectField({ label: "Action", choices: ACTIONS });
    const outcome = selectField({ label: "Outcome", choices: OUTCOMES });
    const operation = textField({ label: "Operation", hint: "Like createRetrieval.", maxLength: 100 });
    const rows = table({
      caption: "Audit events",
      columns: [
        { title: "When", class: "nowrap", cell: (row) => moment(row.recorded) },
        { title: "Who", class: "break", cell: (row) => row.agents.map(agent).join("; ") },
        {
          title: "What",
          class: "break",
          cell: (row) => [row.activity, " ", h("span", { class: "small soft" }, row.operation)],
        },
        {
          title: "Outcome",
          cell: (row) => [
            tag(row.outcome === "success" ? "good" : row.outcome === "refused" ? "warn" : "bad", row.outcome),
            row.reason ? h("span", { class: "small soft" }, ` ${row.reason}`) : null,
          ],
        },
        {
          title: "About",
          class: "break",
          cell: (row) =>
            h(
              "ul",
              { class: "plain" },
              row.entities.map((/** @type {any} */ one) =>
                h("li", null, `${one.kind}: `, h("span", { class: "uid" }, one.value)),
              ),
            ),
        },
      ],
      empty: {
        title: "No event",
        text: "Nothing of the trail that was looked through fits; there may be more on the next page.",
      },
      load: async (wanted, signal) => {
        const answer = await get(
          "/v1/audit",
          {
            since: utc(since.value),
            until: utc(until.value),
            action: action.value,
            outcome: outcome.value,
            operation: operation.value.trim(),
            limit: wanted.limit,
            cursor: wanted.cursor,
          },
          signal,
        );
        return { rows: answer.events, next: answer.next };
      },
    });
    const form = h(
      "form",
      { class: "grid", role: "search", "aria-label": "Filter the trail" },
      since,
      until,
      action,
      outcome,
      operation,
    );
    form.addEventListener("change", () => void rows.start());
    form.addEventListener("submit", (event) => event.preventDefault());
    fill(
      this,
      heading(
        "Audit",
        "Who asked for what, and how it ended. Patients appear under pseudonyms that are the same through the whole trail.",
      ),
      card("Trail", [form, rows]),
    );
    void rows.start();
  }
}

/** @param {any} one */
function agent(one) {
  const roles = one.roles.length > 0 ? ` (${one.roles.join(", ")})` : "";
  return [one.name || one.system, one.address].filter(Boolean).join(" at ") + roles;
}

/** @param {string} local */
function utc(local) {
  return local ? new Date(local).toISOString() : "";
}

customElements.define("audit-view", AuditView);
