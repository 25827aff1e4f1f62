// The histogram over the slider, and the curves with the thresholds' places on them.
function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const EDGE = 12; // half of the slider's thumb, so that the axis is the slider's
const histogram = byId("histogram");

function drawHistogram() {
  const width = histogram.clientWidth, inner = width - 2 * EDGE;
  if (inner <= 0) return;
  const bins = Math.max(16, Math.min(60, Math.floor(inner / 14)));
  const good = new Array(bins).fill(0), bad = new Array(bins).fill(0);
  for (let i = 0; i < count; i++) {
    const bin = Math.min(bins - 1, Math.floor(axis.at(data.scores[i]) * bins));
    (isGood(i) ? good : bad)[bin]++;
  }
  const top = 22, middle = 100, bottom = 178;
  const most = Math.max(...good.map((n) => n / (nGood || 1)), ...bad.map((n) => n / (nBad || 1))) || 1;
  const bars = (kind, counts, total, sign) => svg("g", { class: `bars ${kind}` }, ...counts.flatMap((n, k) => {
    if (!n) return [];
    const height = Math.max(2, (n / total / most) * (middle - top));
    const range = `${short(axis.value(k / bins))} to ${short(axis.value((k + 1) / bins))}`;
    const bar = svg("rect", {
      x: EDGE + (k * inner) / bins + 0.5, width: inner / bins - 1, height, y: sign > 0 ? middle - height : middle,
    });
    bar.append(svg("title", {}, `${n} ${kind === "good" ? "good" : "defective"}, scores ${range}`));
    return [bar];
  }));
  const x = (value) => EDGE + axis.at(value) * inner;
  const marks = ticks(Math.max(3, Math.floor(inner / 70))).map((value) =>
    svg("text", { x: x(value), y: 197, "text-anchor": "middle" }, short(value)));
  const own = x(data.threshold), end = own > width / 2;
  histogram.replaceChildren(
    bars("good", good, nGood, 1), bars("bad", bad, nBad, -1),
    svg("path", { class: "grid", d: `M0 ${middle}H${width}` }), ...marks,
    svg("path", { class: "own", d: `M${own} 6V${bottom + 6}` }),
    svg("text", { class: "strong", x: own + (end ? -6 : 6), y: 14, "text-anchor": end ? "end" : "start" },
      `threshold ${short(data.threshold)}`),
    svg("path", { class: "now", id: "now", d: `M0 6V200` }),
  );
  histogram.setAttribute("aria-label", `Scores of ${nGood} good and ${nBad} defective images, from ` +
    `${short(Math.min(...extremes))} to ${short(Math.max(...extremes))}; the threshold of the evaluation is ${short(data.threshold)}`);
  placeLine();
}

const extremes = data.scores.reduce(([low, high], score) => [Math.min(low, score), Math.max(high, score)],
  [Infinity, -Infinity]);

function placeLine() {
  const at = EDGE + axis.at(threshold) * (histogram.clientWidth - 2 * EDGE);
  byId("now")?.setAttribute("transform", `translate(${at} 0)`);
}

// Where a threshold is on each curve; precision has no value while nothing is over the threshold.
function places(counts) {
  const recall = counts.found / nBad, alarms = counts.alarm / nGood, over = counts.found + counts.alarm;
  return { trade: [alarms, 1 - recall], roc: [alarms, recall], pr: over ? [recall, counts.found / over] : null };
}
data.trade = data.roc && [data.roc[0], data.roc[1].map((found) => 1 - found)];
const CURVES = ["trade", "roc", "pr"];

const SIDE = 320, LEFT = 34, LOW = 24, PLOT = SIDE - LEFT - 8;
const across = (v) => LEFT + v * PLOT, up = (v) => SIDE - LOW - v * (SIDE - LOW - 8);

function drawCurve(name) {
  const place = byId(name);
  if (!place) return;
  const [x, y] = data[name], steps = [`M${across(x[0])} ${up(y[0])}`];
  // Precision belongs to the recall that it ends at: up or down first, then across. So is the area AP.
  for (let i = 1; i < x.length; i++) steps.push(name === "pr" ? `V${up(y[i])}H${across(x[i])}` : `L${across(x[i])} ${up(y[i])}`);
  place.setAttribute("viewBox", `0 0 ${SIDE} ${SIDE}`);
  const lines = [0, 0.25, 0.5, 0.75, 1].flatMap((v) => [
    svg("path", { class: "grid", d: `M${across(0)} ${up(v)}H${across(1)}M${across(v)} ${up(0)}V${up(1)}` }),
    svg("text", { x: LEFT - 6, y: up(v) + 4, "text-anchor": "end" }, `${100 * v}`),
    svg("text", { x: across(v), y: SIDE - 6, "text-anchor": v === 1 ? "end" : "middle" }, `${100 * v}`),
  ]);
  const guess = name === "roc" ? [svg("path", { class: "guess", d: `M${across(0)} ${up(0)}L${across(1)} ${up(1)}` })] : [];
  place.replaceChildren(...lines, ...guess, svg("path", { class: "curve", d: steps.join("") }),
    ...(name === "trade" ? [box()] : []), svg("path", { class: "best", d: "M-6 0L0 -6L6 0L0 6Z" }),
    svg("circle", { class: "own", r: 7 }), svg("circle", { class: "now", r: 5 }));
}

// The 95 % intervals of both shares at the evaluation's threshold.
function box() {
  const counts = tally(data.threshold);
  const [left, right] = limits(counts.alarm, nGood).map(across), [low, high] = limits(counts.escape, nBad).map(up);
  return svg("rect", { class: "box", x: left, y: high, width: right - left, height: low - high });
}

function placeDots(kind, counts) {
  const here = places(counts);
  for (const name of CURVES) {
    const dot = byId(name)?.querySelector(`.${kind}`);
    if (!dot) continue;
    const at = here[name];
    dot.setAttribute("visibility", at ? "visible" : "hidden");
    if (!at) continue;
    dot.setAttribute("transform", `translate(${across(at[0])} ${up(at[1])})`);
    if (kind !== "now") continue;
    const [a, b] = at.map((v) => `${percent(v)} %`);
    byId(name).setAttribute("aria-label", {
      trade: `Escapes against false alarms; at the threshold ${b} of the defective escape and ${a} of the good are false alarms`,
      roc: `ROC curve; at the threshold ${b} of the defective are found and ${a} of the good are false alarms`,
      pr: `Precision over recall; at the threshold ${a} of the defective are found and ${b} of the alarms are true`,
    }[name]);
  }
}

CURVES.forEach(drawCurve);
placeDots("own", tally());
if (data.best !== null) placeDots("best", tally(data.best));
new ResizeObserver(drawHistogram).observe(histogram);
whenMoved.push((counts) => { placeLine(); placeDots("now", counts); });
