"""Train the teacher that Uninformed Students ship with: it describes patches of 33 as a network's maps do.

    python tools/train_students_teacher.py --teacher-weights resnet18_layer1-3.safetensors --bf16 \\
        --out teacher.safetensors --checkpoint state.pt

The paper has the teacher learn from one patch at a time, enlarged for the network that it's distilled from.
Here it learns from whole generated pictures: the network (``--teacher``, ResNet-18) sees one of 256 x 256,
the patch network the same picture at half the size, and from each of its positions a linear layer has to
tell the network's normalised maps of stride 8 and 16 there. A step is thousands of patches for the price
of a hundred. The rest is the method's own: the patch network, the descriptor of 128, its correlations' loss.

No photograph is used. A run is resumed where ``--checkpoint`` exists and was made with the same settings.
docs/methods/uninformed-students.md has the shipped file's figures.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from distillation.pictures import Moments, Window, channel_moments, make_chunk
from distillation.student import MEAN, STD
from distillation.teacher import Teacher
from torch import Tensor, nn
from torch.nn import functional

from edgead_plugins.students import losses
from edgead_plugins.students.options import DESCRIPTOR
from edgead_plugins.students.patch_networks import PatchNetworks, mirrored
from edgead_plugins.students.teacher_file import Teacher as File
from edgead_plugins.students.teacher_file import write_teachers

STRIDE = 4
SIDE = 256
"""Of the pictures; the patch network sees them at half the size."""
SETTINGS = (
    *("teacher", "scale", "width", "seed", "rounds", "chunk", "uses", "batch", "lr", "compactness", "bf16"),
)
"""What a run is made of; a checkpoint of others isn't resumed."""
SAMPLE = 4
"""The descriptors' correlations are of every fourth position."""


class Learner(nn.Module):
    """The patch network, and the linear layer that tells the larger network's maps from its descriptors."""

    def __init__(self, scale: int, width: float, channels: int) -> None:
        super().__init__()
        self.network, self.decoder = PatchNetworks(scale, 1, width), nn.Conv2d(DESCRIPTOR, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 256, 256) -> descriptors (N, 128, 32, 32), maps (N, C, 32, 32)."""
        small = functional.avg_pool2d(x, 2)
        described = self.network(mirrored(small, self.network.scale, STRIDE), STRIDE)
        return described, self.decoder(described)


def wanted(answers: list[Tensor], moments: Moments) -> list[Tensor]:
    """The maps of stride 8 and 16 by channel's mean and deviation, as large as the descriptors' map."""
    found = [(t - m) / d for t, (m, d) in zip(answers[1:], moments[1:], strict=True)]
    size = (SIDE // 2 // STRIDE,) * 2
    return [functional.interpolate(t, size=size, mode="bilinear", align_corners=False) for t in found]


def distance(told: Tensor, targets: list[Tensor]) -> Tensor:
    """Squared error, each picture's over how much the map varies in it: faint textures count as much."""
    parts = []
    for s, t in zip(told.split([t.shape[1] for t in targets], 1), targets, strict=True):
        parts.append(((s - t).square().mean((1, 2, 3)) / (t.var((2, 3)).mean(1) + 0.05)).mean())
    return torch.stack(parts).mean()


def rate(done: float, highest: float) -> float:
    """Up in the first 2 % of the way, then down along a cosine."""
    return highest * min(1.0, 0.02 + done / 0.02) * (0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * done)))


