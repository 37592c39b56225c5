/** Where it goes; what is forbidden with anonymisation, or needs another role, cannot be chosen. */

import { fill, h } from "../../core/dom.js";
import { may } from "../../core/session.js";
import { choiceGroup, optionsOf, selectField } from "../../parts/field.js";
import { card } from "../../parts/view.js";

/** @typedef {"server" | "zip" | "bucket" | "peer"} DestinationKind */
/** @typedef {{ kind: DestinationKind, peer: string }} Destination */

const CHOICES = [
  { value: "server", label: "This server", hint: "Retrieved and kept here, as it is." },
  { value: "zip", label: "ZIP file", hint: "To download, with a manifest." },
  { value: "bucket", label: "Export bucket", hint: "For pipelines that watch it." },
  { value: "peer", label: "DICOM peer", hint: "Sent on by C-STORE." },
];

/** @param {() => void} changed */
export function destinationCard(changed) {
  /** @type {DestinationKind} */
  let kind = "server";
  const peer = selectField({ label: "To", choices: [], required: true, onInput: changed });
  const place = h("div", { hidden: true }, peer);
  const group = choiceGroup({
    legend: "Where it goes",
    quiet: true,
    value: kind,
    choices: CHOICES,
    onChange: (value) => {
      kind = /** @type {DestinationKind} */ (value);
      place.hidden = kind !== "peer";
      changed();
    },
  });
  const radios = [...group.querySelectorAll("input")];
  return {
    element: card("Destination", [group, place]),
    kind: () => kind,
    /** @returns {Destination} */
    given: () => ({ kind, peer: peer.value }),
    /** @param {any[]} peers */
    offer(peers) {
      fill(peer.control, optionsOf(peers.map((one) => [one.name, `${one.name} (${one.ae_title})`])));
    },
    /** Originals stay on this server: what is anonymised goes elsewhere. @param {boolean} anonymised */
    agree(anonymised) {
      for (const radio of radios) {
        radio.disabled = radio.value === "server" ? anonymised : !may("exporter");
      }
      if (!anonymised || kind !== "server" || !may("exporter")) return;
      kind = "zip";
      for (const radio of radios) radio.checked = radio.value === kind;
    },
    /** @param {boolean} anonymised */
    wrong(anonymised) {
      if (anonymised && kind === "server")
        return "What is anonymised goes to a ZIP file, the export bucket or a peer.";
      return kind === "peer" && !peer.check() ? "Choose the peer that it goes to." : "";
    },
  };
}
