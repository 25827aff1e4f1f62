"""The parity gate: the compiled graph against the same graph in exact arithmetic (``edgead.runtime.exact``).

Both get the same probe images; score and anomaly map must agree to the form's tolerance, so that what is
measured is the *target's* engine alone. FP32 engines differ by the order of their sums. INT8 engines also
differ by where they round between two layers, one step of 1/255 at most a layer; BF16 keeps 8 bits of a
number, so each layer rounds by up to 1/256. There a map may be off twice as far as a score: what counts of it
is the worst of some million pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.manifest import ThresholdRecord
from edgead.resize import ResizeRule
from edgead.runtime.proof import Parity, compare
from edgead.runtime.session import Outputs, Session
from edgead.types import Image, Precision


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
    exact: Callable[[NDArray[np.uint8]], Outputs],
    images: Iterable[Image],
    threshold: ThresholdRecord,
    form: Precision,
) -> Parity:
    """Run both on the images; ``threshold`` is the compiled form's own."""

    def pairs() -> Iterator[tuple[float, NDArray[Any], float, NDArray[Any]]]:
        for image in images:
            ours, theirs = compiled(image[None]), exact(image[None])
            yield (
                *(float(ours["score"][0]), ours["anomaly_map"]),
                *(float(theirs["score"][0]), theirs["anomaly_map"]),
            )

    return compare(pairs(), threshold.score, threshold.pixel, form)


def _scaled(image: Image, factor: float) -> Image:
    scaled: Image = np.clip(image.astype(np.float32) * factor, 0, 255).astype(np.uint8)
    return scaled
