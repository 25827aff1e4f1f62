"""Every `paper` preset at its published size and backbone, for a few steps: time, memory, and the whole.

    python benchmarks/paper_presets.py [METHOD...] [--steps 3] [--device cpu] [--amp auto] [--workers N]
        [--micro-batch N] [--limit 24] [--threads N] [--images 64] [--good 200]

Weights of the backbones are random, which costs as much: `train` is run as `edgead fit --preset paper` runs
it, on generated images, but with few steps, and what comes after the training is left out. Each phase of a
method has a process of its own, whose address space is `--limit` GiB at most on a CPU, so that a step that
needs more fails. A step's time is that of all but the first, which allocates; peak memory is the process's
(on a GPU: torch's peak there). The whole is steps times step; of the methods that count passes over the
images, for `--good` of them. The steps themselves draw from `--images`, 64 or more for the largest batch.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgead.progress import silent
from edgead.types import Backbone, Compute, FittingData, Image, TrainingData
from edgead.workbench.recipe import open_backbone, resolve

GIB = 1 << 30
PHASES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "cutpaste": (("level=image",), ("level=patch",)),
    "destseg": ((),),
    "dmad": ((),),
    "fyd": ((),),
    "mkd": ((),),
    "uninformed-students": (("scales=17",), ("scales=33",), ("scales=65",)),
}
"""By method, options that divide its preset into trainings that are measured one by one."""
FEW: Mapping[str, tuple[str, ...]] = {
    "cutpaste": ("steps={n}", "frozen_steps=0"),
    "destseg": ("student_steps={n}", "steps={n}"),
    "dmad": ("steps={n}",),
    "fyd": ("epochs={n}",),
    "mkd": ("epochs={n}",),
    "uninformed-students": ("teacher_steps={n}", "steps={n}"),
}
"""What makes it short; CutPaste's first steps, in which only the head learns, are not what the others are."""


class Enough(Exception):
    """The training is over."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A training of a method.

    Attributes:
        name: its.
        step: seconds, or None where there was one only.
        size: images in a step.
        share: of a step that waits for its images, where they are made.
        steps: as many as the preset has.
        gib: peak memory of its process so far.
    """

    name: str
    step: float
    size: int
    share: float | None
    steps: int
    gib: float


def backbone_of(name: str, folder: Path) -> Backbone:
    """The preset's, with random weights."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    architecture = name.removeprefix("timm:")
    file = folder / f"{architecture}.safetensors"
    if name.startswith("timm:"):
        made = timm.create_model(architecture, pretrained=False)
    else:
        import torchvision

        made = getattr(torchvision.models, architecture)(weights=None)
    state = {key: value for key, value in made.state_dict().items() if "num_batches" not in key}
    save_file(state, file)
    return open_backbone(name, file)


def pictures(count: int, size: tuple[int, int]) -> list[Image]:
    """Generated images of a size."""
    from edgead_plugins.backbones.generated import generate

    return [generate(0, i, size) for i in range(count)]


@contextmanager
def measured(full: Mapping[str, int], rows: list[Row]) -> Iterator[None]:
    """Have each training's pace in ``rows``."""
    from edgead_plugins.training.loop import Pace

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            pace = record.args[0] if isinstance(record.args, tuple) and record.args else None
            if isinstance(pace, Pace):
                share = pace.share if pace.workers is not None else None
                rows.append(Row(pace.name, pace.step, pace.size, share, full.get(pace.name, 0), peak()))

    log, listener = logging.getLogger("edgead_plugins.training.loop"), Listener()
    level = log.level
    log.addHandler(listener)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(listener)
        log.setLevel(level)


