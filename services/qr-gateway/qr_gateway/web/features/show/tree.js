/** A reference tree to open and close; branches are made when they are first opened. */

import { fill, h, uniqueId } from "../../core/dom.js";
import { tag } from "../../parts/notice.js";

/** @typedef {import("./model.js").TreeNode} TreeNode */
/** @typedef {(node: TreeNode) => void} Choose */

/**
 * @param {readonly TreeNode[]} nodes
 * @param {Choose} choose
 * @param {string} uid an instance whose branch is to be open; empty: the first plan
 */
export function treeOf(nodes, choose, uid) {
  const open = (/** @type {TreeNode} */ node, /** @type {number} */ at) =>
    uid ? holds(node, (one) => one.uid === uid) : at === 0;
  return h(
    "div",
    { class: "tree" },
    h(
      "ul",
      null,
      nodes.map((node, at) => item(node, choose, open(node, at), uid)),
    ),
  );
}

/** @param {TreeNode} node @param {Choose} choose @param {boolean} open @param {string} uid @returns {HTMLElement} */
function item(node, choose, open, uid) {
  const cls = node.gone ? "leaf gone-line" : "leaf";
  if (node.children.length === 0)
    return h("li", null, h("div", { class: cls }, words(node), look(node, choose)));
  const below = h("ul", { id: uniqueId("branch"), hidden: true });
  const wanted = (/** @type {TreeNode} */ child) =>
    holds(child, (one) => one.gone || (uid !== "" && one.uid === uid));
  const toggle = h(
    "button",
    {
      type: "button",
      class: "twig",
      "aria-expanded": "false",
      "aria-controls": below.id,
      on: { click: () => unfold(below.hidden) },
    },
    words(node),
  );
  /** @param {boolean} unfolded */
  function unfold(unfolded) {
    if (unfolded && below.childElementCount === 0) {
      fill(
        below,
        node.children.map((child) => item(child, choose, wanted(child), uid)),
      );
    }
    below.hidden = !unfolded;
    toggle.setAttribute("aria-expanded", String(unfolded));
  }
  if (open) unfold(true);
  return h("li", null, h("div", { class: "branch" }, toggle, look(node, choose)), below);
}

/** @param {TreeNode} node */
function words(node) {
  return [
    h(
      "span",
      { class: `kind ${node.gone ? "gone" : node.code === "RP" ? "plan" : ""}`.trim() },
      node.gone ? "✗" : node.code,
    ),
    h(
      "span",
      { class: "words" },
      node.words,
      node.more ? h("small", null, ` ${node.more}`) : null,
      node.gone && node.uid ? h("small", { class: "uid" }, ` ${node.uid}`) : null,
      node.conflict ? [" ", tag("warn", "several versions")] : null,
    ),
  ];
}

/** @param {TreeNode} node @param {Choose} choose */
function look(node, choose) {
  if (node.gone || !(node.uid || node.seriesUid)) return null;
  return h(
    "button",
    { type: "button", class: "quiet look", on: { click: () => choose(node) } },
    "Details",
    h("span", { class: "unseen" }, ` of ${node.words}`),
  );
}

/** @param {TreeNode} node @param {(node: TreeNode) => boolean} fits @returns {boolean} */
function holds(node, fits) {
  return fits(node) || node.children.some((child) => holds(child, fits));
}
