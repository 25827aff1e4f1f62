"""False alarms of ``edgead.Drift`` on lines without drift, and how soon it finds one.

    python benchmarks/drift.py --simulated
    python benchmarks/drift.py DATASET_DIR... [--frames 1000000] [--cache DIR]

*Simulated* streams are ``drift_simulated.py``'s; after them come the times that an update and a look take.

*Real* streams replay the good images of data sets in MVTec layout. They are clustered in two by how they look
(k-means on thumbnails); the smaller cluster is the new lot, kept back. PatchCore is fitted on half of the
larger one, in a small size, and exported. The other half is the line: each image, at three brightnesses, and
under each drift, has its score from the exported bundle and its look measured. The images are put in order
(first principal component of the thumbnails), and an AR walk through that order says which part comes next,
so that neighbours are alike; the light is another AR walk (0.999, 1 % of spread), between whose three
brightnesses score and look are interpolated; latency is a third (0.99, 5 %), with one frame in a thousand ten
times as slow. From states along each stream every drift is started anew, and followed for 1,000 frames:
*soon* are those within 20,000 frames from the line's start, of which Drift takes 5,000 to learn.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from drift_simulated import cost, simulated, walks

import edgead
from edgead.device.drift.given import setting_of
from edgead.device.drift.look import Look, look_at
from edgead.device.drift.watch import Setting, Watch
from edgead.images import list_images, read_image

STREAM = 100_000
GAINS = (0.94, 1.0, 1.06)
WALKS = (0.0, 0.9, 0.99)
FROM, EVERY, SOON, WITHIN, RAMP = 6_000, 6_789, 20_000, 1_000, 20_000


def main() -> None:
    arguments = _arguments()
    if arguments.simulated:
        simulated(arguments.frames)
        cost()
    for number, folder in enumerate(arguments.datasets):
        if not number:
            print("| set | parts' walk | frames | false alarms in 100,000 | drift | soon | later | frames |")
            print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        line = Line.of(folder, arguments.size, arguments.cache)
        for walk in WALKS:
            replay(folder.name, line, walk, arguments.frames)


@dataclass(frozen=True)
class Line:
    """What the exported bundle makes of a data set's images.

    Attributes:
        setting: the bundle's held-out marks.
        figures: by the drift's name, (images, GAINS, 4) float64: score, level, deviation, detail.
    """

    setting: Setting
    figures: dict[str, np.ndarray]

    @classmethod
    def of(cls, folder: Path, size: int, cache: Path | None) -> Line:
        files = [f for part in ("train", "test") for f in list_images(folder / part / "good")]
        work = Path(tempfile.mkdtemp()) if cache is None else cache
        key = hashlib.sha256(f"{folder.resolve()} {size} {files}".encode()).hexdigest()[:12]
        bundle, kept = work / f"{key}.edgead", work / f"{key}.npz"
        usual, lot = _clusters(files)
        if not bundle.exists():
            good = work / key / "good"
            good.mkdir(parents=True)
            for file in usual[::2]:
                shutil.copy(file, good / f"{file.parts[-3]}-{file.name}")
            fitted = edgead.fit("patchcore", good, work / f"{key}-fitted.edgead", size=size)
            edgead.export(fitted, "openvino", bundle)
        detector = edgead.load(bundle)
        setting = setting_of(detector.bundle, 500, 10)
        if not kept.exists():
            line = usual[1::2]
            figures = {name: _figures(detector, line, change) for name, change in DRIFTS.items()}
            figures["new lot"] = _figures(detector, lot, DRIFTS[""])
            np.savez(kept, **{name or "none": values for name, values in figures.items()})
        with np.load(kept) as found:
            figures = {name.replace("none", ""): found[name] for name in found.files}
        return cls(setting, figures)


def _clusters(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """The larger cluster in its order of look, and the smaller."""
    thumbs = np.stack([cv2.resize(read_image(f), (8, 8), interpolation=cv2.INTER_AREA) for f in files])
    points = thumbs.reshape(len(files), -1).astype(np.float32)
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 0.1)
    _, labels, _ = cv2.kmeans(points, 2, np.empty(0), stop, 10, cv2.KMEANS_PP_CENTERS)
    larger = labels[:, 0] == np.bincount(labels[:, 0]).argmax()
    centred = points - points[larger].mean(0)
    order = np.argsort(centred @ np.linalg.svd(centred[larger], full_matrices=False)[2][0])
    return [files[i] for i in order if larger[i]], [files[i] for i in order if not larger[i]]


def _tinted(image: np.ndarray, _: float) -> np.ndarray:
    return image * np.array([0.85, 1.0, 1.0], np.float32)


def _blurred(image: np.ndarray, pixel: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), 1.5 * pixel)


def _flatter(image: np.ndarray, _: float) -> np.ndarray:
    mean = image.mean()
    return mean + 0.8 * (image - mean)


DRIFTS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "": lambda image, _: image,
    "exposure -10 %": lambda image, _: image * 0.9,
    "defocus": _blurred,
    "contrast -20 %": _flatter,
    "blue -15 %": _tinted,
}
"""From an image (H, W, 3) float32 and a pixel of the model in its pixels."""


def _figures(detector: edgead.Detector, files: list[Path], change: Callable) -> np.ndarray:
    size = detector.rule.size
    found = np.empty((len(files), len(GAINS), 4))
    for i, file in enumerate(files):
        image = read_image(file).astype(np.float32)
        pixel = min(image.shape[0] / size[0], image.shape[1] / size[1])
        for j, gain in enumerate(GAINS):
            frame = np.clip(np.rint(change(image * gain, pixel)), 0, 255).astype(np.uint8)
            look = look_at(frame, size)
            found[i, j] = detector(frame).score, look.level, look.deviation, look.detail
    return found


@dataclass(frozen=True)
class Stream:
    """One line's way through its parts and its light: walks of spread 1."""

    parts: np.ndarray
    light: np.ndarray
    seconds: list[float]

    def frames(self, figures: np.ndarray, begin: int, end: int, ramp: np.ndarray | None = None) -> Iterator:
        """Score, look and seconds of the frames from ``begin`` on."""
        z = self.parts[begin:end]
        n = len(figures)
        rank = np.minimum((_normal(z) * n).astype(int), n - 1)
        gain = np.log(0.01 * self.light[begin:end] + 1)
        gain = gain if ramp is None else gain + ramp
        known = np.log(GAINS)
        right = np.clip(np.searchsorted(known, gain), 1, len(GAINS) - 1)
        weight = ((gain - known[right - 1]) / (known[right] - known[right - 1]))[:, None]
        rows = figures[rank, right - 1] * (1 - weight) + figures[rank, right] * weight
        for row, seconds in zip(rows.tolist(), self.seconds[begin:end], strict=True):
            yield row[0], Look(*row[1:]), seconds


