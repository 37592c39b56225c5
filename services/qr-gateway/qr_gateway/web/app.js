/** The wiring: which views there are, the frame around them, and what changes with the address. */

import { serverBack } from "./core/api.js";
import { fill, h } from "./core/dom.js";
import { forgetQuery, link, onPlace, place } from "./core/router.js";
import { loadSession, may, ownRoles, returnFromProvider, signOut } from "./core/session.js";
import { personal, setPersonal } from "./core/storage.js";
import { store } from "./core/store.js";
import { view as audit } from "./features/audit/index.js";
import { view as diagnostics } from "./features/diagnostics/index.js";
import { view as export_ } from "./features/export/index.js";
import { view as help } from "./features/help/index.js";
import { view as import_ } from "./features/import/index.js";
import { view as jobs } from "./features/jobs/index.js";
import { view as patients } from "./features/patients/index.js";
import { view as search } from "./features/search/index.js";
import { view as settings } from "./features/settings/index.js";
import { view as show } from "./features/show/index.js";
import { view as signInView } from "./features/sign-in/index.js";
import { icon } from "./parts/icon.js";
import { inWords, message, toast, toastPlace } from "./parts/notice.js";

const VIEWS = [patients, export_, jobs, import_, search, show, diagnostics, settings, audit, help];
const APART = new Set([import_, diagnostics]);
const RETRIED_AFTER_MS = [150, 600, 2000];
const BANNER = "Not validated for clinical use";
/** @type {Record<string, { icon: string, label: string, next: "system" | "light" | "dark" }>} */
const THEMES = {
  system: { icon: "half", label: "Colours: as the system", next: "light" },
  light: { icon: "sun", label: "Colours: light", next: "dark" },
  dark: { icon: "moon", label: "Colours: dark", next: "system" },
};

const main = h("main", { id: "main", tabindex: "-1" });
const list = h("ul");
const navigation = h("nav", { class: "nav", id: "nav", "aria-label": "Views" }, list);
const banner = h("span", null, BANNER);
const who = h("span", { class: "who" });
const leave = h(
  "button",
  {
    type: "button",
    class: "quiet icon-only",
    "aria-label": "Sign out",
    title: "Sign out",
    on: { click: () => void signOut() },
  },
  icon("out"),
);
const menu = h(
  "button",
  {
    type: "button",
    id: "menu-button",
    class: "icon-only",
    "aria-label": "Menu",
    "aria-expanded": "false",
    "aria-controls": "nav",
    on: { click: () => openMenu(!navigation.hasAttribute("data-open")) },
  },
  icon("menu"),
);
const theme = h("button", { type: "button", class: "quiet icon-only", on: { click: nextTheme } });
const away = h("div", { role: "alert" });
let shown = "";

function frame() {
  fill(
    document.body,
    h("a", { class: "skip", href: "#main", on: { click: skip } }, "Skip to content"),
    h(
      "div",
      { class: "frame" },
      h("aside", { "aria-label": "Notice" }, h("p", { class: "notice-bar" }, banner), away),
      h(
        "header",
        { class: "head" },
        menu,
        h("a", { class: "brand", href: link("/patients") }, icon("mark"), "DicomTools"),
        h("span", { class: "room" }),
        who,
        theme,
        leave,
      ),
      h("div", { class: "body" }, navigation, main),
    ),
    toastPlace(),
  );
}

/** @param {boolean} open */
function openMenu(open) {
  navigation.toggleAttribute("data-open", open);
  menu.setAttribute("aria-expanded", String(open));
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault(); // `#main` is no route
  main.focus();
}

function nextTheme() {
  const { next } = THEMES[personal().theme] ?? { next: "system" };
  setPersonal({ theme: next });
  showTheme();
}

export function showTheme() {
  const chosen = personal().theme;
  const { icon: name, label } = THEMES[chosen] ?? { icon: "half", label: "" };
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  theme.setAttribute("aria-label", label);
  theme.title = label;
  fill(theme, icon(name));
}