def train(args: argparse.Namespace, teacher: Teacher) -> tuple[Learner, list[float]]:
    moments = channel_moments(make_chunk(teacher, args.seed, 0, min(args.chunk, 256), SIDE))
    torch.manual_seed(args.seed)
    learner = Learner(args.scale, args.width, sum(teacher.channels[1:])).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=args.lr, weight_decay=1e-5)
    told = _resume(args, learner, optimiser)
    first, per_round = len(told), math.ceil(args.chunk * args.uses / args.batch)
    window = Window(teacher, args.seed, SIDE, args.chunk, args.uses)
    began, step = time.monotonic(), first * per_round
    for number in range(first, args.rounds):
        total = 0.0
        for x, answers in window.round(number, args.batch):
            for group in optimiser.param_groups:
                group["lr"] = rate(step / (args.rounds * per_round), args.lr)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                described, maps = learner(x.contiguous(memory_format=torch.channels_last))
            error = distance(maps.float(), wanted(answers, moments))
            vectors = described.float().permute(0, 2, 3, 1).reshape(-1, DESCRIPTOR)[::SAMPLE]
            loss = error + args.compactness / DESCRIPTOR * losses.compactness(vectors)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(error.detach()) / per_round
            step += 1
        told.append(total)
        pace = (time.monotonic() - began) / 60 / (number + 1 - first)
        print(f"round {number + 1}/{args.rounds}  step {step}  unexplained {total:.4f}  "
              f"{pace * (args.rounds - number - 1):.1f} min left", flush=True)  # fmt: skip
        if args.checkpoint:
            state = {"settings": _settings(args), "told": told, "learner": learner.state_dict()}
            beside = args.checkpoint.with_suffix(".tmp")
            torch.save(state | {"optimiser": optimiser.state_dict()}, beside)
            beside.replace(args.checkpoint)
    return learner.eval(), told


def _settings(args: argparse.Namespace) -> dict[str, float | str]:
    return {key: getattr(args, key) for key in SETTINGS}


def _resume(args: argparse.Namespace, learner: Learner, optimiser: torch.optim.Optimizer) -> list[float]:
    """The losses of the rounds that are done."""
    if not (args.checkpoint and args.checkpoint.exists()):
        return []
    saved = torch.load(args.checkpoint, weights_only=True)
    if saved["settings"] != _settings(args):
        raise SystemExit(f"{args.checkpoint} is of a run with other settings: remove it or choose another")
    learner.load_state_dict(saved["learner"])
    optimiser.load_state_dict(saved["optimiser"])
    print(f"resumed after round {len(saved['told'])}")
    return list(saved["told"])


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    teacher = Teacher(args.teacher, args.teacher_weights, "bf16" if args.bf16 else "f32", args.threads)
    learner, told = train(args, teacher)
    drawn = (args.rounds + args.uses - 1) * args.chunk
    facts = {
        "backbone": args.teacher,
        "backbone_weights_sha256": teacher.facts["teacher_sha256"],
        "layer": ", ".join(teacher.maps[1:]),
        "pictures": f"generated by edgead, series {args.seed}, numbers 0 to {drawn - 1}",
        "steps": math.ceil(args.chunk * args.uses / args.batch) * args.rounds,
        "batch": args.batch,
        "learning_rate": args.lr,
        "seed": args.seed,
        "loss": {"first": round(told[0], 4), "last": round(told[-1], 4)},
        "channel_order": "rgb",
        "mean": list(MEAN),
        "std": list(STD),
        "made_by": "tools/train_students_teacher.py",
    }
    halves = {  # values that FP16 holds too, as the default backbone's
        name: np.asarray(value.numpy(), np.float16).astype(np.float32)
        for name, value in learner.network.state_dict().items()
    }
    write_teachers(args.out, [File(args.scale, args.width, halves, facts)])
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train Uninformed Students' teacher on generated pictures.")
    parser.add_argument("--teacher", default="resnet18", help="a backbone of edgead with strides 4, 8 and 16")
    parser.add_argument("--teacher-weights", type=Path, help="the teacher's .safetensors")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--checkpoint", type=Path, help="written after each round, resumed from")
    parser.add_argument("--scale", type=int, default=33, choices=(17, 33, 65))
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--rounds", type=int, default=20, help="a round goes once through the window")
    parser.add_argument("--chunk", type=int, default=1024, help="new pictures in a round")
    parser.add_argument("--uses", type=int, default=4, help="how often each picture is shown")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--compactness", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--bf16", action="store_true", help="faster where the processor has BF16 instructions"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
