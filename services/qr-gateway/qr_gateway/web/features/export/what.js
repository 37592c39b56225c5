/** What is exported: from which peer, which patients, which of their plans. */

import { labelsOf, orders as ordersOf } from "../../core/cohort.js";
import { fill, h } from "../../core/dom.js";
import { counted } from "../../core/format.js";
import { link } from "../../core/router.js";
import { personal } from "../../core/storage.js";
import { store } from "../../core/store.js";
import { areaField, checkBox, choiceGroup, optionsOf, selectField, textField } from "../../parts/field.js";
import { message } from "../../parts/notice.js";
import { card } from "../../parts/view.js";

/** @typedef {{ patient_id: string, plans: readonly string[] }} Wanted */

const METHODS = /** @type {const} */ ([
  ["move", "C-MOVE: the PACS delivers to this server"],
  ["get", "C-GET: over the same connection"],
]);

/** @param {() => void} changed @param {AbortSignal} leaving */
export function whatCard(changed, leaving) {
  /** @type {any[]} */
  let peers = [];
  let source = store.get().cohort.size > 0 ? "selection" : "typed";
  const peer = selectField({ label: "From", choices: [], required: true, onInput: changed });
  const method = selectField({ label: "How", choices: METHODS, value: personal().method, onInput: changed });
  const approved = checkBox({
    label: "Only approved plans",
    hint: "Approval Status (300E,0002) is APPROVED.",
    checked: personal().onlyApproved,
    onChange: changed,
  });
  const ids = areaField({
    label: "Patient IDs",
    rows: 2,
    required: true,
    hint: "Several with ; between them; a ; that belongs to an ID is written \\;",
    onInput: changed,
  });
  const plan = textField({
    label: "Plan label",
    hint: "Exactly, capitals matter; empty: all plans and all other data.",
    maxLength: 64,
    onInput: changed,
  });
  const place = h("div");
  const show = () => {
    const { cohort } = store.get();
    fill(place, source === "selection" ? chosen(cohort) : h("div", { class: "grid wide" }, ids, plan));
    changed();
  };
  const choices = h("div");
  store.watch(
    (state) => state.cohort,
    (cohort) => {
      if (cohort.size === 0) source = "typed";
      fill(
        choices,
        cohort.size === 0
          ? null
          : choiceGroup({
              legend: "Patients",
              value: source,
              choices: [
                {
                  value: "selection",
                  label: "The selection",
                  hint: `${counted(cohort.size, "patient")} of Patients`,
                },
                { value: "typed", label: "By ID", hint: "Typed here" },
              ],
              onChange: (value) => {
                source = value;
                show();
              },
            }),
      );
      // the whole form exists only after the first call
      queueMicrotask(show);
    },
    leaving,
  );

  /** @returns {Wanted[]} */
  function patients() {
    if (source === "selection") {
      return [...store.get().cohort.values()]
        .map((one) => ({ patient_id: one.patientId, plans: labelsOf(one), all: one.wanted === "all" }))
        .filter((one) => one.all || one.plans.length > 0)
        .map(({ patient_id, plans }) => ({ patient_id, plans }));
    }
    return typed(ids.value).map((patient_id) => ({
      patient_id,
      plans: plan.value === "" ? [] : [plan.value],
    }));
  }

  function orders() {
    if (source === "selection") return ordersOf(store.get().cohort);
    return typed(ids.value).map((patientId) => ({ patientId, planLabel: plan.value || null }));
  }

  return {
    element: card("What", [h("div", { class: "grid wide" }, peer, method), choices, place, approved.element]),
    /** @param {any[]} found @param {any} settings */
    offer(found, settings) {
      peers = found;
      fill(
        peer.control,
        optionsOf(peers.map((one) => [one.name, `${one.name} (${one.ae_title}, ${one.host}:${one.port})`])),
      );
      const usual = [personal().peer, settings.default_peer].find((name) =>
        peers.some((one) => one.name === name),
      );
      if (usual) peer.value = usual;
    },
    peer: () => peers.find((one) => one.name === peer.value),
    method: () => method.value,
    onlyApproved: () => approved.control.checked,
    patients,
    orders,
    options: () => ({
      ...(approved.control.checked ? { onlyApprovedPlans: true } : {}),
      ...(method.value === "get" ? { useGet: true } : {}),
    }),
    title: () => {
      const found = orders();
      return `${counted(new Set(found.map((one) => one.patientId)).size, "patient")}, ${counted(found.length, "retrieval")}`;
    },
    /** What keeps it from being run, empty if nothing does. */
    wrong() {
      if (!peer.check()) return "Choose where it comes from.";
      if (orders().length > 0) return "";
      if (source === "typed") ids.check();
      return source === "typed" ? "Give at least one patient ID." : "No plan of the selection is ticked.";
    },
  };
}

/**
 * Return the IDs of a list, each once; `\;` is a semicolon of an ID.
 *
 * @param {string} text
 */
export function typed(text) {
  const parts = text.split(/(?<!\\)[;\n]/).map((part) => part.replaceAll("\\;", ";").trim());
  return [...new Set(parts.filter(Boolean))];
}

/** @param {import("../../core/cohort.js").Cohort} cohort */
function chosen(cohort) {
  const patients = [...cohort.values()];
  const shown = patients.slice(0, 8);
  const nothing = patients.filter((one) => one.wanted === "plans" && labelsOf(one).length === 0);
  return h(
    "div",
    { class: "stack tight" },
    h(
      "ul",
      { class: "plain" },
      shown.map((one) =>
        h(
          "li",
          { class: "break" },
          h("b", null, one.patientId),
          " ",
          h("span", { class: "soft" }, one.wanted === "all" ? "all data" : labelsOf(one).join(", ")),
        ),
      ),
    ),
    patients.length > shown.length
      ? h("p", { class: "soft small" }, `and ${counted(patients.length - shown.length, "more patient")}`)
      : null,
    nothing.length > 0
      ? message(
          "warn",
          h(
            "p",
            null,
            `Of ${counted(nothing.length, "patient")} no plan is ticked: nothing of theirs is exported.`,
          ),
        )
      : null,
    h("p", null, h("a", { href: link("/patients") }, "Change the selection")),
  );
}
