/** A reference tree to open and close; branches are made when they are first opened. */

import { fill, h } from "../../core/dom.js";
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
  return h("div", { class: "tree" }, h("ul", null, nodes.map((node, at) => item(node, choose, open(node, at), uid))));
}

/** @param {TreeNode} node @param {Choose} choose @param {boolean} open @param {string} uid @returns {HTMLElement} */
function item(node, choose, open, uid) {
  if (node.children.length === 0) return h("li", null, h("div", { class: `leaf ${gone(node)}` }, line(node, choose)));
  const below = h("ul");
  const branch = h("details", null, h("summary", { class: gone(node) || null }, line(node, choose)), below);
  const grow = () => {
    if (below.childElementCount > 0) return;
    const wanted = (/** @type {TreeNode} */ child) => holds(child, (one) => one.gone || (uid !== "" && one.uid === uid));
    fill(below, node.children.map((child) => item(child, choose, wanted(child), uid)));
  };
  branch.addEventListener("toggle", () => {
    if (branch.open) grow();
  });
  if (open) {
    grow();
    branch.open = true;
  }
  return h("li", null, branch);
}

/** @param {TreeNode} node @param {Choose} choose */
function line(node, choose) {
  const known = !node.gone && (node.uid || node.seriesUid);
  return [
    h("span", { class: `kind ${node.gone ? "gone" : node.code === "RP" ? "plan" : ""}` }, node.gone ? "✗" : node.code),
    h(
      "span",
      { class: "words" },
      node.words,
      node.more ? h("small", null, ` ${node.more}`) : null,
      node.gone && node.uid ? h("small", { class: "uid" }, ` ${node.uid}`) : null,
      node.conflict ? [" ", tag("warn", "several versions")] : null,
    ),
    known
      ? h(
          "button",
          {
            type: "button",
            class: "quiet look",
            on: {
              click: (event) => {
                event.preventDefault(); // inside a summary, it would open or close it
                choose(node);
              },
            },
          },
          "Details",
          h("span", { class: "unseen" }, ` of ${node.words}`),
        )
      : null,
  ];
}

/** @param {TreeNode} node @param {(node: TreeNode) => boolean} fits @returns {boolean} */
function holds(node, fits) {
  return fits(node) || node.children.some((child) => holds(child, fits));
}

/** @param {TreeNode} node */
function gone(node) {
  return node.gone ? "gone-line" : "";
}
