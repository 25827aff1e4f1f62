// What operators filed; an engineer teaches from it, sees first what that costs, and takes lessons back.

import { $, clock, count, el, finished, get, icon, many, may, meta, moment, pickCamera, post, said, score, toast, word } from "/static/dom.js";
import { open } from "/static/detail.js";

const NAMES = { "false-alarm": "False alarm", missed: "Missed defect", undo: "Undoing" };
const cameras = meta("cameras").split(" ");
let camera = cameras[0];

export async function badge() {
  if (!may("operator") || !meta("kept")) return;
  const { filed } = await get("/api/filed");
  const left = filed.filter((each) => each.state === "filed").length;
  $("filed-count").hidden = !left;
  $("filed-count").textContent = left;
  $("filed-count").setAttribute("aria-label", `${left} not taught yet`);
}

export async function show() {
  said(badge());
  const { filed } = await get("/api/filed");
  $("filed-list").replaceChildren(...(filed.length ? filed.map(row) : [el("li", { class: "none" }, "Nothing was filed.")]));
  if (may("engineer")) await lessons();
}

function row(each) {
  const { verdict } = each, shown = word(verdict);
  const pic = el("button", { type: "button", class: "pic", "aria-label": `Look at part ${verdict.part}`, onclick: () => said(open(verdict)) },
    each.image ? el("img", { src: `/images/${verdict.id}/small`, alt: "", loading: "lazy" }) : icon(shown.kind, shown.kind));
  const text = el("div", { class: "text" },
    el("div", { class: "state" }, icon(shown.kind, shown.kind), `${NAMES[each.kind]} · part ${verdict.part} · camera ${verdict.camera}`),
    el("div", {}, each.reason || "No remark"),
    el("small", { class: "quiet" }, `Score ${score(verdict.score)}, threshold ${score(verdict.threshold)} · by ${each.user}, ${moment(each.utc_ms)}`));
  const state = each.state === "taught" ? el("span", { class: "state accept" }, icon("accept"), "Taught")
    : !each.image ? el("span", { class: "quiet" }, "No image was kept")
    : may("engineer") ? el("button", { type: "button", class: "primary", onclick: () => said(teach(each)) }, "Teach…")
    : el("span", { class: "quiet" }, "Waits for an engineer");
  return el("li", {}, pic, text, state);
}

// ---------------------------------------------------------------- teaching

function dialog(title, ...body) {
  const box = $("teach"), close = el("button", { type: "button", onclick: () => box.close() }, "Close");
  box.replaceChildren(el("div", { class: "head" }, el("h2", { id: "teach-title" }, title), close), el("div", { class: "body" }, ...body));
  if (!box.open) box.showModal();
  return box;
}

function working(title, text) {
  const seconds = el("p", { class: "quiet" }, text);
  dialog(title, el("progress", { "aria-label": text }), seconds);
  return (s) => { seconds.textContent = `${text} ${s} s so far; parts are judged first.`; };
}

async function teach(each) {
  const title = `Teach: ${NAMES[each.kind].toLowerCase()}, part ${each.verdict.part}`;
  const tick = working(title, "Working out what this lesson costs.");
  let cost;
  try { cost = await finished(await post("/api/teach", { feedback: each.id, dry: true }), tick); } catch (error) {
    dialog(title, el("p", { class: "alert" }, icon("warn"), error.message));
    return;
  }
  const accepted = cost.changed ? el("label", { class: "check" }, el("input", { type: "checkbox" }), `I accept that ${many(cost.changed, "other verdict")} change`) : null;
  const go = el("button", { type: "button", class: "primary", disabled: Boolean(accepted) || !cost.image }, "Teach it");
  accepted?.querySelector("input").addEventListener("change", (event) => { go.disabled = !event.target.checked; });
  go.addEventListener("click", () => said(taught(each, title, cost.bundle, Boolean(accepted))));
  dialog(title, el("p", {}, "What this lesson costs:"), el("ul", { class: "cost" }, ...costs(each, cost)), ...cost.notices.map((text) => el("p", { class: "alert" }, icon("warn"), text)), accepted,
    el("div", { class: "actions" }, go, el("button", { type: "button", onclick: () => $("teach").close() }, "Leave it")));
}

