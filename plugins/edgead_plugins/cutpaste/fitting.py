"""CutPaste's training: tell good images from pasted ones, once for whole images and once for patches."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from edgead.types import Image, TrainingData
from edgead_plugins.cutpaste.network import Embeddings, Trunk, make_head
from edgead_plugins.cutpaste.scorer import PATCH, CutPasteOptions, chance_loss
from edgead_plugins.cutpaste.weaknesses import EXPLAINED, INVISIBLE, LAST_LOSS
from edgead_plugins.gaussian_density import estimate_density, explained_by_position
from edgead_plugins.synthesis.cutpaste import colour_jitter, cut_paste, scar
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, train
from edgead_plugins.training.pytorch import functional, nn, torch
from edgead_plugins.training.seeding import batch_of, deterministic, generator, pick_device
from edgead_plugins.training.trained import TrainedBackbone, to_backbone

Level = Literal["image", "patch"]
LOOKED_AT = 32
"""Images that alignment and invisible patches are measured on."""
PROBES = 16
"""Images that a trunk's BatchNorm begins with the statistics of."""
CHANGED = 4.0
"""Mean grey levels that a pasted patch must change to be seen."""


def train_cutpaste(examples: TrainingData, layer: str, options: CutPasteOptions) -> TrainedBackbone:
    """Train the trunks and return them as a backbone; see ``CutPaste.train``."""
    images = list(examples.images())
    levels: tuple[Level, ...] = ("image", "patch")
    wanted = [level for level in levels if options.level in (level, "both")]
    facts = {
        "training": f"cutpaste: {options.task}, {options.steps} steps, {len(images)} images, "
        f"seed {examples.seed}",
        "trained_on": pick_device(options.device).type,
        EXPLAINED: f"{_explained(examples, layer, images):.3f}",
        INVISIBLE: f"{_invisible(images, examples.seed):.3f}",
    }
    trunks: dict[Level, Trunk] = {}
    told = []
    for level in wanted:
        with deterministic(examples.seed):
            trunks[level], losses = _train(examples, images, level, layer, options)
        told.append(f"{level} {losses[0]:.4g} at first, {losses[-1]:.4g} at last")
        facts[f"{LAST_LOSS}_{level}"] = f"{losses[-1] / chance_loss(options.task):.3f}"
    facts["loss"] = "; ".join(told)
    network = Embeddings(trunks.get("image"), trunks.get("patch"), examples.size, options.patch_stride)
    return to_backbone(network, "cutpaste", examples.size, base=examples.backbone, facts=facts)


def _train(
    examples: TrainingData, images: Sequence[Image], level: Level, layer: str, options: CutPasteOptions
) -> tuple[Trunk, list[float]]:
    device = pick_device(options.device)
    chosen, rng = _few(images), generator(examples.seed, 4)
    probe = [proxies(image, rng, level, options)[0] for image in chosen[:PROBES]]
    trunk = Trunk(examples.backbone, layer, torch.from_numpy(np.stack(probe)))
    head = make_head(trunk.width, options.head_layers, 3 if options.task == "3-way" else 2)
    both = nn.ModuleList([trunk, head]).to(device)

    def step(number: int) -> torch.Tensor:
        batch = batch_of(number, len(images), options.batch_size, examples.seed)
        rng = generator(examples.seed, number, 1 if level == "image" else 2)
        drawn = [proxies(images[i], rng, level, options) for i in batch]
        given = torch.from_numpy(np.stack([image for some in drawn for image in some])).to(device)
        labels = torch.arange(len(drawn[0]), device=device).repeat(len(drawn))
        with torch.set_grad_enabled(number >= options.frozen_steps):
            embedding = trunk(given)
        return functional.cross_entropy(head(embedding), labels)

    optimiser = torch.optim.SGD(
        [
            *trunk.parameter_groups(options.learning_rate, options.weight_decay),
            {"params": list(head.parameters())},
        ],
        lr=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )
    run = Run(
        f"cutpaste {level}",
        examples.checkpoint,
        fingerprint(
            examples, method="cutpaste", level=level, layer=layer, options=dataclasses.asdict(options)
        ),
        examples.progress,
        advice=f"lower -o learning_rate={options.learning_rate:g}",
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    per_epoch = max(1, min(256, options.steps // 4))
    losses = train(run, both, optimiser, step, options.steps, steps_per_epoch=per_epoch, scheduler=schedule)
    return trunk.eval().cpu(), losses


def proxies(image: Image, rng: np.random.Generator, level: Level, options: CutPasteOptions) -> list[Image]:
    """One image of each class of the proxy task, the good one first; for patches, of one random crop."""
    if level == "patch":
        y, x = (int(rng.integers(0, n - PATCH + 1)) for n in image.shape[:2])
        image = image[y : y + PATCH, x : x + PATCH]
    image = colour_jitter(image, rng, options.jitter)
    pasted = {"3-way": [cut_paste, scar], "cutpaste": [cut_paste], "scar": [scar]}
    if options.task == "union":
        pasted["union"] = [cut_paste if rng.random() < 0.5 else scar]
    return [image, *(paste(image, rng, options.jitter)[0] for paste in pasted[options.task])]


def _few(images: Sequence[Image]) -> list[Image]:
    return [
        images[i] for i in np.linspace(0, len(images) - 1, min(LOOKED_AT, len(images))).round().astype(int)
    ]


def _explained(examples: TrainingData, layer: str, images: Sequence[Image]) -> float:
    """How far position alone tells what the untrained backbone sees; see ``explained_by_position``."""
    from edgead_plugins.training.onnx_module import OnnxModule

    known = examples.backbone.feature_info
    fine = [name for name, info in known.items() if info.stride in (8, 16)][-1:] or [layer]
    network = OnnxModule(examples.backbone.name, examples.backbone.onnx(fine, examples.size))
    with torch.no_grad():
        maps = [network(torch.from_numpy(image[None]))[fine[0]][0].numpy() for image in _few(images)]
    channels, h, w = maps[0].shape
    density = estimate_density(
        lambda: (m.reshape(channels, h * w) for m in maps),
        h * w,
        channels,
        form="diagonal",
        progress=examples.progress,
        total=len(maps),
    )
    return explained_by_position(density, (h, w))


def _invisible(images: Sequence[Image], seed: int) -> float:
    """The share of pasted patches that change next to nothing, without the jitter that hides it."""
    rng = generator(seed, 3)
    unseen = []
    for image in _few(images):
        for _ in range(4):
            pasted, mask = cut_paste(image, rng, 0.0)
            change = np.abs(pasted.astype(np.int16) - image).mean(2)[mask > 0]
            unseen.append(float(change.mean()) < CHANGED)
    return float(np.mean(unseen))


__all__ = ["proxies", "train_cutpaste"]
