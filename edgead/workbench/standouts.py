"""Good images that stand out: a defect among them, another product, a lamp that was off.

A detector that has learned a defect can't see it, so each image is judged by the others alone. An image is a
grid of feature vectors of the pretrained backbone, each the mean of its surroundings and of length 1, as
PatchCore's patch embeddings are. A vector is as odd as its distance to the nearest one in the image that
ranks at ``QUORUM`` of the other images, nearest first: a few images with the same defect don't vouch for each
other, and neither do near copies. An image is as odd as its oddest vectors (the mean of ``ODDEST`` of them),
and stands out where that, on a logarithmic scale, is more than ``LIMIT`` robust standard deviations over the
median of all, or of many images more than the largest of so many would be by chance.

All images are judged by a sample of them, so that the time stays near what a pass of the backbone takes.

Apart from that, the held-out images' own scores show which of them the threshold hangs on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.names import image_names
from edgead.notices import Notice
from edgead.runtime.session import Session
from edgead.types import Backbone, Progress
from edgead.workbench.features import opened
from edgead.workbench.good_images import GoodImages

QUORUM = 0.15
ODDEST = 0.015
LIMIT, MARGIN = 3.0, 0.3
LEAST_SPREAD = 0.02
"""Standard deviation of the logarithm that is assumed at least: scores that differ by less are alike."""
FEWEST = 8
"""With fewer images there's no telling what is usual."""
JUDGES = (10, 40)
"""Images that all are compared with: at least, unless there are fewer, and at most."""
PRODUCTS, PRODUCTS_EACH = 7e10, 1e8
"""Multiplications allowed, in all and for each image, whichever is more: so many judges there are, and where
the fewest are too many, some of their vectors are left out."""
FEWEST_VECTORS = 32
AXES = 191
"""Main axes that are kept of the vectors; see ``_reduced``."""
STRIDE = 16
"""The grid's pitch in pixels, where the backbone has such a map."""
NAMED = 10
FLAT = 1e-3
"""Held-out scores that differ by less than this share of the largest are all the same."""
HELD_OUT_LIMIT, HELD_OUT_SPREAD, HELD_OUT_FEWEST = 4.0, 0.1, 5
"""As ``LIMIT``, ``LEAST_SPREAD`` and ``FEWEST``, of held-out scores: a few tell little of their spread."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Standouts:
    """The good images that are unlike all others.

    Attributes:
        indices: which, ascending.
        notices: what is said of them.
    """

    indices: tuple[int, ...] = ()
    notices: tuple[Notice, ...] = ()


def find_standouts(
    frames: GoodImages, labels: NDArray[np.int64], backbone: Backbone, seed: int, progress: Progress
) -> Standouts:
    """Find the good images that are unlike all others.

    Args:
        labels: (n,), equal for images of one part, which don't judge each other.
        seed: draws the judges.
    """
    names = _maps(backbone)
    n, (height, width) = len(frames), frames.rule.size
    if len(np.unique(labels)) < FEWEST or not names:
        return Standouts()
    stride = backbone.feature_info[names[-1]].stride
    channels = sum(backbone.feature_info[name].channels for name in names)
    shape = (height // stride) * (width // stride), min(channels, AXES + 1)
    rng = np.random.default_rng(seed)
    count, kept = _panel(n, *shape)
    judges = np.sort(rng.choice(n, count, replace=False))
    with (
        opened(backbone.onnx(names, frames.rule.size), throughput=True) as session,
        progress("looking for images that stand out", n) as advance,
    ):
        bank = np.stack(
            [
                v[np.sort(rng.choice(len(v), min(kept, len(v)), replace=False))]
                for v in _vectors(frames.subset(judges.tolist()), session, names)
            ]
        )
        axes = _main_axes(bank)
        bank = _reduced(bank, axes)
        scores = np.empty(n)
        for i, vectors in enumerate(_vectors(frames, session, names)):
            scores[i] = odd_score(_reduced(vectors, axes), bank[labels[judges] != labels[i]])
            advance(1)
    found = deviations(scores, LEAST_SPREAD)
    limit = max(LIMIT, math.sqrt(2 * math.log(n)) + MARGIN)
    order = [int(i) for i in np.argsort(-found, kind="stable") if found[i] > limit]
    if not order:
        return Standouts()
    called = image_names(frames.paths)
    rows = [{"image": called[frames.paths[i]], "deviation": _brief(found[i])} for i in order]
    said = [f"{row['image']} {row['deviation']}" for row in rows[:NAMED]]
    usual = _brief(np.sort(found)[: len(found) - len(order)][-1])
    names_said = ", ".join(said) + (f" and {len(rows) - NAMED} more" if len(rows) > NAMED else "")
    notice = Notice("stands-out", {"names": names_said, "next": usual, "images": rows})
    return Standouts(tuple(sorted(order)), (notice,))


def held_out_notices(
    paths: Sequence[Path], scores: NDArray[np.float64], among: Sequence[Path] = ()
) -> list[Notice]:
    """Say what is doubtful about a threshold from these scores.

    Args:
        paths: the held-out images.
        scores: their image scores, by a model that hasn't learned them.
        among: all the good images, which the names tell them apart from; these alone by default.
    """
    called = image_names(among or paths)
    order = np.argsort(-scores, kind="stable")
    top = scores[order[0]]
    if len(scores) == 1:
        return [Notice("one-held-out", {"image": called[paths[0]], "score": _brief(top)})]
    if np.ptp(scores) <= FLAT * max(top, 1e-12):
        return [Notice("flat-scores", {"images": len(scores), "score": _brief(top)})]
    if len(scores) < HELD_OUT_FEWEST:
        return []
    out = deviations(scores, HELD_OUT_SPREAD)[order] > HELD_OUT_LIMIT
    if not out.any():
        return []
    rows = [{"image": called[paths[i]], "score": _brief(scores[i])} for i in order[out]]
    said = ", ".join(f"{row['image']} {row['score']}" for row in rows[:NAMED])
    return [
        Notice("held-out-stands-out", {"names": said, "next": _brief(scores[order[~out][0]]), "images": rows})
    ]


def _brief(value: float) -> float:
    """To three digits: what is said and kept doesn't hang on the last bits."""
    return float(f"{value:.3g}")


