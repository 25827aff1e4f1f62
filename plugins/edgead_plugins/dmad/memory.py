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
FOREIGN = (0.2, 1.0)
"""Share of the other picture's patch in a mixture."""


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
        parts: how many rows of the abnormal bank are observed, drawn around their centre, and made without
            a defect: patches of other pictures with observed ones, else pseudo-anomalous.
    """

    normal: Patches
    abnormal: Patches
    parts: tuple[int, int, int]


@dataclass(frozen=True)
class Making:
    """How the abnormal bank is made, whatever embeds the patches.

    Attributes:
        factor: of the pseudo-anomalous features' noise; see ``noise_factor``.
        noise: what it's multiplied with.
        centre_count, centre_std: see ``centre_samples``.
        seed: of all that is drawn.
    """

    factor: Floats
    noise: float
    centre_count: int | None
    centre_std: float
    seed: int


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


def observed_patches(data: FittingData, touched: bool = False) -> Patches:
    """The patches of annotated defects that their masks select: the paper's Filter.

    A mask is brought to the grid by averaging. Selected is what is covered by half or more; of a defect too
    fine for that, what is covered half as much as its most covered patch.

    Args:
        touched: select all that is covered at all.
    """
    dim, h, w = data.shapes[PATCHES]
    shares = (
        cv2.resize(mask.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
        for _, mask in data.defects()
    )
    masks = [(share > 0).astype(np.uint8) if touched else covered(share) for share in shares]
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


def fused(rows: Floats, foreign: Floats, seed: int) -> Floats:
    """Pseudo-anomalous features (n, dim): of each normal patch and one of another picture, a mixture.

    Args:
        foreign: (m, dim) patches of other pictures; which one, and its share, are drawn.
    """
    rng = np.random.default_rng([seed, 4])
    chosen = foreign[rng.integers(0, len(foreign), len(rows))]
    share = rng.uniform(*FOREIGN, (len(rows), 1)).astype(np.float32)
    mixed: Floats = (1 - share) * rows + share * chosen
    return mixed


def centre_samples(observed: Patches, count: int | None, std: float, seed: int) -> Patches:
    """Anomaly-centre sampling: draws around the mean of all observed features, whose image is -1.

    Args:
        count: how many; None: as many as there are observed ones.
        std: of the noise, in the features' own units, the same in every dimension.
    """
    count = len(observed) if count is None else count
    if not len(observed) or not count:
        return Patches(np.empty((0, observed.rows.shape[1]), np.float32), np.empty(0, np.int64))
    noise = np.random.default_rng([seed, 3]).standard_normal((count, observed.rows.shape[1]), np.float32)
    centre = observed.rows.mean(0, dtype=np.float64).astype(np.float32)
    return Patches(centre + noise * np.float32(std), np.full(count, -1, np.int64))


def build_memory(normal: Patches, observed: Patches, foreign: Floats, making: Making) -> Memory:
    """Both banks.

    With observed defects the abnormal one is those, draws around their centre, and patches of other pictures;
    without, it's mixtures of the normal bank's rows and such patches. Where there are no other pictures it's
    the normal bank's rows with noise, either way.

    Args:
        normal: the normal bank, a coreset.
        foreign: (n, dim) patches of other pictures, with observed defects those to keep.
    """
    centres = centre_samples(observed, making.centre_count, making.centre_std, making.seed)
    if not len(foreign):
        made = pseudo_anomalous(normal.rows, making.factor, making.noise, making.seed)
    elif len(observed):
        made = foreign
    else:
        made = fused(normal.rows, foreign, making.seed)
    rows = np.concatenate([observed.rows, centres.rows, made])
    whose = np.concatenate([observed.image, centres.image, np.full(len(made), -1)])
    return Memory(normal, Patches(rows, whose), (len(observed), len(centres), len(made)))


def _rows(features: Iterable[Mapping[str, Floats]]) -> Iterator[Floats]:
    for maps in features:
        patches = maps[PATCHES]
        yield patches.reshape(len(patches), -1).T


__all__ = [
    "Making",
    "Memory",
    "Patches",
    "build_memory",
    "centre_samples",
    "fused",
    "noise_factor",
    "normal_patches",
    "observed_patches",
    "pseudo_anomalous",
]
