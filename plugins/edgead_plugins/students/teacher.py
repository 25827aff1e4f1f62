"""The teacher: a patch network that learns, from any pictures, to describe patches as the backbone would.

Nothing of it depends on the product, so it's trained once for a backbone, a seed and options, and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgead.errors import OptionError
from edgead.files import exists
from edgead.types import Backbone, Image, Size, TrainingData
from edgead_plugins.backbones import cache
from edgead_plugins.backbones.conversion import normalised
from edgead_plugins.students import losses
from edgead_plugins.students.options import DESCRIPTOR, StudentsOptions
from edgead_plugins.students.patch_networks import PatchNetworks
from edgead_plugins.students.pictures import STEPS_PER_POOL, Patches, Pictures, find_pictures
from edgead_plugins.students.teacher_file import (
    KIND,
    Teacher,
    from_bytes,
    read_teachers,
    to_bytes,
    write_teachers,
)
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, first_and_last, train
from edgead_plugins.training.machine import Machine
from edgead_plugins.training.onnx_module import OnnxModule
from edgead_plugins.training.plan import Phase
from edgead_plugins.training.pytorch import functional, nn, torch
from edgead_plugins.training.seeding import deterministic, generator

SHIPPED = Path(__file__).with_name("teacher.safetensors")
"""``-o teacher=default``, made by tools/train_students_teacher.py."""


def to_train(
    data: TrainingData, layer: str, options: StudentsOptions, machine: Machine
) -> Mapping[int, Lesson]:
    """The lessons of the teachers, by scale, that are neither in the options' file nor in the cache.

    Raises:
        OptionError, DatasetError: see ``UninformedStudents.train``.
    """
    file = _file(options)
    if file is not None and exists(file):
        _read(file, options)  # what's wrong with it is said before anything is estimated or trained
        return {}
    pictures = find_pictures(options.teacher_images, data.seed)
    found: dict[int, Lesson] = {}
    for scale in sorted(set(options.scales)):
        key = _key(scale, options, _facts(data, layer, options, pictures, machine))
        if cache.load(key) is None:
            found[scale] = Lesson(data, scale, layer, options, pictures, machine)
    return found


def find_teachers(
    data: TrainingData, layer: str, options: StudentsOptions, machine: Machine, lessons: Mapping[int, Lesson]
) -> list[Teacher]:
    """The teachers of all scales: from the file that the options name, from the cache, or trained.

    Raises:
        OptionError, DatasetError, TrainingError, OutputError: see ``UninformedStudents.train``.
    """
    scales, file = sorted(set(options.scales)), _file(options)
    if file is not None and exists(file):
        return _read(file, options)
    pictures = find_pictures(options.teacher_images, data.seed)
    facts = _facts(data, layer, options, pictures, machine)
    found = [_cached(data, scale, options, facts, lessons.get(scale)) for scale in scales]
    if file is not None:
        write_teachers(file, found)
    return found


def _file(options: StudentsOptions) -> Path | None:
    if options.teacher == "default":
        return SHIPPED
    return Path(options.teacher).expanduser() if options.teacher else None


def _read(file: Path, options: StudentsOptions) -> list[Teacher]:
    """The teachers of a file that is there, of all scales and the width that's asked for."""
    found = read_teachers(file, sorted(set(options.scales)), options.teacher)
    for teacher in found:
        if teacher.width != options.width:
            raise OptionError(
                f"'{options.teacher}' holds a teacher of width {teacher.width:g}, not {options.width:g}: "
                f"give -o width={teacher.width:g} or name another"
            )
    return found


def _facts(
    data: TrainingData, layer: str, options: StudentsOptions, pictures: Pictures, machine: Machine
) -> dict[str, Any]:
    """All that decides what a teacher of any scale becomes, but for its width."""
    backbone = data.backbone
    plain = machine.device.type == "cpu" and machine.arithmetic == "fp32"
    return {
        "backbone": backbone.name,
        "backbone_weights_sha256": backbone.provenance.get("weights_sha256", ""),
        "layer": layer,
        "zoom": options.zoom,
        "pictures": pictures.identity,
        "steps": options.teacher_steps,
        "batch": options.teacher_batch,
        "learning_rate": options.teacher_learning_rate,
        "weight_decay": options.weight_decay,
        "losses": [options.distillation, options.metric, options.compactness],
        "seed": data.seed,
        "channel_order": backbone.input.channel_order,
        "mean": list(backbone.input.mean),
        "std": list(backbone.input.std),
        **({} if plain else {"machine": machine.identity[:2]}),
    }


def _key(scale: int, options: StudentsOptions, facts: Mapping[str, Any]) -> str:
    return cache.key_of({"kind": KIND, "scale": scale, "width": options.width, **facts})


def _cached(
    data: TrainingData, scale: int, options: StudentsOptions, facts: dict[str, Any], lesson: Lesson | None
) -> Teacher:
    key = _key(scale, options, facts)
    if (content := cache.load(key)) is not None:
        return from_bytes(content, cache.place(key))[scale]
    assert lesson is not None, "what isn't in the cache is to be trained"
    weights, loss = lesson.train(data, key)
    teacher = Teacher(scale, options.width, weights, {**facts, "loss": loss})
    cache.store(key, to_bytes([teacher]))
    return teacher


