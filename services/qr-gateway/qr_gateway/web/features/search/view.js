/** Search by any tag, also inside sequences; and which values there are, as bars. */

import { fill, h } from "../../core/dom.js";
import { View, heading, tabs } from "../../parts/view.js";
import { findPanel } from "./find.js";
import { valuesPanel } from "./values.js";

class SearchView extends View {
  show() {
    fill(
      this,
      heading(
        "Search",
        "Instances of the index by any attribute, at any depth: by keyword, by tag, private ones too.",
      ),
      h(
        "section",
        { class: "card", "aria-label": "Search" },
        tabs("What to ask", [
          { name: "find", title: "Find instances", panel: findPanel },
          { name: "values", title: "Values and how often", panel: valuesPanel },
        ]),
      ),
    );
  }
}

customElements.define("search-view", SearchView);
