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
from edgead_plugins.students.patch_networks import PatchNetworks, mirrored, window
from edgead_plugins.students.teacher import find_teachers, to_train
from edgead_plugins.students.teacher_file import Teacher, to_bytes
from edgead_plugins.training.batches import Batches
from edgead_plugins.training.checkpoint import fingerprint
from edgead_plugins.training.loop import Run, first_and_last, train
from edgead_plugins.training.machine import Machine, machine_of
from edgead_plugins.training.plan import Phase, announce
from edgead_plugins.training.pytorch import nn, torch
from edgead_plugins.training.seeding import batch_of, deterministic, generator
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
    machine, shown = machine_of(data.compute), torch.from_numpy(np.stack(images))
    lessons = to_train(data, layer, options, machine)
    ahead = {scale: _rehearsal(data, scale, shown, options, machine) for scale in sorted(set(options.scales))}
    phases = [*(lesson.phase for lesson in lessons.values()), *ahead.values()]
    announce("uninformed-students", machine, data.progress, phases)
    pieces: dict[int, int | None] = {scale: phase.batches.pieces for scale, phase in ahead.items()}
    del ahead, phases
    teachers = find_teachers(data, layer, options, machine, lessons)
    pairs, losses = {}, {}
    for teacher in teachers:
        found = _train(data, teacher, shown, options, machine, pieces[teacher.scale])
        pairs[teacher.scale], losses[str(teacher.scale)] = found
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
        **machine.facts,
    }
    made = to_backbone(
        network,
        "uninformed-students",
        data.size,
        base=data.backbone,
        spec=_input(teachers[0], data.size),
        facts=facts,
    )
    return dataclasses.replace(made, float_nodes=_before_last(made.model))


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
    data: TrainingData,
    teacher: Teacher,
    images: torch.Tensor,
    options: StudentsOptions,
    machine: Machine,
    pieces: int | None,
) -> tuple[tuple[PatchNetworks, PatchNetworks], dict[str, float] | None]:
    """Teacher and students of one scale, and the share of the teacher's variance that isn't explained."""
    device, scale, stride = machine.device, teacher.scale, options.stride
    spec = _input(teacher, data.size)

    def one_by_one(advance: Callable[[int], None]) -> Iterator[torch.Tensor]:
        for image in images:
            yield mirrored(normalised(image[None].to(device), spec), scale, stride)
            advance(1)

    seed = int(generator(data.seed, 21, scale).integers(2**31))
    with deterministic(seed):
        master = load_teacher(teacher).to(device)
        with data.progress("asking the teacher", len(images)) as advance:
            normalise(master, *measure(master, one_by_one(advance), stride))
        students = PatchNetworks(scale, options.students, options.width).to(device)
        phase = _phase(data, master, students, images, spec, options, machine)
        phase.batches.pieces = pieces
        run = Run(
            f"students {scale}",
            data.checkpoint,
            fingerprint(
                data,
                method="uninformed-students",
                phase="students",
                options=dataclasses.asdict(options),
                teacher=_sha256(teacher),
                pieces=pieces,
            ),
            data.progress,
            advice=f"lower -o learning_rate={options.learning_rate:g}",
        )
        steps, size = phase.steps, phase.batches.size
        optimiser = torch.optim.Adam(
            students.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps) if options.decay else None
        per_epoch = max(1, min(len(images) // size, steps // 8))
        told = train(
            run,
            students,
            optimiser,
            phase.batches,
            steps,
            steps_per_epoch=per_epoch,
            scheduler=falling,
            announced=True,
        )
    shares = [loss / (options.students * DESCRIPTOR) for loss in told]
    return (master.cpu(), students.eval().cpu()), first_and_last(shares)


def _phase(
    data: TrainingData,
    master: PatchNetworks,
    students: PatchNetworks,
    images: torch.Tensor,
    spec: InputSpec,
    options: StudentsOptions,
    machine: Machine,
) -> Phase:
    """How the students of one scale learn from their teacher."""
    scale, stride, size = master.scale, options.stride, min(options.batch_size, len(images))
    around = mirrored(torch.zeros(1, 3, *data.size), scale, stride)
    lengths = int(around.shape[2]), int(around.shape[3])

    def make(number: int) -> list[Any]:
        batch = batch_of(number, len(images), size, data.seed)
        rng = generator(data.seed, 22, scale, number)
        return [images[batch], np.array([window(lengths, scale, stride, options.crop, rng) for _ in batch])]

    def learn(number: int, some: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
        parts = []
        for i, (top, bottom, left, right) in enumerate(windows.tolist()):
            whole = mirrored(normalised(some[i : i + 1], spec), scale, stride)
            parts.append(whole[:, :, top:bottom, left:right])
        given = torch.cat(parts)
        with machine.autocast():
            with torch.no_grad():
                targets = master(given, stride)
            said = students(given, stride)
        return regression(targets.float(), said.float())

    batches = Batches(f"students {scale}", machine, make, learn, size, in_pieces="exact")
    return Phase(batches, _steps(len(images), options), students)


def _rehearsal(
    data: TrainingData, scale: int, images: torch.Tensor, options: StudentsOptions, machine: Machine
) -> Phase:
    """What will cost as much as training the students of one scale, whose teacher there isn't yet."""
    with deterministic(data.seed):
        networks = [PatchNetworks(scale, count, options.width) for count in (1, options.students)]
    master, students = (network.to(machine.device) for network in networks)
    return _phase(data, master, students, images, data.backbone.input, options, machine)


def _steps(n_images: int, options: StudentsOptions) -> int:
    return options.steps or EPOCHS * (n_images // min(options.batch_size, n_images))


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
            found = master(given, stride).transpose(0, 1).flatten(1).cpu().double()
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


__all__ = ["Ensemble", "load_teacher", "measure", "normalise", "train_students"]