def _normal(z: np.ndarray) -> np.ndarray:
    """The normal distribution function, to 1e-7 (Abramowitz and Stegun 26.2.17)."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    powers = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-z * z / 2) / (2 * np.pi) ** 0.5 * powers
    return np.where(z < 0, tail, 1 - tail)


def replay(name: str, line: Line, walk: float, frames: int) -> None:
    """Print a row for each drift, of streams whose parts walk so."""
    rng = np.random.default_rng(11)
    count = max(frames // STREAM, 1)
    parts, light = walks(rng, walk, STREAM, count), walks(rng, 0.999, STREAM, count)
    slow = walks(rng, 0.99, STREAM, count)
    seconds = 0.03 * np.exp(0.05 * slow) * np.where(rng.random((STREAM, count)) < 0.001, 10, 1)
    false: Counter[str] = Counter()
    waits: dict[tuple[str, bool], list[int]] = {}
    by: dict[str, Counter[str]] = {}
    watched = 0
    for i in range(count):
        stream = Stream(parts[:, i], light[:, i], seconds[:, i].tolist())
        watch, begin = Watch(), 0
        usual = line.figures[""]
        for at in [*range(FROM, STREAM - RAMP, EVERY), STREAM]:
            for frame in stream.frames(usual, begin, at):
                false.update(watch.take(*frame, line.setting))
            watched += at - begin if begin else at - 5_000
            begin = at
            if at == STREAM or any(channel.changed for channel in watch.channels.values()):
                continue
            for drift_name, figures in line.figures.items():
                if drift_name:
                    moved = stream.frames(figures, at, at + WITHIN)
                    _follow(drift_name, watch, moved, line.setting, waits, by)
            slower = ((s, look, 1.2 * t) for s, look, t in stream.frames(usual, at, at + WITHIN))
            _follow("latency +20 %", watch, slower, line.setting, waits, by)
            if at == FROM + EVERY:
                darker = stream.frames(usual, at, at + RAMP, np.linspace(0, np.log(0.9), RAMP))
                _follow(f"light -10 % over {RAMP:,}", watch, darker, line.setting, waits, by)
    told = ", ".join(f"{n} {v}" for n, v in false.items())
    levels = np.log(line.figures[""][:, GAINS.index(1.0), 1])
    parts_told = f"{name}: {len(levels)} parts, brightness +-{levels.std():.0%}"
    print(f"| {parts_told} | {walk} | {watched:,} | {sum(false.values()) / watched * 1e5:.2f}", end="")
    print(f"{f' ({told})' if told else ''} | | | | |")
    for kind in dict.fromkeys(kind for kind, _ in waits):
        soon, later = waits.get((kind, True), []), waits.get((kind, False), [])
        at_all = [wait for wait in soon + later if wait]
        median = f"{statistics.median(at_all):,.0f}" if at_all else "-"
        first = by[kind].most_common(1)[0][0] if at_all else ""
        shares = (f"{sum(0 < w <= WITHIN for w in found)} of {len(found)}" for found in (soon, later))
        print(f"| | | | | {kind} | {' | '.join(shares)} | {median} {first} |", flush=True)


def _follow(name: str, watch: Watch, frames: Iterator, setting: Setting, waits: dict, by: dict) -> None:
    """Go on from a state, and note after how many frames something is found, 0 for not at all."""
    soon = watch.frames < SOON
    watch, wait = copy.deepcopy(watch), 0
    for n, frame in enumerate(frames, 1):
        if found := watch.take(*frame, setting):
            wait = n
            by.setdefault(name, Counter()).update(found[:1])
            break
    waits.setdefault((name, soon), []).append(wait)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="*", metavar="DATASET_DIR")
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--frames", type=int, default=1_000_000, help="of each row")
    parser.add_argument("--size", type=int, default=128, help="of the model's input")
    parser.add_argument("--cache", type=Path, help="keep bundles and scores here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
