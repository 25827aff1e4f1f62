"""The students: each learns, on good images alone, to say of every patch what the teacher says."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from edgead.errors import TrainingError
from edgead.types import InputSpec, Size, TrainingData
from edgead_plugins.backbones.conversion import normalised
from edgead_plugins.backbones.graphs import onnx
from edgead_plugins.students.losses import regression
from edgead_plugins.students.options import DESCRIPTOR, EPOCHS, STUDENTS, TEACHER, StudentsOptions, held_out
from edgead_plugins.students.patch_networks import PatchNetworks, mirrored, receptive_field
from edgead_plugins.students.teacher import find_teachers
from edgead_plugins.students.teacher_file import Teacher, to_bytes
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, first_and_last, train
from edgead_plugins.training.pytorch import nn, torch
from edgead_plugins.training.seeding import batch_of, deterministic, generator, pick_device
from edgead_plugins.training.trained import TrainedBackbone, to_backbone

FLAT = 1e-3
"""A dimension of the descriptor whose deviation is below this share of the largest counts as this: dividing
by less would make noise of it."""


class Ensemble(nn.Module):  # type: ignore[misc]
    """(N, 3, H, W) normalised -> ``teacher_P`` (N, 128, h, w), ``students_P`` (N, 128 M, h, w), P the scales.

    Args:
        pairs: teacher and students by scale; the teacher's descriptors are normalised.
        stride: (H, W) over (h, w).
    """

    def __init__(self, pairs: Mapping[int, tuple[PatchNetworks, PatchNetworks]], stride: int) -> None:
        super().__init__()
        self.scales, self.stride = tuple(pairs), stride
        self.networks = nn.ModuleDict(
            {
                f"{part}{scale}": network
                for scale, pair in pairs.items()
                for part, network in zip((TEACHER, STUDENTS), pair, strict=True)
            }
        )

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class."""
        maps = {}
        for scale in self.scales:
            around = mirrored(x, scale, self.stride)
            for name in (f"{TEACHER}{scale}", f"{STUDENTS}{scale}"):
                maps[name] = self.networks[name](around, self.stride)
        return maps


def train_students(data: TrainingData, layer: str, options: StudentsOptions) -> TrainedBackbone:
    """Train, or find, the teachers, then the students; see ``UninformedStudents.train``."""
    held = held_out(data.n_images, options.heldout, data.seed)
    images = [image for image, kept_back in zip(data.images(), held, strict=True) if not kept_back]
    if not images:  # a single image: there's nothing else to learn from
        images = list(data.images())
    for scale in options.scales:  # before anything is trained
        mirrored(torch.zeros(1, 3, *data.size), scale, options.stride)
    teachers = find_teachers(data, layer, options)
    shown = torch.from_numpy(np.stack(images))
    pairs, losses = {}, {}
    for teacher in teachers:
        pairs[teacher.scale], losses[str(teacher.scale)] = _train(data, teacher, shown, options)
    network = Ensemble(pairs, options.stride)
    facts = {
        "training": {
            "students": options.students,
            "steps": _steps(len(images), options),
            "images": len(images),
            "held_out": int(held.sum()),
            "seed": data.seed,
        },
        "loss": losses,
        "teacher": {str(teacher.scale): _described(teacher) for teacher in teachers},
        "trained_on": pick_device(options.device).type,
    }
    found = to_backbone(
        network,
        "uninformed-students",
        data.size,
        base=data.backbone,
        spec=_input(teachers[0], data.size),
        facts=facts,
    )
    return dataclasses.replace(found, float_nodes=_before_last(found.model))