@dataclass
class Drawn:
    """A step's patches (n, 1, p, p, 3) uint8; with ``metric`` (n, 3, p, p, 3), triplets.

    Attributes:
        side, count: p and n.
        kept: the pool that was drawn from last, by its number.
    """

    pictures: Pictures
    side: int
    count: int
    metric: bool
    kept: dict[int, list[Image]] = field(default_factory=dict)

    def __call__(self, number: int) -> tuple[Patches]:
        """Those of step 0, 1, ..."""
        pool, give = self.pool(number // STEPS_PER_POOL), self.pictures
        if self.metric:
            return (np.stack(give.triplets(pool, number, self.side, self.count), axis=1),)
        return (give.patches(pool, number, self.side, self.count)[:, None],)

    def pool(self, number: int) -> list[Image]:
        """The pictures of pool 0, 1, ..."""
        if number not in self.kept:
            self.kept.clear()
            self.kept[number] = self.pictures.pool(number)
        return self.kept[number]


class Lesson:
    """A teacher of one scale, and how it learns.

    Attributes:
        phase: its training.
    """

    def __init__(
        self,
        data: TrainingData,
        scale: int,
        layer: str,
        options: StudentsOptions,
        pictures: Pictures,
        machine: Machine,
    ) -> None:
        self.scale, self.options, self.machine = scale, options, machine
        self.spec, n = data.backbone.input, options.teacher_batch
        self.seed = int(generator(data.seed, 14, scale).integers(2**31))
        drawn = Drawn(pictures, scale, n, options.metric > 0)
        with deterministic(self.seed):
            probe = pictures.patches(drawn.pool(0), 0, scale, n)
            self.expert = Expert(data.backbone, layer, options.zoom, probe).to(machine.device)
            self.network = PatchNetworks(scale, 1, options.width)
            learner = nn.ModuleDict(
                {"network": self.network, "decoder": nn.Linear(DESCRIPTOR, self.expert.width)}
            )
            learner.to(machine.device)
        self.decoder = learner["decoder"]
        batches = Batches(
            f"teacher {scale}", machine, drawn, self._loss, n, in_pieces="never", synthetic=True
        )
        self.phase = Phase(batches, options.teacher_steps, learner)

    def _loss(self, number: int, drawn: torch.Tensor) -> torch.Tensor:
        options, n, given = self.options, len(drawn), drawn.transpose(0, 1).flatten(0, 1)
        with self.machine.autocast():
            described = self.network(normalised(given, self.spec)).flatten(1)
            parts = described.split(n)
            wanted, decoded = None, None
            if options.distillation:
                pieces = given[:n].split(self.machine.compute.micro_batch or n)
                seen = [self.expert(some) for some in pieces]
                wanted = seen[0] if len(seen) == 1 else torch.cat(seen)
                decoded = self.decoder(parts[0])
        parts = [part.float() for part in parts]
        total = options.compactness * losses.compactness(parts[0])
        if wanted is not None and decoded is not None:
            total = total + options.distillation * losses.distillation(decoded.float(), wanted.float())
        if options.metric:
            total = total + options.metric * losses.triplet(*parts)
        return total

    def train(self, data: TrainingData, key: str) -> tuple[dict[str, np.ndarray], dict[str, float] | None]:
        """Train it; its weights by name, and the losses."""
        options, phase = self.options, self.phase
        with deterministic(self.seed):
            run = Run(
                f"teacher {self.scale}",
                data.checkpoint,
                fingerprint(data, method="uninformed-students", phase="teacher", key=key),
                data.progress,
                advice=f"lower -o teacher_learning_rate={options.teacher_learning_rate:g}",
            )
            optimiser = torch.optim.Adam(
                phase.module.parameters(), lr=options.teacher_learning_rate, weight_decay=options.weight_decay
            )
            told = train(
                run,
                phase.module,
                optimiser,
                phase.batches,
                options.teacher_steps,
                steps_per_epoch=max(1, min(250, options.teacher_steps // 8)),
                announced=True,
            )
        weights = {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}
        return weights, first_and_last(told)


class Expert(nn.Module):  # type: ignore[misc]
    """The frozen backbone on enlarged patches: (N, p, p, 3) uint8 BGR -> (N, D), a map averaged.

    The features are divided by one number, so that their mean variance is 1 and a loss's weight means the
    same for any backbone.

    Args:
        zoom: the side that patches are enlarged to, before the backbone's multiple; where it takes one size
            only, it's that.
        probe: patches that the number is measured on.
    """

    def __init__(self, backbone: Backbone, layer: str, zoom: int, probe: Patches) -> None:
        super().__init__()
        spec, multiple = backbone.input, backbone.input.multiple
        side = -(-zoom // multiple) * multiple
        self.size: Size = spec.size or (side, side)
        self.layer = layer
        self.network = OnnxModule(backbone.name, backbone.onnx([layer], self.size))
        for value in self.network.parameters():
            value.requires_grad_(False)
        self.register_buffer("unit", torch.ones(()))
        seen = self(torch.from_numpy(probe))
        self.unit.copy_(seen.var(0, unbiased=False).mean().sqrt().clamp_min(1e-12))
        self.width = int(seen.shape[1])

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """See the class."""
        apart = patches.permute(0, 3, 1, 2).float()
        larger = functional.interpolate(apart, size=self.size, mode="bilinear", align_corners=False)
        found = self.network(larger.permute(0, 2, 3, 1))[self.layer]
        return found.mean((2, 3)) / self.unit


__all__ = ["Drawn", "Expert", "Lesson", "find_teachers", "to_train"]
