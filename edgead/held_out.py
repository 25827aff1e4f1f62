"""The held-out good images' figures: their scores and maps' maxima, and the moments of their features.

Good scores are what a threshold rests on, so a bundle takes them along once: to calibrate again, to notice
that the line's parts drift away, and to show both. One small file of little-endian float32; ``HeldOutRecord``
in the manifest says what is where.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.errors import HeldOutFileError
from edgead.manifest import HeldOutRecord
from edgead.types import Features

FILE = "held-out.f32"
SINGLE = np.dtype("<f4")

SIZES = {"small": 0.005, "medium": 0.03, "large": 1.0}
"""Names of sizes, and the largest share of the image that a synthetic defect of each takes."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Moments:
    """The first two moments of one map of embedded features, over all positions of all images.

    Attributes:
        mean: (C,) float32.
        variance: (C,) float32, at least 0.
    """

    mean: Floats
    variance: Floats


def _none() -> Floats:
    return np.empty(0, np.float32)


@dataclass(frozen=True)
class HeldOut:
    """Figures of the held-out good images.

    Attributes:
        scores: (n,) float32 image scores, of the bundle's form on its engine.
        maxima: (n,) float32, the maxima of their anomaly maps.
        groups: each image's group; empty where each image counts. See ``HeldOutRecord``.
        folds: fits that judged in turn what they hadn't learned; 0 for one fit and held-out images.
        defects: (m,) float32 image scores of synthetic defects on the same images, judged by the same fits.
        areas: (m,) float32, the share of the image, 0 to 1, that each takes.
        moments: by the map's name, of what the FP32 form's ``embed`` yields for them.
    """

    scores: Floats
    maxima: Floats
    groups: tuple[int, ...] = ()
    moments: Mapping[str, Moments] = field(default_factory=dict)
    folds: int = 0
    defects: Floats = field(default_factory=_none)
    areas: Floats = field(default_factory=_none)


def by_size(areas: NDArray[np.floating[Any]]) -> dict[str, NDArray[np.bool_]]:
    """Which defects, by their share of the image, are of which size; sizes that none has are left out."""
    found, least = {}, 0.0
    for name, most in SIZES.items():
        inside = (areas > least) & (areas <= most)
        if inside.any():
            found[name] = inside
        least = most
    return found


def moments_of(images: Iterable[Features]) -> dict[str, Moments]:
    """The moments over a pass of images, in one pass and little memory; empty where there are none."""
    counts: dict[str, int] = {}
    means: dict[str, NDArray[np.float64]] = {}
    squares: dict[str, NDArray[np.float64]] = {}
    for maps in images:
        for name, array in maps.items():
            flat = array.reshape(len(array), -1).astype(np.float64)
            new, mean = flat.shape[1], flat.mean(1)
            off = ((flat - mean[:, None]) ** 2).sum(1)
            old = counts.get(name, 0)
            if not old:
                counts[name], means[name], squares[name] = new, mean, off
                continue
            # Chan et al. 1983: two parts' squares, and how far their means are apart.
            apart, total = mean - means[name], old + new
            means[name] = means[name] + apart * (new / total)
            squares[name] = squares[name] + off + apart**2 * (old * new / total)
            counts[name] = total
    return {
        name: Moments(means[name].astype(np.float32), (squares[name] / counts[name]).astype(np.float32))
        for name in sorted(means)
    }


def write_held_out(folder: Path, figures: HeldOut) -> HeldOutRecord:
    """Write the file into a bundle in the making; returns what the manifest says of it."""
    parts = [figures.scores, figures.maxima]
    for name in sorted(figures.moments):
        parts += [figures.moments[name].mean, figures.moments[name].variance]
    parts += [figures.defects, figures.areas]
    (folder / FILE).write_bytes(b"".join(np.asarray(part, SINGLE).tobytes() for part in parts))
    return HeldOutRecord(
        n_images=len(figures.scores),
        groups=tuple(figures.groups),
        file=FILE,
        channels={name: len(figures.moments[name].mean) for name in sorted(figures.moments)},
        folds=figures.folds,
        n_defects=len(figures.defects),
    )


def read_held_out(bundle: Bundle) -> HeldOut | None:
    """Read a bundle's figures; None where an edgead wrote it that didn't keep them.

    Raises:
        HeldOutFileError: the file isn't as the manifest says, or holds what no image yields.
    """
    record = bundle.manifest.held_out
    if record is None or record.file is None:
        return None
    wanted = 2 * (record.n_images + sum(record.channels.values()) + record.n_defects)
    content = bundle.read(record.file)
    if len(content) != wanted * SINGLE.itemsize:
        raise HeldOutFileError(
            f"{bundle.path}: '{record.file}' has {len(content)} bytes, its manifest's figures take "
            f"{wanted * SINGLE.itemsize}; export the bundle again"
        )
    values = np.frombuffer(content, SINGLE).astype(np.float32)
    if not np.isfinite(values).all():
        raise HeldOutFileError(
            f"{bundle.path}: '{record.file}' holds NaN or infinity; export the bundle again"
        )
    sizes = [record.n_images, record.n_images]
    sizes += [n for name in sorted(record.channels) for n in (record.channels[name],) * 2]
    sizes += [record.n_defects, record.n_defects]
    scores, maxima, *rest, defects, areas = np.split(values, np.cumsum(sizes)[:-1])
    if any((variance < 0).any() for variance in rest[1::2]):
        raise HeldOutFileError(f"{bundle.path}: '{record.file}' holds a variance under 0; export it again")
    moments = {
        name: Moments(mean, variance)
        for name, mean, variance in zip(sorted(record.channels), rest[::2], rest[1::2], strict=True)
    }
    return HeldOut(scores, maxima, record.groups, moments, record.folds, defects, areas)


__all__ = ["FILE", "SIZES", "HeldOut", "Moments", "by_size", "moments_of", "read_held_out", "write_held_out"]
