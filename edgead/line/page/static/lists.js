// What the line said of itself, and who changed what.

import { $, el, get, icon, moment, said } from "/static/dom.js";

export async function events() {
  const found = await get("/api/events");
  const rows = found.events.map((each) => el("li", {}, el("time", {}, moment(each.utc_ms)), el("div", { class: "text" }, each.text)));
  $("event-rows").replaceChildren(...(rows.length ? rows : [el("li", { class: "none" }, "Nothing was said.")]));
}

let oldest = null;
export function start() {
  $("audit-more")?.addEventListener("click", () => said(more()));
}

export async function audit() {
  oldest = null;
  $("audit-rows").replaceChildren();
  await more();
}

async function more() {
  const first = oldest === null, found = await get(`/api/audit${first ? "" : `?before=${oldest}`}`);
  if (first) $("chain").replaceChildren(icon(found.whole ? "accept" : "reject", found.whole ? "accept" : "reject"), found.whole ? " The chain is whole: no row was changed or taken out." : ` ${found.why}`);
  const cell = (value) => el("td", {}, value ?? "");
  $("audit-rows").append(...found.audit.map((row) => el("tr", { title: `row ${row.id}, hash ${row.hash}` }, ...[moment(row.utc_ms), row.user, row.what, row.camera, row.old, row.new, row.reason].map(cell))));
  oldest = found.audit.at(-1)?.id ?? oldest;
  $("audit-more").hidden = found.audit.length < 100;
}
