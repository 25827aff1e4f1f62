// The line as it is now: what the server sends, drawn as it comes.

import { $, clock, count, el, get, icon, meta, many, may, pairs, pickCamera, reason, said, score, share, toast, why, word } from "/static/dom.js";
import { trend } from "/static/charts.js";
import { open, thumb } from "/static/detail.js";
import { Picture, toggles } from "/static/picture.js";

const STALE = 7000;
const cameras = meta("cameras").split(" ");
let camera = sessionStorage.getItem("camera");
if (!cameras.includes(camera)) camera = cameras[0];
let now = null, heard = 0, drawn = {}, record = null;
const picture = new Picture($("live"));

export function start() {
  toggles(picture, $("show-map"), $("show-regions"));
  $("look").addEventListener("click", () => said(open(held())));
  $("wrong")?.addEventListener("click", () => said(open(held(), "file")));
  choose(camera);
  connect();
  setInterval(() => { if (Date.now() - heard > STALE) stale("Nothing is heard from the line's page."); }, 1000);
  setInterval(slow, 1000);
  addEventListener("resize", () => { drawn = {}; });
}

// The part that was shown when the button was pressed: the line goes on meanwhile.
const held = () => ({ ...now.cameras[camera].verdict, id: null });

function connect() {
  const source = new EventSource("/api/now");
  source.addEventListener("now", (event) => { now = JSON.parse(event.data); heard = Date.now(); draw(); });
  source.addEventListener("bye", () => location.assign("/login"));
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    get("/api/record").catch(() => {});
    setTimeout(connect, 3000);
  });
}

function choose(name) {
  camera = name;
  sessionStorage.setItem("camera", name);
  drawn = {};
  picture.clear("Waiting for a picture");
  $("noimage").hidden = false;
  if (now) draw();
}

function draw() {
  const here = now.cameras[camera];
  ready();
  if (cameras.length > 1) tabs();
  verdict(here.verdict);
  live(here.live);
  counts();
  health();
  drift(here.drift);
  told(now.notice);
}

function told(notice) {
  if (!notice || drawn.notice === notice.utc_ms) return;
  if (drawn.notice && notice.code.startsWith("line-swap-")) toast(sentence(notice.text));
  drawn.notice = notice.utc_ms;
  $("last-event").textContent = `${clock(notice.utc_ms)} ${sentence(notice.text)}`;
}

function stale(text) {
  $("ready").dataset.ready = "no";
  $("ready").replaceChildren(icon("warn"), el("b", {}, "NO CONNECTION"));
  banner([text, "What is shown is old. The line itself may well go on; look at the line."]);
  const box = $("verdict");
  box.dataset.word = "stale";
  box.querySelector(".word").replaceChildren(icon("warn"), el("strong", {}, "NOT CURRENT"));
  box.querySelector(".why").textContent = "The last verdict isn't known.";
  for (const button of box.querySelectorAll("button")) button.disabled = true;
  drawn.verdict = null;
}

function ready() {
  const pill = $("ready");
  pill.dataset.ready = now.ready ? "yes" : "no";
  const text = now.ready ? "READY" : "NOT READY";
  if (pill.textContent !== text) pill.replaceChildren(icon(now.ready ? "accept" : "warn"), el("b", {}, text));
  banner(now.ready ? [] : now.reasons);
}

function banner(lines) {
  const text = lines.join("\n");
  if (drawn.banner === text) return;
  drawn.banner = text;
  $("banner").hidden = !lines.length;
  $("banner").querySelector("div").replaceChildren(...lines.map((line) => el("div", {}, sentence(line))));
}
const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

function tabs() {
  const key = JSON.stringify([camera, cameras.map((name) => now.cameras[name].verdict && word(now.cameras[name].verdict).kind)]);
  if (drawn.tabs === key) return;
  drawn.tabs = key;
  const focused = $("cameras").contains(document.activeElement);
  pickCamera($("cameras"), cameras, camera, choose);
  cameras.forEach((name, i) => {
    const last = now.cameras[name].verdict;
    if (last) $("cameras").children[i].prepend(icon(word(last).kind, word(last).kind));
  });
  if (focused) $("cameras").querySelector("[aria-pressed=true]").focus();
}

