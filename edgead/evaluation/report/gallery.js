// The gallery: of thousands of images, only the cards near the window are in the document.
const filters = { show: "all", defect: "", text: "", order: "worst" };
const shows = { all: "All", wrong: "Wrong", escape: "Escapes", alarm: "False alarms", found: "Found", passed: "Passed" };
const orders = { worst: "worst first", close: "closest calls first", high: "highest score first", low: "lowest score first", name: "by name" };
const list = byId("cards");
const GAP = 14, NARROWEST = 270, BEYOND = 700, ON_PAPER = 60;

let entries = []; // the images that pass the filters, in order
let current = 0; // place in entries of the card that Tab reaches
let grid = { columns: 1, width: NARROWEST, height: 300 };
const cards = new Map(); // image to its element, for those in the document
const searched = data.names.map((name, i) => `${name} ${data.defects[data.defect[i]]}`.toLowerCase());

const lines = [];
const blocks = document.querySelectorAll("script.pictures");
function pictures(i) {
  const block = Math.floor(i / data.block);
  lines[block] ??= blocks[block].textContent.split("\n");
  return lines[block][i % data.block].split(" ").map((text) => `data:image/webp;base64,${text}`);
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function frame(i, which, outlined, alt) {
  const image = element("img", { src: pictures(i)[which], alt, decoding: "async", draggable: false });
  const made = element("span", { className: "frame" }, image);
  if (outlined && data.outlines[i]) {
    const line = () => svg("path", { d: data.outlines[i] });
    made.append(svg("svg", { viewBox: `0 0 ${data.sizes[i].join(" ")}`, "aria-hidden": "true" }, line(), line()));
  }
  return made;
}

const truth = (i) => (isGood(i) ? "good" : data.defects[data.defect[i]].replaceAll("_", " "));
const verdict = (i) => `${outcomeWords[outcome(i)]}: ${truth(i)}`;

function card(i) {
  if (cards.has(i)) return cards.get(i);
  const said = element("b", {}), score = element("span", { textContent: short(data.scores[i]) });
  const words = element("span", { className: "words" }, element("span", { className: "verdict" }, said, score),
    element("span", { textContent: data.names[i], title: data.names[i] }));
  const button = element("button", { type: "button" },
    element("span", { className: "pair" }, frame(i, 0, false, ""), frame(i, 1, true, "")), words);
  const made = element("li", {}, button);
  made.dataset.image = i;
  cards.set(i, made);
  return made;
}

function refresh(made, place) {
  const i = entries[place], button = made.firstChild;
  button.className = `card ${outcome(i)}`;
  button.tabIndex = place === current ? 0 : -1;
  button.querySelector("b").textContent = verdict(i);
  button.setAttribute("aria-label", `${verdict(i)}, score ${short(data.scores[i])}, ${data.names[i]}`);
  made.setAttribute("aria-posinset", place + 1);
  made.setAttribute("aria-setsize", entries.length);
  made.style.width = `${grid.width}px`;
  const row = Math.floor(place / grid.columns), column = place % grid.columns;
  made.style.transform = `translate(${column * (grid.width + GAP)}px, ${row * grid.height}px)`;
}

function wanted() {
  if (list.classList.contains("paper")) return [...entries.slice(0, ON_PAPER).keys()];
  const top = list.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor((-top - BEYOND) / grid.height)) * grid.columns;
  const end = Math.ceil((innerHeight - top + BEYOND) / grid.height) * grid.columns;
  const places = [];
  for (let place = first; place < Math.min(end, entries.length); place++) places.push(place);
  // The current card stays, wherever the page is scrolled to, or Tab couldn't reach it and its focus were lost.
  return places.includes(current) ? places : [...places, current].sort((a, b) => a - b);
}

function render() {
  if (!entries.length) { cards.clear(); list.replaceChildren(); list.style.height = "0"; return; }
  const places = wanted(), keep = new Set(places.map((place) => entries[place]));
  for (const [i, made] of cards) if (!keep.has(i)) { made.remove(); cards.delete(i); }
  let next = list.firstChild;
  for (const place of places) {
    const made = card(entries[place]);
    refresh(made, place);
    if (made === next) next = next.nextSibling;
    else list.insertBefore(made, next);
  }
  list.style.height = `${Math.ceil(entries.length / grid.columns) * grid.height - GAP}px`;
}

// All cards are equally high: pictures of one shape, and lines that don't wrap. So one is measured.
function measure() {
  const width = list.clientWidth;
  if (!width) return;
  const columns = Math.max(1, Math.floor((width + GAP) / (NARROWEST + GAP)));
  grid = { columns, width: (width - (columns - 1) * GAP) / columns, height: grid.height };
  if (!entries.length) return;
  const height = list.firstChild.offsetHeight + GAP;
  if (height !== grid.height) { grid.height = height; render(); }
}