function costs(each, cost) {
  const own = cost.image, lines = [];
  if (own) {
    lines.push(`This part: ${own.before ? "anomalous" : "good"} with ${score(own.score_before)}, will be ${own.after ? "anomalous" : "good"} with ${score(own.score_after)} (threshold ${score(cost.threshold)}).`);
    lines.push(`Rows of the bank: ${count(own.rows)} more; ${count(cost.used)} of ${count(cost.capacity)} are used so far.`);
    lines.push("Time: about 3 % more for each frame with all rows used, as measured on one bundle. The line's view shows what it comes to here.");
  } else lines.push("There's nothing to learn: earlier lessons cover this part.");
  lines.push(cost.changed ? `Other images: ${many(cost.changed, "verdict")} of ${cost.others} would change: ${cost.changes.map((c) => c.image).join(", ")}.`
    : `Other images: none of ${cost.others} verdicts changes; scores move by ${(100 * cost.largest_move).toFixed(2)} % of the threshold at most.`);
  return lines.map((text) => el("li", {}, text));
}

async function taught(each, title, bundle, accept) {
  const tick = working(title, "Teaching.");
  try {
    const done = await finished(await post("/api/teach", { feedback: each.id, dry: false, bundle, accept_changes: accept }), tick);
    $("teach").close();
    toast(done.lessons.length ? `Lesson ${done.lessons.join(", ")} is taught. The line takes it up now.` : "There was nothing to learn.");
  } catch (error) { dialog(title, el("p", { class: "alert" }, icon("warn"), error.message)); }
  await show();
}

// ---------------------------------------------------------------- lessons so far

async function lessons() {
  pickCamera($("lesson-cameras"), cameras, camera, (name) => { camera = name; said(lessons()); });
  const found = await get(`/api/lessons?camera=${encodeURIComponent(camera)}`);
  const used = `${count(found.used["false-alarm"])} of ${count(found.capacity)} rows are used by false alarms, ${count(found.used.missed)} of ${count(found.capacity)} by missed defects.`;
  $("lesson-state").textContent = found.refused || used;
  const rows = found.lessons.map((each) => el("li", {},
    el("time", {}, moment(Date.parse(each.time))),
    el("div", { class: "text" }, el("b", {}, `Lesson ${each.number}: ${NAMES[each.kind].toLowerCase()}${each.undoes ? ` lesson ${each.undoes}` : `, ${many(each.rows, "row")}`}`),
      el("div", {}, `${each.reason || "no remark"}${each.by ? ` · by ${each.by}` : ""}`)),
    each.undone_by ? el("span", { class: "quiet" }, `Undone by ${each.undone_by}`) : each.kind !== "undo" && !found.refused
      && el("button", { type: "button", onclick: () => undo(each.number, found.bundle) }, "Undo…")));
  $("lessons").replaceChildren(...(rows.length ? rows : [el("li", { class: "none" }, "Nothing was taught.")]));
}

function undo(lesson, bundle) {
  const why = el("input", { maxlength: "500", minlength: "3", required: true, placeholder: "Why" });
  const form = el("form", { class: "body" }, el("p", {}, `Lesson ${lesson} no longer counts then; it stays listed.`), el("label", {}, "Reason", why), el("div", { class: "actions" }, el("button", { class: "primary" }, `Undo lesson ${lesson}`)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = { camera, lesson, bundle, reason: why.value }, tick = working(`Undo lesson ${lesson}`, "Undoing.");
    try {
      await finished(await post("/api/undo", body), tick);
      $("teach").close();
      toast(`Lesson ${lesson} is undone. The line takes it up now.`);
    } catch (error) { dialog(`Undo lesson ${lesson}`, el("p", { class: "alert" }, icon("warn"), error.message)); }
    said(show());
  });
  dialog(`Undo lesson ${lesson}`, form);
  why.focus();
}
