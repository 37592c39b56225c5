/** Who one is, and how to become somebody: a token that was given, or an identity provider. */

import { get, postForm, useToken } from "./api.js";
import { place } from "./router.js";
import { keepRedirect, takeRedirect } from "./storage.js";
import { store } from "./store.js";

/**
 * @typedef {{
 *   issuer: string, client_id: string, authorization_endpoint: string, token_endpoint: string,
 *   end_session_endpoint: string, scopes: string[], available: boolean
 * }} Provider
 */
/**
 * @typedef {{
 *   authentication: "none" | "required", methods: string[], oidc: Provider | null,
 *   principal: { name: string, issuer: string, roles: string[] } | null, version: string, banner: string
 * }} Session
 */

/** @type {Record<string, readonly string[]>} */
const IMPLIED = {
  monitor: ["monitor"],
  reader: ["monitor", "reader"],
  retriever: ["monitor", "reader", "retriever"],
  exporter: ["monitor", "reader", "exporter"],
  admin: ["monitor", "reader", "retriever", "exporter", "admin"],
};

/**
 * Whether the one who is signed in may do what needs a role; the server decides, this only spares
 * people what it would refuse.
 *
 * @param {string} role
 */
export function may(role) {
  const { session } = store.get();
  return (session?.principal?.roles ?? []).some((held) => IMPLIED[held]?.includes(role));
}

/** The roles that one has, without those that another of them implies. @param {readonly string[]} roles */
export function ownRoles(roles) {
  return roles.filter((role) => !roles.some((other) => other !== role && IMPLIED[other]?.includes(role)));
}

/** Ask the server who one is. @returns {Promise<Session>} */
export async function loadSession() {
  const session = /** @type {Session} */ (await get("/v1/session"));
  store.update({ session, signedOut: session.authentication === "required" && !session.principal });
  return session;
}

/**
 * Sign in with a token; it is kept in memory only.
 *
 * @param {string} token
 */
export async function signIn(token) {
  useToken(token);
  try {
    await loadSession();
  } catch (error) {
    useToken("");
    throw error;
  }
}

/** Forget the token, and the patients that were selected with it. */
export async function signOut() {
  useToken("");
  store.update({ cohort: new Map(), runs: [], objectives: null });
  await loadSession();
}

/**
 * Leave for the identity provider: authorization code with PKCE (RFC 7636).
 *
 * @param {Provider} provider
 */
export async function leaveForProvider(provider) {
  const verifier = random();
  const state = random();
  // a list of patients that was handed over by address is not taken along: it would be stored
  keepRedirect({ state, verifier, back: place().path });
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: provider.client_id,
    redirect_uri: here(),
    scope: provider.scopes.join(" "),
    state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  });
  location.assign(`${provider.authorization_endpoint}?${query}`);
}

/**
 * Take up a sign-in that comes back from the identity provider.
 *
 * @param {Session} session
 * @returns {Promise<string | null>} what went wrong, if anything
 */
export async function returnFromProvider(session) {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state") || !(answer.has("code") || answer.has("error"))) return null;
  const kept = takeRedirect();
  history.replaceState(null, "", `${location.pathname}#${kept?.back ?? "/"}`);
  if (kept === null || kept.state !== answer.get("state")) return "This sign-in was not begun here.";
  if (answer.has("error")) return "The identity provider has refused.";
  if (!session.oidc) return "The identity provider cannot be reached.";
  const code = answer.get("code") ?? "";
  const token = await exchanged(session.oidc, code, kept.verifier);
  if (token === null) return "The identity provider gave no token.";
  await signIn(token);
  return null;
}

/**
 * @param {Provider} provider
 * @param {string} code
 * @param {string} verifier
 */
async function exchanged(provider, code, verifier) {
  const found = await postForm(provider.token_endpoint, {
    grant_type: "authorization_code",
    code,
    redirect_uri: here(),
    client_id: provider.client_id,
    code_verifier: verifier,
  });
  return typeof found?.access_token === "string" ? found.access_token : null;
}

function here() {
  return `${location.origin}${location.pathname}`;
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

/** @param {Uint8Array} bytes */
function base64url(bytes) {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
