/** Defaults of this server: peer, profile and options of anonymised exports, log level. */

import { get, request } from "../../core/api.js";
import { fill, h } from "../../core/dom.js";
import { optionsOf, selectField } from "../../parts/field.js";
import { inWords, message, showError, toast } from "../../parts/notice.js";
import { profileFields } from "../../parts/profile.js";
import { card } from "../../parts/view.js";

const LEVELS = /** @type {const} */ ([
  ["debug", "Debug"],
  ["info", "Info"],
  ["warning", "Warning"],
  ["error", "Error"],
]);

/** @param {boolean} mayChange */
export function defaultsCard(mayChange) {
  const place = h("div");
  async function show() {
    try {
      const [settings, { peers }] = await Promise.all([get("/v1/settings"), get("/v1/peers")]);
      fill(
        place,
        form(settings, peers, mayChange, () => void show()),
      );
    } catch (error) {
      showError(place, error, () => void show());
    }
  }
  void show();
  return card("Defaults of this server", place);
}

/** @param {any} settings @param {any[]} peers @param {boolean} mayChange @param {() => void} again */
function form(settings, peers, mayChange, again) {
  const disabled = !mayChange;
  const peer = selectField({ label: "Default peer", choices: [["", "None"]], disabled });
  peer.control.append(...optionsOf(peers.map((one) => [one.name, one.name])));
  peer.value = settings.default_peer ?? "";
  const level = selectField({ label: "Log level", choices: LEVELS, value: settings.log_level, disabled });
  const profile = profileFields({
    profile: settings.export_profile,
    options: settings.export_options,
    disabled,
  });
  const problem = h("div");
  const listening = settings.listening ?? {};
  const element = h(
    "form",
    { class: "stack", novalidate: true },
    h("div", { class: "grid" }, peer, level),
    profile.element,
    h(
      "dl",
      { class: "facts" },
      h("dt", null, "This server receives as"),
      h("dd", null, listening.ae_title ?? "not known here"),
      h("dt", null, "DICOM port"),
      h(
        "dd",
        null,
        listening.port === null || listening.port === undefined ? "not known here" : String(listening.port),
      ),
    ),
    problem,
    mayChange
      ? h("div", null, h("button", { class: "primary" }, "Save for everybody"))
      : h("p", { class: "small soft" }, "Only admins may change these."),
  );
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await request("PUT", "/v1/settings", {
        body: {
          default_peer: peer.value || null,
          export_profile: profile.profile(),
          export_options: profile.options(),
          log_level: level.value,
          revision: settings.revision,
        },
      });
      toast("Saved for everybody.");
      again();
    } catch (error) {
      fill(problem, message("bad", h("p", null, inWords(error))));
    }
  });
  return element;
}