def peak() -> float:
    """GiB that this process, or its part of the GPU, has needed at most."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def full_steps(method: str, options: Any, images: int) -> dict[str, int]:
    """How many steps each training of a method has in the preset, by the training's name."""
    per_epoch = max(1, images // min(getattr(options, "batch_size", 1), images))
    if method == "cutpaste":
        return {f"cutpaste {level}": options.steps for level in ("image", "patch")}
    if method == "destseg":
        return {"destseg student": options.student_steps, "destseg segmentation": options.steps}
    if method == "dmad":
        return {"dmad": options.steps}
    if method == "mkd":  # whose last batch of a pass is a smaller one
        return {method: options.epochs * -(-images // options.batch_size)}
    if method == "fyd":
        return {method: options.epochs * per_epoch}
    found = {f"teacher {scale}": options.teacher_steps for scale in options.scales}
    learnt = images - round(images * options.heldout)
    return {**found, **{f"students {scale}": 100 * learnt for scale in options.scales}}


def run(
    method: str, words: tuple[str, ...], images: int, good: int, steps: int, compute: Compute
) -> list[Row]:
    """Train a part of a method's preset for a few steps; a row for each training."""
    from unittest import mock

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["EDGEAD_CACHE"] = scratch
        names = resolve(method, "default", preset="paper")
        assert names.size is not None
        from edgead.plugins import registry

        published = registry().get("methods", method)().preset_backbones["paper"]
        backbone = backbone_of(published, Path(scratch))
        full = full_steps(method, names.scorer.options, good)
        few = [word.format(n=steps) for word in FEW[method]]
        recipe = resolve(method, "default", preset="paper", options=[*words, *few])
        given = pictures(images, names.size)
        data = TrainingData(
            backbone=backbone,
            images=lambda: iter(given),
            n_images=len(given),
            size=names.size,
            seed=0,
            progress=silent,
            checkpoint=Path(scratch) / "checkpoint",
            compute=compute,
        )
        with measured(full, rows):
            if method == "dmad":
                _dmad(recipe.scorer, backbone, data, given)
            else:
                module = type(recipe.scorer).__module__.rsplit(".", 1)[0] + ".fitting"
                importlib.import_module(module)
                with mock.patch(f"{module}.to_backbone", side_effect=Enough), suppress(Enough):
                    recipe.scorer.train(data)
    return rows


def _dmad(scorer: Any, backbone: Backbone, data: TrainingData, given: list[Image]) -> None:
    """DMAD learns from embeddings: random ones of the published width, of 28 x 28 patches an image."""
    width = sum(backbone.feature_info[name].channels for name in scorer.feature_maps(backbone))
    h, w = data.size[0] // 8, data.size[1] // 8

    def embed(images: Any) -> Iterator[dict[str, np.ndarray]]:
        for i, _ in enumerate(images):
            rng = np.random.default_rng(i)
            yield {"patches": rng.standard_normal((width, h, w), np.float32)}

    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(TrainingData)}
    scorer.fit(
        FittingData(
            **fields,
            shapes={"patches": (width, h, w)},
            features=lambda: embed(given),
            embed=embed,
        )
    )


def whole(seconds: float) -> str:
    """A duration as one says it."""
    from edgead_plugins.training.plan import duration

    return duration(seconds)


def main() -> None:
    """Run the parts one after another, each in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--good", type=int, default=200)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--amp", default="auto")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--limit", type=float, default=24.0)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    compute = Compute(
        device=asked.device, amp=asked.amp, micro_batch=asked.micro_batch, workers=asked.workers
    )
    if asked.part:
        import torch

        if asked.threads:
            torch.set_num_threads(asked.threads)
        if not torch.cuda.is_available():
            resource.setrlimit(resource.RLIMIT_AS, (int(asked.limit * GIB),) * 2)
        (method,) = asked.methods
        words = tuple(json.loads(asked.part))
        for row in run(method, words, asked.images, asked.good, asked.steps, compute):
            print(json.dumps(dataclasses.asdict(row)))
        return
    print("| training | images a step | s a step | images/s | peak GiB | synthesis | steps | the whole |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for method in asked.methods or PHASES:
        for words in PHASES[method]:
            _print_part(method, words, sys.argv[1 + len(asked.methods) :])


def _print_part(method: str, words: tuple[str, ...], passed: list[str]) -> None:
    command = [sys.executable, __file__, method, *passed, "--part", json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    for row in (Row(**json.loads(line)) for line in lines):
        share = "-" if row.share is None else f"{row.share:.0%}"
        cells = (
            *(row.name, row.size, f"{row.step:.3g}", f"{row.size / row.step:.3g}", f"{row.gib:.1f}", share),
            *(f"{row.steps:,}", whole(row.steps * row.step)),
        )
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    if done.returncode:
        print(f"| {method} {' '.join(words)} | {done.stderr.strip().splitlines()[-1][:90]} |", flush=True)


if __name__ == "__main__":
    main()
