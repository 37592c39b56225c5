/** The list builder: find patients and plans, in the index or at a PACS, and keep a selection of them. */

import { fill, h } from "../../core/dom.js";
import { forgetQuery, place } from "../../core/router.js";
import { may } from "../../core/session.js";
import { View, heading, tabs } from "../../parts/view.js";
import { readHandOff, textOfAddress } from "./hand-off.js";
import { patientsPanel } from "./find-patients.js";
import { plansPanel } from "./find-plans.js";
import { peerPanel } from "./find-at-peer.js";
import { selection } from "./selection.js";

class PatientsView extends View {
  show() {
    const panels = [
      { name: "patients", title: "Patients", panel: patientsPanel },
      { name: "plans", title: "Advanced plan search", panel: plansPanel },
    ];
    if (may("retriever")) panels.push({ name: "peer", title: "From a PACS", panel: peerPanel });
    fill(
      this,
      heading(
        "Patients",
        "Find patients and plans, collect them over as many searches as it takes, then export them together.",
      ),
      selection(this.leaving),
      h("section", { class: "card", "aria-label": "Find" }, tabs("Where to look", panels)),
    );
    const { query } = place();
    const handed = query.get("handoff");
    if (handed !== null) {
      forgetQuery("/patients");
      void readHandOff(textOfAddress(handed));
    }
  }
}

customElements.define("patients-view", PatientsView);
