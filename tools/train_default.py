"""Train the ``default`` backbone: a small student learns ResNet-18's feature maps on generated pictures.

    python tools/train_default.py --teacher-weights resnet18_layer1-3.safetensors --out default.onnx

Knowledge distillation on intermediate features: after Romero et al., "FitNets" (ICLR 2015), without hints'
adapters, since each student stage ends in as many channels as the teacher's layer has. Needs torch,
safetensors, onnx and an importable ``edgead_plugins``. No photograph is used: the pictures come from
``edgead_plugins.backbones.generated``. docs/default-backbone.md has the figures of the shipped file.

The run is resumed where ``--checkpoint`` exists and was made with the same settings, and a resumed run sees
the same pictures as an uninterrupted one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from edgead_plugins.backbones.generated import generate

SCRIPT_VERSION = 1
MEAN, STD = (
    (123.675, 116.28, 103.53),
    (58.395, 57.12, 57.375),
)  # RGB, 0..255: the teacher's, hence the student's

# (channels, kernel, stride) per convolution. Channels are multiples of 16 for the INT8 kernels of CPUs and
# GPUs; a stage's last convolution has the teacher's number of channels.
STAGES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "stage1": ((32, 5, 2), (48, 3, 2), (48, 3, 1), (64, 3, 1)),
    "stage2": ((96, 3, 2), (96, 3, 1), (128, 3, 1)),
    "stage3": ((192, 3, 2), (192, 3, 1), (256, 3, 1)),
}
HELD_OUT = 1  # added to the seed: another series of pictures

Moments = list[tuple[Tensor, Tensor]]
"""(mean, standard deviation), both (C, 1, 1), of the channels of each of the teacher's maps."""


# ---------------------------------------------------------------- networks


class Student(nn.Module):
    """Convolution, BatchNorm, ReLU, again and again; (N, 3, H, W) to the three stages' maps."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        self.stages = nn.ModuleDict()
        for name, layers in STAGES.items():
            blocks: list[nn.Module] = []
            for out, kernel, stride in layers:
                blocks.append(nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False))
                blocks.extend([nn.BatchNorm2d(out), nn.ReLU()])
                channels = out
            self.stages[name] = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages.values():
            x = stage(x)
            maps.append(x)
        return maps


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: He et al., "Deep residual learning" (CVPR 2016)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(shortcut + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Teacher(nn.Module):
    """ResNet-18 up to layer3, keys as torchvision's; (N, 3, H, W) to the maps of layers 1 to 3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)
            maps.append(x)
        return maps


