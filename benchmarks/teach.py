"""What teaching does, on real images: false alarms of new good variants, defects, time, undoing and latency.

    python benchmarks/teach.py BUNDLE DATASET [--taught 20] [--frames 200]

BUNDLE is a compiled one; DATASET a folder with ``test/good`` and ``test/DEFECT``. A new good variant is made
of its good test images: ``mark``, a printed mark near the middle (local), and ``finish``, a fine machined
pattern all over a darker surface (global). The first images of it that are false alarms are taught, one
after the other; its other images judge it, and so do the unchanged good and the defective ones. ``missed``
teaches defects that pass, without masks. Everything is undone at the end, and every verdict compared with the
first.
Latency is timed in turn, frame by frame, with 256 rows taught and none, so that ratios hold on a machine that
others use too.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from yardstick import describe, yardstick

import edgead
from edgead.bundle.taught import CAPACITY
from edgead.metrics.scores import auroc


def mark(image: np.ndarray, index: int) -> np.ndarray:
    """A printed mark, up to 8 of 256 pixels off the middle."""
    rng = np.random.default_rng(index)
    height, width = image.shape[:2]
    unit = min(height, width) / 256
    x, y = (int(side / 2 + unit * rng.integers(-8, 9)) for side in (width, height))
    marked, font = image.copy(), cv2.FONT_HERSHEY_SIMPLEX
    at, thick = (x - int(18 * unit), y), max(1, round(2 * unit))
    return cv2.putText(marked, "A7", at, font, 0.7 * unit, (30, 30, 30), thick, cv2.LINE_AA)


def finish(image: np.ndarray, index: int) -> np.ndarray:
    """Fine stripes all over, of another phase each time, on a darker surface."""
    phase = np.random.default_rng(index).uniform(0, 20)
    height, width = image.shape[:2]
    unit = min(height, width) / 256
    y, x = np.mgrid[:height, :width] / unit
    stripes = 12 * np.sin(2 * np.pi * (y + 0.15 * x + phase) / 9)
    return np.clip(image * 0.8 + stripes[..., None], 0, 255).astype(np.uint8)


VARIANTS = {"mark": mark, "finish": finish}


def main() -> None:
    """Print the figures."""
    arguments = _arguments()
    test = arguments.dataset / "test"
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "taught.edgead"
        shutil.copytree(arguments.bundle, bundle, ignore=shutil.ignore_patterns("taught"))
        detector = edgead.load(bundle)
        plain = edgead.load(bundle)
        print(f"{detector!r}, {detector.bundle.manifest.facts.get('bank')}")
        good = [detector.read_image(file) for file in sorted((test / "good").iterdir())]
        bad = [
            detector.read_image(file)
            for kind in sorted(test.iterdir())
            if kind.name != "good"
            for file in sorted(kind.iterdir())
        ]
        before = [detector(frame) for frame in good], [detector(frame) for frame in bad]
        separation = _auroc(*before)
        found = sum(p.is_anomalous for p in before[1])
        alarms = sum(p.is_anomalous for p in before[0])
        print(f"{len(good)} good, {alarms} false alarms; {len(bad)} defective, {found} found")
        print(f"AUROC {separation:.2f}")
        for name, variant in VARIANTS.items():
            frames = [variant(frame, index) for index, frame in enumerate(good)]
            _variant(name, detector, frames, good, bad, separation, arguments.taught)
            _undo(detector)
            _compare_undone(detector, good, bad, before)
        _missed(detector, good, bad, before, arguments.taught)
        _undo(detector)
        _compare_undone(detector, good, bad, before)
        _latency(plain, detector, good, [mark(frame, i) for i, frame in enumerate(good)], arguments.frames)
    print(describe(yardstick()))


def _variant(name, detector, frames, good, bad, separation, count) -> None:
    first = [detector(frame).is_anomalous for frame in frames]
    taught = np.flatnonzero(first)[:count]
    times = []
    for index in taught:
        start = time.perf_counter()
        done = edgead.teach(detector, false_alarms=frames[index], reason=name, accept_changes=True)
        times.append(time.perf_counter() - start)
        assert len(done.lessons) <= 1
    rest = np.setdiff1d(np.arange(len(frames)), taught)
    alarms = np.mean([first[i] for i in rest])
    after = np.mean([detector(frames[i]).is_anomalous for i in rest])
    judged = [detector(frame) for frame in good], [detector(frame) for frame in bad]
    rows = sum(lesson.rows for lesson in detector.bundle.lessons.active)
    print(f"{name}: {len(taught)} images taught, {detector.bundle.taught} lessons, {rows} rows; on its "
          f"{len(rest)} others false alarms {alarms:.1%} -> {after:.1%} ({1 - after / max(alarms, 1e-9):.1%} "
          f"fewer); on the rest AUROC {separation:.2f} -> {_auroc(*judged):.2f}, "
          f"{sum(p.is_anomalous for p in judged[0])} false alarms, {sum(p.is_anomalous for p in judged[1])} "
          f"defects found; a lesson takes {np.median(times):.2f} s, {max(times):.2f} at most, the first "
          f"{times[0]:.2f}")  # fmt: skip


def _missed(detector, good, bad, before, count) -> None:
    passed = [index for index, prediction in enumerate(before[1]) if not prediction.is_anomalous]
    chosen = np.random.default_rng(0).permutation(passed)[:count]
    for index in chosen:
        edgead.teach(detector, missed=bad[index], accept_changes=True)
    rest = [index for index in passed if index not in set(chosen.tolist())]
    after = [detector(bad[index]).is_anomalous for index in rest]
    alarms = [detector(frame).is_anomalous for frame in good]
    print(
        f"missed: {len(chosen)} defects taught, {detector.bundle.taught} lessons; of {len(rest)} others that "
        f"passed {sum(after)} are found now; false alarms {sum(p.is_anomalous for p in before[0])} -> "
        f"{sum(alarms)} of {len(good)}"
    )


def _undo(detector) -> None:
    while detector.bundle.taught:
        edgead.teach(detector, undo="last", accept_changes=True)


def _compare_undone(detector, good, bad, before) -> None:
    same = [
        detector(frame) == old for frame, old in zip([*good, *bad], [*before[0], *before[1]], strict=True)
    ]
    print(f"undone: {sum(same)} of {len(same)} verdicts byte-identical")


def _latency(plain, detector, good, alarms, count) -> None:
    """Paired: each frame by both, in turns, the first alternating."""
    for index in range(20):
        edgead.teach(detector, false_alarms=alarms[index], accept_changes=True)
    known = detector._state.taught
    rows = np.resize(known.rows, (CAPACITY, known.rows.shape[1]))
    detector._state = replace(detector._state, taught=replace(known, rows=rows))
    for name, frames in (("good", good), ("alarm", alarms)):
        spent = {False: [], True: []}
        for index in range(count):
            frame = frames[index % len(frames)]
            for taught in (index % 2 == 0, index % 2 == 1):
                judge = detector if taught else plain
                start = time.perf_counter()
                judge(frame)
                spent[taught].append(time.perf_counter() - start)
        ratio = np.array(spent[True]) / np.array(spent[False])
        draws = np.random.default_rng(0).choice(ratio, (500, len(ratio)))
        low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
        print(
            f"latency, {len(rows)} rows taught, {name} frames: {np.median(spent[True]) * 1e3:.2f} ms, plain "
            f"{np.median(spent[False]) * 1e3:.2f} ms; fastest {min(spent[True]) * 1e3:.2f} and "
            f"{min(spent[False]) * 1e3:.2f}; median ratio {np.median(ratio):.3f} ({low:.3f} to {high:.3f})"
        )


def _auroc(good, bad) -> float:
    return 100 * auroc(*(np.array([prediction.score for prediction in each]) for each in (good, bad)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--taught", type=int, default=20, help="images of a variant that are taught")
    parser.add_argument("--frames", type=int, default=200, help="frames of each kind that are timed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
