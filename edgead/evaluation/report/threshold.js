// The images' scores, the threshold that judges them, and the controls that move it.
const data = JSON.parse(document.getElementById("data").textContent);
const count = data.scores.length;
const outcomeWords = { escape: "Escape", alarm: "False alarm", found: "Found", passed: "Passed" };
const byId = (id) => document.getElementById(id);
const short = (value) => String(Number(value.toPrecision(4)));
const isGood = (i) => data.defect[i] === 0;

let threshold = data.threshold;
const whenMoved = [];

function outcome(i, at = threshold) {
  const over = data.scores[i] > at;
  if (isGood(i)) return over ? "alarm" : "passed";
  return over ? "found" : "escape";
}

function tally(at = threshold) {
  const counts = { escape: 0, alarm: 0, found: 0, passed: 0 };
  for (let i = 0; i < count; i++) counts[outcome(i, at)]++;
  return counts;
}

// Wilson's 95 % interval of a share, as edgead.metrics.uncertainty has it.
function limits(part, total) {
  const z = 1.959963984540054, middle = (part + (z * z) / 2) / (total + z * z);
  const half = (z / (total + z * z)) * Math.sqrt((part * (total - part)) / total + (z * z) / 4);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}
const percent = (share) => (100 * share).toFixed(1);
const between = (part, total) => limits(part, total).map(percent).join(" - ");
const told = (part, total) => (total ? `${part} of ${total}: ${percent(part / total)} % (${between(part, total)})` : `${part} of 0`);

// Scores over several powers of ten only show on a logarithmic axis, which needs them all over 0.
const axis = (() => {
  let low = data.threshold, high = data.threshold;
  for (const score of data.scores) { low = Math.min(low, score); high = Math.max(high, score); }
  const log = low > 0 && high / low > 20;
  const to = log ? Math.log : (v) => v, from = log ? Math.exp : (v) => v;
  const margin = 0.04 * (to(high) - to(low)) || Math.abs(to(high)) * 0.1 || 1;
  const start = to(low) - margin, span = to(high) + margin - start;
  return {
    log,
    at: (value) => (value > 0 || !log ? Math.min(1, Math.max(0, (to(value) - start) / span)) : 0),
    value: (at) => from(start + at * span),
  };
})();

function ticks(most) {
  const low = axis.value(0), high = axis.value(1), found = [];
  if (axis.log) {
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const digit of [1, 2, 5]) found.push(digit * 10 ** power);
  } else {
    const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((digit) => digit * power >= raw);
    for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(k * step);
  }
  const inside = found.filter((value) => value >= low && value <= high);
  const every = Math.ceil(inside.length / most);
  return inside.filter((_, k) => k % every === 0);
}

const slider = byId("slider"), number = byId("number"), reset = byId("reset");
const nGood = data.defect.filter((kind) => kind === 0).length, nBad = count - nGood;

// The tiles at the top and the table of defects, as the template wrote them for the evaluation's threshold.
function fill(place, texts) {
  for (const [selector, text] of Object.entries(texts)) place.querySelector(selector).textContent = text;
}
const f1Limits = document.querySelector("#tile-f1 .limits")?.textContent;

function tell(counts, moved) {
  const at = moved ? `at ${short(threshold)}, chosen here` : `at ${short(threshold)}`;
  for (const tile of document.querySelectorAll(".tiles .verdict")) tile.classList.toggle("moved", moved);
  for (const [name, part, total] of [["escape", counts.escape, nBad], ["alarm", counts.alarm, nGood]]) {
    if (!total) continue;
    fill(byId(`tile-${name}`), {
      b: `${part} of ${total}`, ".share": `${percent(part / total)} %`, ".limits": `95 %: ${between(part, total)}`, ".at": at,
    });
  }
  const f1 = byId("tile-f1"), twice = 2 * counts.found;
  if (f1) fill(f1, { b: `${percent(twice / (twice + counts.alarm + counts.escape))} %`, ".limits": moved ? "95 %: -" : f1Limits, ".at": at });
  for (const row of document.querySelectorAll("tr.kind")) {
    const kind = Number(row.dataset.kind);
    let part = 0, total = 0;
    for (let i = 0; i < count; i++) if (data.defect[i] === kind) { total++; part += outcome(i) === "escape"; }
    fill(row, { ".count": part, ".share": percent(part / total), ".limits": between(part, total) });
  }
}

function move(to, source) {
  if (!Number.isFinite(to)) return;
  threshold = to;
  const counts = tally(), moved = threshold !== data.threshold;
  const text = [`escapes ${told(counts.escape, nBad)}`, `false alarms ${told(counts.alarm, nGood)}`];
  if (source !== slider) slider.value = Math.round(1000 * axis.at(threshold));
  if (source !== number) number.value = Number(threshold.toPrecision(6));
  slider.setAttribute("aria-valuetext", `${short(threshold)}: ${text.join(", ")}`);
  byId("counts").replaceChildren(...text.flatMap((one, k) => {
    const part = document.createElement("span");
    part.textContent = k ? one : `${one}, `;
    return [part];
  }));
  tell(counts, moved);
  byId("chosen").hidden = !moved;
  reset.disabled = !moved;
  for (const follow of whenMoved) follow(counts);
}

slider.addEventListener("input", () => move(axis.value(slider.value / 1000), slider));
number.addEventListener("input", () => move(number.value === "" ? NaN : Number(number.value), number));
number.addEventListener("change", () => move(threshold));
reset.addEventListener("click", () => { move(data.threshold); slider.focus(); });
