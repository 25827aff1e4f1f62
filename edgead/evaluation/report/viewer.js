// One image, larger; the arrow keys go through what the gallery shows.
const viewer = byId("viewer");
let viewed = 0;

function view(place) {
  viewed = Math.min(entries.length - 1, Math.max(0, place));
  const i = entries[viewed], marked = data.outlines[i] !== "";
  byId("viewer-title").textContent = data.names[i];
  byId("viewer-verdict").textContent = `${verdict(i)}. Score ${short(data.scores[i])}, threshold ${short(threshold)}.`;
  const shown = [["The image", 0, false], ...(marked ? [["Marked as defective", 0, true]] : []), ["Heatmap", 1, marked]];
  byId("viewer-pictures").replaceChildren(...shown.map(([text, which, outlined]) => element("figure", {},
    frame(i, which, outlined, `${text}: ${data.names[i]}`), element("figcaption", { textContent: text }))));
  const [width, height] = data.sizes[i];
  byId("viewer-pictures").style.setProperty("--ratio", width / height);
  byId("place").textContent = `${viewed + 1} of ${entries.length}`;
  byId("previous").disabled = viewed === 0;
  byId("next").disabled = viewed === entries.length - 1;
}

list.addEventListener("click", (event) => {
  const made = event.target.closest("li");
  if (!made) return;
  view(entries.indexOf(Number(made.dataset.image)));
  viewer.showModal();
  byId("close").focus();
});
byId("previous").addEventListener("click", () => view(viewed - 1));
byId("next").addEventListener("click", () => view(viewed + 1));
byId("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
viewer.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) { event.preventDefault(); view(viewed + step); }
});
viewer.addEventListener("close", () => focusCard(viewed));

move(data.threshold);
choose();
measure();
