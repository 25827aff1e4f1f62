"""Whether a verdict depends on where windows fall: frames judged again, moved by 1 to 63 pixels.

    python benchmarks/windows_shift.py BUNDLE DATASET_DIR [--frames 200] [--seed 0]

BUNDLE is a compiled one that judges in windows. Of each test image a crop is judged, and the same crop moved
down and to the right by a random number of pixels; what lies in both is compared: the score of the common
part against the threshold, and the peak of each region in it. Beside it the same for moves by multiples of
16, where a feature map's grid lies on the frame as before, so that only the windows move.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import edgead
from edgead.datasets import open_dataset
from edgead.images import read_image
from edgead.processor import cpu

MOST = 63
BORDER = 64
"""Pixels along the crops' own edges that aren't compared: there the frame ends for one of both."""


def main() -> None:
    arguments = _arguments()
    detector = edgead.load(arguments.bundle)
    samples = open_dataset(arguments.dataset).test
    rng = np.random.default_rng(arguments.seed)
    chosen = rng.permutation(len(samples))[: arguments.frames]
    print(
        f"{cpu().model}, {cpu().kind}; {arguments.bundle.name}, {len(chosen)} frames of "
        f"{arguments.dataset.name}\n"
    )
    print(
        "| moved by | verdicts changed | regions | peaks changed: median | 90 % | largest |\n|" + " --- |" * 6
    )
    for name, step in (("multiples of 16", 16), ("1 to 63", 1)):
        changed, peaks = 0, []
        for index in chosen:
            frame = read_image(samples[index].image)
            dy, dx = (int(rng.integers(1, MOST // step + 1)) * step for _ in range(2))
            height, width = frame.shape[0] - MOST - 1, frame.shape[1] - MOST - 1
            if min(height, width) < 2 * BORDER:
                continue
            here = detector(frame[:height, :width])
            moved = detector(frame[dy : dy + height, dx : dx + width])
            one = here.anomaly_map[dy + BORDER : height - BORDER, dx + BORDER : width - BORDER]
            other = moved.anomaly_map[BORDER : height - BORDER - dy, BORDER : width - BORDER - dx]
            if not one.size:
                continue
            changed += (one.max() > detector.threshold) != (other.max() > detector.threshold)
            pixel = detector.limits().pixel
            for top, left in _peaks(one, pixel):
                around = other[max(top - 4, 0) : top + 5, max(left - 4, 0) : left + 5]
                peaks.append(abs(float(around.max()) / float(one[top, left]) - 1))
        cells = [f"{np.quantile(peaks, q):.1%}" for q in (0.5, 0.9, 1)] if peaks else ["-"] * 3
        print(f"| {name} | {changed} | {len(peaks)} | {' | '.join(cells)} |", flush=True)


def _peaks(anomaly_map: np.ndarray, pixel: float) -> list[tuple[int, int]]:
    """The highest place of each connected area over the threshold."""
    import cv2

    count, labels = cv2.connectedComponents((anomaly_map > pixel).astype(np.uint8))
    found = []
    for label in range(1, count):
        inside = np.where(labels == label, anomaly_map, -np.inf)
        top, left = np.unravel_index(int(inside.argmax()), inside.shape)
        found.append((int(top), int(left)))
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
