// A threshold, moved by an engineer: what it would have done to the last scores, a reason, and then it's set.

import { $, count, el, finished, get, icon, many, meta, moment, pickCamera, post, said, score, toast } from "/static/dom.js";
import { spread } from "/static/charts.js";
import { open } from "/static/detail.js";

const cameras = meta("cameras").split(" ");
let camera = cameras[0], found = null, asked = 0;

export function start() {
  if (!$("threshold-form")) return;
  $("threshold-value").addEventListener("input", () => { $("threshold-slide").value = $("threshold-value").value; change(); });
  $("threshold-slide").addEventListener("input", () => { $("threshold-value").value = Number(Number($("threshold-slide").value).toPrecision(4)); change(); });
  $("threshold-form").addEventListener("submit", (event) => {
    event.preventDefault();
    said(set({ threshold: Number($("threshold-value").value) }));
  });
  $("threshold-undo").addEventListener("click", () => { if ($("threshold-reason").reportValidity()) said(set({ undo: true })); });
  new ResizeObserver(paint).observe($("spread"));
}

export async function show() {
  pickCamera($("threshold-cameras"), cameras, camera, (name) => { camera = name; said(show()); });
  found = await get(`/api/threshold?camera=${encodeURIComponent(camera)}`);
  const top = Math.max(2 * found.threshold, ...found.scores.slice(-1000).map((each) => Math.min(each, 4 * found.threshold)));
  Object.assign($("threshold-slide"), { min: top / 1000, max: top, step: top / 1000 });
  $("threshold-slide").value = found.threshold;
  $("threshold-value").value = Number(found.threshold.toPrecision(6));
  $("threshold-reason").value = "";
  $("threshold-refused").hidden = !found.refused;
  $("threshold-refused").replaceChildren(icon("warn"), found.refused);
  for (const field of $("threshold-form").elements) field.disabled = Boolean(found.refused) && field.type !== "range" && field.type !== "number";
  const rows = found.revisions.map((each) => el("li", {}, el("time", {}, moment(Date.parse(each.when))),
    el("div", { class: "text" }, el("b", {}, each.threshold === null ? "another product's" : score(each.threshold)), ` by ${each.by || "nobody named"}`,
      el("div", {}, `${each.restores === null ? "" : each.restores ? `back to revision ${each.restores}. ` : "back to as exported. "}${each.why || "no reason"}`))));
  $("revisions").replaceChildren(...(rows.length ? rows : [el("li", { class: "none" }, "The threshold is as it was exported.")]));
  change();
}

const paint = () => { if (found) spread($("spread"), found.scores, found.threshold, Number($("threshold-value").value)); };

function change() {
  paint();
  const number = (asked += 1), wanted = Number($("threshold-value").value);
  if (!(wanted > 0)) { $("preview").textContent = "Give a number over 0."; return; }
  setTimeout(async () => {
    if (number !== asked) return;
    const seen = await get(`/api/preview?camera=${encodeURIComponent(camera)}&threshold=${wanted}`).catch(() => null);
    if (number === asked && seen) preview(seen, wanted);
  }, 150);
}

function preview(seen, wanted) {
  $("preview").textContent = seen.of
    ? `Of the last ${count(seen.of)} scores ${count(seen.rejected)} were rejected. At ${score(wanted)} it would be ${count(seen.would)}: ${count(seen.newly_rejected)} more rejected, ${count(seen.newly_accepted)} more accepted.`
    : "No scores yet, so nothing can be said of what it would do.";
  $("examples").replaceChildren(...seen.examples.filter((each) => each.id !== null).map((each) => {
    const pic = el("div", { class: "pic" }, icon(each.would ? "reject" : "accept", each.would ? "reject" : "accept"));
    const image = el("img", { src: `/images/${each.id}/small`, alt: "", loading: "lazy" });
    image.addEventListener("load", () => pic.replaceChildren(image));
    return el("li", {}, el("button", { type: "button", onclick: () => said(open({ id: each.id })) }, pic,
      `${score(each.score)}: would be ${each.would ? "rejected" : "accepted"}`));
  }));
}

async function set(body) {
  const button = $("threshold-form").querySelector(".primary"), before = button.textContent;
  button.disabled = true;
  try {
    const job = await post("/api/threshold", { camera, bundle: found.bundle, reason: $("threshold-reason").value, ...body });
    const done = await finished(job, (s) => { button.textContent = `Setting it, ${s} s so far`; });
    toast(`The threshold is ${score(done.threshold)}. The line takes it up now.`);
    for (const text of done.notices.slice(0, 2)) toast(text);
    await show();
  } finally { button.disabled = false; button.textContent = before; }
}
