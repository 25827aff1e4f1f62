// The trend of scores and their spread: points by shape and colour, the threshold as a line with its value.

import { score } from "/static/dom.js";

function begin(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const on = canvas.getContext("2d");
  on.setTransform(scale, 0, 0, scale, 0, 0);
  on.clearRect(0, 0, width, height);
  const style = getComputedStyle(document.documentElement);
  on.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
  return { on, width, height, colour: (name) => style.getPropertyValue(`--${name}`).trim() };
}

// Far outliers don't flatten all others: they stand at the top, as triangles.
const ceiling = (values, threshold) => {
  const sorted = [...values].sort((a, b) => a - b);
  const high = sorted[Math.floor(0.98 * (sorted.length - 1))] ?? 0;
  return 1.12 * Math.max(1.35 * threshold, Math.min(high, 3 * threshold));
};

export function trend(canvas, scores) {
  const { on, width, height, colour } = begin(canvas);
  const rejects = scores.filter((each) => each[2]).length;
  const last = scores[scores.length - 1];
  canvas.setAttribute("aria-label", last
    ? `The last ${scores.length} scores, ${rejects} rejected; the last is ${score(last[0])}, the threshold ${score(last[1])}` : "No scores yet");
  on.fillStyle = colour("quiet");
  if (!last) { on.fillText("No scores yet", 8, height / 2); return; }
  const top = ceiling(scores.map((each) => each[0]), last[1]), left = 4, right = width - 66;
  const step = (right - left) / Math.max(60, scores.length);
  const x = (i) => right - (scores.length - 0.5 - i) * step;
  const y = (value) => 8 + (height - 14) * (1 - Math.min(value, top) / top);
  on.strokeStyle = colour("line"); on.lineWidth = 1;
  on.beginPath(); on.moveTo(left, height - 5.5); on.lineTo(right, height - 5.5); on.stroke();
  on.strokeStyle = colour("ink"); on.lineWidth = 2; on.setLineDash([7, 5]); on.beginPath();
  scores.forEach((each, i) => (i ? on.lineTo(x(i), y(each[1])) : on.moveTo(left, y(each[1]))));
  on.lineTo(right, y(last[1])); on.stroke(); on.setLineDash([]);
  on.fillStyle = colour("ink"); on.fillText(score(last[1]), right + 6, y(last[1]) + 4);
  scores.forEach(([value, , isReject], i) => {
    on.fillStyle = colour(isReject ? "reject" : "accept");
    on.beginPath();
    if (isReject) {
      const at = y(value), r = 5;
      on.moveTo(x(i), at - r); on.lineTo(x(i) + r, at + r * 0.8); on.lineTo(x(i) - r, at + r * 0.8);
    } else on.arc(x(i), y(value), 2.2, 0, 7);
    on.fill();
  });
}

export function spread(canvas, scores, now, wanted) {
  const { on, width, height, colour } = begin(canvas);
  canvas.setAttribute("aria-label", `${scores.length} scores; threshold ${score(now)}, new ${score(wanted)}`);
  on.fillStyle = colour("quiet");
  if (!scores.length) { on.fillText("No scores yet", 8, height / 2); return; }
  const top = ceiling(scores, Math.max(now, wanted || 0)), bins = Math.max(20, Math.min(90, Math.floor(width / 14)));
  const tall = new Array(bins).fill(0), x = (value) => 4 + ((width - 8) * Math.min(value, top)) / top;
  for (const value of scores) tall[Math.max(0, Math.min(bins - 1, Math.floor((value / top) * bins)))] += 1;
  const most = Math.max(...tall), base = height - 4, room = height - 50, wide = (width - 8) / bins;
  tall.forEach((n, i) => {
    if (!n) return;
    const high = Math.max(3, room * Math.sqrt(n / most));
    on.fillStyle = colour(((i + 0.5) * top) / bins > wanted ? "reject" : "accept");
    on.fillRect(4 + i * wide + 1, base - high, Math.max(1, wide - 2), high);
  });
  for (const [value, name, dash, at] of [[now, "now", [6, 5], 14], [wanted, "new", [], 32]]) {
    if (!(value > 0)) continue;
    const text = `${name} ${score(value)}`, over = x(value) + on.measureText(text).width + 12 > width;
    on.strokeStyle = on.fillStyle = colour("ink"); on.lineWidth = name === "new" ? 3 : 2; on.setLineDash(dash);
    on.beginPath(); on.moveTo(x(value), at - 10); on.lineTo(x(value), base); on.stroke();
    on.textAlign = over ? "right" : "left"; on.fillText(text, x(value) + (over ? -6 : 6), at); on.textAlign = "left";
  }
  on.setLineDash([]);
}
