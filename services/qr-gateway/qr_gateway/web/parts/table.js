/** A table that is read page by page, with sorting by the server and selection over all pages. */

import { fill, h, uniqueId } from "../core/dom.js";
import { number } from "../core/format.js";
import { personal } from "../core/storage.js";
import { icon } from "./icon.js";
import { empty, showError } from "./notice.js";

/** @typedef {import("../core/dom.js").Child} Child */
/**
 * @typedef {{
 *   title: string, cell: (row: any) => Child, sort?: string, number?: boolean, class?: string
 * }} Column
 */
/** @typedef {{ rows: readonly any[], next: string | null, total?: number | null }} Page */
/** @typedef {{ limit: number, cursor: string, sort: string }} Wanted */
/**
 * @typedef {{
 *   caption: string, columns: readonly Column[], load: (wanted: Wanted, signal: AbortSignal) => Promise<Page>,
 *   empty?: { title: string, text: string }, sort?: string,
 *   select?: {
 *     key: (row: any) => string, label: (row: any) => string, onChange: (rows: any[]) => void
 *   }
 * }} TableOptions
 */

export class DtTable extends HTMLElement {
  /** @type {TableOptions | null} */
  #options = null;
  #sort = "";
  /** @type {string[]} */
  #cursors = [""];
  /** @type {string | null} */
  #next = null;
  /** @type {Map<string, any>} */
  #chosen = new Map();
  /** @type {readonly any[]} */
  #rows = [];
  #loading = new AbortController();
  #body = h("tbody");
  #heads = /** @type {Map<string, HTMLTableCellElement>} */ (new Map());
  #problem = h("div");
  #status = h("span", { role: "status" });
  #all = h("input", { type: "checkbox", "aria-label": "Select all rows of this page" });
  #scroll = h("div", { class: "scroll", tabindex: "0", role: "group" });
  #back = pageButton("left", "Previous page");
  #forth = pageButton("right", "Next page");
  #pager = h("div", { class: "pager" }, this.#status, h("div", { class: "row" }, this.#back, this.#forth));

