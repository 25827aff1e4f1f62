"""DeSTSeg's training: the student learns to take synthetic defects away, then the segmentation where they
were.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgead.metrics.scores import pixel_auroc
from edgead.types import Image, TrainingData
from edgead_plugins.destseg.losses import segmentation_loss, shrunk, student_loss
from edgead_plugins.destseg.network import Networks, products
from edgead_plugins.destseg.options import FOUND, DeSTSegOptions
from edgead_plugins.sampling import evenly_spread
from edgead_plugins.synthesis.textures import Rotation, Textures, synthetic_defect, turned
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, first_and_last, train
from edgead_plugins.training.machine import machine_of
from edgead_plugins.training.plan import Phase, announce
from edgead_plugins.training.pytorch import functional, nn, torch
from edgead_plugins.training.seeding import batch_of, deterministic, generator
from edgead_plugins.training.trained import TrainedBackbone, to_backbone

PROBES = 8
"""Images that the teacher is looked at with, and with fresh synthetic defects the trained networks."""
CHECKS = 4
"""How often fresh synthetic defects are put onto them."""
STUDENT_DRAW, SEGMENTATION_DRAW, CHECK_DRAW = 1, 2, 3
"""What a generator is for, so that the phases draw other synthetic defects."""


def train_destseg(data: TrainingData, layers: Sequence[str], options: DeSTSegOptions) -> TrainedBackbone:
    """Train both networks and return them with the teacher as a backbone; see ``DeSTSeg.train``."""
    networks, facts = train_networks(data, layers, options)
    return to_backbone(networks, "destseg", data.size, base=data.backbone, facts=facts)


def train_networks(
    data: TrainingData, layers: Sequence[str], options: DeSTSegOptions
) -> tuple[Networks, dict[str, Any]]:
    """The trained networks, and what the manifest should know of their training."""
    with deterministic(data.seed):
        return _Training(data, layers, options).run()


@dataclass(frozen=True)
class Corrupted:
    """A step's images (N, H, W, 3), the same with synthetic defects, and where those are (N, H, W); uint8.

    Attributes:
        images: all good images (n, H, W, 3), uint8.
        textures: what defects are filled with.
        batch_size, rotation, cracks: see ``DeSTSegOptions``.
        seed, purpose: what they are drawn from, besides the step's number.
    """

    images: torch.Tensor
    textures: Textures
    batch_size: int
    rotation: Rotation
    cracks: float
    seed: int
    purpose: int

    def __call__(self, number: int) -> tuple[np.ndarray, ...]:
        """Those of step 0, 1, ..."""
        chosen = batch_of(number, len(self.images), self.batch_size, self.seed)
        rng = generator(self.seed, number, self.purpose)
        return self.of([turned(self.images[int(i)].numpy(), self.rotation, rng) for i in chosen], rng)

    def of(self, good: Sequence[Image], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Those of these images, as they lie."""
        drawn = [synthetic_defect(image, self.textures, rng, self.cracks) for image in good]
        return np.stack(good), np.stack([one[0] for one in drawn]), np.stack([one[1] for one in drawn])


