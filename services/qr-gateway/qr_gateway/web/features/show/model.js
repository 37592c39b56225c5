/** The reference tree of the server as one kind of node, in the order in which it is read. Pure. */

import { counted, date, number, words } from "../../core/format.js";

/**
 * @typedef {{
 *   code: string, words: string, more: string, uid: string, gone: boolean, conflict: boolean,
 *   seriesUid?: string, studyUid?: string,
 *   children: TreeNode[]
 * }} TreeNode
 */

/** @type {Record<string, string>} */
const CODES = {
  plan: "RP",
  structure_set: "RS",
  dose: "RD",
  rt_image: "RI",
  record: "RT",
  registration: "REG",
  image: "IMG",
  segmentation: "SEG",
  other: "…",
};

/** @param {any} tree @returns {TreeNode[]} */
export function nodesOf(tree) {
  const loose = unconnected(tree.unconnected);
  return [...tree.plans.map(plan), ...(loose.length > 0 ? [group("Not connected to any plan", loose)] : [])];
}

/**
 * Return every reference whose target is not there, with the way to it.
 *
 * @param {readonly TreeNode[]} nodes
 * @param {readonly string[]} [way]
 * @returns {{ node: TreeNode, way: readonly string[] }[]}
 */
export function dangling(nodes, way = []) {
  return nodes.flatMap((node) => [
    ...(node.gone ? [{ node, way }] : []),
    ...dangling(node.children, [...way, node.words]),
  ]);
}

/** @param {any} one @returns {TreeNode} */
function plan(one) {
  const { details } = one.instance;
  const facts = [
    words(details.intent).toLowerCase(),
    details.approval_status,
    date(details.date),
    ...(details.fractions ?? [])
      .filter(Boolean)
      .map((/** @type {number} */ count) => counted(count, "fraction")),
    ...(details.prescriptions ?? []).map(prescription),
  ];
  return leaf(one.instance, `Plan ${details.label || "(no label)"}`, facts, [
    ...one.related_plans.map((/** @type {any} */ other) =>
      leaf(other.instance, `Plan ${other.instance.details?.label ?? ""}`, [
        words(other.relationship).toLowerCase(),
      ]),
    ),
    ...one.structure_sets.map(structureSet),
    ...one.beams.map(beam),
    ...one.drrs.map((/** @type {any} */ image) => rtImage(image, "DRR of no beam")),
    ...one.rt_images.map((/** @type {any} */ image) => rtImage(image, "RT image of no beam")),
    ...one.records.map(treated),
    ...one.doses.map(dose),
    ...one.registrations.map(registration),
    ...one.cone_beams.map((/** @type {any} */ found) => series(found, "Cone-beam ")),
    ...one.images.map((/** @type {any} */ found) => series(found)),
    ...one.others.map((/** @type {any} */ found) => series(found)),
    ...one.missing.map(gone),
  ]);
}

/** @param {any} one @returns {string} */
function prescription(one) {
  const dose = one.target_dose_gy === null ? "" : `${number(one.target_dose_gy)} Gy`;
  return [one.description, dose].filter(Boolean).join(" ");
}

/** @param {any} one @returns {TreeNode} */
function structureSet(one) {
  const details = one.instance.details ?? {};
  const facts = [
    counted(details.number_of_rois ?? 0, "structure"),
    details.approval_status,
    date(details.date),
  ];
  return leaf(one.instance, `Structure set ${details.label || "(no label)"}`, facts, [
    ...one.image_series.map((/** @type {any} */ found) => series(found)),
    ...one.missing.map(gone),
  ]);
}

/** @param {any} one @returns {TreeNode} */
function beam(one) {
  const { beam: it } = one;
  const facts = [
    words(it.delivery_type).toLowerCase(),
    it.technique.toLowerCase(),
    it.radiation_type.toLowerCase(),
    it.machine,
    it.number_of_control_points === null ? "" : counted(it.number_of_control_points, "control point"),
  ];
  return node("Beam", `Beam ${it.number ?? ""} ${it.name}`.trim(), facts, [
    ...one.drrs.map((/** @type {any} */ image) => rtImage(image, "DRR")),
    ...one.rt_images.map((/** @type {any} */ image) => rtImage(image, "RT image")),
    ...one.records.map(treated),
    ...one.missing.map(gone),
  ]);
}

