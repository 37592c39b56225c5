/** Help: what each view is for, how to get from a question to data, and what to do when it does not work. */

import { fill, h } from "../../core/dom.js";
import { link } from "../../core/router.js";
import { store } from "../../core/store.js";
import { View, card, heading } from "../../parts/view.js";

class HelpView extends View {
  show() {
    fill(
      this,
      heading("Help", `DicomTools ${store.get().session?.version ?? ""}. Not validated for clinical use.`),
      card(
        "From a question to data",
        h(
          "ol",
          { class: "prose" },
          STEPS.map((text) => h("li", null, text)),
        ),
      ),
      card(
        "Views",
        h(
          "dl",
          { class: "facts" },
          VIEWS.map(([path, name, text]) => [
            h("dt", null, h("a", { href: link(path) }, name)),
            h("dd", null, text),
          ]),
        ),
      ),
      card(
        "What is retrieved",
        h(
          "div",
          { class: "prose" },
          WHAT.map((text) => h("p", null, text)),
        ),
      ),
      card(
        "When something is missing",
        h(
          "dl",
          { class: "prose" },
          TROUBLE.map(([what, text]) => [h("dt", null, h("b", null, what)), h("dd", null, text)]),
        ),
      ),
      card(
        "Tag paths",
        h(
          "ul",
          { class: "prose" },
          TAGS.map(([code, text]) => h("li", null, h("code", null, code), " ", text)),
        ),
      ),
      card(
        "Keyboard",
        h(
          "ul",
          { class: "prose" },
          KEYS.map(([key, text]) => h("li", null, h("kbd", null, key), " ", text)),
        ),
      ),
    );
  }
}

const STEPS = [
  "Patients: find patients and plans in the index, or ask a PACS, or import a list from your planning system. Tick and add; the selection grows over as many searches as you like.",
  "Export: choose where it comes from, whether it is anonymised, and where it goes. The command line that does the same is shown as you go.",
  "Run: the server retrieves each patient and plan and tells how it goes. You may close the page; the work goes on. Or download the batch file and run it on your own computer.",
  "Jobs: what has been done, what is missing and why. Trying again moves only what is missing.",
];
const VIEWS = /** @type {const} */ ([
  ["/patients", "Patients", "Build a selection of patients and plans."],
  ["/export", "Export", "Retrieve plans with everything they reference; anonymise; hand on."],
  ["/jobs", "Jobs", "Retrievals, exports and sends, running and past."],
  ["/import", "Import", "Send to a planning system, nothing before what it references."],
  ["/search", "Search", "Instances by any attribute; values and how often they occur."],
  ["/show", "Show", "A patient's reference tree, pictures and attributes."],
  ["/diagnostics", "Diagnostics", "Why a DICOM system cannot be reached, or does not deliver."],
  ["/settings", "Settings", "Your own settings, peers and defaults of the server."],
]);
const WHAT = [
  "With a plan's label, or only approved plans: the plan, its structure set and images, doses, DRRs and portal images, treatment records, cone-beam images that reference it, and registrations with their other side. Nothing else is moved.",
  "Without: all of the patient's data.",
  "Labels are compared exactly: capitals matter, and two plans may have the same label.",
  "Complete means that every instance that was expected has arrived here, whatever the PACS said.",
];
const TROUBLE = /** @type {const} */ ([
  [
    "A job is partial",
    "Its page lists each missing instance with the reason. Try again: only these are asked for.",
  ],
  [
    "Cannot understand – unexpected exception during MOVE",
    "ARIA says so for patients with many plans. Smaller portions are asked for by themselves; what then remains is listed.",
  ],
  [
    "The PACS says success and nothing arrives",
    "It cannot reach this server, or does not know its AE title and port. Run the complete diagnostics with a patient ID.",
  ],
  [
    "No plan is found",
    "The label has to be exact. Show the patient, or look at the plans in the job's report.",
  ],
  [
    "An anonymised export is refused",
    "One object could not be processed, or a name may be visible in an image. The manifest says which; nothing has left.",
  ],
]);
const TAGS = /** @type {const} */ ([
  ["PatientID=P1", "exactly this value"],
  ["Modality=?", "tell me the value"],
  ["RTPlanLabel=PROST*", "a pattern; \\* is a star"],
  ["(300A,00B0)/(300A,00B2)=TB1", "into a sequence, by tag"],
  ["BeamSequence/ControlPointSequence/GantryAngle=0..180", "a range of numbers, at any depth"],
  ["StudyDate=20240101-20240630", "a range of dates; 2024 is any day in it"],
]);
const KEYS = /** @type {const} */ ([
  ["Tab", "to the next control; the first one on the page skips to the content"],
  ["← →", "from tab to tab"],
  ["↑ ↓ Enter", "through completions of a tag"],
  ["Space", "ticks a row, opens a branch"],
  ["Esc", "closes a dialog or completions"],
]);

customElements.define("help-view", HelpView);
