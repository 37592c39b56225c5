/** One patient's reference tree, and what is known of an instance of it. */

import { get } from "../../core/api.js";
import { debounced } from "../../core/debounce.js";
import { fill, h } from "../../core/dom.js";
import { counted, personName } from "../../core/format.js";
import { go, link, place } from "../../core/router.js";
import { textField } from "../../parts/field.js";
import { icon } from "../../parts/icon.js";
import { empty, message, showError } from "../../parts/notice.js";
import { table } from "../../parts/table.js";
import { View, card, heading } from "../../parts/view.js";
import { showInstance, showSeries } from "./instance.js";
import { dangling, nodesOf } from "./model.js";
import { treeOf } from "./tree.js";

class ShowView extends View {
  show() {
    const { query } = place();
    const patientId = query.get("patient_id");
    if (patientId === null) this.#choose();
    else void this.#patient(patientId, query.get("uid") ?? "");
  }

  #choose() {
    const id = textField({ label: "Patient ID", hint: "Any part of it." });
    const rows = table({
      caption: "Patients",
      sort: "patient_id",
      columns: [
        {
          title: "Patient ID",
          sort: "patient_id",
          class: "break",
          cell: (row) =>
            h("a", { href: link("/show", { patient_id: row.patient_id }) }, row.patient_id || "(no ID)"),
        },
        { title: "Name", sort: "patient_name", class: "break", cell: (row) => personName(row.patient_name) },
        { title: "Plans", number: true, cell: (row) => row.number_of_plans },
        { title: "Instances", number: true, cell: (row) => row.number_of_instances },
      ],
      empty: {
        title: "No patient found",
        text: "The index has no patient with such an ID. Retrieve one under Export first.",
      },
      load: async (wanted, signal) => {
        const answer = await get("/v1/patients", { ...wanted, id: id.value.trim() }, signal);
        return { rows: answer.patients, next: answer.next, total: answer.total };
      },
    });
    const form = h("form", { class: "grid", role: "search", "aria-label": "Find a patient" }, id);
    const search = debounced(() => void rows.start());
    form.addEventListener("input", search);
    form.addEventListener("submit", (event) => event.preventDefault());
    fill(
      this,
      heading("Show", "Plans with everything they reference and everything that references them."),
      card("Choose a patient", [form, rows]),
    );
    void rows.start();
  }

  /** @param {string} patientId @param {string} uid */
  async #patient(patientId, uid) {
    const trunk = h(
      "div",
      { class: "inside", "aria-busy": "true" },
      h("p", { class: "soft", role: "status" }, "Reading the tree…"),
    );
    const aside = h(
      "div",
      { class: "aside stack" },
      card(
        "Details",
        empty(
          "Nothing chosen",
          "Choose an instance of the tree to see its picture, its references and its attributes.",
        ),
        { flush: true },
      ),
    );
    fill(
      this,
      heading(
        `Patient ${patientId || "(no ID)"}`,
        "Plans first, then what no plan is connected with. What is referenced and not here is marked.",
        h("button", { type: "button", on: { click: () => go("/show") } }, icon("left"), "Other patient"),
        h(
          "button",
          { type: "button", on: { click: () => go("/search", { patient_id: patientId }) } },
          icon("find"),
          "Search in it",
        ),
      ),
      h(
        "div",
        { class: "two" },
        h("section", { class: "card", "aria-label": "Reference tree" }, trunk),
        aside,
      ),
    );
    try {
      const tree = await this.#tree(patientId);
      this.#filled(tree, trunk, aside, uid);
    } catch (error) {
      if (!this.leaving.aborted) showError(trunk, error, () => void this.#patient(patientId, uid));
    }
    trunk.removeAttribute("aria-busy");
  }

  /** @param {string} patientId */
  #tree(patientId) {
    // an empty ID is one, too: it has to stay in the address
    return get(
      `/v1/trees?${new URLSearchParams({ patient_id: patientId, format: "json" })}`,
      undefined,
      this.leaving,
    );
  }

  /** @param {any} tree @param {HTMLElement} trunk @param {HTMLElement} aside @param {string} uid */
  #filled(tree, trunk, aside, uid) {
    const nodes = nodesOf(tree);
    const lost = dangling(nodes);
    const choose = (/** @type {import("./model.js").TreeNode} */ node) =>
      node.seriesUid ? showSeries(aside, tree, node, choose) : void showInstance(aside, node.uid);
    fill(
      trunk,
      h(
        "p",
        { class: "soft" },
        [
          personName(tree.patient_name),
          counted(tree.plans.length, "plan"),
          counted(tree.number_of_instances, "instance"),
        ]
          .filter(Boolean)
          .join(" · "),
      ),
      lost.length === 0 ? null : lostList(lost),
      treeOf(nodes, choose, uid),
    );
    if (uid) void showInstance(aside, uid);
  }
}

/** @param {ReturnType<typeof dangling>} lost */
function lostList(lost) {
  const shown = lost.slice(0, 50);
  return message(
    "warn",
    h(
      "details",
      { open: lost.length <= 5 },
      h("summary", null, h("b", null, `${counted(lost.length, "reference")} to what is not here`)),
      h(
        "ul",
        { class: "plain small" },
        shown.map(({ node, way }) =>
          h("li", null, [...way, node.words].join(" › "), " ", h("span", { class: "uid soft" }, node.uid)),
        ),
        lost.length > shown.length
          ? h("li", null, `and ${lost.length - shown.length} more, marked in the tree`)
          : null,
      ),
    ),
  );
}

customElements.define("show-view", ShowView);
