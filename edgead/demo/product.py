"""The demo's product as images and as a data set: good parts and defective ones, with their masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.demo.flaws import FLAWS
from edgead.demo.part import SIZE, place, render
from edgead.errors import UnknownNameError
from edgead.files import output_errors
from edgead.types import Image

Mask = NDArray[np.uint8]

KINDS: tuple[str, ...] = tuple(FLAWS)
"""The kinds of defect."""


def make_product(seed: int, index: int) -> Image:
    """Draw a good part.

    Args:
        seed: of the whole production run, at least 0; equal seeds give equal parts.
        index: number of the part in it, at least 0.

    Returns:
        (SIZE, SIZE, 3) uint8 BGR.
    """
    return render(place(seed, index))


def make_defective(seed: int, index: int, kind: str) -> tuple[Image, Mask]:
    """Draw part ``index`` with one defect; but for it and its shade the image is ``make_product``'s.

    Args:
        seed, index: as ``make_product``'s.
        kind: one of ``KINDS``.

    Returns:
        (SIZE, SIZE, 3) uint8 BGR, and (SIZE, SIZE) uint8 of 0 and 1 where the defect is.

    Raises:
        edgead.errors.UnknownNameError: ``kind`` isn't in ``KINDS``.
    """
    if kind not in FLAWS:
        raise UnknownNameError("demo defect", kind, KINDS)
    part = place(seed, index)
    flaw = FLAWS[kind](part, np.random.default_rng([seed, index, 2, KINDS.index(kind)]))
    return render(part, flaw), flaw.mask


def write_dataset(
    folder: Path, n_train: int = 60, n_good: int = 20, n_bad_per_kind: int = 5, seed: int = 0
) -> None:
    """Write a data set in MVTec's layout: train/good, test/good, test/KIND, ground_truth/KIND/NNN_mask.png.

    No two images show the same part. Files of the same name are replaced.

    Raises:
        edgead.errors.OutputError: it can't be written.
    """
    number = 0

    def target(*parts: str) -> Path:
        path = Path(folder, *parts)
        with output_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    for split, count in (("train", n_train), ("test", n_good)):
        good = target(split, "good")
        for i in range(count):
            _write(good / f"{i:03}.png", make_product(seed, number))
            number += 1
    for kind in KINDS:
        bad, truth = target("test", kind), target("ground_truth", kind)
        for i in range(n_bad_per_kind):
            image, mask = make_defective(seed, number, kind)
            _write(bad / f"{i:03}.png", image)
            _write(truth / f"{i:03}_mask.png", mask * np.uint8(255))
            number += 1


def _write(path: Path, image: NDArray[np.uint8]) -> None:
    with output_errors(path):  # not synced to the disk one by one: made again at need
        path.write_bytes(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())


__all__ = ["KINDS", "SIZE", "make_defective", "make_product", "write_dataset"]
