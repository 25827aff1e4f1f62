"""CutPaste's training: tell good images from pasted ones, once for whole images and once for patches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from edgead.types import Image, Size, TrainingData
from edgead_plugins.cutpaste.keeping import trunk_separation
from edgead_plugins.cutpaste.network import Embeddings, Trunk, Untrained, make_head
from edgead_plugins.cutpaste.options import PAPER_SIDE, CutPasteOptions
from edgead_plugins.cutpaste.weaknesses import EXPLAINED, INVISIBLE, OVER_CHANCE, SEPARATION
from edgead_plugins.gaussian_density import Estimation, estimate_density, explained_by_position
from edgead_plugins.sampling import evenly_spread
from edgead_plugins.separation import Trial, trial_of
from edgead_plugins.synthesis.cutpaste import Mask, colour_jitter, cut_paste, scar, translated
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, first_and_last, train
from edgead_plugins.training.machine import Machine, machine_of
from edgead_plugins.training.plan import Phase, announce
from edgead_plugins.training.pytorch import functional, nn, torch
from edgead_plugins.training.seeding import batch_of, deterministic, generator
from edgead_plugins.training.trained import TrainedBackbone, to_backbone

Level = Literal["image", "patch"]
Paste = Callable[[Image, np.random.Generator, float], tuple[Image, Mask]]
LOOKED_AT = 32
"""Images that alignment and invisible patches are measured on."""
PROBES = 16
"""Images that a trunk's BatchNorm begins with the statistics of."""
CHANGED = 4.0
"""Mean grey levels that a pasted patch must change to be seen."""


def train_cutpaste(data: TrainingData, layer: str, options: CutPasteOptions) -> TrainedBackbone:
    """Train the trunks and return them as a backbone; see ``CutPaste.train``."""
    images = list(data.images())
    levels: tuple[Level, ...] = ("image", "patch")
    wanted = [level for level in levels if options.level in (level, "both")]
    task = {"task": options.task, "steps": options.steps, "images": len(images), "seed": data.seed}
    explained, invisible = _explained(data, layer, images), _invisible(images, data.seed)
    trial = trial_of(images, data.seed) if options.keep_better else None
    trunks: dict[Level, Trunk] = {}
    losses: dict[Level, list[float]] = {}
    told: dict[str, dict[str, float]] = {}
    machine, lessons = machine_of(data.compute), {}
    for level in wanted:
        with deterministic(data.seed):
            lessons[level] = _Lesson(data, images, level, layer, options, machine)
    shared = sum(image.nbytes for image in images)
    announce("cutpaste", machine, data.progress, [its.phase for its in lessons.values()], shared)
    for level, lesson in lessons.items():
        with deterministic(data.seed):
            start, losses[level] = lesson.start, lesson.train()
            trunks[level] = lesson.trunk
            if trial is not None:
                with data.progress(f"trying the {level} network on synthetic defects", None):
                    told[level] = _keep_better(trunks[level], start, level, data.size, options, trial)
    chance = math.log(
        3 if options.task == "3-way" else 2
    )  # cross-entropy of a network that tells nothing apart
    facts = {
        "training": task,
        **machine.facts,
        "loss": {level: first_and_last(its) for level, its in losses.items()},
        EXPLAINED: round(explained, 3),
        INVISIBLE: round(invisible, 3),
        SEPARATION: told,
        OVER_CHANCE: {level: round(its[-1] / chance, 3) for level, its in losses.items()},
    }
    side = options.patch(data.size) if "patch" in trunks else 1
    image, beside = trunks.get("image"), None
    if image is not None and options.beside:
        beside = Untrained(data.backbone, layer, data.size)
        if _put_back(told.get("image")):  # its mean is in there already
            image = None
    network = Embeddings(image, trunks.get("patch"), data.size, options.patch_stride, side, beside)
    return to_backbone(network, "cutpaste", data.size, base=data.backbone, facts=facts)


State = Mapping[str, torch.Tensor]


def _keep_better(
    trunk: Trunk, start: State, level: Level, size: Size, options: CutPasteOptions, trial: Trial
) -> dict[str, float]:
    """Put the trunk back to its start where that separates synthetic defects better; both separations."""
    end = {name: value.clone() for name, value in trunk.state_dict().items()}
    found = {}
    for name, state in (("untrained", start), ("trained", end)):
        trunk.load_state_dict(state)
        share = trunk_separation(trunk, level == "image", size, options, trial)
        found[name] = round(share, 4)
    if _put_back(found):
        trunk.load_state_dict(start)
    return found


def _put_back(separations: Mapping[str, float] | None) -> bool:
    return separations is not None and separations["untrained"] > separations["trained"]


@dataclass(frozen=True)
class Pasted:
    """A step's images with the proxy task's copies of each: (N, classes, H, W, 3) uint8, the good one first.

    Attributes:
        images: all good images (n, H, W, 3), uint8.
        level: whether they are whole or patches.
        seed: what they are drawn from, besides the step's number.
    """

    images: torch.Tensor
    level: Level
    options: CutPasteOptions
    seed: int

    def __call__(self, number: int) -> tuple[np.ndarray]:
        """Those of step 0, 1, ..."""
        batch = batch_of(number, len(self.images), self.options.batch_size, self.seed)
        rng = generator(self.seed, number, 1 if self.level == "image" else 2)
        drawn = [proxies(self.images[int(i)].numpy(), rng, self.level, self.options) for i in batch]
        return (np.stack([np.stack(some) for some in drawn]),)


