"""How small a defect is found in large frames: squeezed, in windows, and as ``--smallest-defect`` chooses.

    python benchmarks/large_frames.py [--good 12] [--frames 10] [--clean 30] [--seed 0] [--smallest 10]

Frames of 4096 x 3000 of brushed metal are drawn, with dark and bright spots and short scratches of 6, 10, 16,
24 and 40 pixels on those that are judged. PatchCore with the backbone ``default`` learns good frames in three
ways; a defect is found where the map in its place is over the highest value of ``--clean`` other good frames,
or the bundle's own threshold if that's higher. *A crop shows*: the bundle in windows, given 256 x 256 pixels
around the defect alone, finds it. FP32 on ONNX Runtime; no times, so the processor plays no part.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import edgead

HEIGHT, WIDTH = 3000, 4096
SIZES = (6, 10, 16, 24, 40)
WINDOW = 256
EACH = 24
"""Defects in a frame, all of one size: a large one is seen far around it in a squeezed frame."""
NEAR = 8
"""Pixels around a defect in which the map may show it."""

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Defect:
    """Where one lies: its box's first row and column, and its size in pixels."""

    row: int
    column: int
    size: int


def main() -> None:
    arguments = _arguments()
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        good = Path(scratch) / "good"
        good.mkdir()
        for number in range(arguments.good):
            cv2.imwrite(str(good / f"{number:03}.png"), metal(rng), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        judged = [defective(rng, SIZES[number % len(SIZES)]) for number in range(arguments.frames)]
        ways = {
            "squeezed": {},
            "windows": {"windows": True, "size": WINDOW},
            f"--smallest-defect {arguments.smallest:g}px": {"smallest_defect": arguments.smallest},
        }
        print("| how | input | threshold | " + " | ".join(f"{size} px" for size in SIZES) + " |")
        print("|" + " --- |" * (3 + len(SIZES)))
        for name, options in ways.items():
            fitted = edgead.fit(
                "patchcore",
                good,
                Path(scratch) / "r.edgead",
                options=arguments.option,
                folds=arguments.folds,
                seed=arguments.seed,
                image_score="maximum",
                **options,
            )
            made = edgead.export(
                fitted, "onnx", Path(scratch) / "c.edgead", precision="fp32", max_loss=1, min_auroc=0
            )
            detector = edgead.load(made.bundle.path)
            windows = made.bundle.manifest.windows
            how = "" if windows is None else f" windows, frames shrunk {windows.scale:g} times"
            size = " x ".join(map(str, made.bundle.manifest.input.size)) + how
            clean = np.random.default_rng([arguments.seed, 1])
            highest = [float(detector(metal(clean)).anomaly_map.max()) for _ in range(arguments.clean)]
            threshold = max([detector.threshold, *highest])
            whole = []
            for frame, defects in judged:
                shown = detector(frame).anomaly_map
                whole += [(each, shows(threshold, shown, (HEIGHT, WIDTH), each)) for each in defects]
            _row(name, size, threshold, whole)
            if name == "windows":
                crops = [
                    (each, in_crop(detector, threshold, frame, each))
                    for frame, defects in judged
                    for each in defects
                ]
                _row("a crop shows", f"{WINDOW} x {WINDOW} around it", threshold, crops)


def in_crop(detector: edgead.Detector, threshold: float, frame: Frame, defect: Defect) -> bool:
    """Whether the map of a crop around it does."""
    row = min(max(defect.row + defect.size // 2 - WINDOW // 2, 0), HEIGHT - WINDOW)
    column = min(max(defect.column + defect.size // 2 - WINDOW // 2, 0), WIDTH - WINDOW)
    crop = np.ascontiguousarray(frame[row : row + WINDOW, column : column + WINDOW])
    inside = Defect(defect.row - row, defect.column - column, defect.size)
    return shows(threshold, detector(crop).anomaly_map, (WINDOW, WINDOW), inside)


def shows(threshold: float, found: NDArray[np.float32], frame: tuple[int, int], defect: Defect) -> bool:
    """Whether a map reaches the threshold where a defect lies."""
    down, across = found.shape[0] / frame[0], found.shape[1] / frame[1]
    top, left = (defect.row - NEAR) * down, (defect.column - NEAR) * across
    end = defect.size + 2 * NEAR
    part = found[
        max(0, int(top)) : int(np.ceil(top + end * down)),
        max(0, int(left)) : int(np.ceil(left + end * across)),
    ]
    return bool(part.max() > threshold)


# ---------------------------------------------------------------- frames


def metal(rng: np.random.Generator) -> Frame:
    """A frame of brushed metal, unevenly lit: (HEIGHT, WIDTH, 3) uint8."""
    noise = rng.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32)
    brushed = cv2.GaussianBlur(noise, (0, 0), sigmaX=24, sigmaY=0.8)
    brushed /= brushed.std()
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = (0.8 * columns / WIDTH + 0.6 * rows / HEIGHT) * rng.uniform(10, 14)
    grey = 128 + light + 9 * brushed + rng.normal(0, 2, (HEIGHT, WIDTH)).astype(np.float32)
    return cv2.cvtColor(np.clip(grey, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def defective(rng: np.random.Generator, size: int) -> tuple[Frame, list[Defect]]:
    """A frame with EACH defects of a size, each in a cell of its own."""
    frame, cell = metal(rng), WINDOW
    cells = [(r, c) for r in range(1, HEIGHT // cell - 1) for c in range(1, WIDTH // cell - 1)]
    chosen = rng.choice(len(cells), EACH, replace=False)
    defects = []
    for place in chosen:
        row, column = (cells[place][axis] * cell + int(rng.integers(0, cell - size)) for axis in (0, 1))
        _draw(frame, Defect(row, column, size), rng)
        defects.append(Defect(row, column, size))
    return frame, defects


def _draw(frame: Frame, defect: Defect, rng: np.random.Generator) -> None:
    """A spot or a scratch, soft at its edge, 35 to 60 grey levels darker or brighter."""
    size = defect.size
    shape = np.zeros((size, size), np.uint8)
    if rng.random() < 0.5:
        cv2.circle(shape, (size // 2, size // 2), max(1, size // 2 - 1), 255, -1)
    else:
        ends = [(0, int(rng.integers(0, size))), (size - 1, int(rng.integers(0, size)))]
        cv2.line(shape, *ends, 255, max(1, size // 8))
    level = rng.uniform(35, 60) * rng.choice([-1, 1])
    part = frame[defect.row : defect.row + size, defect.column : defect.column + size].astype(np.float32)
    part += level * cv2.GaussianBlur(shape, (0, 0), 0.7)[..., None].astype(np.float32) / 255
    frame[defect.row : defect.row + size, defect.column : defect.column + size] = np.clip(part, 0, 255)


def _row(name: str, size: str, threshold: float, whole: list[tuple[Defect, bool]]) -> None:
    by_size = defaultdict(list)
    for defect, is_found in whole:
        by_size[defect.size].append(is_found)
    shares = [f"{sum(by_size[size])} of {len(by_size[size])}" for size in SIZES]
    print(f"| {name} | {size} | {threshold:.3g} | " + " | ".join(shares) + " |", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--good", type=int, default=12)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--clean", type=int, default=30)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--smallest", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--option", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    main()