def _before_last(model: onnx.ModelProto) -> list[str]:
    """The convolution before the last of each network, which INT8 would cost points of AUROC.

    Few of its sums are above 0, and small beside what cancels in them: an activation's rounding is as large.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for output in model.graph.output:
        name = output.name
        convolutions: list[str] = []
        while name in makers:
            if makers[name].op_type == "Conv":
                convolutions.append(makers[name].name)
            name = makers[name].input[0]
        found.append(convolutions[1])
    return found


def _train(
    data: TrainingData, teacher: Teacher, images: torch.Tensor, options: StudentsOptions
) -> tuple[tuple[PatchNetworks, PatchNetworks], dict[str, float] | None]:
    """Teacher and students of one scale, and the share of the teacher's variance that isn't explained."""
    device, scale, stride = pick_device(options.device), teacher.scale, options.stride
    steps, size = _steps(len(images), options), min(options.batch_size, len(images))
    spec = _input(teacher, data.size)

    def padded(some: torch.Tensor) -> torch.Tensor:
        return mirrored(normalised(some.to(device), spec), scale, stride)

    def one_by_one(advance: Callable[[int], None]) -> Iterator[torch.Tensor]:
        for image in images:
            yield padded(image[None])
            advance(1)

    seed = int(generator(data.seed, 21, scale).integers(2**31))
    with deterministic(seed):
        master = load_teacher(teacher).to(device)
        with data.progress("asking the teacher", len(images)) as advance:
            normalise(master, *measure(master, one_by_one(advance), stride))
        students = PatchNetworks(scale, options.students, options.width).to(device)

        def step(number: int) -> torch.Tensor:
            batch = batch_of(number, len(images), size, data.seed)
            rng = generator(data.seed, 22, scale, number)
            parts = (part(padded(images[i : i + 1]), scale, stride, options.crop, rng) for i in batch)
            around = torch.cat(list(parts))
            with torch.no_grad():
                targets = master(around, stride)
            return regression(targets, students(around, stride))

        run = Run(
            f"students {scale}",
            data.checkpoint,
            fingerprint(
                data,
                method="uninformed-students",
                phase="students",
                options=dataclasses.asdict(options),
                teacher=_sha256(teacher),
            ),
            data.progress,
            advice=f"lower -o learning_rate={options.learning_rate:g}",
        )
        optimiser = torch.optim.Adam(
            students.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps) if options.decay else None
        per_epoch = max(1, min(len(images) // size, steps // 8))
        told = train(run, students, optimiser, step, steps, steps_per_epoch=per_epoch, scheduler=falling)
    shares = [loss / (options.students * DESCRIPTOR) for loss in told]
    return (master.cpu(), students.eval().cpu()), first_and_last(shares)


def _steps(n_images: int, options: StudentsOptions) -> int:
    return options.steps or EPOCHS * (n_images // min(options.batch_size, n_images))


def part(around: torch.Tensor, scale: int, stride: int, crop: int, rng: np.random.Generator) -> torch.Tensor:
    """What a step learns from, of a padded image (1, 3, H, W): the pixels that ``crop`` x ``crop`` depend on.

    Where it begins is any pixel, and not only a multiple of the stride, so that over time every position is
    learnt. It's drawn from half a crop beyond either border and brought back: what lies at the border, often
    something of its own, would else be learnt from least. With 0 it's the whole image, moved by less than the
    stride.
    """
    sides = []
    for length in around.shape[2:]:
        wanted = crop + receptive_field(scale) - stride
        if crop:
            drawn = int(rng.integers(-(crop // 2), max(length - wanted, 0) + crop // 2 + 1))
            start = min(max(drawn, 0), max(length - wanted, 0))
        else:
            start = int(rng.integers(stride))
        sides.append(slice(start, start + wanted if crop else None))
    return around[:, :, sides[0], sides[1]]


def load_teacher(teacher: Teacher) -> PatchNetworks:
    """The teacher as a module that doesn't learn any more."""
    network = PatchNetworks(teacher.scale, 1, teacher.width)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in teacher.weights.items()})
    for value in network.parameters():
        value.requires_grad_(False)
    network.eval()
    return network


def measure(
    master: PatchNetworks, inputs: Iterable[torch.Tensor], stride: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation (128,) of each dimension, over all positions of all images; float64.

    Raises:
        TrainingError: the teacher says the same everywhere.
    """
    count, total, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for given in inputs:
            found = master(given, stride).transpose(0, 1).flatten(1).double().cpu()
            count += found.shape[1]
            total, squares = total + found.sum(1), squares + found.square().sum(1)
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
    if not float(deviation.max()) > 1e-6:
        raise TrainingError(
            "uninformed-students: the teacher's descriptors are the same everywhere: lower "
            "-o teacher_learning_rate or train it for longer with -o teacher_steps"
        )
    return mean, deviation.clamp_min(FLAT * float(deviation.max()))


def normalise(master: PatchNetworks, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """Have the last convolution give (descriptor - mean) / deviation."""
    last = master.convolutions[-1]
    with torch.no_grad():
        weight, bias = last.weight.double().cpu(), last.bias.double().cpu()
        last.weight.copy_(weight / deviation[:, None, None, None])
        last.bias.copy_((bias - mean) / deviation)


def _input(teacher: Teacher, size: Size) -> InputSpec:
    """What the teacher, and so its students, want to see."""
    facts = teacher.facts
    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    return InputSpec(size, 1, facts["channel_order"], mean, std)


def _described(teacher: Teacher) -> dict[str, Any]:
    """A teacher, for the manifest."""
    names = ("backbone", "layer", "steps", "pictures", "seed", "loss")
    return {**{name: teacher.facts[name] for name in names}, "sha256": _sha256(teacher)}


def _sha256(teacher: Teacher) -> str:
    return hashlib.sha256(to_bytes([teacher])).hexdigest()


__all__ = ["Ensemble", "load_teacher", "measure", "normalise", "part", "train_students"]
