"""Which of several random draws of channels tells synthetic defects best: PaDiM's accuracy depends on it.

A trial is small: forty good images, eighty defects, a few hundred positions of the grid, and each draw's
density by four folds. The backbone looks at each image once, whatever the number of draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgead.image_score import DEFAULT_SHARE, highest
from edgead.types import FittingData, Image
from edgead_plugins.channel_selection import ChannelSelection, Upsampling, select_channels
from edgead_plugins.sampling import evenly_spread
from edgead_plugins.separation import GOOD, trial_of

POSITIONS = 300
"""Of the grid, at most: every second, fourth ... row and column of it."""

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def draw_channels(
    data: FittingData, d: int, draws: int, upsampling: Upsampling, ridge: float
) -> tuple[ChannelSelection, list[float]]:
    """The best of so many draws of d channels, and what each separates, 0 to 1; the first is the seed's own.

    Nothing is tried, and the first is taken, for a single draw and where there's nothing to try on; see
    ``trial_of``.
    """
    seeds: list[int | list[int]] = [data.seed, *([data.seed, number] for number in range(1, draws))]
    drawn = [select_channels(data.shapes, d, seed, upsampling) for seed in seeds]
    if draws == 1:
        return drawn[0], []
    wanted = set(evenly_spread(data.n_images, GOOD).tolist())
    trial = trial_of([image for i, image in enumerate(data.images()) if i in wanted], data.seed)
    if trial is None:
        return drawn[0], []
    everything = select_channels(data.shapes, sum(c for c, _, _ in data.shapes.values()), 0, upsampling)
    with data.progress(f"trying {draws} draws of channels on synthetic defects", None):
        good, bad = (_looked_at(data, images, everything) for images in (trial.good, trial.bad))
        found = []
        for each in drawn:
            channels = _places(each, everything)

            def judge(
                learnt: Indices, mine: Indices, on_them: Indices, at: Indices = channels
            ) -> tuple[Floats, Floats]:
                mean, factor = gaussians(good[learnt][:, :, at], ridge)
                return scores(good[mine][:, :, at], mean, factor), scores(
                    bad[on_them][:, :, at], mean, factor
                )

            found.append(trial.separation(judge))
    return drawn[int(np.argmax(found))], found


def gaussians(rows: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Mean (positions, d) and whitening factor (positions, d, d) of (images, positions, d)."""
    mean = rows.mean(0)
    centred = (rows - mean).transpose(1, 0, 2)
    covariance = centred.transpose(0, 2, 1) @ centred / max(1, len(rows) - 1)
    covariance += ridge * np.eye(rows.shape[2], dtype=np.float32)
    return mean, np.linalg.inv(np.linalg.cholesky(covariance.astype(np.float64))).astype(np.float32)


def scores(rows: Floats, mean: Floats, factor: Floats) -> Floats:
    """(images,): the mean of each one's highest distances."""
    whitened = np.matmul(factor, (rows - mean).transpose(1, 2, 0))  # (positions, d, images)
    apart = np.sqrt((whitened**2).sum(1))
    count = highest(len(apart), DEFAULT_SHARE)
    return np.asarray(np.sort(apart, axis=0)[-count:].mean(0), np.float32)


def _looked_at(data: FittingData, images: Sequence[Image], everything: ChannelSelection) -> Floats:
    """(images, positions, channels) of the positions that a trial looks at."""
    h, w = everything.grid
    step = 1
    while (h // step) * (w // step) > POSITIONS:
        step *= 2
    kept = []
    for maps in data.embed(images):
        whole = everything.embed(maps).reshape(-1, h, w)[:, step // 2 :: step, step // 2 :: step]
        kept.append(whole.reshape(len(whole), -1).T.copy())
    return np.stack(kept)


def _places(selection: ChannelSelection, everything: ChannelSelection) -> Indices:
    """Where a selection's channels are among all."""
    starts = dict(
        zip(everything.indices, np.cumsum([0, *(len(i) for i in everything.indices.values())]), strict=False)
    )
    return np.concatenate([index + starts[name] for name, index in selection.indices.items()])


__all__ = ["draw_channels", "gaussians", "scores"]
