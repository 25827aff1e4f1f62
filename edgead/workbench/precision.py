"""The precision gate: how well a form separates held-out good images from the same with synthetic defects.

A faster form has its own bank and threshold, so raw scores can't be compared, and labelled defects don't
exist yet. What can be compared is separation: the AUROC of each form on the same good and the same
synthetically defective images, against the FP32 form's on the same engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgead.evaluation.metrics import auroc
from edgead.runtime.session import Session
from edgead.types import Image
from edgead.workbench.defects import synthesise

DEFECTS = 240
"""Synthetic defects drawn for the gate, spread over the held-out images."""


@dataclass(frozen=True)
class Trial:
    """One form's scores on the gate's images.

    Attributes:
        good: image scores of the held-out good images.
        good_maxima: the maxima of their anomaly maps.
        bad: image scores of the synthetic defects.
    """

    good: NDArray[np.float64]
    good_maxima: NDArray[np.float64]
    bad: NDArray[np.float64]

    @property
    def auroc(self) -> float:
        """0 to 1."""
        value = auroc(self.good, self.bad)
        if value is None:
            raise ValueError("a trial has good and bad images")
        return value


def defective_images(held_out: Sequence[Image], seed: int, count: int = DEFECTS) -> list[Image]:
    """The held-out images in turn, each with one synthetic defect."""
    rng = np.random.default_rng(seed)
    return [synthesise(held_out[i % len(held_out)], rng)[0] for i in range(count)]


def run_trial(session: Session, good: Sequence[Image], bad: Sequence[Image]) -> Trial:
    """Score all images with one form."""
    outputs = [
        (float(o["score"][0]), float(o["anomaly_map"].max()))
        for o in session.map(image[None] for image in [*good, *bad])
    ]
    scores = np.array(outputs)
    n = len(good)
    return Trial(scores[:n, 0], scores[:n, 1], scores[n:, 0])
