/** Diagnostics: what can be seen of a peer, and what to do about it; live, and as a batch file. */

import { get, post } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { words } from "../../core/format.js";
import { may } from "../../core/session.js";
import { personal } from "../../core/storage.js";
import { commandCard, connectionOptions } from "../../parts/command.js";
import { optionsOf, selectField, textField } from "../../parts/field.js";
import { icon } from "../../parts/icon.js";
import { showError, tag } from "../../parts/notice.js";
import { View, card, heading } from "../../parts/view.js";

const CHECKS = /** @type {const} */ ([
  ["complete", "Complete"],
  ["network", "Network"],
  ["dicom", "DICOM connection"],
  ["listening", "Listening port"],
]);
/** @type {Record<string, { icon: string, kind: "good" | "warn" | "bad" | "" }>} */
const OUTCOMES = {
  ok: { icon: "check", kind: "good" },
  warning: { icon: "warn", kind: "warn" },
  failed: { icon: "cross", kind: "bad" },
  skipped: { icon: "info", kind: "" },
};

class DiagnosticsView extends View {
  show() {
    /** @type {any[]} */
    let peers = [];
    const peer = selectField({
      label: "Peer",
      choices: [],
      required: true,
      onInput: () => command.changed(),
    });
    const checks = selectField({ label: "What to check", choices: CHECKS });
    const patient = textField({
      label: "Patient ID",
      hint: "One small object of this patient is retrieved, to see that it arrives.",
      maxLength: 64,
      onInput: () => command.changed(),
    });
    const port = textField({
      label: "Listening port",
      type: "number",
      min: 1,
      max: 65535,
      value: personal().listenPort,
      onInput: () => command.changed(),
    });
    const place = h("div", { "aria-live": "polite" });
    const run = h("button", { class: "primary", disabled: !may("retriever") }, icon("pulse"), "Run");
    const command = commandCard(
      () => {
        const chosen = peers.find((one) => one.name === peer.value);
        if (!chosen) return null;
        return {
          operation: "doctor",
          options: {
            ...connectionOptions(chosen),
            ...(port.value ? { listenPort: Number(port.value) } : {}),
          },
          ...(patient.value.trim() ? { patients: [{ patient_id: patient.value.trim(), plans: [] }] } : {}),
        };
      },
      "Choose a peer.",
      [
        h(
          "p",
          { class: "soft" },
          "The same checks where the command line runs; the batch file goes to the computer that has the trouble.",
        ),
        h("div", { class: "grid" }, port),
      ],
    );
    const form = h(
      "form",
      { class: "stack", novalidate: true },
      h("div", { class: "grid" }, peer, checks, patient),
      h("div", null, run),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!peer.check()) return peer.control.focus();
      run.disabled = true;
      fill(place, h("p", { class: "soft" }, "Looking…"));
      try {
        const body = {
          checks: [checks.value],
          ...(patient.value.trim() ? { patient_id: patient.value.trim() } : {}),
        };
        fill(
          place,
          findings(
            await post(`/v1/peers/${encodeURIComponent(peer.value)}/diagnose`, body, {
              signal: this.leaving,
            }),
          ),
        );
      } catch (error) {
        if (!this.leaving.aborted) showError(place, error);
      }
      run.disabled = false;
    });
    fill(
      this,
      heading(
        "Diagnostics",
        "Whether a DICOM system can be reached, answers, and can deliver to this server.",
      ),
      card("From this server", [form, place]),
      command.element,
    );
    void get("/v1/peers", undefined, this.leaving).then(
      (answer) => {
        peers = answer.peers;
        fill(peer.control, optionsOf(peers.map((one) => [one.name, `${one.name} (${one.ae_title})`])));
        if (peers.some((one) => one.name === personal().peer)) peer.value = personal().peer;
        command.changed();
      },
      (error) => showError(place, error),
    );
  }
}

/** @param {any} answer of `POST /v1/peers/{name}/diagnose` */
function findings(answer) {
  return h(
    "div",
    { class: "stack" },
    h("p", null, answer.failed === 0 ? tag("good", "Nothing failed") : tag("bad", `${answer.failed} failed`)),
    h(
      "ul",
      { class: "steps" },
      answer.findings.map((/** @type {any} */ one) => {
        const outcome = OUTCOMES[one.outcome] ?? { icon: "info", kind: "" };
        return h(
          "li",
          null,
          h("span", { class: outcome.kind }, icon(outcome.icon)),
          h(
            "div",
            { class: "break" },
            h("b", null, words(one.check)),
            " ",
            tag(outcome.kind, one.outcome),
            one.observed ? h("p", null, one.observed) : null,
            one.advice.length > 0
              ? h(
                  "ul",
                  { class: "small" },
                  one.advice.map((/** @type {string} */ text) => h("li", null, text)),
                )
              : null,
          ),
        );
      }),
    ),
  );
}

customElements.define("diagnostics-view", DiagnosticsView);
