// Which view is shown, and what they have in common.

import { $, meta, post, said } from "/static/dom.js";
import * as filed from "/static/filed.js";
import * as line from "/static/line.js";
import * as lists from "/static/lists.js";
import * as threshold from "/static/threshold.js";

const SHOW = { line: async () => {}, filed: filed.show, threshold: threshold.show, events: lists.events, audit: lists.audit };

function view() {
  const wanted = location.hash.slice(1), name = wanted in SHOW && $(wanted) ? wanted : "line";
  for (const each of document.querySelectorAll(".view")) each.hidden = each.id !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  scrollTo(0, 0);
  said(SHOW[name]());
}

function theme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
  dispatchEvent(new Event("resize"));
}

if (localStorage.getItem("theme")) document.documentElement.dataset.theme = localStorage.getItem("theme");
$("theme").addEventListener("click", theme);
$("logout").addEventListener("click", () => said(post("/logout", {}).then(() => location.assign("/login"))));
document.addEventListener("click", (event) => { if (!event.target.closest(".who")) document.querySelector(".who").open = false; });
document.addEventListener("filed", () => { said(filed.badge()); if (location.hash === "#filed") said(filed.show()); });
addEventListener("hashchange", view);
lists.start();
threshold.start();
line.start();
view();
if (meta("kept")) said(filed.badge());
