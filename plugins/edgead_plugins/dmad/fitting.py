"""DMAD's training: P and psi on patches whose embeddings are computed once; the backbone stays as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgead.leftovers import scratch_folder
from edgead.types import FittingData
from edgead_plugins.dmad.fitted import FittedDMAD, Head, attended
from edgead_plugins.dmad.foreign import foreign_patches, kept
from edgead_plugins.dmad.memory import (
    Making,
    Memory,
    Patches,
    build_memory,
    noise_factor,
    normal_patches,
    observed_patches,
)
from edgead_plugins.dmad.network import Bank, Mapper, fold, knowledge, loss
from edgead_plugins.dmad.options import PATCHES, DMADOptions, Reading
from edgead_plugins.patchcore import FittedPatchCore
from edgead_plugins.ranking import choose_search
from edgead_plugins.sampling import evenly_spread
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, batches, first_and_last, train
from edgead_plugins.training.machine import Machine, machine_of
from edgead_plugins.training.plan import Phase, announce
from edgead_plugins.training.pytorch import torch
from edgead_plugins.training.seeding import batch_of, deterministic, generator

PER_EPOCH = 100
"""Steps that are reported together."""
MEASURED = 256
"""Patches that a step's time is measured with: few cost as much as many."""
LOOKED_AT = 20000
"""Normal patches that the highest psi is taken from."""


