// Elements, numbers and requests: what all parts of the page use. Text is only ever set as text.

export const $ = (id) => document.getElementById(id);
export const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const ROLES = ["viewer", "operator", "engineer"];
export const may = (role) => ROLES.indexOf(meta("role")) >= ROLES.indexOf(role);

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function icon(name, kind = "") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  if (kind) svg.setAttribute("class", kind);
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/static/icon.svg#${name}`);
  svg.append(use);
  return svg;
}

export const pairs = (rows) => rows.filter(Boolean).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
export const count = (n) => (n ?? 0).toLocaleString("en");
export const many = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
export const score = (x) => (x === null || x === undefined ? "none" : Number(x.toPrecision(4)).toString());
export const share = (n, of) => (of ? `${((100 * n) / of).toFixed(n && n / of < 0.1 ? 2 : 1)} %` : "");
export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
export const moment = (ms) => `${new Date(ms).toLocaleDateString("sv")} ${clock(ms)}`;

// What a verdict is called, and which shape and colour go with the word.
export function word(verdict) {
  if (verdict.why !== "score") return { kind: "failsafe", text: verdict.decision.toUpperCase() };
  return { kind: verdict.decision, text: verdict.decision.toUpperCase() };
}

const WHY = {
  deadline: "No score in time", error: "Judging failed", crash: "The judge crashed", overrun: "Too many parts at once",
  "no-image": "No image came", uncorrelated: "Not certain which part the image shows", "no-judge": "No judge is ready",
  stopped: "The line was ended",
};
export const why = (verdict) => (verdict.why === "score"
  ? (verdict.decision === "reject" ? "Anomalous: score over the threshold" : "Good: score under the threshold")
  : `Fail-safe: ${WHY[verdict.why] ?? verdict.why}`);
export const reason = (name) => WHY[name] ?? name;

async function asked(path, options) {
  let answer;
  try { answer = await fetch(path, { credentials: "same-origin", ...options }); } catch { throw new Error("The page's server can't be reached."); }
  if (answer.status === 401) { location.assign("/login"); throw new Error("Log in again."); }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `The server answered ${answer.status}.`);
  return body;
}
export const get = (path) => asked(path);
export const post = (path, body) => asked(path, {
  method: "POST", headers: { "Content-Type": "application/json", "X-CSRF-Token": meta("csrf") }, body: JSON.stringify(body),
});

// Waits for a job that the server has begun.
export async function finished(job, tick = () => {}) {
  const began = Date.now();
  while (job.state === "running") {
    await new Promise((done) => setTimeout(done, 400));
    tick(Math.round((Date.now() - began) / 1000));
    job = await get(`/api/jobs/${job.number}`);
  }
  if (job.state === "failed") throw new Error(job.error);
  return job.result;
}

const toasts = $("toasts");
export function toast(text, bad = false) {
  const shown = el("p", bad ? { class: "bad" } : {}, text);
  const open = [...document.querySelectorAll("dialog[open]")].pop();
  (open ?? document.body).append(toasts); // what is behind a dialog can't be read
  toasts.append(shown);
  setTimeout(() => shown.remove(), bad ? 9000 : 5000);
}
export const said = (promise) => promise.catch((error) => toast(error.message, true));

export function pickCamera(place, cameras, chosen, pick) {
  place.hidden = cameras.length < 2;
  place.replaceChildren(...cameras.map((name) => el("button", {
    type: "button", "aria-pressed": String(name === chosen), onclick: () => pick(name),
  }, name)));
}
