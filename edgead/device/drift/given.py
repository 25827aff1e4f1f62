"""What Drift is given, checked before anything is done with it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from edgead.bundle import Bundle
from edgead.device.drift.channel import STEPS
from edgead.device.drift.watch import QUANTILES, Setting
from edgead.errors import OptionError
from edgead.held_out import read_held_out
from edgead.types import Prediction

LEAST_BLOCK, MOST_BLOCK = 20, 100_000
LEAST_BLOCKS, MOST_BLOCKS = 3, 1000


def bundle_of(bundle: Any) -> Bundle:
    """The bundle of a bundle or detector; raises OptionError."""
    if isinstance(bundle, Bundle):
        return bundle
    from edgead.runtime.detector import Detector

    if isinstance(bundle, Detector):
        return bundle.bundle
    raise OptionError(
        f"{type(bundle).__name__} is no bundle or detector: give what edgead.read_bundle or edgead.load "
        "returned"
    )


def outside(path: Path, bundle: Bundle) -> Path:
    """A path that isn't in the bundle, which a file more would break; raises OptionError."""
    if bundle.path.resolve() in path.resolve().parents:
        raise OptionError(f"{path} is in the bundle, which a file more would break: give another place")
    return path


def setting_of(bundle: Bundle, block: int, blocks: int) -> Setting:
    """The setting, with the marks that the bundle knows; raises OptionError and HeldOutFileError."""
    if type(block) is not int or block % STEPS or not LEAST_BLOCK <= block <= MOST_BLOCK:
        raise OptionError(f"block {block} must be a multiple of {STEPS}, {LEAST_BLOCK} to {MOST_BLOCK:,}")
    if type(blocks) is not int or not LEAST_BLOCKS <= blocks <= MOST_BLOCKS:
        raise OptionError(f"blocks {blocks} must be a whole number, {LEAST_BLOCKS} to {MOST_BLOCKS:,}")
    held_out = read_held_out(bundle)
    if held_out is None or not len(held_out.scores):
        return Setting(block, blocks)
    median, high = np.quantile(held_out.scores, QUANTILES)
    independent = len(set(held_out.groups)) if held_out.groups else len(held_out.scores)
    marks = (float(median), float(high)) if median < high else ()
    return Setting(block, blocks, marks, independent)


def score_of(prediction: Any) -> float:
    """The score of a prediction, or the score itself; NaN where there is none. Raises OptionError."""
    if isinstance(prediction, Prediction):
        return prediction.score
    if prediction is None:
        return math.nan
    if isinstance(prediction, int | float | np.number) and not isinstance(prediction, bool):
        return float(prediction)
    kind = type(prediction).__name__
    raise OptionError(f"{kind} is no prediction: give a prediction, its score, or None")


def seconds_of(seconds: Any) -> float | None:
    """The seconds, a little over 0 at least; raises OptionError."""
    if seconds is None:
        return None
    if not isinstance(seconds, int | float | np.number) or not 0 <= seconds < math.inf:
        raise OptionError(f"seconds {seconds!r} must be a number, 0 or more")
    return max(float(seconds), 1e-9)


__all__ = [
    "LEAST_BLOCK",
    "LEAST_BLOCKS",
    "MOST_BLOCK",
    "MOST_BLOCKS",
    "bundle_of",
    "outside",
    "score_of",
    "seconds_of",
    "setting_of",
]
