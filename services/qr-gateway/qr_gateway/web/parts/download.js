/** The archive that an export has left, to be saved. */

import { download } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { store } from "../core/store.js";
import { save } from "./files.js";
import { icon } from "./icon.js";
import { inWords, toast } from "./notice.js";

/** @param {any} job a view of an export */
export function downloadOf(job) {
  if (job.state !== "complete" && job.state !== "partial") return null;
  if (!job.asked?.destination?.zip) return null;
  const path = `/v1/exports/${job.id}/zip`;
  const name = `export-${job.id.slice(0, 12)}.zip`;
  if (store.get().session?.authentication === "none") {
    // straight to the disk: no token has to go with it
    return h("a", { class: "button", href: path, download: name }, icon("take"), "Download ZIP");
  }
  const button = h("button", { type: "button" }, icon("take"), "Download ZIP");
  button.addEventListener("click", async () => {
    button.disabled = true;
    fill(button, icon("take"), "Downloading…");
    try {
      const found = await download("GET", path, { headers: { Accept: "application/zip" } });
      save(found.blob, found.name || name);
    } catch (error) {
      toast(inWords(error), "bad");
    }
    button.disabled = false;
    fill(button, icon("take"), "Download ZIP");
  });
  return button;
}