function showNavigation() {
  const count = store.get().cohort.size;
  const here = place().path;
  fill(
    list,
    VIEWS.filter((view) => view.role === "anyone" || may(view.role)).map((view) =>
      h(
        "li",
        { class: APART.has(view) ? "apart" : null },
        h(
          "a",
          { href: link(view.path), "aria-current": view.path === here ? "page" : null },
          icon(view.icon),
          view.title,
          view === patients && count > 0
            ? h("span", { class: "count" }, h("span", { class: "unseen" }, "selected: "), count)
            : null,
        ),
      ),
    ),
  );
}

async function showView() {
  const { session, signedOut } = store.get();
  if (session === null) return;
  const here = place().path;
  const wanted = VIEWS.find((view) => view.path === here) ?? patients;
  const view = signedOut && wanted !== help ? signInView : wanted;
  document.title = `${view.title} – DicomTools`;
  navigation.hidden = signedOut;
  menu.hidden = signedOut;
  showNavigation();
  openMenu(false);
  main.setAttribute("aria-busy", "true");
  try {
    await loaded(view);
  } catch (error) {
    const again = h("button", { type: "button", on: { click: () => void showView() } }, "Try again");
    main.removeAttribute("aria-busy");
    fill(main, h("h1", { tabindex: "-1" }, view.title), message("bad", h("p", null, inWords(error)), again));
    return;
  }
  if (VIEWS.includes(wanted) && place().path !== here) return; // another one has been asked for
  fill(main, document.createElement(view.element));
  main.removeAttribute("aria-busy");
  window.scrollTo(0, 0);
  if (shown !== "" && shown !== view.path) main.querySelector("h1")?.focus();
  shown = view.path;
}

/**
 * Fetch a view's modules; a connection that broke meanwhile is no reason to tell anyone.
 *
 * @param {import("./core/views.js").ViewInfo} view
 */
async function loaded(view) {
  for (const pause_ms of RETRIED_AFTER_MS) {
    try {
      return await view.load();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, pause_ms));
    }
  }
  return view.load();
}

function watchState() {
  store.watch((state) => state.cohort, showNavigation);
  store.watch(
    (state) => state.signedOut,
    () => void showView(),
  );
  store.watch(
    (state) => state.session,
    (session) => {
      banner.textContent = session?.banner || BANNER;
      const principal = session?.authentication === "required" ? session.principal : null;
      who.textContent = principal ? `${principal.name} · ${ownRoles(principal.roles).join(", ")}` : "";
      leave.hidden = principal === null;
      document.documentElement.dataset.version = session?.version ?? "";
    },
  );
  let before = true;
  store.watch(
    (state) => state.connected,
    (connected) => {
      fill(
        away,
        connected
          ? null
          : h(
              "p",
              { class: "away-bar" },
              icon("warn"),
              "The server does not answer. It is looked for until it is back.",
            ),
      );
      if (connected && !before) toast("The server is back.");
      before = connected;
    },
  );
  addEventListener("beforeunload", (event) => {
    if (store.get().cohort.size > 0) event.preventDefault();
  });
}

async function start() {
  frame();
  showTheme();
  watchState();
  // a list that is handed over by address: taken out of it, so that neither history nor a log has it
  const query = new URLSearchParams(location.search);
  if (query.has("handoff")) {
    history.replaceState(
      null,
      "",
      `${location.pathname}${link("/patients", { handoff: query.get("handoff") ?? "" })}`,
    );
  }
  for (;;) {
    try {
      const problem = await returnFromProvider(await loadSession());
      if (problem) toast(problem, "bad");
      break;
    } catch (error) {
      fill(main, message("bad", h("p", null, inWords(error))));
      await serverBack();
    }
  }
  onPlace(() => void showView());
  if (place().path === "/") forgetQuery(patients.path);
  await showView();
}

void start();
