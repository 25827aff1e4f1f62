"""False alarms of ``edgead.Drift`` on lines without drift, and how soon it finds one.

    python benchmarks/drift.py --simulated
    python benchmarks/drift.py DATASET_DIR... [--frames 1000000] [--cache DIR]

*Simulated* scores are a first-order autoregression (AR): ``x[t] = a x[t-1] + noise``, of one spread, as they
are or made skew by ``exp``. Beside Drift, usual tests get the same scores, with the first 5,000 as their
reference: Kolmogorov-Smirnov on windows of 500 at p < 0.001, PSI over 0.2 in ten bins on the same windows,
ADWIN (Bifet and Gavalda 2007) at its usual delta of 0.002, and Page-Hinkley at its usual threshold.

*Real* streams replay the good images of data sets in MVTec layout. They are clustered in two by how they look
(k-means on thumbnails); the smaller cluster is the new lot, kept back. PatchCore is fitted on half of the
larger one, in a small size, and exported. The other half is the line: each image, at three brightnesses, and
under each drift, has its score from the exported bundle and its look measured. The images are put in order
(first principal component of the thumbnails), and an AR walk through that order says which part comes next,
so that neighbours are alike; the light is another AR walk (0.999, 1.5 % of spread), between whose three
brightnesses score and look are interpolated; latency is a third (0.99, 5 %), with one frame in a thousand ten
times as slow. From states along each stream every drift is started anew, and followed for 1,000 frames.
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

import edgead
from edgead.device.drift.given import setting_of
from edgead.device.drift.look import Look, look_at
from edgead.device.drift.watch import Setting, Watch
from edgead.images import list_images, read_image

PLAIN = Setting(500, 10)
STREAM = 100_000
GAINS = (0.94, 1.0, 1.06)
WALKS = (0.0, 0.9, 0.99)
FROM, EVERY, WITHIN, RAMP = 6_000, 6_789, 1_000, 20_000


def main() -> None:
    arguments = _arguments()
    if arguments.simulated:
        simulated(arguments.frames)
    for number, folder in enumerate(arguments.datasets):
        if not number:
            print(
                "| set | parts' walk | frames | false alarms per 100,000 | drift | found in 1,000 | frames |"
            )
            print("| --- | --- | --- | --- | --- | --- | --- |")
        line = Line.of(folder, arguments.size, arguments.cache)
        for walk in WALKS:
            replay(folder.name, line, walk, arguments.frames)


def walks(rng: np.random.Generator, a: float, length: int, count: int) -> np.ndarray:
    """(length, count) float32: autoregressions of mean 0 and spread 1."""
    noise = rng.standard_normal((length, count), np.float32) * np.float32((1 - a * a) ** 0.5)
    noise[0] = rng.standard_normal(count)
    for t in range(1, length if a else 0):
        noise[t] += np.float32(a) * noise[t - 1]
    return noise


# ---------------------------------------------------------------- simulated


def simulated(frames: int) -> None:
    """Print false alarms and finds of Drift and of usual tests, a row each."""
    length, warm = 50_000, 5_000
    count = max(frames // length, 1)
    print("| scores | test | false alarms per 100,000 | +0.5 spreads found in 1,000 | +1 | +2 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for a, skew in ((0.0, False), (0.9, False), (0.9, True), (0.99, False), (0.99, True)):
        rng = np.random.default_rng(7)
        plain = walks(rng, a, length, count)
        law: Callable[[np.ndarray], np.ndarray] = (lambda x: np.exp(0.8 * x)) if skew else (lambda x: x)
        for name, test in TESTS.items():
            alarms = sum(len(test(law(plain[:, i]))) for i in range(count))
            row = (
                f"| AR {a}{', skew' if skew else ''} | {name} | {alarms / count / (length - warm) * 1e5:.2f}"
            )
            for shift in (0.5, 1.0, 2.0):
                found = 0
                for i in range(min(count, 20)):
                    at = 25_000 + 137 * i
                    moved = plain[: at + WITHIN, i].copy()
                    moved[at:] += shift
                    found += any(at < t <= at + WITHIN for t in test(law(moved)))
                row += f" | {found / min(count, 20):.0%}"
            print(f"{row} |", flush=True)


def drift(scores: np.ndarray) -> list[int]:
    """The frames at which Drift says that something changed."""
    watch = Watch()
    return [t for t, s in enumerate(scores.tolist(), 1) if watch.take(s, None, None, PLAIN)]


def kolmogorov_smirnov(scores: np.ndarray) -> list[int]:
    known = np.sort(scores[:5000])
    limit = 1.95 * (1 / 500 + 1 / 5000) ** 0.5  # p = 0.001

    def far(window: np.ndarray) -> bool:
        window = np.sort(window)
        under = np.searchsorted(known, window, "right") / 5000
        steps = np.arange(500) / 500
        return bool(max((under - steps).max(), (steps + 1 / 500 - under).max()) > limit)

    return _edges(scores, far)


def population_stability(scores: np.ndarray) -> list[int]:
    bins = np.quantile(scores[:5000], np.linspace(0, 1, 11)[1:-1])

    def far(window: np.ndarray) -> bool:
        share = np.maximum(np.bincount(np.searchsorted(bins, window), minlength=10) / 500, 1e-4)
        return bool(((share - 0.1) * np.log(share / 0.1)).sum() > 0.2)

    return _edges(scores, far)


def _edges(scores: np.ndarray, far: Callable[[np.ndarray], bool]) -> list[int]:
    """The ends of windows of 500 that are far, where the one before wasn't."""
    found, before = [], False
    for end in range(5500, len(scores) + 1, 500):
        now = far(scores[end - 500 : end])
        if now and not before:
            found.append(end)
        before = now
    return found


