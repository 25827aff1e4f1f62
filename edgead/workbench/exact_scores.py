"""The parity gate of a form, and what exact arithmetic yielded in it: each image takes a while."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edgead.device.parity import check_parity
from edgead.manifest import ThresholdRecord
from edgead.runtime.exact import ExactSession
from edgead.runtime.proof import Parity
from edgead.runtime.session import Outputs, Session
from edgead.types import Image, Precision


class ExactScores:
    """The image scores of one graph in exact arithmetic, by image: each takes a while."""

    def __init__(self) -> None:
        self._scores: dict[bytes, float] = {}

    def keep(self, image: NDArray[np.uint8], outputs: Outputs) -> None:
        """Remember what an image (1, H, W, 3) was given."""
        self._scores[_digest(image)] = float(outputs["score"][0])

    def of(self, image: NDArray[np.uint8]) -> float | None:
        """What it was given, if it was."""
        return self._scores.get(_digest(image))


def _digest(image: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def parity(
    exact: ExactSession,
    session: Session,
    probes: Sequence[Image],
    threshold: ThresholdRecord,
    form: Precision,
    known: ExactScores,
) -> Parity:
    """Hold a compiled form against its graph in exact arithmetic, whose scores go into ``known``.

    Exact arithmetic runs many operators on one core, so two images are under way.
    """

    def run(image: Image) -> Outputs:
        outputs = exact(image[None])
        known.keep(image[None], outputs)
        return outputs

    with ThreadPoolExecutor(2) as pool:
        outcomes = pool.map(run, probes)  # in the order of the probes
        return check_parity(session, lambda image: next(outcomes), probes, threshold, form)


__all__ = ["ExactScores", "parity"]