def fit_dmad(data: FittingData, coreset: FittedPatchCore, options: DMADOptions) -> FittedDMAD:
    """Build the abnormal bank and train; see ``DMAD.fit``."""
    normal = normal_patches(data, data.seed, options.memory_mib)
    observed = observed_patches(data, options.covered == "any")
    making = Making(
        noise_factor(normal.rows), options.noise, options.centre_samples, options.centre_std, data.seed
    )
    foreign = foreign_patches(data, options, len(observed) > 0)
    few = kept(foreign, options.texture_ratio, options.bank_rows) if len(observed) and len(foreign) else None
    h, w = coreset.grid
    memory = build_memory(
        Patches(coreset.bank, coreset.index // (h * w)),
        observed,
        foreign if few is None else foreign[few],
        making,
    )
    reading = options.read_as(len(observed) > 0)
    with deterministic(data.seed):
        machine = machine_of(data.compute)
        lesson = Lesson(memory, normal, observed, making.factor, reading, options, data.seed, machine)
        losses = _train(data, lesson)
        told = {
            "training": {"steps": options.steps, "batch_size": options.batch_size, "seed": data.seed},
            "loss": first_and_last(losses),
            **lesson.machine.facts,
        }
        head = _head(lesson)
    normal_search, abnormal_search = (
        choose_search(
            bank.rows,
            data,
            PATCHES,
            options.search,
            options.search_bound,
            attended(options, reading, len(bank.rows)),
        )
        for bank in (memory.normal, memory.abnormal)
    )
    searches = normal_search, abnormal_search
    return FittedDMAD(memory, coreset, making, head, reading, (h, w), options, told, searches, few)


class Lesson:
    """The network with all that it learns from, on one device."""

    def __init__(
        self,
        memory: Memory,
        normal: Patches,
        observed: Patches,
        factor: np.ndarray,
        reading: Reading,
        options: DMADOptions,
        seed: int,
        machine: Machine,
    ) -> None:
        self.machine, self.device = machine, machine.device
        self.normal, self.observed, self.factor = normal, observed, factor
        self.reading, self.options, self.seed = reading, options, seed
        self.banks = [Bank(p.rows, p.image).moved(self.device) for p in (memory.normal, memory.abnormal)]
        self.mapper = Mapper(normal.rows.shape[1], options.hidden).to(self.device)

    def enhanced(
        self,
        rows: np.ndarray,
        normal_image: np.ndarray | None = None,
        abnormal_image: np.ndarray | None = None,
    ) -> torch.Tensor:
        """The enhanced representation of patches (n, dim).

        Args:
            normal_image, abnormal_image: (n,) whose rows of the normal and the abnormal bank are passed over.
        """
        query = torch.from_numpy(rows).to(self.device)
        said = []
        for bank, image in zip(self.banks, (normal_image, abnormal_image), strict=True):
            count = attended(self.options, self.reading, len(bank.rows))
            with torch.no_grad():
                own = None if image is None else torch.from_numpy(image).to(self.device)
                index = bank.search(query, count, own)
                said.append(knowledge(bank, query, index, self.reading, self.options.signed))
        with self.machine.autocast():
            return self.mapper.enhance(query, *said).float()

    def chosen(self, number: int) -> list[np.ndarray]:
        """The normal patches of a step, drawn from its number and the seed."""
        return [batch_of(number, len(self.normal), self.options.batch_size, self.seed)]

    def step(self, number: int, chosen: torch.Tensor) -> torch.Tensor:
        """The loss of a step; what else it takes is drawn from its number and the seed."""
        options = self.options
        rng = generator(self.seed, number, 1)
        which = chosen.cpu().numpy()
        rows, image = self.normal.rows[which], self.normal.image[which]
        parts = [self.enhanced(rows, image)]
        if options.negatives == "projected":
            drawn = rng.standard_normal(tuple(parts[0].shape), np.float32) * np.float32(
                options.projected_noise
            )
            parts.append(parts[0] + torch.from_numpy(drawn).to(self.device))
        else:
            drawn = rng.standard_normal(rows.shape, np.float32) @ self.factor.T * np.float32(options.noise)
            parts.append(self.enhanced(rows + drawn, image))
        if len(self.observed):
            which = rng.integers(0, len(self.observed), max(2, options.batch_size // 4))
            parts.append(self.enhanced(self.observed.rows[which], None, self.observed.image[which]))
        with self.machine.autocast():
            said = self.mapper(torch.cat(parts)).float()
        psi = said.split([len(part) for part in parts])
        weights = options.pseudo_weight, options.observed_weight
        return loss(psi[0], psi[1], psi[2] if len(psi) > 2 else None, weights)


def _train(data: FittingData, lesson: Lesson) -> list[float]:
    options = lesson.options
    optimiser = torch.optim.AdamW(
        [
            {
                "params": lesson.mapper.projection.parameters(),
                "lr": options.learning_rate / 2,
                "weight_decay": 0,
            },
            {
                "params": [p for n, p in lesson.mapper.named_parameters() if not n.startswith("projection")],
                "lr": options.learning_rate,
            },
        ],
        weight_decay=options.weight_decay,
    )

    def taught(folder: Path) -> list[float]:
        run = Run(
            "dmad",
            folder,
            fingerprint(data, method="dmad", options=dataclasses.asdict(options)),
            data.progress,
            advice=f"lower -o learning_rate={options.learning_rate:g}",
        )
        size = min(options.batch_size, len(lesson.normal))
        step = Batches("dmad", lesson.machine, lesson.chosen, lesson.step, size, in_pieces="never")
        phase = Phase(step, options.steps, lesson.mapper, few=MEASURED)
        announce("dmad", lesson.machine, data.progress, [phase])
        per_epoch = min(PER_EPOCH, options.steps)
        return train(
            run, lesson.mapper, optimiser, step, options.steps, steps_per_epoch=per_epoch, announced=True
        )

    return _in_folder(data.checkpoint, taught)


def _in_folder(folder: Path | None, work: Callable[[Path], list[float]]) -> list[float]:
    if folder is not None:
        return work(folder)
    with scratch_folder() as temporary:
        return work(temporary)


def _head(lesson: Lesson) -> Head:
    """The trained network as arrays, and the highest psi among normal patches as training sees them."""
    lesson.mapper.eval()
    chosen = evenly_spread(len(lesson.normal), LOOKED_AT)
    top = -np.inf
    with torch.no_grad():
        for some in batches(torch.from_numpy(chosen), 2048):
            few = some.numpy()
            psi = lesson.mapper(lesson.enhanced(lesson.normal.rows[few], lesson.normal.image[few]))
            top = max(top, float(psi.max()))
    weights, bias, last = fold(lesson.mapper)
    return Head(weights, bias, last, top)


__all__ = ["Lesson", "fit_dmad"]
