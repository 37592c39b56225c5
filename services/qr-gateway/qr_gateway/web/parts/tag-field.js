/** A field for a tag path, completed by keyword: `BeamSequence/TreatmentMachineName=TB*`. */

import { get } from "../core/api.js";
import { debounced } from "../core/debounce.js";
import { fill, h, uniqueId } from "../core/dom.js";
import { DtField } from "./field.js";

/** @typedef {{ keyword: string, tag: string, name: string, vr: string }} Keyword */

const MOST = 12;

export class DtTagField extends DtField {
  #list = h("ul", { role: "listbox", hidden: true });
  /** @type {Keyword[]} */
  #found = [];
  #active = -1;

  /** @param {import("./field.js").Common & { placeholder?: string }} options */
  setUp(options) {
    const id = uniqueId("tag");
    const input = h("input", {
      id,
      type: "text",
      role: "combobox",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 1024,
      placeholder: options.placeholder,
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": `${id}-list`,
    });
    this.configure(input, options);
    this.#list.id = `${id}-list`;
    this.#list.setAttribute("aria-label", `Keywords for ${options.label}`);
    const combo = h("div", { class: "combo" });
    input.replaceWith(combo);
    combo.append(input, this.#list);
    input.addEventListener(
      "input",
      debounced(() => void this.#look(), 120),
    );
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("blur", () => this.#close());
    return this;
  }

  async #look() {
    const part = this.#part();
    if (part.text.length < 2) return this.#close();
    try {
      const { keywords } = await get("/v1/keywords", { prefix: part.text, limit: MOST });
      // the answer is for who still types it
      if (this.#part().text !== part.text || document.activeElement !== this.control) return;
      this.#open(keywords.filter((/** @type {Keyword} */ one) => one.keyword !== part.text));
    } catch {
      this.#close(); // completion is a help; without it one types
    }
  }

  /** Return the keyword that is being typed: the last one of the path, before any value. */
  #part() {
    const [path = ""] = this.value.split("=", 1);
    const start = path.lastIndexOf("/") + 1;
    const text = this.value.includes("=") || path.slice(start).startsWith("(") ? "" : path.slice(start);
    return { start, text };
  }

  /** @param {Keyword[]} found */
  #open(found) {
    this.#found = found;
    this.#active = -1;
    const id = this.#list.id;
    fill(
      this.#list,
      found.map((one, at) =>
        h(
          "li",
          {
            id: `${id}-${at}`,
            role: "option",
            "aria-selected": "false",
            on: {
              mousedown: (event) => {
                event.preventDefault(); // the field keeps the focus
                this.#take(at);
              },
            },
          },
          h("span", null, one.keyword),
          h("small", null, one.tag),
        ),
      ),
    );
    this.#list.hidden = found.length === 0;
    this.control.setAttribute("aria-expanded", String(found.length > 0));
    this.control.removeAttribute("aria-activedescendant");
  }

  #close() {
    this.#open([]);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (this.#list.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      this.#move((this.#active + step + this.#found.length) % this.#found.length);
    } else if ((event.key === "Enter" || event.key === "Tab") && this.#active >= 0) {
      if (event.key === "Enter") event.preventDefault();
      this.#take(this.#active);
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.#close();
    }
  }

  /** @param {number} at */
  #move(at) {
    this.#list.children[this.#active]?.setAttribute("aria-selected", "false");
    this.#active = at;
    const chosen = this.#list.children[at];
    chosen?.setAttribute("aria-selected", "true");
    chosen?.scrollIntoView({ block: "nearest" });
    this.control.setAttribute("aria-activedescendant", chosen?.id ?? "");
  }

  /** @param {number} at */
  #take(at) {
    const one = this.#found[at];
    if (!one) return;
    const kept = this.value.slice(0, this.#part().start);
    this.value = `${kept}${one.keyword}${one.vr === "SQ" ? "/" : ""}`;
    this.#close();
    this.control.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

customElements.define("dt-tag-field", DtTagField);

/** @param {import("./field.js").Common & { placeholder?: string }} options */
export function tagField(options) {
  return new DtTagField().setUp(options);
}
