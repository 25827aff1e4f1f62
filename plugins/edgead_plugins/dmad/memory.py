"""DMAD's memory: which patches training sees, and what makes the two banks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.types import FittingData
from edgead.workbench.annotated import covered
from edgead_plugins.dmad.options import PATCHES
from edgead_plugins.sampling import evenly_spread

Floats = NDArray[np.float32]
COVARIANCE_ROWS = 20000
"""Normal patches that the noise's covariance is estimated from."""


@dataclass(frozen=True)
class Patches:
    """Patch embeddings (n, dim) float32, and the number of the image (n,) int64 that each is from."""

    rows: Floats
    image: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Memory:
    """The two banks, as they are kept.

    Attributes:
        normal: (rows, dim), a coreset of normal patches; ``image`` says whose.
        abnormal: (rows, dim); ``image`` is the defect's number for what was observed or drawn around it, and
            -1 for what was made of normal patches.
        parts: how many rows of the abnormal bank are observed, drawn around centres, and pseudo-anomalous.
    """

    normal: Patches
    abnormal: Patches
    parts: tuple[int, int, int]


def normal_patches(data: FittingData, seed: int, memory_mib: int) -> Patches:
    """The good images' patches that training draws from: all of them, or as many of each as memory allows.

    Args:
        seed: decides which.
        memory_mib: bound of what is returned.
    """
    dim, h, w = data.shapes[PATCHES]
    few = min(h * w, max(1, (memory_mib << 20) // (4 * dim * max(1, data.n_images))))
    rng = np.random.default_rng([seed, 1])
    rows = np.empty((data.n_images * few, dim), np.float32)
    with data.progress("reading normal patches", data.n_images) as advance:
        for number, patches in enumerate(_rows(data.features())):
            chosen = slice(None) if few == h * w else np.sort(rng.permutation(h * w)[:few])
            rows[number * few : (number + 1) * few] = patches[chosen]
            advance(1)
    return Patches(rows, np.repeat(np.arange(data.n_images), few))


def observed_patches(data: FittingData) -> Patches:
    """The patches of annotated defects that their masks select: the paper's Filter.

    A mask is brought to the grid by averaging. Selected is what is covered by half or more; of a defect too
    fine for that, what is covered half as much as its most covered patch.
    """
    dim, h, w = data.shapes[PATCHES]
    masks = [
        covered(cv2.resize(mask.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA))
        for _, mask in data.defects()
    ]
    found = _rows(data.embed(image for image, _ in data.defects()))
    rows = [patches[mask.reshape(-1) > 0] for patches, mask in zip(found, masks, strict=True)]
    if not rows:
        return Patches(np.empty((0, dim), np.float32), np.empty(0, np.int64))
    return Patches(np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(r) for r in rows]))


def noise_factor(rows: Floats) -> Floats:
    """(dim, dim) lower triangular L: L z, with z standard normal, varies as the normal features (n, dim) do.

    L L^T is their covariance, in float64 inside, with a millionth of its mean variance on the diagonal.
    """
    few = rows[evenly_spread(len(rows), COVARIANCE_ROWS)]
    centred = few - few.mean(0, dtype=np.float64)
    covariance = centred.T @ centred / len(centred)
    covariance += np.eye(len(covariance)) * (1e-6 * np.trace(covariance) / len(covariance) + 1e-12)
    factor: Floats = np.linalg.cholesky(covariance).astype(np.float32)
    return factor


def pseudo_anomalous(rows: Floats, factor: Floats, std: float, seed: int) -> Floats:
    """Normal patches with Gaussian noise, ``std`` times what ``noise_factor`` is of."""
    noise = np.random.default_rng([seed, 2]).standard_normal(rows.shape, np.float32)
    return rows + noise @ factor.T * np.float32(std)


def centre_samples(observed: Patches, count: int, std: float, seed: int) -> Patches:
    """Anomaly-centre sampling: ``count`` draws around the mean observed feature of each annotated image.

    Args:
        std: of the noise, in the features' own units, the same in every dimension.
    """
    if not len(observed) or not count:
        return Patches(np.empty((0, observed.rows.shape[1]), np.float32), np.empty(0, np.int64))
    numbers = np.unique(observed.image)
    centres = np.stack([observed.rows[observed.image == n].mean(0) for n in numbers])
    rows = np.repeat(centres, count, axis=0)
    noise = np.random.default_rng([seed, 3]).standard_normal(rows.shape, np.float32)
    return Patches(rows + noise * np.float32(std), np.repeat(numbers, count))


def build_memory(
    normal: Patches,
    observed: Patches,
    factor: Floats,
    *,
    noise: float,
    centre_count: int,
    centre_std: float,
    seed: int,
) -> Memory:
    """Both banks. Without observed defects the abnormal one is pseudo-anomalous features alone.

    Args:
        normal: the normal bank, a coreset.
        factor: of the pseudo-anomalous features' noise; ``noise`` is what it's multiplied with.
    """
    centres = centre_samples(observed, centre_count, centre_std, seed)
    pseudo = pseudo_anomalous(normal.rows, factor, noise, seed)
    rows = np.concatenate([observed.rows, centres.rows, pseudo])
    whose = np.concatenate([observed.image, centres.image, np.full(len(pseudo), -1)])
    return Memory(normal, Patches(rows, whose), (len(observed), len(centres), len(pseudo)))


def _rows(features: Iterable[Mapping[str, Floats]]) -> Iterator[Floats]:
    for maps in features:
        patches = maps[PATCHES]
        yield patches.reshape(len(patches), -1).T


__all__ = [
    "Memory",
    "Patches",
    "build_memory",
    "centre_samples",
    "noise_factor",
    "normal_patches",
    "observed_patches",
    "pseudo_anomalous",
]
