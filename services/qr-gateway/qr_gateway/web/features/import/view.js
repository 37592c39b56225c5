/** Import: send studies of the store to a peer, nothing before what it references. */

import { get, post } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { counted, date, number } from "../../core/format.js";
import { go, place } from "../../core/router.js";
import { personal } from "../../core/storage.js";
import { commandCard, connectionOptions } from "../../parts/command.js";
import { areaField, checkBox, optionsOf, selectField, textField } from "../../parts/field.js";
import { icon } from "../../parts/icon.js";
import { inWords, message, showError, toast } from "../../parts/notice.js";
import { table } from "../../parts/table.js";
import { View, card, heading, tabs } from "../../parts/view.js";

class ImportView extends View {
  /** @type {any[]} */
  #peers = [];
  #peer = selectField({ label: "Send to", choices: [], required: true });
  #mapping = areaField({
    label: "Machine mapping",
    rows: 2,
    hint: "One A=B a line: in the copy that is sent, treatment machine A is B.",
  });
  #defaults = areaField({
    label: "Default machines",
    rows: 2,
    hint: "One model=machine a line, for plans that name none; *=machine for any other model.",
  });
  #anyMaker = checkBox({
    label: "Also what ARIA refuses",
    hint: "Plans for treatment units of other manufacturers than Varian, and doses without a plan.",
  });

  show() {
    const said = h("div");
    fill(
      this,
      heading(
        "Import",
        "Send to a treatment planning system or another DICOM node: images first, then structure sets, plans, and what references them.",
      ),
      said,
      card("Where to", [
        h("div", { class: "grid wide" }, this.#peer, this.#mapping, this.#defaults, this.#anyMaker.element),
      ]),
      h(
        "section",
        { class: "card", "aria-label": "What to send" },
        tabs("What to send", [
          { name: "store", title: "Studies of this server", panel: () => this.#studies() },
          { name: "folder", title: "A folder, by command line", panel: () => this.#folder() },
        ]),
      ),
    );
    void get("/v1/peers", undefined, this.leaving).then(
      ({ peers }) => {
        this.#peers = peers;
        fill(
          this.#peer.control,
          optionsOf(peers.map((/** @type {any} */ one) => [one.name, `${one.name} (${one.ae_title})`])),
        );
        if (peers.some((/** @type {any} */ one) => one.name === personal().peer))
          this.#peer.value = personal().peer;
        this.#peer.control.dispatchEvent(new Event("input", { bubbles: true }));
      },
      (error) => showError(said, error),
    );
  }

  #studies() {
    const patient = textField({
      label: "Patient ID",
      hint: "Exactly; empty: all.",
      value: place().query.get("patient_id") ?? "",
    });
    const count = h("span", { class: "small soft", role: "status" }, "Nothing is ticked");
    const send = h("button", { type: "button", class: "primary", disabled: true }, icon("give"), "Send");
    const problem = h("div");
    const rows = table({
      caption: "Studies of this server",
      columns: [
        { title: "Patient", class: "break", cell: (row) => h("b", null, row.patient_id || "(no ID)") },
        { title: "Date", class: "nowrap", cell: (row) => date(row.study_date) },
        { title: "Description", class: "break", cell: (row) => row.study_description },
        { title: "Series", number: true, cell: (row) => number(row.number_of_series) },
        { title: "Instances", number: true, cell: (row) => number(row.number_of_instances) },
      ],
      empty: { title: "No study", text: "Nothing has been retrieved for such a patient yet." },
      select: {
        key: (row) => row.study_instance_uid,
        label: (row) => `study of ${date(row.study_date)}, ${row.patient_id}`,
        onChange: (chosen) => show(chosen.length),
      },
      load: async (wanted, signal) => {
        const answer = await get(
          "/v1/studies",
          { limit: wanted.limit, cursor: wanted.cursor, patient_id: patient.value },
          signal,
        );
        return { rows: answer.studies, next: answer.next };
      },
    });
    const show = (/** @type {number} */ ticked) => {
      count.textContent =
        ticked === 0 ? "Nothing is ticked" : `${counted(ticked, "study", "studies")} ticked`;
      send.disabled = ticked === 0;
    };
    const form = h("form", { class: "grid", role: "search", "aria-label": "Find studies" }, patient);
    form.addEventListener("change", () => void rows.start().then(() => show(0)));
    form.addEventListener("submit", (event) => event.preventDefault());
    send.addEventListener("click", async () => {
      if (!this.#peer.check()) return this.#peer.control.focus();
      send.disabled = true;
      try {
        await post("/v1/sends", this.#order(rows.chosen.map((row) => row.study_instance_uid)), {
          headers: { "Idempotency-Key": crypto.randomUUID() },
        });
        toast("Sending has begun.");
        go("/jobs", { kind: "sends" });
      } catch (error) {
        fill(problem, message("bad", h("p", null, inWords(error))));
        send.disabled = false;
      }
    });
    void rows.start();
    return h("div", { class: "stack" }, form, h("div", { class: "row" }, count, send), problem, rows);
  }

  #folder() {
    const folder = textField({
      label: "Folder",
      required: true,
      value: personal().exportPath,
      onInput: () => command.changed(),
    });
    const pattern = textField({ label: "Search pattern", value: "*.*", onInput: () => command.changed() });
    const status = textField({
      label: "Status file",
      hint: "Files that are listed in it are not sent again.",
      onInput: () => command.changed(),
    });
    const dry = checkBox({ label: "Only list what would be sent", onChange: () => command.changed() });
    const command = commandCard(() => {
      const peer = this.#peers.find((one) => one.name === this.#peer.value);
      if (!peer || folder.value.trim() === "") return null;
      return {
        operation: "store",
        options: {
          path: folder.value.trim(),
          ...connectionOptions(peer),
          ...(pattern.value.trim() && pattern.value.trim() !== "*.*"
            ? { searchPattern: pattern.value.trim() }
            : {}),
          ...(status.value.trim() ? { statusFileName: status.value.trim() } : {}),
          ...(pairs(this.#mapping.value).length > 0 ? { machineMapping: pairs(this.#mapping.value) } : {}),
          ...(pairs(this.#defaults.value).length > 0 ? { defaultMachines: pairs(this.#defaults.value) } : {}),
          ...(this.#anyMaker.control.checked ? { allowAnyManufacturer: true } : {}),
          ...(dry.control.checked ? { dryRun: true } : {}),
        },
      };
    }, "Choose a peer and a folder.");
    for (const field of [this.#peer, this.#mapping, this.#defaults])
      field.addEventListener("input", () => command.changed());
    return h(
      "div",
      { class: "stack" },
      h("div", { class: "grid" }, folder, pattern, status, dry.element),
      command.element,
    );
  }

  /** @param {string[]} studies */
  #order(studies) {
    return {
      peer: this.#peer.value,
      study_instance_uids: studies,
      machine_mapping: mapping(this.#mapping.value),
      default_machines: mapping(this.#defaults.value),
      allow_any_manufacturer: this.#anyMaker.control.checked,
    };
  }
}

/** @param {string} text */
function pairs(text) {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}

/** @param {string} text @returns {Record<string, string>} */
function mapping(text) {
  return Object.fromEntries(
    pairs(text).map((pair) => {
      const at = pair.indexOf("=");
      return at < 0 ? [pair, ""] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
    }),
  );
}

customElements.define("import-view", ImportView);
