/** Instances of which every term holds. */

import { get } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { number } from "../../core/format.js";
import { link, place } from "../../core/router.js";
import { personal } from "../../core/storage.js";
import { commandCard } from "../../parts/command.js";
import { textField } from "../../parts/field.js";
import { table } from "../../parts/table.js";
import { termList } from "./terms.js";

export function findPanel() {
  const given = place().query.get("patient_id");
  const terms = termList(
    "All of these have to hold in one instance",
    given === null ? [] : ["Modality=?"],
    () => command.changed(),
  );
  const patient = textField({ label: "Patient ID", hint: "Exactly; empty: all.", value: given ?? "" });
  const modality = textField({ label: "Modality", maxLength: 16 });
  const folder = textField({
    label: "Folder",
    hint: "The command line reads files; the page asks the index.",
    value: personal().exportPath,
    onInput: () => command.changed(),
  });
  const command = commandCard(
    () =>
      terms.values().length > 0 && folder.value.trim()
        ? {
            operation: "search",
            options: { tag: terms.values(), path: folder.value.trim(), showStatistics: true },
          }
        : null,
    "Give a term and a folder.",
    h("div", { class: "grid wide" }, folder),
  );
  const statistics = h("p", { role: "status" });
  const rows = table({
    caption: "Instances found",
    columns: [
      {
        title: "Patient",
        class: "break",
        cell: (row) =>
          h(
            "a",
            { href: link("/show", { patient_id: row.patient_id, uid: row.sop_instance_uid }) },
            row.patient_id || "(no ID)",
          ),
      },
      { title: "Modality", cell: (row) => row.modality },
      {
        title: "SOP Instance UID",
        class: "break",
        cell: (row) => h("span", { class: "uid" }, row.sop_instance_uid),
      },
      { title: "Told", class: "break", cell: (row) => told(row.told) },
    ],
    empty: { title: "Nothing found", text: "No instance of the index fulfils every term." },
    load: async (wanted, signal) => {
      const answer = await get(
        "/v1/search",
        {
          tag: terms.values(),
          patient_id: patient.value,
          modality: modality.value.trim(),
          statistics: wanted.cursor === "",
          limit: wanted.limit,
          cursor: wanted.cursor,
        },
        signal,
      );
      if (answer.statistics)
        statistics.textContent = `${number(answer.statistics.found)} of ${number(answer.statistics.total)} instances`;
      return { rows: answer.instances, next: answer.next };
    },
  });
  const form = h(
    "form",
    { class: "stack", role: "search", "aria-label": "Find instances" },
    terms.element,
    h("div", { class: "grid" }, patient, modality),
    h("div", { class: "row" }, h("button", { class: "primary" }, "Search"), statistics),
  );
  const results = h("div");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [first] = [terms.first()];
    if (terms.values().length === 0 && first) {
      first.error = "Give at least one term.";
      return first.control.focus();
    }
    statistics.textContent = "";
    if (!rows.isConnected) fill(results, rows);
    return void rows.start();
  });
  return h("div", { class: "stack" }, form, results, command.element);
}

/** @param {{ tag: string, values: string[] }[]} answers */
function told(answers) {
  if (answers.length === 0) return "";
  return h(
    "ul",
    { class: "plain" },
    answers.map((one) =>
      h(
        "li",
        null,
        h("span", { class: "small soft" }, `${one.tag}: `),
        one.values.join(", ") || "(not there)",
      ),
    ),
  );
}
