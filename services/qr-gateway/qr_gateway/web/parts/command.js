/** The command line that does the same, as the server writes it, and the batch file of it. */

import { post } from "../core/api.js";
import { debounced } from "../core/debounce.js";
import { h } from "../core/dom.js";
import { counted } from "../core/format.js";
import { personal } from "../core/storage.js";
import { selectField } from "./field.js";
import { copy, save } from "./files.js";
import { icon } from "./icon.js";
import { inWords, toast } from "./notice.js";
import { card } from "./view.js";

/**
 * @typedef {{
 *   operation: "retrieve" | "store" | "search" | "show" | "doctor",
 *   options: Record<string, string | number | boolean | readonly string[]>,
 *   patients?: readonly { patient_id: string, plans: readonly string[] }[],
 *   objectives?: { folder: string, files: readonly { patient_id: string, file_name: string }[] }
 * }} Command
 */

const SHELLS = /** @type {const} */ ([
  ["bat", "Windows"],
  ["sh", "Linux, macOS"],
]);

/**
 * Return a card with the commands, and what to call when the form has changed.
 *
 * @param {() => Command | null} command null: nothing can be written yet
 * @param {string} waiting what is missing then
 * @param {import("../core/dom.js").Child} [fields] of the command line only
 */
export function commandCard(command, waiting, fields) {
  const shell = selectField({
    label: "For",
    choices: SHELLS,
    value: /Win/.test(navigator.userAgent) ? "bat" : "sh",
  });
  const text = h("pre", { tabindex: "0", role: "group", "aria-label": "Commands" });
  const said = h("p", { class: "small soft", role: "status" });
  const button = (/** @type {string} */ label, /** @type {() => void} */ click) =>
    h("button", { type: "button", disabled: true, on: { click } }, label);
  const copyButton = h(
    "button",
    { type: "button", disabled: true, on: { click: () => void copied() } },
    icon("copy"),
    "Copy",
  );
  const batch = button("Download batch file", () => void download());
  let last = 0;

  /** @param {Command} wanted */
  const body = (wanted) => ({ shell: shell.value, program: personal().program || "dicomtools", ...wanted });

  async function write() {
    last += 1;
    const mine = last;
    const wanted = command();
    if (wanted === null) return show(waiting, "", false);
    try {
      const { commands } = await post("/v1/command-lines", body(wanted));
      if (mine !== last) return;
      const lines = commands.map((/** @type {{ text: string }} */ one) => one.text);
      show(lines.join("\n"), counted(lines.length, "command"), true);
    } catch (error) {
      if (mine === last) show(inWords(error), "", false);
    }
  }

  /** @param {string} content @param {string} status @param {boolean} usable */
  function show(content, status, usable) {
    text.textContent = content;
    said.textContent = status;
    text.classList.toggle("soft", !usable);
    copyButton.disabled = !usable;
    batch.disabled = !usable;
  }

  async function copied() {
    toast(
      (await copy(text.textContent ?? ""))
        ? "Copied."
        : "The browser did not allow it: select the text and copy it.",
    );
  }

  async function download() {
    const wanted = command();
    if (wanted === null) return;
    try {
      const written = await post("/v1/batch-files", { ...body(wanted), timestamp: timestamp() });
      save(new Blob([written.text], { type: written.media_type }), written.file_name);
      for (const warning of written.warnings) toast(warning, "warn");
    } catch (error) {
      toast(inWords(error), "bad");
    }
  }

  const changed = debounced(() => void write(), 300);
  shell.addEventListener("change", () => void write());
  const element = card("Command line", [
    fields ?? null,
    h("div", { class: "command" }, text),
    h("div", { class: "row" }, shell, h("div", { class: "row grow" }, copyButton, batch), said),
  ]);
  void write();
  return { element, changed };
}

function timestamp(now = new Date()) {
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `${day}_${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}

/**
 * Return the options of a connection as the command line names them.
 *
 * @param {any} peer a row of `GET /v1/peers`
 */
export function connectionOptions(peer) {
  return {
    hostName: peer.host,
    hostPort: peer.port,
    callingAet: personal().callingAet || peer.calling_ae_title,
    calledAet: peer.ae_title,
    ...(peer.tls ? { useTls: true } : {}),
    ...(peer.tls && !peer.verified ? { insecure: true } : {}),
  };
}
