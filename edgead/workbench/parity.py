"""The parity gate: the compiled graph against the same graph in the reference engine, ONNX Runtime (CPU).

Both get the same probe images; score and anomaly map must agree to the form's tolerance. Differences are
relative to the reference's score and to its map's maximum, or to the thresholds where those are larger: of
an image that the bank knows by heart, nothing is left but rounding. FP32 engines differ by the order of
their sums. INT8 engines also differ by where they round between two layers, one step of 1/255 at most a
layer; BF16 keeps 8 bits of a number, so each layer rounds by up to 1/256. There a map may be off twice
as far as a score: what counts of it is the worst of some million pixels, 2 to 6 % in INT8 where scores are
off by 1 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgead.manifest import ThresholdRecord
from edgead.resize import ResizeRule
from edgead.runtime.session import Session
from edgead.types import Image, Precision

TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.05, "mixed": 0.05, "bf16": 0.05}
"""Largest relative difference of a score allowed."""
MAP_TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.1, "mixed": 0.1, "bf16": 0.1}
"""Largest relative difference of a map's pixel allowed."""


@dataclass(frozen=True)
class Parity:
    """How far compiled graph and reference are apart, over all probes.

    Attributes:
        score: largest relative difference of the image score; see the module's text.
        map: largest relative difference of a map's pixel.
        flips: probes whose verdict changes and isn't within the tolerance of the threshold anyway.
        probes: number of probe images.
        tolerance, map_tolerance: what ``score`` and ``map`` may not exceed.
    """

    score: float
    map: float
    flips: int
    probes: int
    tolerance: float
    map_tolerance: float

    @property
    def passed(self) -> bool:
        """Both differences within their tolerances, and no verdict flipped."""
        return self.score <= self.tolerance and self.map <= self.map_tolerance and not self.flips


def probe_images(held_out: Sequence[Image], rule: ResizeRule, seed: int, limit: int = 16) -> list[Image]:
    """Held-out good images as they are, dark, bright, noisy, grey, and rescaled from odd sizes.

    Args:
        held_out: (H, W, 3) uint8 after the resize rule; the first ``limit`` are used.
    """
    rng = np.random.default_rng(seed)
    images: list[Image] = []
    for index, image in enumerate(held_out[:limit]):
        images.append(image)
        variant = index % 5
        if variant == 0:
            images.append(_scaled(image, 0.1))
        elif variant == 1:
            images.append(_scaled(image, 2.5))
        elif variant == 2:
            noise = rng.normal(0, 25, image.shape)
            images.append(np.clip(image + noise, 0, 255).astype(np.uint8))
        elif variant == 3:
            images.append(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR))
        else:
            odd = cv2.resize(image, (image.shape[1] * 2 // 3 | 1, image.shape[0] * 5 // 4 | 1))
            images.append(rule.apply(odd))
    height, width = rule.size
    images += [np.full((height, width, 3), level, np.uint8) for level in (0, 255)]
    return images


def check_parity(
    compiled: Session,
    reference: Session,
    images: Iterable[Image],
    threshold: ThresholdRecord,
    form: Precision,
) -> Parity:
    """Run both on the images; ``threshold`` is the compiled form's own."""
    tolerance = TOLERANCE[form]
    score = largest = 0.0
    flips = count = 0
    limit = threshold.score
    for image in images:
        ours, theirs = compiled(image[None]), reference(image[None])
        a, b = float(ours["score"][0]), float(theirs["score"][0])
        apart = _relative(abs(a - b), max(abs(b), limit))
        score = max(score, apart)
        map_a, map_b = ours["anomaly_map"], theirs["anomaly_map"]
        scale = max(float(np.abs(map_b).max()), threshold.pixel)
        largest = max(largest, _relative(float(np.abs(map_a - map_b).max()), scale))
        near = abs(b - limit) <= tolerance * abs(limit)
        flips += (a > limit) != (b > limit) and not near
        count += 1
    return Parity(score, largest, flips, count, tolerance, MAP_TOLERANCE[form])


def _relative(difference: float, scale: float) -> float:
    """NaN anywhere counts as infinitely far apart."""
    if not (np.isfinite(difference) and np.isfinite(scale)):
        return float("inf")
    return difference / max(scale, 1e-6)


def _scaled(image: Image, factor: float) -> Image:
    scaled: Image = np.clip(image.astype(np.float32) * factor, 0, 255).astype(np.uint8)
    return scaled
