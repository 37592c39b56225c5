/** Values as people read them. */

const NUMBER = new Intl.NumberFormat("en-GB");
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const UNITS = ["B", "kB", "MB", "GB", "TB"];
const SAID = new Map([
  ["queued", "Waiting"],
  ["running", "Running"],
  ["complete", "Complete"],
  ["partial", "Partial"],
  ["failed", "Failed"],
  ["cancelled", "Cancelled"],
]);

/** @param {number | null | undefined} value */
export function number(value) {
  return value === null || value === undefined ? "" : NUMBER.format(value);
}

/**
 * Return a count with its noun.
 *
 * @param {number} count
 * @param {string} noun
 * @param {string} [plural]
 */
export function counted(count, noun, plural = `${noun}s`) {
  return `${number(count)} ${count === 1 ? noun : plural}`;
}

/**
 * Return a size in decimal units.
 *
 * @param {number} size
 */
export function bytes(size) {
  let value = size;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/**
 * Return a date of DICOM (YYYYMMDD) as ISO 8601; what is no date, as it is.
 *
 * @param {string | null | undefined} text
 */
export function date(text) {
  const found = /^(\d{4})(\d{2})(\d{2})/.exec(text ?? "");
  return found ? `${found[1]}-${found[2]}-${found[3]}` : (text ?? "");
}

/**
 * Return a moment in the reader's own time.
 *
 * @param {string | null | undefined} text ISO 8601
 */
export function moment(text) {
  return text ? WHEN.format(new Date(text)) : "";
}

/**
 * Return how long it was from one moment to another.
 *
 * @param {string | null | undefined} from
 * @param {string | null | undefined} to
 */
export function duration(from, to) {
  if (!from || !to) return "";
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.round(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * Return a Person Name (PN) as it is read: `Family, Given`.
 *
 * @param {string | null | undefined} text
 */
export function personName(text) {
  const [alphabetic = ""] = (text ?? "").split("=");
  const [family = "", given = "", middle = ""] = alphabetic.split("^");
  const first = [given, middle].filter(Boolean).join(" ");
  return [family, first].filter(Boolean).join(", ");
}

/** @param {string} state */
export function stateInWords(state) {
  return SAID.get(state) ?? state;
}

/**
 * Return a name of the interface as words: `not_selected` is `not selected`.
 *
 * @param {string} name
 */
export function words(name) {
  return name.replaceAll("_", " ");
}

/**
 * Return the local time for names of files: `20240131-235959`.
 *
 * @param {Date} [now]
 */
export function stamp(now = new Date()) {
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return (
    `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}` +
    `-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`
  );
}
