"""What a calibration knows of good images: the bundle's held-out figures, images judged now, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.device.judging import Judged
from edgead.device.near_copies import copies_among
from edgead.device.parts import HARDLY, copies_found, group_by_name
from edgead.errors import DatasetError
from edgead.held_out import HeldOut, read_held_out
from edgead.notices import Notice

LEARNED_SHARE, FEWEST = 0.9, 5
"""A share of the images under all held-out ones, and how many, from which on they look like learned ones."""

Source = Literal["held-out", "images", "both"]


@dataclass(frozen=True)
class GoodFigures:
    """Figures of good images.

    Attributes:
        scores: image scores.
        maxima: the maxima of their anomaly maps.
        groups: each image's group where several show one part, as ``edgead.device.calibrate`` takes them.
        by_user: whether the user named the groups.
        source: which images.
        maps: anomaly maps of those judged now, or of a share of them.
        map_groups: the group of each map, where there are groups.
        notices: what to know of the images.
    """

    scores: tuple[float, ...]
    maxima: tuple[float, ...]
    groups: tuple[int, ...] | None
    by_user: bool
    source: Source
    maps: tuple[NDArray[np.float32], ...] = ()
    map_groups: tuple[int, ...] | None = None
    notices: tuple[Notice, ...] = ()


def held_out_figures(bundle: Bundle) -> HeldOut:
    """The bundle's held-out figures.

    Raises:
        DatasetError: it has none.
        HeldOutFileError: they're damaged.
    """
    figures = read_held_out(bundle)
    if figures is None:
        raise DatasetError(
            f"{bundle.path}: it keeps no scores of held-out good images; give good images with --good"
        )
    return figures


def of_held_out(bundle: Bundle) -> GoodFigures:
    """Of the images that were held out when the bundle was fitted; raises as ``held_out_figures``."""
    figures = held_out_figures(bundle)
    by_user = bundle.manifest.threshold.counted == "groups"
    return GoodFigures(
        tuple(figures.scores.tolist()),
        tuple(figures.maxima.tolist()),
        figures.groups or None,
        by_user,
        "held-out",
    )


def of_images(judged: Judged, by: str | None, bundle: Bundle) -> GoodFigures:
    """Of images judged now.

    Args:
        by: which of them show one part: a pattern or a folder level, see ``edgead.device.parts``; None for
            near copies.
        bundle: whose held-out figures they're compared with, where it has any.

    Raises:
        OptionError, DatasetError: ``by`` fits none of the names, or puts all into one group.
    """
    notices, labels = _grouped(judged, by)
    groups = None if len(set(labels)) == len(labels) else tuple(labels)
    known = read_held_out(bundle)
    if known is not None and _look_learned(judged.scores, known.scores):
        values = {"images": len(judged.scores), "least": f"{known.scores.min():.4g}"}
        notices.append(Notice("look-learned", values))
    chosen = sorted(judged.maps)
    if chosen and len(chosen) < len(judged.scores):
        notices.append(Notice("maps-of-some", {"maps": len(chosen), "images": len(judged.scores)}))
    return GoodFigures(
        tuple(judged.scores.tolist()),
        tuple(judged.maxima.tolist()),
        groups,
        by is not None,
        "images",
        tuple(judged.maps[index] for index in chosen),
        None if groups is None else tuple(groups[index] for index in chosen),
        tuple(notices),
    )


def together(held_out: GoodFigures, judged: GoodFigures) -> GoodFigures:
    """Both as one; the judged images' groups are others than the held-out ones'."""
    groups: tuple[int, ...] | None = None
    if held_out.groups is not None or judged.groups is not None:
        first = held_out.groups or tuple(range(len(held_out.scores)))
        second = judged.groups or tuple(range(len(judged.scores)))
        groups = (*first, *(max(first) + 1 + group for group in second))
    return GoodFigures(
        held_out.scores + judged.scores,
        held_out.maxima + judged.maxima,
        groups,
        held_out.by_user or judged.by_user,
        "both",
        judged.maps,
        judged.map_groups,
        judged.notices,
    )


def _grouped(judged: Judged, by: str | None) -> tuple[list[Notice], list[int]]:
    paths: Sequence[Path] = judged.paths
    if by is not None:
        return [], group_by_name(paths, by).tolist()
    copies = copies_among(judged.thumbnails)
    notices = []
    if len(paths) > 1 and copies.spread <= HARDLY:
        notices.append(Notice("hardly-differ", {"levels": round(copies.spread, 2)}))
    return [*notices, *copies_found(paths, copies)], copies.labels.tolist()


def _look_learned(scores: NDArray[np.float32], held_out: NDArray[np.float32]) -> bool:
    """Whether nearly all score lower than any image that wasn't learned."""
    under = float((scores < held_out.min()).mean())
    return len(scores) >= FEWEST and len(held_out) >= FEWEST and under >= LEARNED_SHARE


__all__ = ["GoodFigures", "Source", "held_out_figures", "of_held_out", "of_images", "together"]
