// A picture with its anomaly map and regions, drawn together: all of one part, or none of it.

const load = (address) => new Promise((done, failed) => {
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = () => failed(new Error("This picture isn't there any more."));
  image.src = address;
});

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.shown = null;
    this.map = this.regions = true;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // what: {image, map, regions, size: [width, height] of the image that the regions are of, label}
  async show(what) {
    this.wanted = what;
    const [image, map] = await Promise.all([load(what.image), what.map ? load(what.map).catch(() => null) : null]);
    if (this.wanted !== what) return;
    this.shown = { ...what, image, map };
    this.canvas.setAttribute("aria-label", what.label);
    this.draw();
  }

  clear(label) {
    this.wanted = this.shown = null;
    this.canvas.setAttribute("aria-label", label);
    this.draw();
  }

  draw() {
    const { canvas, shown } = this;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
    const height = canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
    const on = canvas.getContext("2d");
    on.clearRect(0, 0, width, height);
    if (!shown) return;
    const { image, map, regions } = shown;
    const fit = Math.min(width / image.naturalWidth, height / image.naturalHeight);
    const w = image.naturalWidth * fit, h = image.naturalHeight * fit;
    const x = (width - w) / 2, y = (height - h) / 2;
    on.imageSmoothingEnabled = fit < 2;
    on.drawImage(image, x, y, w, h);
    on.imageSmoothingEnabled = true;
    if (this.map && map) on.drawImage(map, x, y, w, h);
    if (!this.regions) return;
    const [full] = shown.size ?? [image.naturalWidth];
    const by = w / full;
    for (const [left, top, wide, high] of regions) {
      const box = [x + left * by - 3 * scale, y + top * by - 3 * scale, wide * by + 6 * scale, high * by + 6 * scale];
      on.lineWidth = 5 * scale; on.strokeStyle = "#000b"; on.strokeRect(...box);
      on.lineWidth = 2.5 * scale; on.strokeStyle = "#fff"; on.strokeRect(...box);
    }
  }
}

export function toggles(picture, mapButton, regionsButton) {
  for (const [button, what] of [[mapButton, "map"], [regionsButton, "regions"]]) {
    button.addEventListener("click", () => {
      picture[what] = !picture[what];
      button.setAttribute("aria-pressed", String(picture[what]));
      picture.draw();
    });
  }
}
