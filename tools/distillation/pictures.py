"""Generated pictures with the teacher's answers: a sliding window of them, each shown several times.

Drawing a picture and asking the teacher costs as much as a training step on it. So pictures come in chunks; a
round trains on a shuffled window of the last few chunks, and the oldest then makes room. A window depends on
the seed and the round alone, so a resumed run rebuilds the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distillation.student import MEAN, STD
from distillation.teacher import Teacher
from edgead_plugins.backbones.generated import generate

Moments = list[tuple[Tensor, Tensor]]
"""(mean, standard deviation), both (C, 1, 1), of the channels of each of the teacher's maps."""


def as_input(images: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 BGR to the student's input (N, 3, H, W): RGB, normalised, channels last."""
    x = (images[..., ::-1].astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(x).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Chunk:
    """Pictures (n, side, side, 3) uint8 and their maps, each (n, C, h, w) FP16."""

    images: NDArray[np.uint8]
    maps: list[NDArray[np.float16]]


def make_chunk(teacher: Teacher, seed: int, start: int, n: int, side: int) -> Chunk:
    """Pictures ``start`` to ``start + n`` of a series."""
    images = np.stack([generate(seed, start + i, (side, side)) for i in range(n)])
    maps = [
        np.empty((n, channels, side // stride, side // stride), np.float16)
        for channels, stride in zip(teacher.channels, (4, 8, 16), strict=True)
    ]
    for i, image in enumerate(images):
        for store, answer in zip(maps, teacher(image), strict=True):
            store[i] = answer
    return Chunk(images, maps)


def channel_moments(chunk: Chunk) -> Moments:
    """(mean, standard deviation) of each teacher channel; one that hardly moves isn't blown up later."""
    moments = []
    for store in chunk.maps:
        mean = store.mean((0, 2, 3), dtype=np.float64)
        deviation = np.sqrt(np.square(store, dtype=np.float32).mean((0, 2, 3), dtype=np.float64) - mean**2)
        deviation = np.maximum(deviation, 0.1 * deviation.mean())
        pair = [torch.from_numpy(a.astype(np.float32)).reshape(-1, 1, 1) for a in (mean, deviation)]
        moments.append((pair[0], pair[1]))
    return moments


@dataclass
class Window:
    """The last ``uses`` chunks; ``round(r)`` yields that round's batches.

    Attributes:
        chunk: pictures in a chunk.
        uses: how many rounds a picture stays, so about how often it is shown.
    """

    teacher: Teacher
    seed: int
    side: int
    chunk: int
    uses: int

    def __post_init__(self) -> None:
        self._held: dict[int, Chunk] = {}

    def round(self, number: int, batch: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Inputs (batch, 3, side, side) and the teacher's maps: once through the window, in some order."""
        numbers = range(number, number + self.uses)
        self._held = {i: self._held.get(i) or self._make(i) for i in numbers}
        order = np.random.default_rng([self.seed, number, 3]).permutation(self.chunk * self.uses)
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            chosen = [(self._held[number + int(p) // self.chunk], int(p) % self.chunk) for p in places]
            x = as_input(np.stack([chunk.images[i] for chunk, i in chosen]))
            targets = [
                torch.from_numpy(np.stack([chunk.maps[k][i] for chunk, i in chosen])).float()
                for k in range(3)
            ]
            yield x, targets

    def _make(self, number: int) -> Chunk:
        return make_chunk(self.teacher, self.seed, number * self.chunk, self.chunk, self.side)
