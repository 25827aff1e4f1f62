"""The teacher: a patch network that learns, from any pictures, to describe patches as the backbone would.

Nothing of it depends on the product, so it's trained once for a backbone, a seed and options, and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

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
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, first_and_last, train
from edgead_plugins.training.onnx_module import OnnxModule
from edgead_plugins.training.pytorch import functional, nn, torch
from edgead_plugins.training.seeding import deterministic, generator, pick_device


def find_teachers(data: TrainingData, layer: str, options: StudentsOptions) -> list[Teacher]:
    """The teachers of all scales: from the file that the options name, from the cache, or trained.

    Raises:
        OptionError, DatasetError, TrainingError, OutputError: see ``UninformedStudents.train``.
    """
    scales = sorted(set(options.scales))
    file = Path(options.teacher).expanduser() if options.teacher else None
    if file is not None and exists(file):
        found = read_teachers(file, scales)
        for teacher in found:
            if teacher.width != options.width:
                raise OptionError(
                    f"'{file}' holds a teacher of width {teacher.width:g}, not {options.width:g}: give "
                    f"-o width={teacher.width:g} or name another file"
                )
        return found
    pictures = find_pictures(options.teacher_images, data.seed)
    found = [_cached(data, scale, layer, options, pictures) for scale in scales]
    if file is not None:
        write_teachers(file, found)
    return found


def _cached(
    data: TrainingData,
    scale: int,
    layer: str,
    options: StudentsOptions,
    pictures: Pictures,
) -> Teacher:
    backbone = data.backbone
    facts = {
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
    }
    key = cache.key_of({"kind": KIND, "scale": scale, "width": options.width, **facts})
    if (content := cache.load(key)) is not None:
        return from_bytes(content, cache.place(key))[scale]
    weights, loss = _train(data, scale, layer, options, pictures, key)
    teacher = Teacher(scale, options.width, weights, {**facts, "loss": loss})
    cache.store(key, to_bytes([teacher]))
    return teacher


def _train(
    data: TrainingData,
    scale: int,
    layer: str,
    options: StudentsOptions,
    pictures: Pictures,
    key: str,
) -> tuple[dict[str, np.ndarray], dict[str, float] | None]:
    device, n = pick_device(options.device), options.teacher_batch
    pool = lru_cache(maxsize=1)(pictures.pool)
    seed = int(generator(data.seed, 14, scale).integers(2**31))
    with deterministic(seed):
        expert = Expert(data.backbone, layer, options.zoom, pictures.patches(pool(0), 0, scale, n))
        expert.to(device)
        network = PatchNetworks(scale, 1, options.width)
        learner = nn.ModuleDict({"network": network, "decoder": nn.Linear(DESCRIPTOR, expert.width)})
        learner.to(device)

        def step(number: int) -> torch.Tensor:
            from_here: Sequence[Image] = pool(number // STEPS_PER_POOL)
            if options.metric:
                drawn = pictures.triplets(from_here, number, scale, n)
            else:
                drawn = [pictures.patches(from_here, number, scale, n)]
            given = torch.from_numpy(np.concatenate(drawn)).to(device)
            described = network(normalised(given, data.backbone.input)).flatten(1)
            parts = described.split(n)
            total = options.compactness * losses.compactness(parts[0])
            if options.distillation:
                wanted = expert(given[:n])
                total = total + options.distillation * losses.distillation(
                    learner["decoder"](parts[0]), wanted
                )
            if options.metric:
                total = total + options.metric * losses.triplet(*parts)
            return total

        run = Run(
            f"teacher {scale}",
            data.checkpoint,
            fingerprint(data, method="uninformed-students", phase="teacher", key=key),
            data.progress,
            advice=f"lower -o teacher_learning_rate={options.teacher_learning_rate:g}",
        )
        optimiser = torch.optim.Adam(
            learner.parameters(), lr=options.teacher_learning_rate, weight_decay=options.weight_decay
        )
        per_epoch = max(1, min(250, options.teacher_steps // 8))
        told = train(run, learner, optimiser, step, options.teacher_steps, steps_per_epoch=per_epoch)
    weights = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
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


__all__ = ["Expert", "find_teachers"]
