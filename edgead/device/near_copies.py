"""Near copies among good images: photographs of one part, frames of a video, one picture saved twice.

A model that has learned one of them knows the others by heart, so they are held out together or not at all:
else the threshold would be that of parts it has seen. Parts of one product look alike, so likeness says
nothing; what counts is how much of that in which an image differs from all others is also in another one.
Each image is reduced to ``SIDE`` x ``SIDE`` grey pixels without their slow changes of light, and what all
images have in common is taken out: each pixel's mean, in units of its standard deviation, so that the edges
of a part that lies a little differently each time don't outweigh its surface. What two images *share* is the
correlation of what remains, at the best shift of up to ``REACH`` pixels. Noise, another exposure, JPEG and a
few pixels of shift leave it near 1; two parts share what chance makes them. How much that is depends on the
product, so the limit is ``SPREADS`` standard deviations over what two images of this set usually share (on
Fisher's scale, of the lower half: near copies don't widen that), within ``LIMITS``.

docs/training-images.md has the figures that these numbers rest on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import Image

SIDE, COARSE = 96, 32
"""Pixels a side: where images are compared, and where candidates are looked for."""
LIGHT, COARSE_LIGHT = 3.0, 4.0
"""What changes more slowly than this, a Gaussian's standard deviation in pixels, counts as light."""
REACH, STEP = 4.0, 0.5
"""Shifts that are tried, in pixels of ``SIDE``: up to, in steps of."""
LIMITS, SPREADS = (0.6, 0.82), 8.0
NEIGHBOURS = 8
"""Candidates of each image: the most alike at ``COARSE``."""
FEWEST = 8
"""With fewer images there's no telling what they have in common: then only equal pictures are found."""
SAME = 0.25
"""Grey levels, root mean square at ``SIDE``: images no further apart are one picture."""
VARIOUS, FALL = 200, 1.5
"""Images, at most, that tell what all have in common; see ``_various``."""
SAMPLE = 1000
"""Pairs that tell what two images usually share."""
ROUNDS = 5
BLOCK, BATCH = 1024, 128
"""Images whose likeness to all others is held at a time; pairs that are compared at a time."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Copies:
    """Which images show one part.

    Attributes:
        labels: (n,) int64; equal for near copies, counted from 0 in the images' order.
        spread: how far two of the images usually are apart, root mean square in grey levels, 0 to 255.
        one_picture: whether all are equal to the first, within ``SAME`` grey levels.
    """

    labels: Integers
    spread: float
    one_picture: bool


def find_copies(images: Iterable[Image]) -> Copies:
    """Group near copies, n images in O(n^2) with a small constant and 80 kB of memory each; deterministic.

    Args:
        images: (H, W, 3) uint8 BGR after the resize rule, at least one.
    """
    return copies_among(np.stack([thumbnail(image) for image in images]))


def copies_among(thumbs: Floats) -> Copies:
    """Group near copies by what ``thumbnail`` gives of each image, (n, ``SIDE``, ``SIDE``), n at least 1."""
    n = len(thumbs)
    apart = _apart(thumbs, np.stack([np.zeros(n, np.int64), np.arange(n)], 1))
    one_picture = bool(apart.max() <= SAME)
    some = _some_pairs(n)
    spread = float(np.median(_apart(thumbs, some))) if n > 1 else 0.0
    if one_picture:
        return Copies(np.zeros(n, np.int64), spread, True)
    if n < FEWEST:
        equal = some[_apart(thumbs, some) <= SAME]
        return Copies(_joined(np.arange(n), equal), spread, False)
    coarse = np.stack([cv2.resize(t, (COARSE, COARSE), interpolation=cv2.INTER_AREA) for t in thumbs])
    coarse = _standardised(_without_light(coarse, COARSE_LIGHT))
    various = _various(coarse)
    coarse = _unlike_the_rest(coarse, various)
    details = _unlike_the_rest(_standardised(_without_light(thumbs, LIGHT)), various)
    del thumbs
    spectra = np.fft.rfft2(details.reshape(n, SIDE, SIDE)).astype(np.complex64)
    limit = _limit(_shared(spectra, some))
    labels = np.arange(n)
    for _ in range(ROUNDS):  # from the second on, one image of each group: large groups link up
        first = np.unique(labels, return_index=True)[1]
        pairs = first[_candidates(coarse[first])]
        found = pairs[_shared(spectra, pairs) > limit]
        if not len(found):
            break
        labels = _joined(labels, found)
    return Copies(labels, spread, False)


def thumbnail(image: Image) -> Floats:
    """An image, (H, W, 3) uint8 BGR after the resize rule, as it's compared: (``SIDE``, ``SIDE``) grey."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    small: Floats = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small


def _without_light(thumbs: Floats, scale: float) -> Floats:
    return np.stack([t - cv2.GaussianBlur(t, (0, 0), scale) for t in thumbs])


