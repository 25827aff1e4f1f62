"""How well a student stands in for its teacher, on generated pictures that it never saw.

Two questions. *Agreement*: how near are its maps? *Detection*: does a memory bank of its maps find drawn
defects as the teacher's does? The second is what training settings are chosen by; no photograph is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from distillation.pictures import Moments, as_input
from distillation.student import STAGES, Student
from distillation.teacher import Teacher
from edgead.metrics.scores import auroc
from edgead_plugins.backbones.generated import generate, generate_views

HELD_OUT = 1
"""Added to the seed: another series of pictures."""
SIDE = 256
"""Height and width of the pictures that it is judged on."""
GOOD, BANK = 9, 5
"""Good views of a product: ``BANK`` of them fill the memory bank, the others are judged, as they are and with
a defect."""
STRENGTH = 0.7
"""Of the drawn defects: hard enough that the teacher misses some."""
BANK_ROWS = 1024

Network = Callable[[NDArray[np.uint8]], list[Tensor]]
"""Pictures (N, H, W, 3) uint8 to maps, each (N, C, h, w)."""


def of_student(student: Student, device: torch.device) -> Network:
    """A student as a function of pictures."""

    @torch.no_grad()
    def network(images: NDArray[np.uint8]) -> list[Tensor]:
        return [y.float().cpu() for y in student(as_input(images).to(device))]

    return network


def of_teacher(teacher: Teacher, moments: Moments) -> Network:
    """The teacher as a function of pictures, its channels scaled as the student's."""

    def network(images: NDArray[np.uint8]) -> list[Tensor]:
        answers = [teacher(image) for image in images]
        return [
            torch.from_numpy(np.stack([answer[k] for answer in answers])) / moments[k][1] for k in range(3)
        ]

    return network


def agreement(student: Network, teacher: Network, seed: int, n: int) -> dict[str, dict[str, float]]:
    """Per map: ``cosine`` of the centred, channel-normalised vectors at each position; ``explained``, the
    share of their variance that the map itself explains; ``whitened``, the share of the teacher's variance,
    all its directions weighing the same, that a linear map of the student's vectors explains. The linear map
    comes from the first half of the ``n`` pictures and is judged on the second.
    """
    samples: dict[str, list[list[Tensor]]] = {name: [[], []] for name in STAGES}
    draw = torch.Generator().manual_seed(seed)
    for i in range(n):
        images = generate(seed + HELD_OUT, i, (SIDE, SIDE))[None]
        for name, s, t in zip(STAGES, student(images), teacher(images), strict=True):
            s, t = s[0].flatten(1).T, t[0].flatten(1).T
            places = torch.randperm(len(s), generator=draw)[:128]
            samples[name][0].append(s[places])
            samples[name][1].append(t[places])
    return {name: _compare(torch.cat(s).double(), torch.cat(t).double()) for name, (s, t) in samples.items()}


def _compare(s: Tensor, t: Tensor) -> dict[str, float]:
    """The figures of one map from vectors (n, C) of both."""
    s_c, t_c = s - s.mean(0), t - t.mean(0)
    half = len(s) // 2
    values, vectors = torch.linalg.eigh(torch.cov(t[:half].T))
    kept = values > 1e-4 * values[-1]
    white = (t - t[:half].mean(0)) @ vectors[:, kept] / values[kept].sqrt()
    ones = torch.ones(len(s), 1, dtype=torch.float64)
    inputs = torch.cat([s / s[:half].std().clamp(min=1e-9), ones], 1)
    gram = inputs[:half].T @ inputs[:half]
    ridge = 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    readout = torch.linalg.solve(gram + ridge, inputs[:half].T @ white[:half])
    rest = white[half:] - inputs[half:] @ readout
    return {
        "cosine": float(F.cosine_similarity(s_c, t_c).mean()),
        "explained": float(1 - (s - t).square().sum() / t_c.square().sum()),
        "whitened": float(1 - rest.square().sum() / (white[half:] - white[half:].mean(0)).square().sum()),
    }


def detection(networks: Mapping[str, Network], seed: int, n: int) -> dict[str, tuple[float, float]]:
    """Mean (image AUROC, pixel AUROC) over ``n`` generated products, per network, in percent.

    Each product has its own small PatchCore on the maps of strides 8 and 16: 3x3 means, nearest neighbour
    among ``BANK_ROWS`` vectors drawn from good views.
    """
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in networks}
    for index in range(n):
        good, bad, masks = generate_views(seed + HELD_OUT + 1, index, GOOD, GOOD - BANK, SIDE, STRENGTH)
        for name, network in networks.items():
            results[name].append(_detect(network, good, bad, masks))
    means = {name: 100 * np.mean(rows, axis=0) for name, rows in results.items()}
    return {name: (float(mean[0]), float(mean[1])) for name, mean in means.items()}


def _detect(
    network: Network, good: NDArray[np.uint8], bad: NDArray[np.uint8], masks: NDArray[np.uint8]
) -> tuple[float, float]:
    vectors = torch.stack([_embed(network(image[None])) for image in [*good, *bad]])
    bank = vectors[:BANK].flatten(0, 1)
    draw = torch.Generator().manual_seed(0)
    bank = bank[torch.randperm(len(bank), generator=draw)[:BANK_ROWS]]
    judged = vectors[BANK:]
    distances = judged.square().sum(2, keepdim=True) + bank.square().sum(1) - 2 * judged @ bank.T
    nearest = distances.amin(2).clamp(min=0).sqrt()
    side = round(nearest.shape[1] ** 0.5)
    truth = np.concatenate([np.zeros((GOOD - BANK, *masks.shape[1:]), np.uint8), masks])
    scale = masks.shape[1] // side
    coarse = truth.reshape(len(truth), side, scale, side, scale).mean((2, 4)) > 0.1
    scores, distances = nearest.amax(1).numpy(), nearest.numpy().reshape(coarse.shape)
    image = auroc(scores[: GOOD - BANK], scores[GOOD - BANK :])
    return image or 0.0, auroc(distances[~coarse], distances[coarse]) or 0.0


def _embed(maps: Sequence[Tensor]) -> Tensor:
    """Vectors (h * w, C) of the two last maps at the finer one's positions."""
    fine, coarse = (F.avg_pool2d(m, 3, 1, 1) for m in maps[-2:])
    coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")
    return torch.cat([fine, coarse], 1)[0].flatten(1).T
