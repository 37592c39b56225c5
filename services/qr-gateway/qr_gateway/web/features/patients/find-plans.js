/** The advanced search: plans by everything the index knows of them. */

import { get } from "../../core/api.js";
import { h } from "../../core/dom.js";
import { date, number, personName } from "../../core/format.js";
import { link } from "../../core/router.js";
import { rangeField, selectField, textField } from "../../parts/field.js";
import { tag } from "../../parts/notice.js";
import { table } from "../../parts/table.js";
import { addPlans } from "./add.js";

/** @typedef {{ name: string, element: HTMLElement, value: () => string }} Criterion */

const HAS = /** @type {const} */ ([
  ["", "Either"],
  ["true", "Yes"],
  ["false", "No"],
]);
const APPROVAL = /** @type {const} */ ([
  ["", "Any"],
  ["APPROVED", "Approved"],
  ["UNAPPROVED", "Unapproved"],
  ["REJECTED", "Rejected"],
]);
const INTENT = /** @type {const} */ ([
  ["", "Any"],
  ["CURATIVE", "Curative"],
  ["PALLIATIVE", "Palliative"],
  ["PROPHYLACTIC", "Prophylactic"],
  ["VERIFICATION", "Verification"],
  ["MACHINE_QA", "Machine QA"],
  ["RESEARCH", "Research"],
  ["SERVICE", "Service"],
]);
const SEX = /** @type {const} */ ([
  ["", "Any"],
  ["F", "Female"],
  ["M", "Male"],
  ["O", "Other"],
]);
const POSITIONS = ["HFS", "HFP", "FFS", "FFP", "HFDR", "HFDL", "FFDR", "FFDL"];

export function plansPanel() {
  const first = [
    text("patient", "Patient ID or name"),
    text("label", "Plan label"),
    choice("approval", "Approval", APPROVAL),
    choice("intent", "Intent", INTENT),
    text("site", "Prescription or site"),
    text("structure", "Structure name"),
    text("target", "Target volume", "PTV, CTV, GTV, or what the prescription names."),
    text("machine", "Treatment machine"),
  ];
  const more = [
    range("total_dose", "Total dose", "Gy"),
    range("dose_per_fraction", "Dose per fraction", "Gy"),
    range("fractions", "Fractions"),
    range("treated_fractions", "Treated fractions"),
    range("beams", "Beams"),
    range("control_points", "Control points"),
    days("plan_date", "Plan date"),
    days("approved", "Approval date"),
    text("energy", "Energy", "Like 6X, 6FFF, 9E."),
    text("beam_technique", "Beam technique", "Like VMAT, IMRT, STATIC, ARC."),
    text("mlc", "MLC", "Type and leaf pairs, like MLCX 60."),
    text("technique", "Treatment protocol"),
    text("approver", "Approved by"),
    text("operator", "Created by"),
    text("name", "Plan name"),
    text("model", "Machine model"),
    choice("sex", "Sex of the patient", SEX),
    choice("orientation", "Patient position", [
      ["", "Any"],
      ...POSITIONS.map((one) => /** @type {const} */ ([one, one])),
    ]),
    choice("has_treatment", "Treatment records", HAS),
    choice("has_structure_set", "Structure set is here", HAS),
  ];
  const criteria = [...first, ...more];
  const rows = table({
    caption: "Plans found",
    sort: "-plan_date",
    columns: COLUMNS,
    empty: { title: "No plan found", text: "No plan of the index fulfils all of this." },
    select: {
      key: (row) => row.object_key,
      label: (row) => `plan ${row.rt_plan_label} of ${row.patient_id}`,
      onChange: (chosen) => adding.show(chosen.length),
    },
    load: async (wanted, signal) => {
      const filters = Object.fromEntries(criteria.map((one) => [one.name, one.value()]));
      const answer = await get("/v1/plans", { ...filters, ...wanted }, signal);
      incomplete.hidden = answer.complete !== false;
      return { rows: answer.plans, next: answer.next, total: answer.total };
    },
  });
  const adding = addPlans(
    () => rows.chosen,
    () => rows.clear(),
  );
  const incomplete = h(
    "p",
    { class: "small soft", hidden: true },
    "The index is still deriving these facts of older data; plans may be missing for now.",
  );
  const clear = h("button", { type: "reset" }, "Clear");
  const form = h(
    "form",
    { class: "stack", role: "search", "aria-label": "Find plans" },
    h(
      "div",
      { class: "grid" },
      first.map((one) => one.element),
    ),
    h(
      "details",
      { class: "more" },
      h("summary", null, "More criteria"),
      h(
        "div",
        { class: "grid" },
        more.map((one) => one.element),
      ),
    ),
    h(
      "div",
      { class: "row" },
      h("button", { class: "primary" }, "Search"),
      clear,
      h("span", { class: "small soft" }, "Text: any part of it; * and ? stand for anything."),
    ),
  );
  const search = () => void rows.start().then(() => adding.show(0));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  form.addEventListener("reset", () => setTimeout(search));
  search();
  return h("div", { class: "stack" }, form, incomplete, adding.element, rows);
}

