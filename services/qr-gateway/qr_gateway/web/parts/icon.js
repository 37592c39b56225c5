/** Small pictures, drawn here; they say nothing that words beside them do not say. */

import { svg } from "../core/dom.js";

/** @type {Record<string, string>} */
const PATHS = {
  mark: "M12 3a9 9 0 1 0 9 9M12 7a5 5 0 1 0 5 5M12 12l8-8M16 4h4v4",
  people:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20c.5-3.7 3-5.5 6.500-5.500s6 1.800 6.500 5.500M16 4.500a3.300 3.300 0 0 1 0 6.300M18 14.800c2 .8 3.200 2.500 3.500 5.200",
  take: "M12 3v11M7.500 10l4.500 4.500L16.500 10M4 16v4h16v-4",
  give: "M12 15V4M7.500 8.500 12 4l4.500 4.500M4 16v4h16v-4",
  find: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13ZM15.500 15.500 21 21",
  tree: "M6 4v14h5M6 10h5M13 8h7v4h-7zM13 16h7v4h-7zM3 2h6v3H3z",
  list: "M9 6h11M9 12h11M9 18h11M4 6h.01M4 12h.01M4 18h.01",
  gear: "M4 7h9M18 7h2M4 17h3M12 17h8M15.500 9.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5ZM9.500 19.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5Z",
  pulse: "M3 12h4l2.500-7 5 14L17 12h4",
  shield:
    "M12 3l7.500 3v5.500c0 4.500-3 7.800-7.500 9.500-4.500-1.700-7.500-5-7.500-9.500V6L12 3ZM9 12l2 2 4-4.500",
  help: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM9.500 9.300c.2-1.500 1.200-2.300 2.600-2.300 1.500 0 2.600.9 2.600 2.300 0 2-2.700 2.100-2.700 4.200M12 17h.01",
  menu: "M4 6h16M4 12h16M4 18h16",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 2v2M12 20v2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M2 12h2M20 12h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500Z",
  half: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 3v18M12 7l5 2M12 12h9M12 17l5-2",
  cross: "M6 6l12 12M18 6 6 18",
  check: "M4.500 12.500 10 18 20 6.500",
  warn: "M12 3.500 22 20H2L12 3.500ZM12 10v4.500M12 17.200h.01",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 11v5.500M12 7.800h.01",
  plus: "M12 5v14M5 12h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  again: "M20 11a8 8 0 1 0-.6 4M20 5v6h-6",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  stop: "M6 6h12v12H6z",
  out: "M14 4h6v16h-6M10 8l-4 4 4 4M6 12h9",
};

/**
 * @param {keyof typeof PATHS & string} name
 * @returns {SVGElement}
 */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] ?? "" }),
  );
}
