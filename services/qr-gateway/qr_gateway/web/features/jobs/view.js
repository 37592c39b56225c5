/** Jobs and their history: retrievals, exports, sends; how one goes, what is missing, and trying again. */

import { get } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { bytes, duration, moment, number } from "../../core/format.js";
import { link, place } from "../../core/router.js";
import { icon } from "../../parts/icon.js";
import { stateTag } from "../../parts/job.js";
import { table } from "../../parts/table.js";
import { View, heading, tabs } from "../../parts/view.js";
import { jobPage } from "./detail.js";
import { KINDS } from "./kinds.js";

/** @typedef {import("./kinds.js").Kind} Kind */

class JobsView extends View {
  show() {
    const { query } = place();
    const kind = KINDS.find((one) => one.name === query.get("kind"));
    const id = query.get("id");
    if (kind && id) return jobPage(this, kind, id, this.leaving);
    fill(
      this,
      heading(
        "Jobs",
        "What this server has been asked to do, newest first. Jobs go on when you close this page.",
      ),
      h(
        "section",
        { class: "card", "aria-label": "Jobs" },
        tabs(
          "Kind of job",
          KINDS.map((one) => ({ name: one.name, title: one.title, panel: () => list(one, this.leaving) })),
          kind?.name,
        ),
      ),
    );
  }
}

const REFRESHED_MS = 4000;

/** @param {Kind} kind @param {AbortSignal} leaving */
function list(kind, leaving) {
  /** @type {any[]} */
  let shown = [];
  const rows = table({
    caption: kind.title,
    columns: [
      { title: "State", cell: (row) => stateTag(row.state) },
      {
        title: kind.about,
        class: "break",
        cell: (row) => h("a", { href: link("/jobs", { kind: kind.name, id: row.id }) }, kind.subject(row)),
      },
      { title: "Peer", class: "break", cell: (row) => row.peer ?? "" },
      {
        title: "Instances",
        number: true,
        cell: (row) => `${number(row.progress.landed)} / ${number(row.progress.expected)}`,
      },
      { title: "Moved", number: true, cell: (row) => bytes(row.progress.bytes_moved) },
      { title: "Begun", class: "nowrap", cell: (row) => moment(row.created_at) },
      { title: "Took", class: "nowrap", cell: (row) => duration(row.started_at, row.ended_at) },
    ],
    empty: { title: "No job yet", text: kind.none },
    load: async (wanted, signal) => {
      const answer = await get(kind.path, { limit: wanted.limit, cursor: wanted.cursor }, signal);
      shown = answer[kind.name];
      return { rows: shown, next: answer.next };
    },
  });
  void rows.start();
  const timer = setInterval(() => {
    const busy = shown.some((row) => row.state === "queued" || row.state === "running");
    if (busy && rows.isConnected && !document.hidden && !rows.contains(document.activeElement))
      void rows.reload();
  }, REFRESHED_MS);
  leaving.addEventListener("abort", () => clearInterval(timer), { once: true });
  const again = h(
    "button",
    { type: "button", on: { click: () => void rows.reload() } },
    icon("again"),
    "Refresh",
  );
  return h("div", { class: "stack" }, h("div", { class: "row end" }, again), rows);
}

customElements.define("jobs-view", JobsView);