  /** @param {TableOptions} options */
  configure(options) {
    this.#options = options;
    this.#sort = options.sort ?? "";
    const id = uniqueId("table");
    this.#scroll.setAttribute("aria-labelledby", id);
    this.#all.addEventListener("change", () => this.#chooseAll(this.#all.checked));
    this.#back.addEventListener("click", () => this.#turn(-1));
    this.#forth.addEventListener("click", () => this.#turn(1));
    fill(
      this.#scroll,
      h(
        "table",
        null,
        h("caption", { class: "unseen", id }, options.caption),
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            options.select ? h("th", { class: "check-cell", scope: "col" }, this.#all) : null,
            options.columns.map((column) => this.#head(column)),
          ),
        ),
        this.#body,
      ),
    );
    fill(this, this.#problem, this.#scroll, this.#pager);
    return this;
  }

  disconnectedCallback() {
    this.#loading.abort();
  }

  /** Read from the first page, with nothing selected. */
  async start() {
    this.#cursors = [""];
    this.clear();
    await this.reload();
  }

  /** Read the present page again. */
  async reload() {
    if (this.#options === null) return;
    this.#loading.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    this.setAttribute("aria-busy", "true");
    try {
      const wanted = { limit: personal().rows, cursor: this.#cursors.at(-1) ?? "", sort: this.#sort };
      const page = await this.#options.load(wanted, signal);
      if (!signal.aborted) this.#show(page);
    } catch (error) {
      if (!signal.aborted) showError(this.#problem, error, () => void this.reload());
    } finally {
      if (!signal.aborted) this.removeAttribute("aria-busy");
    }
  }

  /** Select nothing. */
  clear() {
    this.#chosen.clear();
    this.#marks();
  }

  /** The rows that are selected, those of other pages too. */
  get chosen() {
    return [...this.#chosen.values()];
  }

  /** @param {Page} page */
  #show(page) {
    const options = /** @type {TableOptions} */ (this.#options);
    this.#next = page.next;
    this.#rows = page.rows;
    fill(this.#problem);
    fill(
      this.#body,
      page.rows.map((row) => this.#row(row)),
    );
    const first = (this.#cursors.length - 1) * personal().rows;
    const nothing = page.rows.length === 0 && first === 0;
    this.#scroll.hidden = nothing;
    if (nothing)
      fill(this.#problem, empty(options.empty?.title ?? "Nothing here", options.empty?.text ?? ""));
    const total = page.total === undefined || page.total === null ? "" : ` of ${number(page.total)}`;
    this.#status.textContent = nothing
      ? ""
      : `${number(first + 1)}–${number(first + page.rows.length)}${total}`;
    this.#back.disabled = this.#cursors.length < 2;
    this.#forth.disabled = page.next === null;
    this.#pager.hidden = nothing || (page.next === null && this.#cursors.length < 2 && !total);
    for (const [name, head] of this.#heads) {
      if (this.#sort.replace("-", "") !== name) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.#sort.startsWith("-") ? "descending" : "ascending");
    }
    this.#marks();
  }

  /** @param {any} row */
  #row(row) {
    const { columns, select } = /** @type {TableOptions} */ (this.#options);
    const box = select
      ? h("input", {
          type: "checkbox",
          "aria-label": `Select ${select.label(row)}`,
          on: { change: () => this.#choose([row], /** @type {HTMLInputElement} */ (box).checked) },
        })
      : null;
    return h(
      "tr",
      { "data-key": select?.key(row) },
      box ? h("td", { class: "check-cell" }, box) : null,
      columns.map((column) => h("td", { class: classes(column) }, column.cell(row))),
    );
  }

  /** @param {Column} column */
  #head(column) {
    if (!column.sort) {
      const title = column.title || h("span", { class: "unseen" }, "Actions");
      return h("th", { scope: "col", class: classes(column) }, title);
    }
    const name = column.sort;
    const button = h("button", { type: "button", on: { click: () => this.#sortBy(name) } }, column.title);
    const head = h("th", { scope: "col", class: classes(column) }, button);
    this.#heads.set(name, head);
    return head;
  }

  /** @param {string} name */
  #sortBy(name) {
    this.#sort = this.#sort === name ? `-${name}` : name;
    this.#cursors = [""];
    void this.reload();
  }

  /** @param {1 | -1} step */
  #turn(step) {
    if (step < 0) this.#cursors.pop();
    else if (this.#next !== null) this.#cursors.push(this.#next);
    void this.reload();
  }

  /** @param {boolean} chosen */
  #chooseAll(chosen) {
    this.#choose(this.#rows, chosen);
  }

  /** @param {readonly any[]} rows @param {boolean} chosen */
  #choose(rows, chosen) {
    const { select } = /** @type {TableOptions} */ (this.#options);
    for (const row of rows) {
      const key = select?.key(row) ?? "";
      if (chosen) this.#chosen.set(key, row);
      else this.#chosen.delete(key);
    }
    this.#marks();
    select?.onChange(this.chosen);
  }

  #marks() {
    let here = 0;
    for (const row of this.#body.rows) {
      const chosen = this.#chosen.has(row.dataset.key ?? "");
      here += chosen ? 1 : 0;
      row.toggleAttribute("data-chosen", chosen);
      const box = row.querySelector("input");
      if (box && this.#options?.select) box.checked = chosen;
    }
    this.#all.checked = here > 0 && here === this.#rows.length;
    this.#all.indeterminate = here > 0 && here < this.#rows.length;
  }
}

customElements.define("dt-table", DtTable);

/** @param {TableOptions} options */
export function table(options) {
  return new DtTable().configure(options);
}

/**
 * Return a page of rows that are here already.
 *
 * @param {readonly any[]} rows
 * @param {Wanted} wanted
 * @returns {Page}
 */
export function pageOf(rows, { cursor, limit }) {
  const start = Number(cursor || "0");
  const end = start + limit;
  return { rows: rows.slice(start, end), next: end < rows.length ? String(end) : null, total: rows.length };
}

/** @param {Column} column */
function classes(column) {
  return [column.class, column.number ? "number" : ""].filter(Boolean).join(" ") || null;
}

/** @param {string} name @param {string} label */
function pageButton(name, label) {
  return h("button", { type: "button", class: "quiet icon-only", "aria-label": label }, icon(name));
}
