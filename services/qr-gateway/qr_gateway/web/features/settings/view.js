/** Settings: one's own, in this browser; the server's, for those who may. */

import { fill } from "../../core/dom.js";
import { may } from "../../core/session.js";
import { View, heading } from "../../parts/view.js";
import { defaultsCard } from "./defaults.js";
import { peersCard } from "./peers.js";
import { personalCard } from "./personal.js";

class SettingsView extends View {
  show() {
    fill(
      this,
      heading(
        "Settings",
        "Your own stay in this browser. Peers and defaults are the server's, the same for everybody.",
      ),
      personalCard(),
      peersCard(may("admin")),
      defaultsCard(may("admin")),
    );
  }
}

customElements.define("settings-view", SettingsView);