def adwin(scores: np.ndarray) -> list[int]:
    """With 32 frames to the smallest bucket and at most five of a size; what it says from 5,000 on counts."""
    low, high = scores[:5000].min(), scores[:5000].max()
    values = np.clip((scores - low) / (high - low), -1, 2)
    buckets: list[tuple[int, float]] = []  # frames and sum, the newest last
    found = []
    for end in range(32, len(values) + 1, 32):
        buckets.append((32, float(values[end - 32 : end].sum())))
        size = 32
        while len(same := [i for i, bucket in enumerate(buckets) if bucket[0] == size]) > 5:
            i = same[0]
            buckets[i : i + 2] = [(2 * size, buckets[i][1] + buckets[i + 1][1])]
            size *= 2
        n, total = sum(b[0] for b in buckets), sum(b[1] for b in buckets)
        variance = float(np.var(values[end - n : end]))
        n0, s0, cut = 0, 0.0, 0
        for i, (frames, value) in enumerate(buckets[:-1]):
            n0, s0 = n0 + frames, s0 + value
            m = 1 / n0 + 1 / (n - n0)
            d = np.log(2 * np.log(n) / 0.002)
            if abs(s0 / n0 - (total - s0) / (n - n0)) > (2 * m * variance * d) ** 0.5 + 2 / 3 * m * d:
                cut = i + 1
        if cut:
            del buckets[:cut]
            if end > 5000:
                found.append(end)
    return found


def page_hinkley(scores: np.ndarray) -> list[int]:
    """In spreads of the first 5,000: a threshold of 50, and 0.005 of slack a frame, as is usual."""
    values = ((scores - scores[:5000].mean()) / scores[:5000].std()).tolist()
    found, up, down, mean, n = [], 0.0, 0.0, 0.0, 0
    for t, value in enumerate(values, 1):
        n += 1
        mean += (value - mean) / n
        up, down = max(up + value - mean - 0.005, 0), max(down - value + mean - 0.005, 0)
        if max(up, down) > 50:
            up, down, mean, n = 0.0, 0.0, 0.0, 0
            if t > 5000:
                found.append(t)
    return found


TESTS = {
    "Drift": drift,
    "KS": kolmogorov_smirnov,
    "PSI": population_stability,
    "ADWIN": adwin,
    "Page-Hinkley": page_hinkley,
}


# ---------------------------------------------------------------- real


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
        gain = np.log(0.015 * self.light[begin:end] + 1)
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
    waits: dict[str, list[int]] = {}
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
    rate = f"{sum(false.values()) / watched * 1e5:.2f}"
    told = ", ".join(f"{n} {v}" for n, v in false.items())
    for row, (drift_name, found) in enumerate(waits.items()):
        at_all = [wait for wait in found if wait]
        share = sum(0 < wait <= WITHIN for wait in found) / len(found)
        median = f"{statistics.median(at_all):,.0f}" if at_all else "-"
        first = by[drift_name].most_common(1)[0][0] if at_all else ""
        start = f"| {name} | {walk} | {watched:,} | {rate} ({told or 'none'})" if not row else "| | | |"
        print(f"{start} | {drift_name} | {share:.0%} of {len(found)} | {median} {first} |", flush=True)


def _follow(name: str, watch: Watch, frames: Iterator, setting: Setting, waits: dict, by: dict) -> None:
    """Go on from a state, and note after how many frames something is found, 0 for not at all."""
    watch, wait = copy.deepcopy(watch), 0
    for n, frame in enumerate(frames, 1):
        if found := watch.take(*frame, setting):
            wait = n
            by.setdefault(name, Counter()).update(found[:1])
            break
    waits.setdefault(name, []).append(wait)


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
