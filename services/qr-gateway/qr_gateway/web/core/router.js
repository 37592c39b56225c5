/** Hash routes: `#/show?patient_id=P1`. What is behind `#` never reaches a server or its logs. */

/** @typedef {{ path: string, query: URLSearchParams }} Place */

/** @returns {Place} */
export function place() {
  const [path = "", query = ""] = split(location.hash.slice(1));
  return { path: path || "/", query: new URLSearchParams(query) };
}

/**
 * @param {string} path
 * @param {Record<string, string>} [query]
 */
export function link(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  return text ? `#${path}?${text}` : `#${path}`;
}

/**
 * @param {string} path
 * @param {Record<string, string>} [query]
 */
export function go(path, query) {
  location.hash = link(path, query);
}

/**
 * Take the address back to what it was without its query, and without a step of history.
 *
 * @param {string} path
 */
export function forgetQuery(path) {
  history.replaceState(null, "", `${location.pathname}#${path}`);
}

/** @param {(place: Place) => void} listener */
export function onPlace(listener) {
  addEventListener("hashchange", () => listener(place()));
}

/** @param {string} text */
function split(text) {
  const at = text.indexOf("?");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
