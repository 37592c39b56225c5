/**
 * What a feature tells of its view; the module behind `load` registers `element` and is fetched when the
 * view is first opened.
 *
 * @typedef {{
 *   path: string, title: string, role: string, icon: string, element: string, load: () => Promise<unknown>
 * }} ViewInfo
 */

export {};
