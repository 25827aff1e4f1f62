"""Train ``default`` or ``default-small``: a small student learns a teacher's maps on generated pictures.

    python tools/train_default.py --teacher-weights resnet18_layer1-3.safetensors --bf16 \\
        --out default.onnx --checkpoint state.pt

Knowledge distillation on intermediate features: after Romero et al., "FitNets" (ICLR 2015), here
without regressors. Needs edgead's extras [fit] and [openvino], and torch. No photograph is used: the pictures
come from ``edgead_plugins.backbones.generated``. docs/default-backbone.md has the shipped file's figures.

The run is resumed where ``--checkpoint`` exists and was made with the same settings, and a resumed run sees
the same pictures as an uninterrupted one. The student trains on an accelerator where torch finds one.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import cv2
import torch
from distillation.judge import agreement, detection, of_student, of_teacher
from distillation.pictures import Moments, Window, channel_moments, make_chunk
from distillation.student import MEAN, NETWORKS, STD, Student, to_onnx
from distillation.teacher import Teacher
from torch import Tensor

SCRIPT_VERSION = 3
SETTINGS = ("network", "seed", "rounds", "chunk", "uses", "batch", "side", "lr", "bf16")
"""What a run is made of; a checkpoint of others isn't resumed."""
LICENCES = {"resnet18": "torchvision's ResNet-18 (ImageNet1K V1); licence BSD-3-Clause"}