function verdict(last) {
  const box = $("verdict"), key = last && `${last.run}-${last.trigger}`;
  if (drawn.verdict === key) return;
  drawn.verdict = key;
  for (const button of box.querySelectorAll("button")) button.disabled = !last || !meta("kept");
  const bar = box.querySelector(".gauge");
  if (!last) {
    box.dataset.word = "none";
    box.querySelector(".word").replaceChildren(icon("wait"), el("strong", {}, "NO PART YET"));
    box.querySelector(".why").textContent = "";
    box.querySelector("dl").replaceChildren();
    bar.querySelector("i").style.width = "0";
    return;
  }
  const shown = word(last);
  box.dataset.word = shown.kind;
  box.querySelector(".word").replaceChildren(icon(shown.kind), el("strong", {}, shown.text));
  box.querySelector(".why").textContent = why(last);
  bar.querySelector("i").style.width = last.score === null ? "0" : `${Math.min(100, (50 * last.score) / last.threshold)}%`;
  box.querySelector("dl").replaceChildren(...pairs([
    ["Score", last.score === null ? "none" : `${score(last.score)}, threshold ${score(last.threshold)}`],
    ["Part", last.part], ["Time", `${clock(last.utc_ms)}, verdict after ${last.times.said ?? "?"} ms`],
  ]));
  if ($("wrong")) {
    $("wrong").textContent = last.decision === "reject" ? "False alarm" : "Missed defect";
    $("wrong").disabled ||= last.why !== "score"; // no model was wrong where none has judged
  }
}

function live(shown) {
  const note = $("noimage");
  if (!shown) {
    note.hidden = false;
    note.textContent = meta("kept") ? "Waiting for a picture" : "No pictures: the line's file has no [log], so none are kept.";
    return;
  }
  if (drawn.live === shown.number) return;
  drawn.live = shown.number;
  const boxes = (shown.regions ?? []).map((each) => each.box);
  const base = `/live/${encodeURIComponent(camera)}/${shown.number}`;
  const what = `Part ${shown.part}: ${shown.decision?.toUpperCase()}${boxes.length ? `, ${many(boxes.length, "region")}` : ""}`;
  picture.show({
    image: `${base}/image`, map: shown.map ? `${base}/map` : null, regions: boxes, size: shown.size ? [shown.size.width, shown.size.height] : null,
    label: what,
  }).then(() => { note.hidden = true; }, () => {});
  $("caption").textContent = what;
}

function counts() {
  const { tally } = now;
  if (!tally) return;
  const key = JSON.stringify(tally);
  if (drawn.counts === key) return;
  drawn.counts = key;
  const total = tally.verdicts, rejected = tally.decisions.reject ?? 0, safe = tally.by_failsafe;
  const byWhy = Object.entries(tally.whys).filter(([name]) => name !== "score").map(([name, n]) => `${reason(name).toLowerCase()} ${count(n)}`);
  const cell = (name, value, under, wide) => el("div", wide ? { class: "wide" } : {}, el("dt", {}, name), el("dd", {}, value, under && el("small", {}, under)));
  $("counts").replaceChildren(
    cell("Parts", count(total)),
    cell("Accepted", count(tally.decisions.accept ?? 0), share(tally.decisions.accept ?? 0, total)),
    cell("Rejected", count(rejected), share(rejected, total)),
    cell("By fail-safe", count(safe), share(safe, total)),
    cell("Half within", tally.p50_ms === null ? "–" : `${tally.p50_ms + 1} ms`),
    cell("99 % within", tally.p99_ms === null ? "–" : `${tally.p99_ms + 1} ms`, `of ${now.deadline_ms} ms`),
    cell("Late scores", count(tally.late_scores)),
    cell("Not sent", count(Object.values(now.sinks).reduce((sum, sink) => sum + sink.missed, 0))),
    byWhy.length ? cell("Fail-safe for", byWhy.join(", "), null, true) : null ?? "",
  );
}

