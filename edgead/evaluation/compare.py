"""Bundles side by side on the same images, and whether they really differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgead.errors import InputError
from edgead.evaluation.evaluate import Evaluation
from edgead.metrics.paired import paired_f1, paired_shares
from edgead.metrics.uncertainty import Difference, delong, differences
from edgead.notices import Notice


@dataclass(frozen=True)
class Comparison:
    """One bundle against the first.

    Attributes:
        verdicts: ``escapes``, ``false_alarms`` and ``image_f1`` to the difference, each bundle at its own
            threshold; by exact tests.
        metrics: metric to the difference, this bundle less the first; by paired bootstrap.
        image_auroc: the same difference by DeLong's test, which needs no draws.
        better, worse: images on which only this bundle's verdict is right, and only the first's.
    """

    verdicts: Mapping[str, Difference]
    metrics: Mapping[str, Difference]
    image_auroc: Difference
    better: int
    worse: int


def compare(first: Evaluation, other: Evaluation) -> Comparison:
    """Compare two evaluations of the same images, with the same number of draws.

    Raises:
        InputError: the images aren't the same.
    """
    if [j.sample for j in first.images] != [j.sample for j in other.images]:
        raise InputError("the bundles were evaluated on different images: evaluate both on the same")
    bad = np.array([not j.sample.is_good for j in first.images])
    new, old = (np.array([j.score for j in found.images]) for found in (other, first))
    now, before = (np.array([not j.is_wrong for j in found.images]) for found in (other, first))
    return Comparison(
        verdicts={
            "escapes": paired_shares(~now[bad], ~before[bad], Notice("no-bad-images")),
            "false_alarms": paired_shares(~now[~bad], ~before[~bad], Notice("no-good-images")),
            "image_f1": paired_f1(~now, ~before, bad),
        },
        metrics=differences(other.metrics, first.metrics, other.draws, first.draws),
        image_auroc=delong(new, old, bad),
        better=int((now & ~before).sum()),
        worse=int((~now & before).sum()),
    )


__all__ = ["Comparison", "compare"]