class _Training:
    """What both phases share."""

    def __init__(self, data: TrainingData, layers: Sequence[str], options: DeSTSegOptions) -> None:
        self.data, self.options = data, options
        self.machine = machine_of(data.compute)
        self.images = torch.from_numpy(np.stack(list(data.images())))
        self.textures = Textures(Path(options.textures) if options.textures else None, data.size)
        self.few = [self.images[i].numpy() for i in evenly_spread(len(self.images), PROBES)]
        self.networks = Networks(
            data.backbone,
            layers,
            data.size,
            options.student_width,
            options.width,
            torch.from_numpy(np.stack(self.few)),
            segment=options.map == "seg",
        ).to(self.machine.device)
        self.fingerprint = fingerprint(
            data,
            method="destseg",
            layers=list(layers),
            options=dataclasses.asdict(options),
            textures=[f"{p.name} {p.stat().st_size}" for p in self.textures.files or ()],
        )

    def run(self) -> tuple[Networks, dict[str, Any]]:
        networks, options = self.networks.eval(), self.options
        phases = {"student": self._phase("student", STUDENT_DRAW, options.student_steps)}
        if networks.segment:
            phases["segmentation"] = self._phase("segmentation", SEGMENTATION_DRAW, options.steps)
        shared = self.images.numel()
        announce("destseg", self.machine, self.data.progress, list(phases.values()), shared)
        told = {name: self._learn(name, phase) for name, phase in phases.items()}
        learnt = [getattr(networks, name) for name in told]
        facts = {
            "training": {
                "student_steps": options.student_steps,
                "segmentation_steps": options.steps if networks.segment else 0,
                "batch_size": min(options.batch_size, len(self.images)),
                "seed": self.data.seed,
            },
            "loss": {phase: first_and_last(losses) for phase, losses in told.items()},
            "teacher_layers": list(networks.layers),
            "textures": options.textures or "generated",
            FOUND: round(self._found(), 3),
            **self.machine.facts,
            "parameters": sum(p.numel() for part in learnt for p in part.parameters()),
        }
        return networks, facts

    def _phase(self, name: str, purpose: int, steps: int) -> Phase:
        options, count = self.options, min(self.options.batch_size, len(self.images))
        make = Corrupted(
            self.images,
            self.textures,
            options.batch_size,
            options.rotation,
            options.cracks,
            self.data.seed,
            purpose,
        )
        loss, sums = (self._student_loss, True) if name == "student" else (self._segmentation_loss, False)
        batches = Batches(f"destseg {name}", self.machine, make, loss, count, sums=sums, synthetic=True)
        return Phase(batches, steps, getattr(self.networks, name))

    def _learn(self, name: str, phase: Phase) -> list[float]:
        """One phase: a network learns, all others stay as they are."""
        options = self.options
        part: nn.Module = getattr(self.networks, name)
        if name == "student":
            rate = "student_rate"
            groups = [{"params": list(part.parameters()), "lr": options.student_rate}]
        else:
            rate = "residual_rate"
            groups = [
                {"params": list(part.residual.parameters()), "lr": options.residual_rate},
                {"params": list(part.head.parameters()), "lr": options.head_rate},
            ]
        optimiser = torch.optim.SGD(
            groups, lr=options.student_rate, momentum=options.momentum, weight_decay=options.weight_decay
        )
        run = Run(
            f"destseg {name}",
            self.data.checkpoint,
            self.fingerprint,
            self.data.progress,
            advice=f"lower -o {rate}={getattr(options, rate):g}",
        )
        part.train()
        losses = train(
            run,
            part,
            optimiser,
            phase.batches,
            phase.steps,
            steps_per_epoch=min(100, max(1, phase.steps // 10)),
            announced=True,
        )
        part.eval()
        for value in part.parameters():
            value.requires_grad_(False)
        return losses

    def _student_loss(
        self, number: int, clean: torch.Tensor, corrupted: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        shown = self.networks.show(corrupted)
        with self.machine.autocast():
            with torch.no_grad():
                taught, _ = self.networks.look(clean)
            learnt = self.networks.denoise(shown)
        return student_loss(taught, learnt)

    def _segmentation_loss(
        self, number: int, clean: torch.Tensor, corrupted: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        with torch.no_grad(), self.machine.autocast():
            seen = self._compared(corrupted)
        with self.machine.autocast():
            logits = self.networks.segmentation(seen)
        wanted = shrunk(mask, logits.shape[2:], self.options.cracks > 0)
        return segmentation_loss(logits, wanted, self.options.gamma)

    def _compared(self, images: torch.Tensor) -> torch.Tensor:
        taught, shown = self.networks.look(images)
        return products(taught, self.networks.denoise(shown)).contiguous()

    def _found(self) -> float:
        """Pixel AUROC of the finest map on fresh synthetic defects."""
        rng = generator(self.data.seed, 0, CHECK_DRAW)
        make = self._phase("student", CHECK_DRAW, 0).batches.make
        assert isinstance(make, Corrupted)
        scores, truth = [], []
        for _ in range(CHECKS):
            _, corrupted, mask = (torch.from_numpy(part) for part in make.of(self.few, rng))
            with torch.no_grad():
                found = self._finest(corrupted.to(self.machine.device))
            scores.append(found.float().cpu().numpy().ravel())
            truth.append(shrunk(mask, found.shape[2:]).cpu().numpy().ravel() > 0)
        found_all = pixel_auroc(np.concatenate(scores), np.concatenate(truth))
        return 1.0 if found_all is None else found_all  # where nothing was drawn, nothing was missed

    def _finest(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 1, h, w): the segmentation's logits, or the baseline's product of 1 - cos."""
        if self.networks.segment:
            return self.networks.segmentation(self._compared(images))
        taught, shown = self.networks.look(images)
        size, product = tuple(taught[0].shape[2:]), torch.ones(1, device=self.machine.device)
        for a, b in zip(taught, self.networks.denoise(shown), strict=True):
            apart = 1 - functional.cosine_similarity(a, b, dim=1)[:, None]
            product = product * functional.interpolate(apart, size=size, mode="bilinear")
        return product


__all__ = ["Corrupted", "train_destseg", "train_networks"]
