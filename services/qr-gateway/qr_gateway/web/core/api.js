/**
 * The only module that fetches. Tokens live here, in memory; problems become `ApiError`; a server that
 * does not answer is told once, and looked for until it is back.
 */

import { store } from "./store.js";

/** @typedef {{ where: string, pointer: string, problem: string }} FieldProblem */
/**
 * @typedef {{
 *   type?: string, title?: string, status?: number, detail?: string, request_id?: string,
 *   errors?: FieldProblem[], facts?: Record<string, unknown>
 * }} Problem
 */
/** @typedef {Record<string, string | number | boolean | readonly string[] | null | undefined>} Query */
/**
 * @typedef {{
 *   query?: Query, body?: unknown, signal?: AbortSignal, headers?: Record<string, string>
 * }} Options
 */
/** @typedef {(event: string, data: any) => void} OnEvent */

/** A problem that the server told of (RFC 9457), or none answered: then `status` is 0. */
export class ApiError extends Error {
  /** @param {number} status @param {Problem} problem */
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }

  /** Whether the server could not be reached. */
  get away() {
    return this.status === 0;
  }

  /** The sentence and the fields it is about, for people. */
  get sentence() {
    const fields = (this.problem.errors ?? []).map(
      (one) => `${one.pointer.replace(/^\//, "").replaceAll("/", " › ") || one.where}: ${one.problem}`,
    );
    const facts = Object.entries(this.problem.facts ?? {}).map(([name, value]) => `${name}: ${value}`);
    const [first = "", ...rest] = [this.message, ...fields, ...facts];
    return [first.charAt(0).toUpperCase() + first.slice(1), ...rest].join(". ").replace(/\.\./g, ".");
  }
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
let token = "";
/** @type {Promise<void> | null} */
let looking = null;

/** @param {string} text */
export function useToken(text) {
  token = text;
}

/**
 * Return the JSON of an answer; null where there is none.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function request(method, path, options = {}) {
  const response = await answered(method, path, options);
  if (response.status === 204) return null;
  const text = await response.text();
  return text === "" ? null : JSON.parse(text);
}

/** @param {string} path @param {Query} [query] @param {AbortSignal} [signal] */
export function get(path, query, signal) {
  return request("GET", path, { query, signal });
}

/** @param {string} path @param {unknown} body @param {Omit<Options, "body">} [options] */
export function post(path, body, options = {}) {
  return request("POST", path, { ...options, body });
}

/**
 * Return the body of an answer, and the name it should be saved under.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
export async function download(method, path, options = {}) {
  const response = await answered(method, path, options);
  const disposition = response.headers.get("Content-Disposition") ?? "";
  const name = /filename="([^"/\\]+)"/.exec(disposition)?.[1] ?? "";
  return { blob: await response.blob(), name };
}

/**
 * Listen to Server-Sent Events until `end`; what is cut off is taken up again.
 *
 * @param {string} path
 * @param {OnEvent} onEvent
 * @param {AbortSignal} signal
 */
export async function follow(path, onEvent, signal) {
  let ended = false;
  const heard = (/** @type {string} */ event, /** @type {any} */ data) => {
    ended ||= event === "end";
    onEvent(event, data);
  };
  while (!ended && !signal.aborted) {
    try {
      const response = await answered("GET", path, {
        signal,
        headers: { Accept: "text/event-stream" },
      });
      await readEvents(response, heard);
      // the server stops, or a proxy has had enough: each snapshot is whole, nothing is lost
      if (!ended) await pause(FIRST_WAIT_MS, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError) || !(error.away || error.status >= 500)) throw error;
      await (error.away ? serverBack() : pause(LONGEST_WAIT_MS / 4, signal));
    }
  }
}

/**
 * Send a form to the identity provider; null if it refuses or does not answer.
 *
 * @param {string} url
 * @param {Record<string, string>} fields
 * @returns {Promise<any>}
 */
export async function postForm(url, fields) {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(fields),
      credentials: "omit",
    });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/** Wait until the server answers again. */
export function serverBack() {
  looking ??= look().finally(() => {
    looking = null;
  });
  return looking;
}

/**
 * Return an address with its query; empty values are left out, lists repeat the name.
 *
 * @param {string} path
 * @param {Query} [query]
 */
export function address(path, query = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    if (Array.isArray(value)) value.forEach((one) => parameters.append(name, one));
    else parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Options} options
 * @returns {Promise<Response>}
 */
async function answered(method, path, { query, body, signal, headers = {} }) {
  /** @type {Record<string, string>} */
  const sent = { Accept: "application/json", ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "same-origin",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    void serverBack();
    throw new ApiError(0, { detail: "The server does not answer." });
  }
  if (response.ok) return response;
  if (response.status === 401) store.update({ signedOut: true });
  throw new ApiError(response.status, await problemOf(response));
}

/** @param {Response} response @returns {Promise<Problem>} */
async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: response.statusText };
  }
}

/** @param {Response} response @param {OnEvent} heard */
async function readEvents(response, heard) {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const read = await reader.read().catch(() => ({ done: true, value: undefined }));
    if (read.done || read.value === undefined) return;
    const blocks = (rest + read.value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) tell(block, heard);
  }
}

/** @param {string} block @param {OnEvent} heard */
function tell(block, heard) {
  let event = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data) heard(event, JSON.parse(data));
}

async function look() {
  store.update({ connected: false });
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    await pause(wait);
    try {
      // anything that answers is the server; whether it is ready, its own requests will tell
      await fetch("/livez", { cache: "no-store" });
      store.update({ connected: true });
      return;
    } catch {
      // not yet
    }
  }
}

/** @param {number} milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
