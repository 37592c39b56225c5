/** Export: what, anonymised or not, where to; as a command line, as a batch file, or run here and now. */

import { get } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { may } from "../../core/session.js";
import { startRun } from "../../core/run.js";
import { personal } from "../../core/storage.js";
import { store } from "../../core/store.js";
import { commandCard, connectionOptions } from "../../parts/command.js";
import { textField } from "../../parts/field.js";
import { icon } from "../../parts/icon.js";
import { message, showError } from "../../parts/notice.js";
import { View, heading } from "../../parts/view.js";
import { DEFAULT_OPTIONS, anonymiseCard } from "./anonymise.js";
import { destinationCard } from "./destination.js";
import { exportOrders } from "./order.js";
import { runsPlace } from "./runs.js";
import { whatCard } from "./what.js";

class ExportView extends View {
  show() {
    const changed = () => {
      destination.agree(anonymise.on());
      command.changed();
    };
    const what = whatCard(changed, this.leaving);
    const anonymise = anonymiseCard(changed, () => what.patients().length);
    const destination = destinationCard(changed);
    const folder = textField({
      label: "Folder",
      value: personal().exportPath,
      hint: "Several patients, and several plans of one, have folders of their own in it.",
      onInput: changed,
    });
    const map = textField({
      label: "Map file",
      hint: "CSV of who became whom, outside of the folder; it identifies the patients.",
      onInput: changed,
    });
    const command = commandCard(
      () => {
        const peer = what.peer();
        const patients = what.patients();
        if (!peer || patients.length === 0 || folder.value.trim() === "" || !anonymise.complete())
          return null;
        const { objectives } = store.get();
        const named = new Set(patients.map((one) => one.patient_id));
        return {
          operation: "retrieve",
          patients,
          options: {
            path: folder.value.trim(),
            ...connectionOptions(peer),
            ...what.options(),
            ...anonymise.options(),
            ...(anonymise.on() && map.value.trim() ? { mapFile: map.value.trim() } : {}),
            ...(personal().showTree ? { showTree: true } : {}),
            ...(personal().listenPort ? { listenPort: Number(personal().listenPort) } : {}),
            force: true,
          },
          ...(objectives && objectives.files.some((one) => named.has(one.patient_id))
            ? {
                objectives: {
                  folder: objectives.folder,
                  files: objectives.files
                    .filter((one) => named.has(one.patient_id))
                    .map(({ patient_id, file_name }) => ({ patient_id, file_name })),
                },
              }
            : {}),
        };
      },
      "Choose a peer and patients and give a folder; anonymised, the new ID and name as well.",
      h("div", { class: "grid wide" }, folder, map),
    );
    const problem = h("div");
    const run = h(
      "button",
      { type: "button", class: "primary", disabled: !may("retriever") },
      icon("take"),
      "Run on this server",
    );
    run.addEventListener("click", () => {
      fill(problem);
      const wrong = [what.wrong(), anonymise.wrong(), destination.wrong(anonymise.on())].find(
        (one) => one !== "",
      );
      if (wrong) return fill(problem, message("bad", h("p", null, wrong)));
      startRun({
        title: what.title(),
        peer: what.peer()?.name ?? "",
        method: what.method(),
        onlyApproved: what.onlyApproved(),
        orders: what.orders(),
        exporting:
          destination.kind() === "server" ? null : exportOrders(anonymise.given(), destination.given()),
        downloads: destination.kind() === "zip",
      });
      return runs.scrollIntoView({ block: "nearest" });
    });
    const runs = runsPlace(this.leaving);
    fill(
      this,
      heading("Export", "A plan and exactly what it references: from a PACS to where it is needed."),
      what.element,
      anonymise.element,
      destination.element,
      h(
        "div",
        { class: "stack tight" },
        problem,
        h(
          "div",
          { class: "row" },
          run,
          h("span", { class: "small soft" }, "It goes on when you close this page; see Jobs."),
        ),
      ),
      runs,
      command.element,
    );
    anonymise.agree();
    destination.agree(false);
    void Promise.all([get("/v1/peers", undefined, this.leaving), defaults(this.leaving)]).then(
      ([{ peers }, settings]) => {
        what.offer(peers, settings);
        destination.offer(peers);
        anonymise.offer(settings);
        command.changed();
      },
      (error) => this.leaving.aborted || showError(problem, error),
    );
  }
}

/** The server's defaults are a help: a form without them is a form. @param {AbortSignal} leaving */
function defaults(leaving) {
  return get("/v1/settings", undefined, leaving).catch(() => ({
    default_peer: null,
    export_profile: "",
    export_options: DEFAULT_OPTIONS,
  }));
}

customElements.define("export-view", ExportView);
