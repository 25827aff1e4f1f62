"""Verdicts beside scores: what the shipped threshold finds, and whether it keeps its promise.

    python benchmarks/verdicts.py DATASET_DIR... [--method patchcore] [--seed 0 ...] [--rate 0.01 ...]

For each data set in MVTec layout and each seed: fit in FP32 as ``edgead fit`` does, and once more as before
there were folds (the paper's image score, a fifth of the images held out, an order statistic of their
scores). Both are judged by the test images, which neither has seen. For each rate of false alarms asked for:

* what is promised (expected, and at most with 95 % confidence), what the good test images show, and whether
  that lies within;
* the share of defects found, beside what the same rate allows on the test's own good images (the threshold
  that just passes as many of them), and what was found before.

The last lines sum up. Rates, not times: the processor plays no part.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.conformal import rank
from edgead.datasets import Dataset, open_dataset
from edgead.device.calibrate import calibrate
from edgead.held_out import HeldOut, read_held_out
from edgead.image_score import PAPER, ImageScore, parse
from edgead.metrics.scores import auroc
from edgead.progress import silent
from edgead.runtime.detector import load
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve

Scores = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The scores that a threshold rests on, and those of the test images."""

    known: HeldOut
    by_user: bool
    what: str
    good: Scores
    bad: Scores


@dataclasses.dataclass(frozen=True)
class Row:
    """One rate on one data set with one seed; shares from 0 to 1."""

    kept: bool
    found: float
    allowed: float
    before: float
    alarms: float
    alarms_before: float


def main() -> None:
    arguments = _arguments()
    rows: list[Row] = []
    aurocs: list[tuple[float, float]] = []
    for folder in arguments.datasets:
        data = open_dataset(folder)
        for seed in arguments.seeds or [0, 1, 2]:
            now, before = (
                _fitted(data, arguments, seed, folds, image_score)
                for folds, image_score in ((10, arguments.image_score), (0, PAPER))
            )
            aurocs.append(
                (100 * (auroc(now.good, now.bad) or 0), 100 * (auroc(before.good, before.bad) or 0))
            )
            print(
                f"{folder.name} seed {seed}: {now.what}, "
                f"AUROC {aurocs[-1][0]:.1f} (before {aurocs[-1][1]:.1f}), "
                f"{len(now.known.scores)} scores (before {len(before.known.scores)}), "
                f"{len(now.good)} good and {len(now.bad)} defective to judge",
                flush=True,
            )
            rows += _rows(now, before, arguments.rates or [0.01, 0.05])
    kept, found, allowed, before_ = (
        np.array([getattr(row, name) for row in rows], float)
        for name in ("kept", "found", "allowed", "before")
    )
    print(f"promise kept in {int(kept.sum())} of {len(rows)} cases")
    print(
        f"found {found.mean():.1%} of the defects, "
        f"{found.mean() / allowed.mean():.1%} of what the rates allow ({allowed.mean():.1%}); "
        f"before {before_.mean():.1%}; fewer than before in "
        f"{int((found < before_ - 1e-9).sum())} cases"
    )
    print(f"image AUROC {np.mean([a for a, _ in aurocs]):.2f}, before {np.mean([b for _, b in aurocs]):.2f}")


def _rows(now: Fitted, before: Fitted, rates: list[float]) -> Iterator[Row]:
    for rate in rates:
        known = now.known
        record = calibrate(
            known.scores.tolist(), known.maxima.tolist(), rate, known.groups or None, now.by_user
        )
        observed = float((now.good > record.score).mean())
        old = float(np.sort(before.known.scores)[rank(len(before.known.scores), rate) - 1])
        row = Row(
            kept=observed <= record.upper_rate,
            found=float((now.bad > record.score).mean()),
            allowed=float((now.bad > _passing(now.good, rate)).mean()),
            before=float((before.bad > old).mean()),
            alarms=observed,
            alarms_before=float((before.good > old).mean()),
        )
        print(
            f"  {rate:.1%}: {record.rule}, promised {record.expected_rate:.2%}, "
            f"at most {record.upper_rate:.2%}; seen {row.alarms:.2%}{'' if row.kept else ' (MORE)'}, "
            f"found {row.found:.1%} of {row.allowed:.1%}; "
            f"before: seen {row.alarms_before:.2%}, found {row.before:.1%}",
            flush=True,
        )
        yield row


def _passing(good: Scores, rate: float) -> float:
    """The least threshold over which at most this share of the good test images lies."""
    ordered = np.sort(good)
    return float(ordered[len(good) - 1 - int(rate * len(good) + 1e-9)])


def _fitted(
    data: Dataset, arguments: argparse.Namespace, seed: int, folds: int, image_score: ImageScore | None
) -> Fitted:
    recipe = resolve(
        arguments.method, arguments.backbone, arguments.weights, arguments.options, None, image_score
    )
    settings = Settings(
        seed=seed, precisions=("fp32",), folds=folds, size=arguments.size, group=arguments.group
    )
    with tempfile.TemporaryDirectory() as folder:
        bundle = fit(recipe, data.train, settings, Path(folder) / "b.edgead", silent).bundle
        known = read_held_out(bundle)
        assert known is not None
        detector = load(bundle)
        scores = {True: [], False: []}
        for sample in data.test:
            scores[sample.is_good].append(detector(detector.read_image(sample.image)).score)
        chosen = bundle.manifest.method.image_score
        what = f"image score {chosen.rule} ({chosen.chosen})"
        return Fitted(
            known, settings.group is not None, what, np.array(scores[True]), np.array(scores[False])
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET_DIR")
    parser.add_argument("--method", default="patchcore")
    parser.add_argument("--backbone")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))))
    parser.add_argument("-o", dest="options", action="append", default=[])
    parser.add_argument("--group")
    parser.add_argument("--image-score", type=parse)
    parser.add_argument("--seed", dest="seeds", type=int, action="append")
    parser.add_argument("--rate", dest="rates", type=float, action="append")
    return parser.parse_args()


if __name__ == "__main__":
    main()
