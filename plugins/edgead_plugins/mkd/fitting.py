"""MKD's training: the cloner follows the frozen source on good images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from edgead.errors import TrainingError
from edgead.types import TrainingData
from edgead_plugins.mkd.network import Distillation, loss
from edgead_plugins.mkd.options import MKDOptions
from edgead_plugins.sampling import evenly_spread
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, batches, first_and_last, train
from edgead_plugins.training.machine import machine_of
from edgead_plugins.training.plan import Phase, announce
from edgead_plugins.training.pytorch import torch
from edgead_plugins.training.seeding import batch_of, deterministic
from edgead_plugins.training.trained import TrainedBackbone, to_backbone

PROBES = 8
"""Images that the source is looked at with, and the cloner at the end."""

Lesson = tuple[list[torch.Tensor], torch.Tensor]
"""The source's maps of some images, and the images as the cloner sees them."""


def train_mkd(data: TrainingData, layers: Mapping[str, bool], options: MKDOptions) -> TrainedBackbone:
    """Train the cloner and return it with its source as a backbone; see ``MKD.train``."""
    with deterministic(data.seed):
        return _train(data, layers, options)


def _train(data: TrainingData, layers: Mapping[str, bool], options: MKDOptions) -> TrainedBackbone:
    machine = machine_of(data.compute)
    device = machine.device
    images = torch.from_numpy(np.stack(list(data.images())))
    few = images[evenly_spread(len(images), PROBES)]
    network = Distillation(data.backbone, layers, data.size, options.normalise, options.cloner_width, few).to(
        device
    )
    network.source.eval()
    known = _lessons(network, images, options, data)

    def make(number: int) -> list[torch.Tensor]:
        batch = torch.from_numpy(batch_of(number, len(images), options.batch_size, data.seed, True))
        return [images[batch]] if known is None else [maps[batch] for maps in (known[1], *known[0])]

    def learn(number: int, seen: torch.Tensor, *taught: torch.Tensor) -> torch.Tensor:
        shown, wanted = seen, list(taught)
        with machine.autocast():
            if known is None:
                with torch.no_grad():
                    wanted, shown = network.teach(seen)
            found = network.cloner(shown)
        return loss([a.float() for a in wanted], [b.float() for b in found], options.weights)

    size = min(options.batch_size, len(images))
    per_epoch = -(-len(images) // size)
    steps = options.steps or options.epochs * per_epoch
    step = Batches("mkd", machine, make, learn, size)
    announce("mkd", machine, data.progress, [Phase(step, steps, network.cloner)])
    run = Run(
        "mkd",
        data.checkpoint,
        fingerprint(data, method="mkd", options=dataclasses.asdict(options), layers=dict(layers)),
        data.progress,
        advice=f"lower -o learning_rate={options.learning_rate:g}",
    )
    losses = train(
        run,
        network.cloner,
        torch.optim.Adam(network.cloner.parameters(), lr=options.learning_rate),
        step,
        steps,
        steps_per_epoch=per_epoch if options.steps is None else max(1, steps // 20),
        announced=True,
    )
    _check_alive(network.eval(), few.to(device), options)
    facts = {
        "training": {"steps": steps, "batch_size": size, "images": len(images), "seed": data.seed},
        "loss": first_and_last(losses),
        "source_layers": list(layers),
        "pooled_layers": [name for name, pooled in layers.items() if pooled],
        "cloner_parameters": sum(p.numel() for p in network.cloner.parameters()),
        **machine.facts,
    }
    return to_backbone(network, "mkd", data.size, base=data.backbone, facts=facts)


def _lessons(
    network: Distillation, images: torch.Tensor, options: MKDOptions, data: TrainingData
) -> Lesson | None:
    """All the source has to say of the images, once: it's frozen. None where memory is short."""
    device = network.black.device
    kept: list[list[torch.Tensor]] = []
    with torch.no_grad():
        taught, shown = network.teach(images[:1].to(device))
        if sum(x.numel() * 4 for x in [*taught, shown]) * len(images) > options.memory_mib << 20:
            return None
        with data.progress("asking the source", len(images)) as advance:
            for some in batches(images, 16):
                taught, shown = network.teach(some.to(device))
                kept.append([x.cpu() for x in [*taught, shown]])
                advance(len(some))
    *maps, inputs = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return maps, inputs


def _check_alive(network: Distillation, few: torch.Tensor, options: MKDOptions) -> None:
    """Raise where a layer of the cloner yields nothing that has to do with the source's."""
    with torch.no_grad():
        taught, shown = network.teach(few)
        for name, a, b in zip(network.layers, taught, network.cloner(shown), strict=True):
            cosine = torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1)).mean()
            if not float(cosine) > 0.05:
                raise TrainingError(
                    f"mkd: the cloner is dead at '{name}' (its cosine is {float(cosine):.2f}); lower "
                    f"-o learning_rate={options.learning_rate:g} or raise -o epochs={options.epochs}"
                )


__all__ = ["train_mkd"]