def load_teacher(path: Path) -> Teacher:
    """ResNet-18 with weights from a file of torchvision's or timm's keys; layer4 and fc may be there."""
    teacher = Teacher()
    missing, _ = teacher.load_state_dict(load_file(path), strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise SystemExit(f"{path} isn't ResNet-18's weights: no '{missing[0]}'")
    return teacher.eval().to(memory_format=torch.channels_last)


# ---------------------------------------------------------------- pictures


def batch(seed: int, start: int, n: int, side: int) -> Tensor:
    """Pictures ``start`` to ``start + n`` of a series, RGB, normalised, (n, 3, side, side)."""
    pictures = np.stack([generate(seed, start + i, (side, side))[..., ::-1] for i in range(n)])
    x = (pictures.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def channel_moments(teacher: Teacher, seed: int, side: int, n: int) -> Moments:
    """(mean, standard deviation) of each teacher channel; one that hardly moves isn't blown up later."""
    sums = [torch.zeros(2, channels, dtype=torch.float64) for channels in (64, 128, 256)]
    for start in range(0, n, 8):
        for total, t in zip(sums, teacher(batch(seed, start, 8, side)), strict=True):
            t = t.double()
            total += torch.stack([t.mean((0, 2, 3)), t.square().mean((0, 2, 3))]) / (n // 8)
    moments = []
    for mean, square in sums:
        deviation = (square - mean * mean).clamp(min=0).sqrt()
        deviation = deviation.clamp(min=0.1 * float(deviation.mean()))
        moments.append((mean.float().reshape(-1, 1, 1), deviation.float().reshape(-1, 1, 1)))
    return moments


# ---------------------------------------------------------------- training


def distance(maps: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Squared error on channel-normalised maps; faint textures count as much as loud ones.

    Each picture's error is divided by how much the teacher's map varies inside that picture.
    """
    losses = []
    for s, t in zip(maps, targets, strict=True):
        error = (s.float() - t).square().mean((1, 2, 3))
        losses.append((error / (t.var((2, 3)).mean(1) + 0.1)).mean())
    return torch.stack(losses).sum()


def train(args: argparse.Namespace, teacher: Teacher, moments: Moments) -> Student:
    torch.manual_seed(args.seed)
    student = Student().to(memory_format=torch.channels_last)
    for stage, (mean, deviation) in zip(student.stages.values(), moments, strict=True):
        stage[-2].bias.data.copy_((mean / deviation).flatten())  # BatchNorm would learn the level slowly
        stage[-2].weight.data.fill_(0.5)
    optimiser = torch.optim.AdamW(student.parameters(), lr=args.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, args.lr, total_steps=args.steps, pct_start=0.1, final_div_factor=100
    )
    settings = {key: getattr(args, key) for key in ("seed", "steps", "batch", "side", "lr", "bf16")}
    first = 0
    if args.checkpoint and args.checkpoint.exists():
        saved = torch.load(args.checkpoint, weights_only=True)
        if saved["settings"] != settings:
            raise SystemExit(
                f"{args.checkpoint} is of a run with other settings: remove it or choose another"
            )
        student.load_state_dict(saved["student"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["step"]
        print(f"resumed at step {first}")

    began, running = time.monotonic(), 0.0
    for step in range(first, args.steps):
        x = batch(args.seed, step * args.batch, args.batch, args.side)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            with torch.no_grad():
                targets = [
                    t.float() / deviation for t, (_, deviation) in zip(teacher(x), moments, strict=True)
                ]
            maps = student(x)
        loss = distance(maps, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running = loss.item() if step == first else 0.98 * running + 0.02 * loss.item()
        done = step + 1
        if done % 25 == 0 or done == args.steps:
            pace = (time.monotonic() - began) / (done - first)
            left = pace * (args.steps - done) / 60
            print(
                f"step {done}/{args.steps}  loss {running:.3f}  {pace:.2f} s/step  {left:.1f} min left",
                flush=True,
            )
        if args.checkpoint and (done % args.save_every == 0 or done == args.steps):
            state = {"settings": settings, "step": done, "student": student.state_dict()}
            state |= {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
            beside = args.checkpoint.with_suffix(".tmp")
            torch.save(state, beside)
            beside.replace(args.checkpoint)
    return student.eval()


# ---------------------------------------------------------------- agreement with the teacher


@torch.no_grad()
def agreement(
    student: Student, teacher: Teacher, moments: Moments, seed: int, n: int
) -> dict[str, dict[str, float]]:
    """How well a student stands in for the teacher on pictures that it never saw.

    Per map: ``cosine`` of the centred, channel-normalised vectors at each position; ``explained``, the share
    of their variance that the map itself explains; ``whitened``, the share of the teacher's variance, all
    its directions weighing the same, that a linear map of the student's vectors explains. The linear map
    comes from the first half of the pictures and is judged on the second.
    """
    samples: dict[str, list[list[Tensor]]] = {name: [[], []] for name in STAGES}
    draw = torch.Generator().manual_seed(seed)
    for i in range(n):
        x = batch(seed + HELD_OUT, i, 1, 256)
        for name, s, t, (_, deviation) in zip(STAGES, student(x), teacher(x), moments, strict=True):
            s, t = s[0].flatten(1).T, (t / deviation)[0].flatten(1).T
            places = torch.randperm(len(s), generator=draw)[:128]
            samples[name][0].append(s[places])
            samples[name][1].append(t[places])

    report = {}
    for name, (s_list, t_list) in samples.items():
        s, t = torch.cat(s_list).double(), torch.cat(t_list).double()
        s_c, t_c = s - t.mean(0), t - t.mean(0)
        half = len(s) // 2
        values, vectors = torch.linalg.eigh(torch.cov(t[:half].T))
        kept = values > 1e-4 * values[-1]
        white = (t - t[:half].mean(0)) @ vectors[:, kept] / values[kept].sqrt()
        ones = torch.ones(len(s), 1, dtype=torch.float64)
        inputs = torch.cat([s / s[:half].std().clamp(min=1e-9), ones], 1)
        gram = inputs[:half].T @ inputs[:half]
        ridge = 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
        readout = torch.linalg.solve(gram + ridge, inputs[:half].T @ white[:half])
        rest = white[half:] - inputs[half:] @ readout
        report[name] = {
            "cosine": float(F.cosine_similarity(s_c, t_c).mean()),
            "explained": float(1 - (s - t).square().sum() / t_c.square().sum()),
            "whitened": float(1 - rest.square().sum() / (white[half:] - white[half:].mean(0)).square().sum()),
        }
    return report


def print_agreement(title: str, report: dict[str, dict[str, float]]) -> None:
    for name, row in report.items():
        print(
            f"{title:15} {name}  " + "  ".join(f"{key} {value:6.3f}" for key, value in row.items()),
            flush=True,
        )


# ---------------------------------------------------------------- export


def to_onnx(student: Student, facts: dict[str, str]) -> onnx.ModelProto:
    """The student as Conv and Relu; BatchNorm folded, weights FP16, cast to FP32 by the graph."""
    nodes, weights, current = [], [], "input"
    for name, stage in student.stages.items():
        blocks = [stage[i : i + 3] for i in range(0, len(stage), 3)]
        for i, (conv, norm, _) in enumerate(blocks):
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            arrays = {
                "weight": conv.weight * gain.reshape(-1, 1, 1, 1),
                "bias": norm.bias - norm.running_mean * gain,
            }
            prefix, inputs = f"{name}.{i}", [current]
            for part, tensor in arrays.items():
                key = f"{prefix}.{part}"
                half = np.ascontiguousarray(tensor.detach().numpy()).astype(np.float16)
                weights.append(numpy_helper.from_array(half, f"{key}.fp16"))
                nodes.append(
                    helper.make_node("Cast", [f"{key}.fp16"], [key], name=f"{key}.cast", to=TensorProto.FLOAT)
                )
                inputs.append(key)
            kernel, stride = conv.kernel_size[0], conv.stride[0]
            shape = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
            nodes.append(helper.make_node("Conv", inputs, [f"{prefix}.conv"], name=f"{prefix}.conv", **shape))
            current = name if i == len(blocks) - 1 else f"{prefix}.relu"
            nodes.append(helper.make_node("Relu", [f"{prefix}.conv"], [current], name=f"{prefix}.relu"))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "height", "width"])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", layers[-1][0], None, None])
        for name, layers in STAGES.items()
    ]
    graph = helper.make_graph(nodes, "edgead-default", [image], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    return model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the default backbone on generated pictures.")
    parser.add_argument("--teacher-weights", type=Path, required=True, help="ResNet-18, .safetensors")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--checkpoint", type=Path, help="written now and then, resumed from")
    parser.add_argument("--save-every", type=int, default=100, help="steps between two checkpoints")
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=160, help="the pictures' height and width in pixels")
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=int, default=256, help="pictures to measure agreement on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="faster where the CPU has BF16 instructions")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)

    teacher = load_teacher(args.teacher_weights)
    moments = channel_moments(teacher, args.seed, args.side, 256 if args.steps >= 100 else 16)
    student = train(args, teacher, moments)

    torch.manual_seed(args.seed)
    baseline = agreement(Student().eval(), teacher, moments, args.seed, args.held_out)
    result = agreement(student, teacher, moments, args.seed, args.held_out)
    print_agreement("random weights", baseline)
    print_agreement("trained", result)

    facts = {
        "made_by": f"tools/train_default.py, version {SCRIPT_VERSION}",
        "training": json.dumps(
            {key: getattr(args, key) for key in ("seed", "steps", "batch", "side", "lr", "bf16")}
        ),
        "pictures": f"generated, series {args.seed}, numbers 0 to {args.steps * args.batch - 1}",
        "agreement": json.dumps({k: {m: round(v, 4) for m, v in row.items()} for k, row in result.items()}),
        "teacher": "torchvision's ResNet-18 (ImageNet1K V1), layers 1 to 3; licence BSD-3-Clause",
        "teacher_sha256": hashlib.sha256(args.teacher_weights.read_bytes()).hexdigest(),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "channel_order": "rgb",
    }
    beside = args.out.with_suffix(".tmp")
    beside.write_bytes(to_onnx(student, facts).SerializeToString(deterministic=True))
    beside.replace(args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
