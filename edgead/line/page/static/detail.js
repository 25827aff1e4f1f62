// One part, looked at closely: its image, what was found, and an operator's word that the verdict was wrong.

import { $, clock, el, get, icon, may, moment, pairs, post, said, score, toast, why, word } from "/static/dom.js";
import { Picture, toggles } from "/static/picture.js";

const path = (which) => (which.id !== null && which.id !== undefined ? `/api/verdicts/${which.id}`
  : `/api/verdict?camera=${encodeURIComponent(which.camera)}&run=${which.run}&trigger=${which.trigger}`);

// A verdict that was said just now is in the record a moment later.
async function found(which) {
  for (let tries = 0; ; tries += 1) {
    try { return await get(path(which)); } catch (error) {
      if (tries >= 6 || which.id) throw error;
      await new Promise((done) => setTimeout(done, 400));
    }
  }
}

export async function open(which, file = null) {
  const dialog = $("detail");
  const verdict = await found(which);
  const said_ = word(verdict), canvas = el("canvas", { role: "img", "aria-label": `Part ${verdict.part}` });
  const mapButton = el("button", { type: "button", "aria-pressed": "true", disabled: !verdict.map }, "Heatmap");
  const regionsButton = el("button", { type: "button", "aria-pressed": "true" }, "Regions");
  const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const facts = el("dl", { class: "facts" }, ...pairs([
    ["Part", verdict.part], ["Camera", verdict.camera], ["Time", moment(verdict.utc_ms)], ["Why", why(verdict)],
    ["Score", score(verdict.score)], ["Threshold", score(verdict.threshold)],
    ["Regions", verdict.regions.length ? `${verdict.regions.length}, the highest peak ${score(verdict.regions[0][5])}` : "none"],
    ["Image after", ms(verdict.times.image)], ["Judged after", ms(verdict.times.judged)], ["Verdict after", ms(verdict.times.said)],
    verdict.encoder !== null && ["Encoder", String(verdict.encoder)],
    ["Bundle", verdict.bundle ? verdict.bundle.slice(0, 12) : "unknown"], ["Trigger", `${verdict.run}-${verdict.trigger}`],
    verdict.filed.length > 0 && ["Filed", verdict.filed.join(", ")],
  ]));
  dialog.replaceChildren(
    el("div", { class: "head" }, el("h2", { id: "detail-title" }, icon(said_.kind, said_.kind), `${said_.text} · part ${verdict.part}`), close),
    el("div", { class: "body" },
      el("div", {}, canvas, el("div", { class: "bar actions" }, mapButton, regionsButton)),
      el("div", { class: "side" }, may("operator") && form(verdict, dialog), facts)),
  );
  if (!dialog.open) dialog.showModal();
  const picture = new Picture(canvas);
  toggles(picture, mapButton, regionsButton);
  if (verdict.image) {
    picture.show({
      image: `/images/${verdict.id}/image`, map: verdict.map ? `/images/${verdict.id}/map` : null, regions: verdict.regions,
      label: `Part ${verdict.part}, ${said_.text}, ${verdict.regions.length} regions`,
    }).catch((error) => toast(error.message, true));
  } else canvas.replaceWith(el("p", { class: "alert" }, icon("warn"), "No image of this part was kept."));
  (file ? dialog.querySelector("form input") : close)?.focus();
}

const ms = (value) => (value === null ? "never" : `${value} ms`);

function form(verdict, dialog) {
  if (verdict.why !== "score") return el("p", { class: "alert" }, icon("warn"), "No score stands behind this verdict, so there's nothing to teach.");
  const kind = verdict.decision === "reject" ? "false-alarm" : "missed";
  const name = kind === "missed" ? "Missed defect" : "False alarm";
  if (verdict.filed.some((each) => each.startsWith(kind))) return el("p", { class: "alert" }, icon("warn"), `Filed already as: ${name.toLowerCase()}.`);
  const remark = el("input", { maxlength: "500", placeholder: "Remark, if you like", "aria-label": "Remark" });
  const button = el("button", { class: "primary" }, `${name}: file this part`);
  const made = el("form", { class: "side" },
    el("p", {}, kind === "missed" ? "This part is defective, and was accepted?" : "This part is good, and was rejected?"),
    remark, button, el("p", { class: "quiet" }, "It's filed for an engineer to teach. The running threshold doesn't move."));
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    button.disabled = true;
    said(post("/api/file", { id: verdict.id, kind, reason: remark.value }).then((done) => {
      dialog.close();
      toast(`Part ${verdict.part} is filed as ${name.toLowerCase()}.${done.image ? "" : " No image of it was kept, so it can't be taught."}`);
      document.dispatchEvent(new CustomEvent("filed"));
    }).finally(() => { button.disabled = false; }));
  });
  return made;
}

export function thumb(verdict, { small = null } = {}) {
  const said_ = word(verdict);
  const pic = el("div", { class: "pic" }, verdict.kept || small
    ? el("img", { src: `/images/${verdict.id}/small`, alt: "", loading: "lazy" }) : icon(said_.kind, said_.kind));
  return el("button", {
    type: "button", "aria-label": `Part ${verdict.part}, ${said_.text}, ${why(verdict)}, ${clock(verdict.utc_ms)}`,
    onclick: () => said(open(verdict)),
  }, pic, el("span", {}, icon(said_.kind, said_.kind), verdict.why === "score" ? score(verdict.score) : verdict.why), el("small", {}, `part ${verdict.part}`));
}
