/** The peers of this server: those of its configuration, and those that admins keep. */

import { get, post, request } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { confirmed, dialog } from "../../parts/dialog.js";
import { selectField, textField } from "../../parts/field.js";
import { icon } from "../../parts/icon.js";
import { inWords, message, tag, toast } from "../../parts/notice.js";
import { pageOf, table } from "../../parts/table.js";
import { card } from "../../parts/view.js";

const TLS = /** @type {const} */ ([
  ["none", "No TLS"],
  ["verified", "TLS, certificate verified"],
  ["insecure", "TLS, any certificate"],
]);

/** @param {boolean} mayChange */
export function peersCard(mayChange) {
  const rows = table({
    caption: "Peers",
    columns: [
      { title: "Name", class: "break", cell: (row) => h("b", null, row.name) },
      { title: "AE title", class: "nowrap", cell: (row) => row.ae_title },
      { title: "Address", class: "break", cell: (row) => `${row.host}:${row.port}` },
      { title: "We call ourselves", class: "nowrap", cell: (row) => row.calling_ae_title },
      { title: "C-MOVE goes to", class: "nowrap", cell: (row) => row.move_destination ?? "" },
      {
        title: "TLS",
        cell: (row) =>
          row.tls ? (row.verified ? tag("good", "verified") : tag("warn", "any certificate")) : "no",
      },
      { title: "Kept", cell: (row) => (row.origin === "file" ? "in the configuration" : "on the server") },
      {
        title: "",
        class: "nowrap",
        cell: (row) => [
          h(
            "button",
            { type: "button", class: "quiet", on: { click: () => void echo(row.name) } },
            "Echo",
            unseen(row),
          ),
          mayChange && row.editable
            ? [
                h(
                  "button",
                  { type: "button", class: "quiet", on: { click: () => void edit(row) } },
                  "Change",
                  unseen(row),
                ),
                h(
                  "button",
                  { type: "button", class: "quiet", on: { click: () => void remove(row.name) } },
                  "Delete",
                  unseen(row),
                ),
              ]
            : null,
        ],
      },
    ],
    empty: { title: "No peer", text: "Add the DICOM systems that this server may ask." },
    load: async (wanted, signal) => pageOf((await get("/v1/peers", undefined, signal)).peers, wanted),
  });
  /** @param {any} [row] */
  async function edit(row) {
    if (await peerDialog(row)) void rows.reload();
  }
  /** @param {string} name */
  async function remove(name) {
    if (
      !(await confirmed(
        "Delete a peer",
        `The peer ${name} is forgotten. Jobs that run against it fail.`,
        "Delete",
      ))
    )
      return;
    try {
      await request("DELETE", `/v1/peers/${encodeURIComponent(name)}`);
      toast("The peer is deleted.");
    } catch (error) {
      toast(inWords(error), "bad");
    }
    void rows.reload();
  }
  void rows.start();
  return card("Peers", rows, {
    flush: true,
    actions: mayChange
      ? h("button", { type: "button", on: { click: () => void edit() } }, icon("plus"), "Add a peer")
      : null,
  });
}

/** @param {string} name */
async function echo(name) {
  try {
    const answer = await post(`/v1/peers/${encodeURIComponent(name)}/echo`, undefined);
    toast(`${name} answered C-ECHO in ${Math.round(answer.duration_s * 1000)} ms.`);
  } catch (error) {
    toast(`${name}: ${inWords(error)}`, "bad");
  }
}

/** @param {any} [row] @returns {Promise<boolean>} whether something was written */
async function peerDialog(row) {
  const name = textField({
    label: "Name",
    required: true,
    value: row?.name ?? "",
    disabled: row !== undefined,
    maxLength: 64,
    pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*",
    hint: "Letters, digits, _ . -",
  });
  const title = textField({ label: "AE title", required: true, value: row?.ae_title ?? "", maxLength: 16 });
  const host = textField({ label: "Host", required: true, value: row?.host ?? "" });
  const port = textField({
    label: "Port",
    type: "number",
    min: 1,
    max: 65535,
    required: true,
    value: String(row?.port ?? 104),
  });
  const calling = textField({
    label: "We call ourselves",
    value: row?.calling_ae_title ?? "",
    maxLength: 16,
    hint: "Calling AE title; empty: the server's own.",
  });
  const destination = textField({
    label: "C-MOVE goes to",
    value: row?.move_destination ?? "",
    maxLength: 16,
    hint: "Our AE title as this peer knows it; empty: the server's own.",
  });
  const tls = selectField({
    label: "TLS",
    choices: TLS,
    value: row?.tls ? (row.verified ? "verified" : "insecure") : "none",
  });
  const problem = h("div");
  const fields = [name, title, host, port];
  const answer = await dialog({
    title: row ? `Peer ${row.name}` : "Add a peer",
    body: [h("div", { class: "grid" }, name, title, host, port, calling, destination, tls), problem],
    actions: [{ value: "save", label: "Save", class: "primary" }],
    check: async () => {
      const wrong = fields.filter((field) => !field.check());
      if (wrong[0]) {
        wrong[0].control.focus();
        return false;
      }
      try {
        await request("PUT", `/v1/peers/${encodeURIComponent(name.value.trim())}`, {
          body: {
            ae_title: title.value.trim(),
            host: host.value.trim(),
            port: Number(port.value),
            tls: tls.value,
            ...(calling.value.trim() ? { calling_ae_title: calling.value.trim() } : {}),
            ...(destination.value.trim() ? { move_destination: destination.value.trim() } : {}),
            ...(row ? { limits: row.limits } : {}),
          },
        });
        toast("The peer is saved.");
        return true;
      } catch (error) {
        fill(problem, message("bad", h("p", null, inWords(error))));
        return false;
      }
    },
  });
  return answer === "save";
}

/** @param {any} row */
function unseen(row) {
  return h("span", { class: "unseen" }, ` ${row.name}`);
}