def distance(maps: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Squared error on channel-normalised maps; faint textures count as much as loud ones.

    Each picture's error is divided by how much the teacher's map varies inside that picture.
    """
    losses = []
    for s, t in zip(maps, targets, strict=True):
        error = (s.float() - t).square().mean((1, 2, 3))
        losses.append((error / (t.var((2, 3)).mean(1) + 0.1)).mean())
    return torch.stack(losses).sum()


def learning_rate(done: float, highest: float) -> float:
    """Up in the first 4 % of the way, then down along a cosine to a hundredth."""
    if done < 0.04:
        return highest * (0.04 + done / 0.04 * 0.96)
    return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - 0.04) / 0.96)))


def new_student(
    args: argparse.Namespace, teacher: Teacher, moments: Moments, device: torch.device
) -> Student:
    """Random weights, but for the level of the maps, which BatchNorm would learn slowly."""
    torch.manual_seed(args.seed)
    student = Student(teacher.channels, NETWORKS[args.network])
    for norm, (mean, deviation) in zip(student.last_norms(), moments, strict=True):
        norm.bias.data.copy_((mean / deviation).flatten())
        norm.weight.data.fill_(0.5)
    return student.to(device, memory_format=torch.channels_last)


def train(args: argparse.Namespace, teacher: Teacher, moments: Moments, device: torch.device) -> Student:
    student = new_student(args, teacher, moments, device).train()
    optimiser = torch.optim.AdamW(student.parameters(), lr=args.lr, weight_decay=1e-4)
    first = _resume(args, student, optimiser)
    window = Window(teacher, args.seed, args.side, args.chunk, args.uses)
    deviations = [deviation.to(device) for _, deviation in moments]
    per_round = math.ceil(args.chunk * args.uses / args.batch)
    began, step = time.monotonic(), first * per_round
    for number in range(first, args.rounds):
        total = torch.zeros(())
        for x, answers in window.round(number, args.batch):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step / (args.rounds * per_round), args.lr)
            x = x.to(device).contiguous(memory_format=torch.channels_last)
            targets = [t.to(device) / d for t, d in zip(answers, deviations, strict=True)]
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=args.bf16):
                maps = student(x)
            loss = distance(maps, targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach().cpu() / per_round
            step += 1
        pace = (time.monotonic() - began) / 60 / (number + 1 - first)
        left = pace * (args.rounds - number - 1)
        print(
            f"round {number + 1}/{args.rounds}  step {step}  loss {total:.4f}  {left:.1f} min left",
            flush=True,
        )
        _save(args, number + 1, student, optimiser)
    return student.eval()


def _settings(args: argparse.Namespace) -> dict[str, float | str]:
    return {key: getattr(args, key) for key in SETTINGS}


def _resume(args: argparse.Namespace, student: Student, optimiser: torch.optim.Optimizer) -> int:
    if not (args.checkpoint and args.checkpoint.exists()):
        return 0
    saved = torch.load(args.checkpoint, weights_only=True)
    if saved["settings"] != _settings(args):
        raise SystemExit(f"{args.checkpoint} is of a run with other settings: remove it or choose another")
    student.load_state_dict(saved["student"])
    optimiser.load_state_dict(saved["optimiser"])
    print(f"resumed after round {saved['round']}")
    return int(saved["round"])


def _save(args: argparse.Namespace, done: int, student: Student, optimiser: torch.optim.Optimizer) -> None:
    if args.checkpoint:
        state = {"settings": _settings(args), "round": done, "student": student.state_dict()}
        beside = args.checkpoint.with_suffix(".tmp")
        torch.save(state | {"optimiser": optimiser.state_dict()}, beside)
        beside.replace(args.checkpoint)


def judge(
    args: argparse.Namespace, teacher: Teacher, moments: Moments, student: Student, device: torch.device
) -> dict[str, dict[str, dict[str, float]]]:
    """Print and return agreement and detection of random weights, the trained ones and the teacher."""
    reference = of_teacher(teacher, moments)
    untrained = new_student(args, teacher, moments, device).eval()
    networks = {"random weights": of_student(untrained, device), "trained": of_student(student, device)}
    agreed = {name: agreement(n, reference, args.seed, args.held_out) for name, n in networks.items()}
    for name, report in agreed.items():
        for stage, row in report.items():
            print(f"{name:15} {stage}  " + "  ".join(f"{key} {value:6.3f}" for key, value in row.items()))
    detected = detection({**networks, "teacher": reference}, args.seed, args.products)
    for name, (image, pixel) in detected.items():
        print(
            f"{name:15} detection on generated products: image AUROC {image:5.1f}  pixel AUROC {pixel:5.1f}"
        )
    aurocs = {name: {"image": image, "pixel": pixel} for name, (image, pixel) in detected.items()}
    return {"agreement": agreed["trained"], "detection": aurocs}


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = Teacher(args.teacher, args.teacher_weights, "bf16" if args.bf16 else "f32", args.threads)
    moments = channel_moments(make_chunk(teacher, args.seed, 0, min(args.chunk, 512), args.side))

    student = train(args, teacher, moments, device)
    figures = judge(args, teacher, moments, student, device)

    steps = math.ceil(args.chunk * args.uses / args.batch) * args.rounds
    drawn = (args.rounds + args.uses - 1) * args.chunk
    facts = {
        "made_by": f"tools/train_default.py, version {SCRIPT_VERSION}",
        "training": json.dumps({**_settings(args), "steps": steps}),
        "pictures": f"generated, series {args.seed}, numbers 0 to {drawn - 1}",
        **{name: json.dumps(_rounded(table)) for name, table in figures.items()},
        **teacher.facts,
        "teacher_licence": LICENCES.get(args.teacher, "see the teacher's own"),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "channel_order": "rgb",
    }
    beside = args.out.with_suffix(".tmp")
    beside.write_bytes(to_onnx(student.cpu(), facts).SerializeToString(deterministic=True))
    beside.replace(args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB", flush=True)


def _rounded(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {key: round(value, 4) for key, value in row.items()} for name, row in table.items()}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the default backbone on generated pictures.")
    parser.add_argument(
        "--teacher", default="resnet18", help="a backbone of edgead: resnet18, timm:NAME, ..."
    )
    parser.add_argument("--network", choices=list(NETWORKS), default="default", help="which one to train")
    parser.add_argument("--teacher-weights", type=Path, help="the teacher's .safetensors")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--checkpoint", type=Path, help="written after each round, resumed from")
    parser.add_argument("--rounds", type=int, default=64, help="a round goes once through the window")
    parser.add_argument("--chunk", type=int, default=1024, help="new pictures in a round")
    parser.add_argument("--uses", type=int, default=3, help="how often each picture is shown")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=160, help="the pictures' height and width in pixels")
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=int, default=128, help="pictures to measure agreement on")
    parser.add_argument("--products", type=int, default=40, help="generated products to detect defects on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--bf16", action="store_true", help="faster where the processor has BF16 instructions"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
