/** Whether what has landed is in the index already: it follows the store by a moment. */

import { get } from "./api.js";

const PATIENCE_MS = 120_000;
const AGAIN_MS = 700;

/**
 * Wait until the index knows every instance of a retrieval; an export of before would lack some of them.
 *
 * @param {any} job a retrieval that has ended
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} whether it does
 */
export async function indexed(job, signal) {
  const wanted = new Set();
  for await (const item of every(`/v1/retrievals/${job.id}/items`, { limit: 500 }, "items", signal)) {
    wanted.add(item.sop_instance_uid);
  }
  for (const until = performance.now() + PATIENCE_MS; performance.now() < until && !signal.aborted; ) {
    const query = { patient_id: job.request.patient_id, limit: 1000 };
    for await (const found of every("/v1/instances", query, "instances", signal))
      wanted.delete(found.sop_instance_uid);
    if (wanted.size === 0) return true;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  return false;
}

/**
 * @param {string} path
 * @param {import("./api.js").Query} query
 * @param {string} name of the list
 * @param {AbortSignal} signal
 */
async function* every(path, query, name, signal) {
  let cursor = "";
  do {
    const page = await get(path, { ...query, cursor }, signal);
    yield* page[name];
    cursor = page.next ?? "";
  } while (cursor !== "");
}