def _standardised(thumbs: Floats) -> Floats:
    """(n, pixels), each of mean 0 and standard deviation 1, but for flat ones."""
    rows = thumbs.reshape(len(thumbs), -1)
    rows = rows - rows.mean(1, keepdims=True)
    scaled: Floats = rows / (rows.std(1, keepdims=True) + 1e-3)
    return scaled


def _various(rows: Floats) -> Integers:
    """Images that are unlike each other: a part of many copies mustn't pass for what all have in common.

    The farthest from those chosen is chosen next, up to the step where the distance falls at once by
    ``FALL``: from there on it's copies. Where it doesn't, up to ``VARIOUS``, or all if there are few.
    """
    chosen = [int(np.argmax(((rows - rows.mean(0)) ** 2).sum(1)))]
    nearest = np.full(len(rows), np.inf)
    reached = [np.inf]
    while len(chosen) < min(len(rows), VARIOUS):
        nearest = np.minimum(nearest, np.sqrt(((rows - rows[chosen[-1]]) ** 2).sum(1)))
        chosen.append(int(np.argmax(nearest)))
        reached.append(float(nearest[chosen[-1]]))
    falls = [a / max(b, 1e-6) for a, b in itertools.pairwise(reached[FEWEST - 1 :])]
    if falls and max(falls) >= FALL:
        chosen = chosen[: FEWEST + int(np.argmax(falls))]
    return np.array(chosen)


def _unlike_the_rest(rows: Floats, various: Integers) -> Floats:
    """(n, pixels), each of length 1: that in which an image differs from what the various have in common."""
    rows = rows - rows[various].mean(0)
    scale = rows[various].std(0)
    rows /= scale + 0.1 * scale.mean() + 1e-6
    unit: Floats = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)
    return unit


def _some_pairs(n: int) -> Integers:
    """All pairs of different images, or ``SAMPLE`` where there are more."""
    if n * (n - 1) // 2 <= SAMPLE:
        return np.stack(np.triu_indices(n, 1), 1).astype(np.int64)
    pairs = np.random.default_rng(0).integers(0, n, (SAMPLE, 2))
    different: Integers = pairs[pairs[:, 0] != pairs[:, 1]]
    return different


def _apart(thumbs: Floats, pairs: Integers) -> NDArray[np.float64]:
    """Root mean square difference of each pair, in grey levels."""
    return np.array([np.sqrt(np.mean((thumbs[i] - thumbs[j]) ** 2, dtype=np.float64)) for i, j in pairs])


def _candidates(rows: Floats) -> Integers:
    """(m, 2) pairs of rows: each with its nearest ``NEIGHBOURS``."""
    count = min(NEIGHBOURS, len(rows) - 1)
    if count < 1:
        return np.zeros((0, 2), np.int64)
    found = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK] @ rows.T
        at = np.arange(len(block))
        block[at, at + start] = -np.inf
        near = np.argpartition(-block, count - 1, axis=1)[:, :count]
        found.append(np.stack([np.repeat(at + start, count), near.ravel()], 1))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _shared(spectra: NDArray[np.complex64], pairs: Integers) -> Floats:
    """The correlation of each pair at the shift that suits it best: the inverse DFT where it's looked for."""
    shifts = np.arange(-REACH, REACH + STEP / 2, STEP)
    down = np.exp(2j * np.pi * np.outer(shifts, np.fft.fftfreq(SIDE))).astype(np.complex64)
    across = np.exp(2j * np.pi * np.outer(np.fft.rfftfreq(SIDE), shifts))
    across[1:-1] *= 2  # a real image's other half of the spectrum
    across = (across / SIDE**2).astype(np.complex64)
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(pairs), BATCH):
        i, j = pairs[start : start + BATCH].T
        rows = np.tensordot(spectra[i] * spectra[j].conj(), across, 1)  # in two large products
        found.append(np.tensordot(down, rows, (1, 1)).real.max(axis=(0, 2)))
    return np.concatenate(found)


def _limit(usual: Floats) -> float:
    z = np.arctanh(np.clip(usual, -0.999, 0.999))
    middle, low = np.percentile(z, [50, 16])
    return float(np.clip(np.tanh(middle + SPREADS * (middle - low)), *LIMITS))


def _joined(labels: Integers, pairs: Integers) -> Integers:
    """Unite the groups of each pair, and count anew in the images' order."""
    parent = {int(label): int(label) for label in labels}

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = label = parent[parent[label]]
        return label

    for i, j in pairs:
        a, b = root(int(labels[i])), root(int(labels[j]))
        parent[max(a, b)] = min(a, b)
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(root(int(label)), len(numbers)) for label in labels], np.int64)


__all__ = ["Copies", "copies_among", "find_copies", "thumbnail"]
