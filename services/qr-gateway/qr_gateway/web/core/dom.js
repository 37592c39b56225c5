/**
 * Elements from values. Text is only ever text: there is no way from a string to markup, and
 * attributes that would run something are refused.
 */

/** @typedef {Node | string | number | null | undefined | false} One */
/** Lists may be nested to any depth. @typedef {One | readonly any[]} Child */
/**
 * @typedef {Record<string, unknown> & {
 *   class?: string | null, on?: Record<string, (event: any) => void>, props?: Record<string, unknown>
 * }} Props
 */

const SVG = "http://www.w3.org/2000/svg";
const LINK = /^(#|\.\/|\/(?!\/)|blob:)/;

/**
 * Return an element of HTML.
 *
 * `on` holds listeners, `props` what is set as a property; everything else is an attribute, left out
 * when it is null, undefined or false.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  return /** @type {HTMLElementTagNameMap[K]} */ (filled(document.createElement(tag), props ?? {}, children));
}

/**
 * Return an element of SVG.
 *
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children);
  return element;
}

/**
 * Put `children` in the place of what is in `element`.
 *
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

let last = 0;

/**
 * Return an ID that no other element has.
 *
 * @param {string} prefix
 */
export function uniqueId(prefix) {
  last += 1;
  return `${prefix}-${last}`;
}

/**
 * @param {Element} element
 * @param {Props} props
 * @param {Child[]} children
 */
function filled(element, props, children) {
  const { on, props: properties, ...attributes } = props;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    setAttribute(element, name, value === true ? "" : value);
  }
  element.append(...nodes(children));
  // after the children: a select has its value only once it has its options
  Object.assign(element, properties);
  for (const [name, listener] of Object.entries(on ?? {})) element.addEventListener(name, listener);
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {unknown} value
 */
function setAttribute(element, name, value) {
  const lower = name.toLowerCase();
  if (lower.startsWith("on") || lower === "style" || lower === "srcdoc") {
    throw new TypeError(`attribute ${lower} is not set from values`);
  }
  const text = String(value);
  if ((lower === "href" || lower === "src" || lower === "action") && !LINK.test(text)) {
    throw new TypeError(`${lower} leads out of this page`);
  }
  element.setAttribute(name, text);
}

/**
 * @param {readonly Child[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  /** @type {(Node | string)[]} */
  const found = [];
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node) found.push(child);
    else if (typeof child === "object") found.push(...nodes(/** @type {readonly Child[]} */ (child)));
    else found.push(String(child));
  }
  return found;
}