function passes(i) {
  const is = outcome(i);
  if (filters.show === "wrong" ? is !== "escape" && is !== "alarm" : filters.show !== "all" && filters.show !== is) return false;
  return (filters.defect === "" || data.defect[i] === Number(filters.defect)) && searched[i].includes(filters.text);
}

// Worst first: the escapes with the lowest scores, the false alarms with the highest, then the closest calls.
const distance = (i) => Math.abs(data.scores[i] - threshold);
const group = (i) => ({ escape: 0, alarm: 1, found: 2, passed: 2 })[outcome(i)];
const compare = {
  worst: (a, b) => group(a) - group(b) || (group(a) < 2 ? distance(b) - distance(a) : distance(a) - distance(b)),
  close: (a, b) => distance(a) - distance(b),
  high: (a, b) => data.scores[b] - data.scores[a],
  low: (a, b) => data.scores[a] - data.scores[b],
  name: (a, b) => data.names[a].localeCompare(data.names[b], "en", { numeric: true }),
};

function choose() {
  const before = entries[current];
  entries = [];
  for (let i = 0; i < count; i++) if (passes(i)) entries.push(i);
  entries.sort((a, b) => compare[filters.order](a, b) || a - b);
  current = list.contains(document.activeElement) ? Math.max(0, entries.indexOf(before)) : 0;
  byId("shown").textContent = `${entries.length} of ${count} images.`;
  byId("none").hidden = entries.length > 0;
  render();
}

let waiting = false;
function soon(work) {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; work(); });
}
let stale = false;
const update = () => { if (stale) { stale = false; choose(); } else render(); };

function focusCard(place) {
  current = Math.min(entries.length - 1, Math.max(0, place));
  const top = list.getBoundingClientRect().top + Math.floor(current / grid.columns) * grid.height;
  const bar = document.querySelector(".bar").offsetHeight + GAP;
  if (top < bar) scrollBy(0, top - bar);
  else if (top + grid.height > innerHeight) scrollBy(0, top + grid.height - innerHeight);
  render();
  if (!cards.has(entries[current])) return;
  cards.get(entries[current]).firstChild.focus({ preventScroll: true });
  render();
}

list.addEventListener("keydown", (event) => {
  const page = Math.max(1, Math.floor(innerHeight / grid.height)) * grid.columns;
  const steps = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid.columns, ArrowUp: -grid.columns, PageDown: page, PageUp: -page,
    Home: -entries.length, End: entries.length,
  };
  const step = steps[event.key];
  if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  focusCard(current + step);
});
list.addEventListener("focusin", (event) => {
  const place = entries.indexOf(Number(event.target.closest("li").dataset.image));
  if (place !== current) { current = place; soon(update); }
});

for (const [show, text] of Object.entries(shows)) {
  const button = element("button", { type: "button" }, text);
  button.dataset.show = show;
  button.addEventListener("click", () => { filters.show = show; pressed(); choose(); });
  byId("outcomes").append(button);
}
function pressed() {
  for (const button of byId("outcomes").children) button.setAttribute("aria-pressed", String(button.dataset.show === filters.show));
}
function label(counts) {
  const all = { ...counts, all: count, wrong: counts.escape + counts.alarm };
  for (const button of byId("outcomes").children) button.textContent = `${shows[button.dataset.show]} ${all[button.dataset.show]}`;
}
const option = (value, text) => element("option", { value, textContent: text });
byId("defect").append(option("", "any"), ...data.defects.map((name, k) => option(k, name.replaceAll("_", " "))));
byId("order").append(...Object.entries(orders).map(([value, text]) => option(value, text)));
byId("defect").addEventListener("change", (event) => { filters.defect = event.target.value; choose(); });
byId("order").addEventListener("change", (event) => { filters.order = event.target.value; choose(); });
byId("search").addEventListener("input", (event) => { filters.text = event.target.value.trim().toLowerCase(); choose(); });
byId("clear").addEventListener("click", () => {
  Object.assign(filters, { show: "all", defect: "", text: "" });
  byId("defect").value = byId("search").value = "";
  pressed();
  choose();
  focusCard(0);
});

list.style.setProperty("--ratio", data.ratio);
addEventListener("scroll", () => soon(update), { passive: true });
addEventListener("beforeprint", () => { list.classList.add("paper"); render(); });
addEventListener("afterprint", () => { list.classList.remove("paper"); render(); });
new ResizeObserver(() => measure()).observe(list);
addEventListener("resize", () => soon(update));
whenMoved.push((counts) => { label(counts); stale = true; soon(update); });
pressed();