def odd_score(vectors: Floats, others: Floats) -> float:
    """How odd an image is; see the module's text.

    Args:
        vectors: (p, c), of length 1.
        others: (images, vectors, c), of length 1: what it's judged by.
    """
    images, kept, c = others.shape
    nearest = (vectors @ others.reshape(-1, c).T).reshape(len(vectors), images, kept).max(axis=2)
    distance = np.sqrt(np.maximum(2 - 2 * nearest, 0))
    rank = max(1, round(QUORUM * images))
    quorum = np.partition(distance, rank - 1, axis=1)[:, rank - 1]
    oddest = max(1, round(ODDEST * len(vectors)))
    return float(np.sort(quorum)[-oddest:].mean())


def deviations(scores: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """How many robust standard deviations, ``least`` or more each, the logarithms are over their median."""
    logs = np.log(np.maximum(scores, 1e-6))
    off = logs - np.median(logs)
    spread = max(float(np.median(np.abs(off))) * 1.4826, least)
    deviation: NDArray[np.float64] = off / spread
    return deviation


def _panel(n: int, p: int, c: int) -> tuple[int, int]:
    """How many of n images judge, and with how many of their p vectors of c numbers."""
    p = max(p, 1)  # an input of a few pixels has hardly a position; the backbone says what it takes
    each = max(PRODUCTS, n * PRODUCTS_EACH) / (n * p * c)  # vectors that each one can be compared with
    judges = min(n, int(np.clip(each / p, *JUDGES)))
    return judges, int(np.clip(each / judges, min(FEWEST_VECTORS, p), p))


def _maps(backbone: Backbone) -> list[str]:
    """The map that is the grid, and the next finer one."""
    by_stride = sorted(backbone.feature_info, key=lambda name: backbone.feature_info[name].stride)
    fine = [name for name in by_stride if backbone.feature_info[name].stride <= STRIDE]
    return fine[-2:] or by_stride[:1]


def _main_axes(bank: Floats) -> Floats:
    """(c, axes), orthonormal: those along which the judges' vectors lie most."""
    rows = bank.reshape(-1, bank.shape[-1]).astype(np.float64)
    axes: Floats = np.linalg.eigh(rows.T @ rows)[1][:, -AXES:].astype(np.float32)
    return axes


def _reduced(vectors: Floats, axes: Floats) -> Floats:
    """Vectors of length 1 along the main axes, and with one number more: how much of them lies elsewhere.

    Without it, what no other image shows would be what is left out.
    """
    along = vectors @ axes
    rest = np.sqrt(np.maximum(1 - (along**2).sum(-1, keepdims=True), 0))
    return np.concatenate([along, rest], -1)


def _vectors(frames: GoodImages, session: Session, names: Sequence[str]) -> Iterator[Floats]:
    """Each frame's (p, c) feature vectors, of length 1."""
    for outputs in session.map(image[None] for image in frames):
        shape = outputs[names[-1]].shape[:1:-1]  # width, height of the grid, as OpenCV wants them
        channels = [
            cv2.resize(cv2.blur(channel, (3, 3)), shape, interpolation=cv2.INTER_AREA).ravel()
            for name in names
            for channel in outputs[name][0]
        ]
        vectors = np.stack(channels, 1)
        yield vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-6)


__all__ = ["Standouts", "deviations", "find_standouts", "held_out_notices", "odd_score"]