const COLUMNS = [
  {
    title: "Plan",
    sort: "label",
    class: "break",
    cell: (/** @type {any} */ row) => [
      h(
        "a",
        { href: link("/show", { patient_id: row.patient_id, uid: row.sop_instance_uid }) },
        row.rt_plan_label || "(no label)",
      ),
      row.rt_plan_name && row.rt_plan_name !== row.rt_plan_label
        ? h("span", { class: "small soft" }, ` ${row.rt_plan_name}`)
        : null,
    ],
  },
  {
    title: "Patient",
    sort: "patient_id",
    class: "break",
    cell: (/** @type {any} */ row) => [
      h("b", null, row.patient_id),
      " ",
      h("span", { class: "small soft" }, personName(row.patient_name)),
    ],
  },
  { title: "Approval", sort: "approval", cell: (/** @type {any} */ row) => approval(row.approval_status) },
  {
    title: "Date",
    sort: "plan_date",
    class: "nowrap",
    cell: (/** @type {any} */ row) => date(row.rt_plan_date),
  },
  {
    title: "Dose (Gy)",
    sort: "total_dose",
    number: true,
    cell: (/** @type {any} */ row) => number(row.total_dose_gy),
  },
  {
    title: "Fractions",
    sort: "fractions",
    number: true,
    cell: (/** @type {any} */ row) => number(row.number_of_fractions_planned),
  },
  {
    title: "Treated",
    sort: "treated_fractions",
    number: true,
    cell: (/** @type {any} */ row) => number(row.treated_fractions),
  },
  { title: "Technique", cell: (/** @type {any} */ row) => several(row.beam_techniques) },
  { title: "Energy", cell: (/** @type {any} */ row) => several(row.energies) },
  {
    title: "Machine",
    sort: "machine",
    class: "break",
    cell: (/** @type {any} */ row) => several(row.machines),
  },
];

/** @param {string} status */
export function approval(status) {
  const kind = { APPROVED: "good", REJECTED: "bad", UNAPPROVED: "warn" }[status] ?? "";
  return status
    ? tag(
        /** @type {"good" | "bad" | "warn" | ""} */ (kind),
        status.charAt(0) + status.slice(1).toLowerCase(),
      )
    : "";
}

/** @param {string[] | undefined} values */
function several(values) {
  return (values ?? []).join(", ");
}

/** @param {string} name @param {string} label @param {string} [hint] @returns {Criterion} */
function text(name, label, hint) {
  const field = textField({ label, hint, maxLength: 200 });
  return { name, element: field, value: () => field.value.trim() };
}

/** @param {string} name @param {string} label @param {import("../../parts/field.js").Choices} choices @returns {Criterion} */
function choice(name, label, choices) {
  const field = selectField({ label, choices });
  return { name, element: field, value: () => field.value };
}

/** @param {string} name @param {string} label @param {string} [unit] @returns {Criterion} */
function range(name, label, unit) {
  return { name, ...rangeField({ label, unit }) };
}

/** @param {string} name @param {string} label @returns {Criterion} */
function days(name, label) {
  return { name, ...rangeField({ label, type: "date", separator: "-" }) };
}
