/** Sign-in: with a token that one was given, or at the identity provider. */

import { fill, h } from "../../core/dom.js";
import { leaveForProvider, signIn } from "../../core/session.js";
import { store } from "../../core/store.js";
import { textField } from "../../parts/field.js";
import { inWords, message } from "../../parts/notice.js";
import { View } from "../../parts/view.js";

class SignInView extends View {
  show() {
    const session = store.get().session;
    const methods = session?.methods ?? [];
    const provider = session?.oidc ?? null;
    fill(
      this,
      h(
        "section",
        { class: "card sign-in", "aria-labelledby": "sign-in-title" },
        h("header", null, h("h1", { id: "sign-in-title", tabindex: "-1" }, "Sign in")),
        h(
          "div",
          { class: "inside" },
          h("p", { class: "soft" }, "This server asks who you are before it tells anything about patients."),
          methods.includes("oidc") ? this.#provider(provider) : null,
          methods.includes("token") ? this.#token() : null,
        ),
      ),
    );
  }

  /** @param {import("../../core/session.js").Provider | null} provider */
  #provider(provider) {
    const there = provider !== null && provider.available;
    return h(
      "div",
      { class: "stack tight" },
      h(
        "button",
        {
          type: "button",
          class: "primary",
          disabled: !there,
          on: { click: () => provider && void leaveForProvider(provider) },
        },
        "Sign in with your organisation",
      ),
      there ? null : h("p", { class: "small soft" }, "The identity provider cannot be reached just now."),
    );
  }

  #token() {
    const field = textField({
      label: "Access token",
      type: "password",
      required: true,
      autocomplete: "off",
      hint: "It stays in this tab's memory and is forgotten when you close or reload it.",
    });
    const problem = h("div");
    const form = h(
      "form",
      { class: "stack", novalidate: true },
      field,
      problem,
      h("button", { class: "primary" }, "Sign in"),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!field.check()) return field.control.focus();
      try {
        await signIn(field.value.trim());
      } catch (error) {
        field.value = "";
        fill(problem, message("bad", h("p", null, inWords(error))));
        field.control.focus();
      }
    });
    return form;
  }
}

customElements.define("sign-in-view", SignInView);
