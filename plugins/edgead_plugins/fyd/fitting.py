"""FYD's training: one loop over random pairs of good images, both losses at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edgead.types import TrainingData
from edgead_plugins.fyd.movement import movement
from edgead_plugins.fyd.network import AlignedNetwork, Predictor, image_loss, similarity_loss
from edgead_plugins.fyd.options import (
    MOVING_RATE,
    MOVING_WORN,
    STILL_RATE,
    STILL_WORN,
    TRAINED,
    FYDOptions,
)
from edgead_plugins.fyd.transformer import Bounds
from edgead_plugins.sampling import evenly_spread
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.collapse import SpreadGuard
from edgead_plugins.training.loop import Run, first_and_last, train
from edgead_plugins.training.machine import machine_of
from edgead_plugins.training.plan import Phase, announce
from edgead_plugins.training.pytorch import nn, torch
from edgead_plugins.training.seeding import batch_of, deterministic
from edgead_plugins.training.trained import TrainedBackbone, to_backbone

LOOKED_AT = 8
"""Images that gains and collapse are measured on."""


def train_fyd(data: TrainingData, stages: tuple[str, ...], options: FYDOptions) -> TrainedBackbone:
    """Train the aligned network and return it as a backbone; see ``FYD.train``."""
    with deterministic(data.seed):
        return _train(data, stages, options)


def _train(data: TrainingData, stages: tuple[str, ...], options: FYDOptions) -> TrainedBackbone:
    machine = machine_of(data.compute)
    device = machine.device
    frames = list(data.images())
    moved = movement(frames)
    rate = options.learning_rate
    if rate is None:
        rate = MOVING_RATE if moved.moving else STILL_RATE
    aligns_image = options.aligns_image(moved.moving)
    images = torch.from_numpy(np.stack(frames))
    bounds = Bounds(options.max_rotation, options.max_scale, options.max_shift)
    network = AlignedNetwork(
        data.backbone,
        stages,
        data.size,
        bounds if aligns_image else None,
        bounds if options.align_features else None,
    )
    few = images[evenly_spread(len(images), LOOKED_AT)]
    network.prepare(few)
    predictors = nn.ModuleList(Predictor(channels) for channels, _, _ in network.shapes().values())
    worn = options.stop_worn
    if worn is None:
        worn = MOVING_WORN if moved.moving else STILL_WORN
    guard = SpreadGuard(stages, worn=worn)
    everything = nn.ModuleList([network, predictors, guard]).to(device)

    def watch() -> bool:
        with torch.no_grad():
            guard.look(dict(network.run(few.to(device)).maps))
        return guard.worn_out()

    watch()

    def make(number: int) -> list[torch.Tensor]:
        return [images[batch_of(number, len(images), options.batch_size, data.seed)]]

    def learn(number: int, batch: torch.Tensor) -> torch.Tensor:
        partner = torch.arange(len(batch), device=device).roll(1)  # a batch is in random order already
        loss = torch.zeros((), device=device)
        with machine.autocast():
            done = network.run(batch)
            predicted = {
                stage: predictor(done.maps[stage])
                for stage, predictor in zip(stages, predictors, strict=True)
            }
        for stage in stages:
            pair = predicted[stage].float(), done.maps[stage].float()
            loss = loss + similarity_loss(*pair, done.inside[stage], partner) / len(stages)
        if network.image_transformer is not None:
            loss = loss + image_loss(done.image, done.image_inside, network.image_transformer.gain)
        return loss

    size = min(options.batch_size, len(images))
    per_epoch = len(images) // size
    step = Batches("fyd", machine, make, learn, size, in_pieces="never")
    announce("fyd", machine, data.progress, [Phase(step, options.epochs * per_epoch, everything)])
    run = Run(
        "fyd",
        data.checkpoint,
        fingerprint(data, method="fyd", options=dataclasses.asdict(options), stages=stages),
        data.progress,
        advice=f"lower -o learning_rate={rate:g} or -o image_learning_rate={options.image_learning_rate:g}",
    )
    losses = train(
        run,
        everything,
        _optimiser(network, predictors, options, rate),
        step,
        options.epochs * per_epoch,
        steps_per_epoch=per_epoch,
        watch=watch,
        announced=True,
    )
    everything.eval()
    network.settle(batch.to(device) for batch in images.split(size))
    facts = {
        "training": {"epochs": options.epochs, "batches": per_epoch, "batch_size": size, "seed": data.seed},
        TRAINED: {
            "learning_rate": rate,
            "chosen": options.learning_rate is None,
            "explained_lying": round(moved.lying, 3),
            "explained_placed": round(moved.placed, 3),
            "moving": moved.moving,
            "align_image": aligns_image,
            "align_image_chosen": options.align_image is None,
            "epochs": len(losses),
            "worn": guard.worn_out(),
        },
        "loss": first_and_last(losses),
        "spread_left": {name: round(share, 3) for name, share in guard.shares().items()},
        **machine.facts,
    }
    return to_backbone(network, "fyd", data.size, base=data.backbone, facts=facts)


def _optimiser(
    network: AlignedNetwork, predictors: nn.ModuleList, options: FYDOptions, rate: float
) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": list(network.backbone.parameters())},
        {"params": list(network.transformers.parameters())},
        {"params": list(predictors.parameters())},
    ]
    if network.image_transformer is not None:
        groups.append(
            {"params": list(network.image_transformer.parameters()), "lr": options.image_learning_rate}
        )
    kept = [group for group in groups if group["params"]]
    return torch.optim.SGD(kept, lr=rate, momentum=options.momentum)


__all__ = ["train_fyd"]
