"""DeSTSeg's training: the student learns to take synthetic defects away, then the segmentation where they
were.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from edgead.metrics.scores import pixel_auroc
from edgead.types import Image, TrainingData
from edgead_plugins.destseg.losses import segmentation_loss, shrunk, student_loss
from edgead_plugins.destseg.network import Networks, products
from edgead_plugins.destseg.options import FOUND, DeSTSegOptions
from edgead_plugins.sampling import evenly_spread
from edgead_plugins.synthesis.textures import Textures, synthetic_defect, turned
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, first_and_last, train
from edgead_plugins.training.pytorch import functional, nn, torch
from edgead_plugins.training.seeding import batch_of, deterministic, generator, pick_device
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


class _Training:
    """What both phases share."""

    def __init__(self, data: TrainingData, layers: Sequence[str], options: DeSTSegOptions) -> None:
        self.data, self.options = data, options
        self.device = pick_device(options.device)
        self.images = list(data.images())
        self.textures = Textures(Path(options.textures) if options.textures else None, data.size)
        self.few = [self.images[i] for i in evenly_spread(len(self.images), PROBES)]
        self.networks = Networks(
            data.backbone,
            layers,
            data.size,
            options.student_width,
            options.width,
            torch.from_numpy(np.stack(self.few)),
            segment=options.map == "seg",
        ).to(self.device)
        self.fingerprint = fingerprint(
            data,
            method="destseg",
            layers=list(layers),
            options=dataclasses.asdict(options),
            textures=[f"{p.name} {p.stat().st_size}" for p in self.textures.files or ()],
        )

    def run(self) -> tuple[Networks, dict[str, Any]]:
        networks, options = self.networks.eval(), self.options
        told = {"student": self._learn("student", self._student_step, options.student_steps)}
        if networks.segment:
            told["segmentation"] = self._learn("segmentation", self._segmentation_step, options.steps)
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
            "trained_on": self.device.type,
            "parameters": sum(p.numel() for part in learnt for p in part.parameters()),
        }
        return networks, facts

    def _learn(self, name: str, step: Any, steps: int) -> list[float]:
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
        losses = train(run, part, optimiser, step, steps, steps_per_epoch=min(100, max(1, steps // 10)))
        part.eval()
        for value in part.parameters():
            value.requires_grad_(False)
        return losses

    def _student_step(self, number: int) -> torch.Tensor:
        clean, corrupted, _ = self._draw(number, STUDENT_DRAW)
        shown = self.networks.show(corrupted)
        with self._arithmetic():
            with torch.no_grad():
                taught, _ = self.networks.look(clean)
            learnt = self.networks.denoise(shown)
        return student_loss(taught, learnt)

    def _segmentation_step(self, number: int) -> torch.Tensor:
        _, corrupted, mask = self._draw(number, SEGMENTATION_DRAW)
        with torch.no_grad(), self._arithmetic():
            seen = self._compared(corrupted)
        with self._arithmetic():
            logits = self.networks.segmentation(seen)
        wanted = shrunk(mask, logits.shape[2:], self.options.cracks > 0)
        return segmentation_loss(logits, wanted, self.options.gamma)

    def _compared(self, images: torch.Tensor) -> torch.Tensor:
        taught, shown = self.networks.look(images)
        return products(taught, self.networks.denoise(shown)).contiguous()

    def _arithmetic(self) -> AbstractContextManager[Any]:
        found: AbstractContextManager[Any] = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.options.bfloat16
        )
        return found

    def _draw(self, number: int, purpose: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A step's images, the same with synthetic defects, and where those are."""
        chosen = batch_of(number, len(self.images), self.options.batch_size, self.data.seed)
        rng = generator(self.data.seed, number, purpose)
        good = [turned(self.images[i], self.options.rotation, rng) for i in chosen]
        return self._corrupted(good, rng)

    def _corrupted(
        self, good: Sequence[Image], rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        drawn = [synthetic_defect(image, self.textures, rng, self.options.cracks) for image in good]
        corrupted, masks = ([pair[i] for pair in drawn] for i in (0, 1))
        clean, seen, mask = (
            torch.from_numpy(np.stack(arrays)).to(self.device) for arrays in (good, corrupted, masks)
        )
        return clean, seen, mask

    def _found(self) -> float:
        """Pixel AUROC of the finest map on fresh synthetic defects."""
        rng = generator(self.data.seed, 0, CHECK_DRAW)
        scores, truth = [], []
        for _ in range(CHECKS):
            _, corrupted, mask = self._corrupted(self.few, rng)
            with torch.no_grad():
                found = self._finest(corrupted)
            scores.append(found.float().cpu().numpy().ravel())
            truth.append(shrunk(mask, found.shape[2:]).cpu().numpy().ravel() > 0)
        found_all = pixel_auroc(np.concatenate(scores), np.concatenate(truth))
        return 1.0 if found_all is None else found_all  # where nothing was drawn, nothing was missed

    def _finest(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 1, h, w): the segmentation's logits, or the baseline's product of 1 - cos."""
        if self.networks.segment:
            return self.networks.segmentation(self._compared(images))
        taught, shown = self.networks.look(images)
        size, product = tuple(taught[0].shape[2:]), torch.ones(1, device=self.device)
        for a, b in zip(taught, self.networks.denoise(shown), strict=True):
            apart = 1 - functional.cosine_similarity(a, b, dim=1)[:, None]
            product = product * functional.interpolate(apart, size=size, mode="bilinear")
        return product


__all__ = ["train_destseg", "train_networks"]