function health() {
  const rows = [];
  for (const [name, isOpen] of Object.entries(now.open)) rows.push([`Camera ${name}`, isOpen, isOpen ? "open" : "away"]);
  for (const [name, sink] of Object.entries(now.sinks)) {
    const well = sink.up && sink.ok;
    rows.push([`Sink ${name}`, well, well ? (sink.missed ? `missed ${count(sink.missed)}` : sink.role) : sink.detail || "down"]);
  }
  for (const process of now.processes) {
    if (process.kind === "camera" || process.kind === "sink") continue;
    const ended = process.ended ? `ended ${process.ended}×` : "", warming = process.kind === "judge" && !process.up && !ended;
    rows.push([`${process.kind[0].toUpperCase()}${process.kind.slice(1)}${process.kind === process.name ? "" : ` ${process.name}`}`, process.up || warming, warming ? "being warmed" : process.up ? ended || "up" : `down${process.why ? `: ${process.why}` : ""}`]);
  }
  if (now.record?.rows) rows.push(["Record", false, `${many(now.record.rows, "row")} lost`]);
  if (now.record?.images) rows.push(["Images", false, `${many(now.record.images, "image")} to be kept ${now.record.images === 1 ? "is" : "are"} lost`]);
  if (record) rows.push(["Record", record.kept && record.well, record.kept && record.well ? "readable" : record.why]);
  rows.sort((a, b) => a[1] - b[1]);
  const key = JSON.stringify(rows);
  if (drawn.health === key) return;
  drawn.health = key;
  $("health").replaceChildren(...rows.map(([name, up, told]) => el("li", { "data-up": up ? "yes" : "no" },
    icon(up ? "up" : "down"), el("span", { title: told }, `${name} `, el("small", {}, up ? told : `NOT WELL: ${told}`)))));
}

function drift(found) {
  const text = found.changed ? `Changed: ${found.texts.join(" ")}` : found.texts.length && !found.learning ? found.texts[0]
    : found.known ? (found.learning ? "learning what is usual" : "as usual") : found.texts[0] ?? "";
  if (drawn.drift === text) return;
  drawn.drift = text;
  $("drift").className = found.changed ? "failsafe" : "";
  $("drift").replaceChildren(...(found.changed ? [icon("warn"), " "] : []), text);
}

// What needn't be there at once: asked for where there's news, a second apart at most.
async function slow() {
  if (!now || document.hidden || $("line").hidden) return;
  if (drawn.trend !== `${camera} ${now.verdicts}`) {
    drawn.trend = `${camera} ${now.verdicts}`;
    get(`/api/trend?camera=${encodeURIComponent(camera)}`).then((found) => trend($("trend"), found.scores), () => {});
  }
  if (drawn.rejects !== `${camera} ${now.rejected}`) {
    drawn.rejects = `${camera} ${now.rejected}`;
    get(`/api/rejects?camera=${encodeURIComponent(camera)}`).then(strip, () => { drawn.rejects = null; });
  }
  if (!record || Date.now() - record.at > 5000) {
    record = { ...(record ?? { kept: true, well: true, why: "" }), at: Date.now() };
    get("/api/record").then((found) => { record = { ...found, at: Date.now() }; }, () => {});
  }
}

function strip(found) {
  const ids = found.rejects.map((each) => `${each.run}-${each.trigger}`).join();
  // A reject that was counted and isn't in the record yet comes with the next look.
  if (drawn.strip === ids) { if (found.rejects.length) setTimeout(() => { drawn.rejects = null; }, 1500); return; }
  drawn.strip = ids;
  const focused = document.activeElement?.closest("#strip li")?.dataset.key;
  const items = found.rejects.map((each) => el("li", { "data-key": `${each.run}-${each.trigger}` }, thumb(each)));
  $("strip").replaceChildren(...(items.length ? items : [el("li", { class: "none" }, found.problem || "No part was rejected.")]));
  if (focused) $("strip").querySelector(`[data-key="${focused}"] button`)?.focus({ preventScroll: true });
}
