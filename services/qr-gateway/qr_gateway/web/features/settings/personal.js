/** One's own settings; they can be taken to another browser as a file. */

import { fill, h } from "../../core/dom.js";
import { DEFAULTS, checked, personal, setPersonal } from "../../core/storage.js";
import { checkBox, selectField, textField } from "../../parts/field.js";
import { openButton, saveJson } from "../../parts/files.js";
import { toast } from "../../parts/notice.js";
import { card } from "../../parts/view.js";

const ROWS = /** @type {const} */ ([
  ["10", "10"],
  ["25", "25"],
  ["50", "50"],
  ["100", "100"],
]);
const METHODS = /** @type {const} */ ([
  ["move", "C-MOVE"],
  ["get", "C-GET"],
]);

export function personalCard() {
  const place = h("div");
  const show = () => fill(place, form());
  show();
  return card("Yours, in this browser", place, {
    actions: [
      openButton("Import…", (text) => {
        let found;
        try {
          found = JSON.parse(text);
        } catch {
          return toast("This is not JSON.", "bad");
        }
        setPersonal(checked(found));
        show();
        return toast("Settings read.");
      }),
      h(
        "button",
        { type: "button", on: { click: () => saveJson(personal(), "dicomtools-settings.json") } },
        "Export",
      ),
      h("button", { type: "button", on: { click: () => (setPersonal({ ...DEFAULTS }), show()) } }, "Reset"),
    ],
  });
}

function form() {
  const now = personal();
  const keep = (/** @type {Partial<import("../../core/storage.js").Personal>} */ changes) => {
    setPersonal(changes);
    status.textContent = "Saved in this browser.";
  };
  const status = h("p", { class: "small soft", role: "status" });
  const approved = checkBox({
    label: "Only approved plans",
    checked: now.onlyApproved,
    onChange: (onlyApproved) => keep({ onlyApproved }),
  });
  const tree = checkBox({
    label: "Show the tree after a command",
    checked: now.showTree,
    onChange: (showTree) => keep({ showTree }),
  });
  return h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "grid" },
      textField({
        label: "Program",
        value: now.program,
        hint: "Name or path of dicomtools in command lines.",
        onInput: (program) => keep({ program }),
      }),
      textField({
        label: "Export path",
        value: now.exportPath,
        hint: "Folder in command lines.",
        onInput: (exportPath) => keep({ exportPath }),
      }),
      textField({
        label: "Listening port",
        type: "number",
        min: 1,
        max: 65535,
        value: now.listenPort,
        hint: "Where C-MOVE delivers to the command line.",
        onInput: (listenPort) => keep({ listenPort }),
      }),
      textField({
        label: "Calling AE title",
        value: now.callingAet,
        maxLength: 16,
        hint: "Of the command line; empty: the peer's setting.",
        onInput: (callingAet) => keep({ callingAet }),
      }),
      textField({ label: "Usual peer", value: now.peer, onInput: (peer) => keep({ peer: peer.trim() }) }),
      selectField({
        label: "Usual way to retrieve",
        choices: METHODS,
        value: now.method,
        onInput: (method) => keep({ method: method === "get" ? "get" : "move" }),
      }),
      selectField({
        label: "Rows of a table",
        choices: ROWS,
        value: String(now.rows),
        onInput: (rows) => keep({ rows: Number(rows) }),
      }),
      approved.element,
      tree.element,
    ),
    status,
  );
}