class _Lesson:
    """A level's networks, and how they learn.

    Attributes:
        trunk: what is wanted of it.
        start: the state that it began with.
    """

    def __init__(
        self,
        data: TrainingData,
        images: Sequence[Image],
        level: Level,
        layer: str,
        options: CutPasteOptions,
        machine: Machine,
    ) -> None:
        self.data, self.level, self.layer, self.options, self.machine = data, level, layer, options, machine
        chosen, rng = _few(images), generator(data.seed, 4)
        probe = [proxies(image, rng, level, options)[0] for image in chosen[:PROBES]]
        self.trunk = Trunk(data.backbone, layer, torch.from_numpy(np.stack(probe)))
        self.start: State = {name: value.clone() for name, value in self.trunk.state_dict().items()}
        self.rate = options.rate(min(options.batch_size, len(images)))
        self.head = make_head(self.trunk.width, options.head_layers, 3 if options.task == "3-way" else 2)
        both = nn.ModuleList([self.trunk, self.head]).to(machine.device)
        size = min(options.batch_size, len(images))
        make = Pasted(torch.from_numpy(np.stack(images)), level, options, data.seed)
        batches = Batches(f"cutpaste {level}", machine, make, self._loss, size, synthetic=True)
        self.phase = Phase(batches, options.steps, both)

    def _loss(self, number: int, given: torch.Tensor) -> torch.Tensor:
        labels = torch.arange(given.shape[1], device=given.device).repeat(len(given))
        with self.machine.autocast():
            with torch.set_grad_enabled(number >= self.options.frozen_steps):
                embedding = self.trunk(given.flatten(0, 1))
            said = self.head(embedding)
        return functional.cross_entropy(said.float(), labels)

    def train(self) -> list[float]:
        """Train both; the losses."""
        data, options, rate = self.data, self.options, self.rate
        optimiser = torch.optim.SGD(
            [
                *self.trunk.parameter_groups(rate, options.weight_decay),
                {"params": list(self.head.parameters())},
            ],
            lr=rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )
        facts = {"level": self.level, "layer": self.layer, "options": dataclasses.asdict(options)}
        run = Run(
            f"cutpaste {self.level}",
            data.checkpoint,
            fingerprint(data, method="cutpaste", **facts),
            data.progress,
            advice=f"lower -o learning_rate={rate:g}",
        )
        losses = train(
            run,
            self.phase.module,
            optimiser,
            self.phase.batches,
            options.steps,
            steps_per_epoch=max(1, min(256, options.steps // 4)),
            scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps),
            announced=True,
        )
        self.trunk.eval().cpu()
        return losses


def proxies(image: Image, rng: np.random.Generator, level: Level, options: CutPasteOptions) -> list[Image]:
    """One image of each class of the proxy task, the good one first; for patches, of one random crop."""
    height, width = image.shape[:2]
    if level == "patch":
        side = options.patch((height, width))
        y, x = (int(rng.integers(0, n - side + 1)) for n in (height, width))
        image = image[y : y + side, x : x + side]
    else:
        image = translated(image, rng, options.translation)
    image = colour_jitter(image, rng, options.jitter)
    # A scar is as large beside the whole image as the paper's is, on a patch of it too.
    thin: Paste = partial(scar, scale=math.sqrt(height * width) / PAPER_SIDE)
    pasted: dict[str, list[Paste]] = {"3-way": [cut_paste, thin], "cutpaste": [cut_paste], "scar": [thin]}
    if options.task == "union":
        pasted["union"] = [cut_paste if rng.random() < 0.5 else thin]
    return [image, *(paste(image, rng, options.jitter)[0] for paste in pasted[options.task])]


def _few(images: Sequence[Image]) -> list[Image]:
    return [images[i] for i in evenly_spread(len(images), LOOKED_AT)]


def _explained(data: TrainingData, layer: str, images: Sequence[Image]) -> float:
    """How far position alone tells what the untrained backbone sees; see ``explained_by_position``."""
    from edgead_plugins.training.onnx_module import OnnxModule

    known = data.backbone.feature_info
    fine = [name for name, info in known.items() if info.stride in (8, 16)][-1:] or [layer]
    network = OnnxModule(data.backbone.name, data.backbone.onnx(fine, data.size))
    with torch.no_grad():
        maps = [network(torch.from_numpy(image[None]))[fine[0]][0].numpy() for image in _few(images)]
    channels, h, w = maps[0].shape
    density = estimate_density(
        lambda: (m.reshape(channels, h * w) for m in maps),
        h * w,
        channels,
        Estimation("diagonal"),
        progress=data.progress,
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


__all__ = ["Pasted", "proxies", "train_cutpaste"]
