/**
 * The only module that knows the browser's storage: personal settings, and what a redirect to the
 * identity provider must outlive. Never a token, never anything about a patient.
 */

/**
 * @typedef {{
 *   theme: "system" | "light" | "dark", rows: number, peer: string, method: "move" | "get",
 *   program: string, exportPath: string, listenPort: string, callingAet: string,
 *   onlyApproved: boolean, showTree: boolean, profile: string, profileOptions: string[],
 *   logLevel: string
 * }} Personal
 */

const PERSONAL = "dicomtools.personal";
const REDIRECT = "dicomtools.redirect";

/** @type {Readonly<Personal>} */
export const DEFAULTS = Object.freeze({
  theme: "system",
  rows: 25,
  peer: "",
  method: "move",
  program: "dicomtools",
  exportPath: "",
  listenPort: "",
  callingAet: "",
  onlyApproved: false,
  showTree: true,
  profile: "",
  profileOptions: [],
  logLevel: "",
});

/** @returns {Personal} */
export function personal() {
  return checked(read(localStorage, PERSONAL));
}

/** @param {Partial<Personal>} changes @returns {Personal} */
export function setPersonal(changes) {
  const settings = checked({ ...personal(), ...changes });
  write(localStorage, PERSONAL, settings);
  return settings;
}

/**
 * Return settings from what somebody has written, without what is unknown or of another type.
 *
 * @param {unknown} found
 * @returns {Personal}
 */
export function checked(found) {
  /** @type {Record<string, unknown>} */
  const settings = { ...DEFAULTS };
  if (found === null || typeof found !== "object") return /** @type {Personal} */ (settings);
  for (const [name, standard] of Object.entries(DEFAULTS)) {
    const value = /** @type {Record<string, unknown>} */ (found)[name];
    if (typeof value !== typeof standard) continue;
    if (Array.isArray(standard) && !(Array.isArray(value) && value.every(isText))) continue;
    settings[name] = value;
  }
  if (!["system", "light", "dark"].includes(String(settings.theme))) settings.theme = "system";
  if (!["move", "get"].includes(String(settings.method))) settings.method = "move";
  if (![10, 25, 50, 100].includes(Number(settings.rows))) settings.rows = DEFAULTS.rows;
  return /** @type {Personal} */ (settings);
}

/**
 * What is known of a sign-in on its way: the verifier and state of PKCE, and where to go back to.
 *
 * @typedef {{ state: string, verifier: string, back: string }} Redirect
 */

/** @param {Redirect} redirect */
export function keepRedirect(redirect) {
  write(sessionStorage, REDIRECT, redirect);
}

/** Return what was kept, once. @returns {Redirect | null} */
export function takeRedirect() {
  const found = read(sessionStorage, REDIRECT);
  sessionStorage.removeItem(REDIRECT);
  return /** @type {Redirect | null} */ (found);
}

/** @param {unknown} value */
function isText(value) {
  return typeof value === "string";
}

/** @param {Storage} place @param {string} key @returns {unknown} */
function read(place, key) {
  try {
    return JSON.parse(place.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Storage} place @param {string} key @param {unknown} value */
function write(place, key, value) {
  try {
    place.setItem(key, JSON.stringify(value));
  } catch {
    // storage is full or switched off: the page works, it only forgets
  }
}
