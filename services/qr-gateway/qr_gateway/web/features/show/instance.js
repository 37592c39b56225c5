/** What is known of one instance, or one series: picture, facts, references, attributes. */

import { download, get } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { bytes, counted, moment, number, words } from "../../core/format.js";
import { inWords, showError, tag } from "../../parts/notice.js";
import { pageOf, table } from "../../parts/table.js";
import { card } from "../../parts/view.js";
import { attributesOf } from "./attributes.js";

/** @typedef {import("./model.js").TreeNode} TreeNode */

const PICTURED = new Set(["image", "rt_image", "dose", "segmentation", "other"]);

/**
 * @param {HTMLElement} aside
 * @param {string} uid SOP Instance UID
 */
export async function showInstance(aside, uid) {
  const inside = h(
    "div",
    { class: "stack", "aria-busy": "true" },
    h("p", { class: "soft", role: "status" }, "Reading…"),
  );
  fill(aside, card("Details", inside));
  aside.scrollIntoView({ block: "nearest" });
  try {
    const found = await get(`/v1/instances/${uid}`);
    const newest = found.versions.at(-1);
    fill(
      inside,
      PICTURED.has(newest?.header?.kind) ? picture(uid) : null,
      facts(uid, found, newest),
      references(newest?.header?.references ?? [], found.referenced_by),
      lazily("Attributes", () => attributesOf(uid)),
    );
  } catch (error) {
    showError(inside, error, () => void showInstance(aside, uid));
  }
  inside.removeAttribute("aria-busy");
}

/**
 * @param {HTMLElement} aside
 * @param {any} tree
 * @param {TreeNode} node
 * @param {(node: TreeNode) => void} choose
 */
export function showSeries(aside, tree, node, choose) {
  const series = tree.series.find((/** @type {any} */ one) => one.series_instance_uid === node.seriesUid);
  const instances = series?.instances ?? [];
  const middle = instances[Math.floor(instances.length / 2)];
  const rows = table({
    caption: "Instances of the series",
    columns: [
      { title: "#", number: true, cell: (row) => number(row.at) },
      {
        title: "Instance",
        class: "break",
        cell: (row) => [
          row.label ? `${row.label} ` : "",
          h("span", { class: "uid" }, row.sop_instance_uid),
          row.conflict ? tag("warn", "several versions") : null,
        ],
      },
      {
        title: "",
        cell: (row) =>
          h(
            "button",
            {
              type: "button",
              class: "quiet",
              on: { click: () => choose({ ...node, seriesUid: "", uid: row.sop_instance_uid }) },
            },
            "Details",
            h("span", { class: "unseen" }, ` of instance ${row.at}`),
          ),
      },
    ],
    load: async (wanted) =>
      pageOf(
        instances.map((/** @type {any} */ one, /** @type {number} */ at) => ({ ...one, at: at + 1 })),
        { ...wanted, limit: 25 },
      ),
  });
  fill(
    aside,
    card(node.words, [
      middle ? picture(middle.sop_instance_uid) : null,
      h("p", { class: "soft small" }, node.more),
      pair([
        ["Series", h("span", { class: "uid" }, node.seriesUid)],
        ["Study", h("span", { class: "uid" }, node.studyUid)],
      ]),
      rows,
    ]),
  );
  aside.scrollIntoView({ block: "nearest" });
  void rows.start();
}

/** @param {string} uid */
function picture(uid) {
  const place = h("div", { class: "picture" }, h("p", null, "Drawing…"));
  void download("GET", `/v1/instances/${uid}/thumbnail`, {
    query: { size: 480 },
    headers: { Accept: "image/png" },
  }).then(
    ({ blob }) => {
      const url = URL.createObjectURL(blob);
      const image = h("img", { src: url, alt: "Small picture of the instance; not for diagnosis" });
      image.addEventListener("load", () => URL.revokeObjectURL(url));
      fill(place, image);
    },
    (error) => fill(place, h("p", null, `No picture: ${inWords(error)}`)),
  );
  return place;
}

/** @param {string} uid @param {any} found @param {any} newest */
function facts(uid, found, newest) {
  const header = newest?.header;
  return h(
    "div",
    { class: "stack tight" },
    found.conflict ? tag("warn", `${found.versions.length} versions: different bytes under one UID`) : null,
    newest?.problem ? tag("bad", newest.problem) : null,
    pair([
      ["Kind", header ? words(header.kind) : "unreadable"],
      ["Modality", header?.modality],
      ["Series", header?.series_description],
      ["Study", header?.study_description],
      ["Label", header?.details?.label],
      ["SOP Instance UID", h("span", { class: "uid" }, uid)],
      ["SOP class", h("span", { class: "uid" }, newest?.sop_class_uid)],
      ["Frame of reference", h("span", { class: "uid" }, header?.frame_of_reference_uid ?? "")],
      ["Size", bytes(newest?.size_bytes ?? 0)],
      ["Stored", moment(newest?.stored_at)],
      ["SHA-256", h("span", { class: "uid" }, newest?.sha256)],
    ]),
  );
}

/** @param {any[]} outward @param {any[]} inward */
function references(outward, inward) {
  return [
    lazily(`References ${counted(outward.length, "instance or series", "instances or series")}`, () =>
      list(outward.map((one) => [words(one.relation), one.uid, one.note])),
    ),
    lazily(`Referenced by ${counted(inward.length, "instance")}`, () =>
      list(inward.map((one) => [words(one.relation), one.sop_instance_uid, ""])),
    ),
  ];
}

/** @param {string[][]} rows */
function list(rows) {
  const shown = rows.slice(0, 300);
  return h(
    "ul",
    { class: "plain small" },
    shown.map(([what, uid, note]) =>
      h("li", null, what, " ", h("span", { class: "uid" }, uid), note ? ` ${note}` : ""),
    ),
    rows.length > shown.length ? h("li", null, `and ${number(rows.length - shown.length)} more`) : null,
  );
}

/** @param {string} title @param {() => import("../../core/dom.js").Child} content */
function lazily(title, content) {
  const place = h("div");
  const details = h("details", { class: "more" }, h("summary", null, title), place);
  details.addEventListener("toggle", () => {
    if (details.open && place.childElementCount === 0) fill(place, content());
  });
  return details;
}

/** @param {readonly (readonly [string, import("../../core/dom.js").Child])[]} rows */
function pair(rows) {
  const there = rows.filter(([, value]) => (value instanceof Node ? value.textContent : value));
  return h(
    "dl",
    { class: "facts" },
    there.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
  );
}