/** @param {any} instance @param {string} what @returns {TreeNode} */
function rtImage(instance, what) {
  const details = instance.details ?? {};
  const fraction = details.fraction_number ? `fraction ${details.fraction_number}` : "";
  return leaf(
    instance,
    (details.label ?? "").startsWith(what) ? details.label : `${what} ${details.label ?? ""}`.trim(),
    [(details.image_type ?? []).join(" "), fraction, date(details.date)],
  );
}

/** @param {any} one @returns {TreeNode} */
function treated(one) {
  const details = one.instance.details ?? {};
  const name = one.beam
    ? `Treated beam ${one.beam.number ?? ""} ${one.beam.name}`.trim()
    : "Treatment record";
  const fraction = one.beam?.fraction_number ? `fraction ${one.beam.fraction_number}` : "";
  return leaf(one.instance, name, [fraction, date(details.date)]);
}

/** @param {any} one @returns {TreeNode} */
function dose(one) {
  const details = one.instance.details ?? {};
  const beams = (details.beam_numbers ?? []).map((/** @type {number} */ found) => `beam ${found}`);
  return leaf(
    one.instance,
    `Dose ${words(details.summation_type ?? "").toLowerCase()}`.trim(),
    [details.dose_type?.toLowerCase(), details.units, ...beams],
    one.missing.map(gone),
  );
}

/** @param {any} one @returns {TreeNode} */
function registration(one) {
  const details = one.instance.details ?? {};
  return leaf(
    one.instance,
    `Registration ${details.label || details.description || ""}`.trim(),
    [date(details.date)],
    [
      ...one.structure_sets.map(structureSet),
      ...one.image_series.map((/** @type {any} */ found) => series(found)),
      ...one.missing.map(gone),
    ],
  );
}

/** @param {any} one @param {string} [what] @returns {TreeNode} */
function series(one, what = "") {
  const facts = [
    counted(one.number_of_instances, "instance"),
    date(one.date),
    one.by_frame ? "not referenced: it shares the frame of reference" : "",
    one.number_referenced > 0 ? `${number(one.number_referenced)} referenced one by one` : "",
    one.conflicts > 0
      ? counted(one.conflicts, "instance with several versions", "instances with several versions")
      : "",
  ];
  const missing = one.missing_uids.map((/** @type {string} */ uid) => ({
    ...node("?", "Referenced image is not here", []),
    uid,
    gone: true,
  }));
  const there = one.number_of_instances > 0;
  const found = node(
    one.modality || "IMG",
    `${what}${one.modality} series ${one.description}`.trim(),
    facts,
    missing,
  );
  if (!there)
    return {
      ...found,
      words: `${found.words} is not here`,
      gone: missing.length === 0,
      uid: one.series_instance_uid,
    };
  return { ...found, seriesUid: one.series_instance_uid, studyUid: one.study_instance_uid };
}

/** @param {any} one @returns {TreeNode} */
function gone(one) {
  const level = one.level === "instance" ? "" : ` ${one.level}`;
  const found = node(CODES[one.kind] ?? "?", `${capital(words(one.kind))}${level} is not here`, [
    words(one.relation),
    one.note,
  ]);
  return { ...found, uid: one.uid, gone: true };
}

/** @param {any} one @returns {TreeNode[]} */
function unconnected(one) {
  const seriesOf = (/** @type {any[]} */ found, /** @type {string} */ what = "") =>
    found.map((each) => series(each, what));
  return [
    ...one.structure_sets.map(structureSet),
    ...one.doses.map(dose),
    ...one.registrations.map(registration),
    ...seriesOf(one.rt_images),
    ...seriesOf(one.records),
    ...seriesOf(one.cone_beams, "Cone-beam "),
    ...seriesOf(one.images),
    ...seriesOf(one.others),
  ];
}

/** @param {string} title @param {TreeNode[]} children @returns {TreeNode} */
function group(title, children) {
  return node("–", title, [], children);
}

/** @param {any} instance @param {string} text @param {unknown[]} facts @param {TreeNode[]} [children] @returns {TreeNode} */
function leaf(instance, text, facts, children = []) {
  const found = node(CODES[instance.kind] ?? instance.modality, text, facts, children);
  return { ...found, uid: instance.ref.sop_instance_uid, conflict: instance.conflict };
}

/** @param {string} code @param {string} text @param {unknown[]} facts @param {TreeNode[]} [children] @returns {TreeNode} */
function node(code, text, facts, children = []) {
  return {
    code,
    words: text,
    more: facts.filter(Boolean).join(" · "),
    uid: "",
    gone: false,
    conflict: false,
    children,
  };
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/^t image/, "T image");
}
