"""edgead beside what a user would otherwise run: same images, weights, bank size and threads, in one run.

    python benchmarks/side_by_side.py DATASET_DIR --weights resnet18.safetensors [--size 256x256]
        [--ratio 0.1] [--limit 200] [--threads N] [--longest 4000] [--peers PYTHON]

PatchCore with ResNet-18's layers 2 and 3. The peers (benchmarks/peers/) run in an environment of their own,
made in ``.venv-peers`` from the package index if need be (some GB). Every competitor is a process that loads
its model and waits; they take turns in blocks, so a machine that slows down slows all of them, and ratios are
taken block by block. A peer that fails is in the table with its message.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from yardstick import describe, yardstick

from edgead import __version__
from edgead.bundle import Bundle
from edgead.cli.progress import make_progress
from edgead.datasets import open_dataset
from edgead.errors import EdgeadError
from edgead.images import read_image
from edgead.machine import cpu
from edgead.metrics.scores import auroc
from edgead.plugins import registry
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.types import Precision, Progress
from edgead.workbench.export import export
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve

HERE = Path(__file__).parent / "peers"
PACKAGES = ("anomalib[openvino]", "torch", "torchvision", "timm", "safetensors", "faiss-cpu", "onnxscript")
BACKBONE_MACS = 1.83e9 / 256**2
"""ResNet-18 to layer3, multiply-adds for each pixel."""
FORMS: tuple[Precision, ...] = ("int8", "bf16", "fp32")
ROUNDS, BLOCK = 12, 10


@dataclass
class Competitor:
    """A process that answers, and what it has answered."""

    name: str
    words: list[str]
    form: str = "fp32"
    made_up_bank: bool = False
    failure: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    blocks: list[list[float]] = field(default_factory=list)
    scores: np.ndarray | None = None
    peak_bytes: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self, environment: Mapping[str, str], log: Path) -> None:
        """Start the process and wait until it has loaded its model."""
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                self.words, stdin=-1, stdout=-1, stderr=errors, text=True, env=dict(environment)
            )
        try:
            self.facts = self._answer()["ready"]
        except ValueError:
            lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
            self.failure = (lines or ["it ended without a word"])[-1][:300]

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process and self.process.stdin
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process and self.process.stdout
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]


def main() -> None:
    arguments = _arguments()
    threads = arguments.threads or cpu().threads
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MALLOC_MMAP_THRESHOLD_": "1048576"}
    peer = arguments.peers or _environment()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        labels = _frames(arguments, work)
        bundles, ours = _ours(arguments, work)
        theirs = _theirs(arguments, work, peer, threads, environment)
        runners = []
        for (target, form), bundle in bundles.items():
            words = [sys.executable, str(HERE / "edgead_runner.py"), folder, str(bundle), str(threads)]
            runners.append(Competitor(f"edgead {__version__} {target} {form}", words, form))
        for form, hint in (("fp32", "f32"), ("bf16", "bf16")):
            words = [peer, str(HERE / "openvino_runner.py"), folder, theirs.get("model", "-")]
            runner = Competitor(f"anomalib OpenVINO {form}", [*words, str(threads), hint], form)
            runner.made_up_bank = not theirs.get("own_bank", False)
            runner.failure = theirs.get("failure", "")
            runners.append(runner)
        for search in ("torch", "faiss"):
            words = [peer, str(HERE / "torch_runner.py"), folder, str(arguments.weights)]
            runners.append(Competitor(f"torch + {search} fp32", [*words, str(threads), search]))
        _race(runners, environment, work)
        rates = yardstick(threads)
        rows, dim = np.load(work / "bank.npy").shape
        print(f"\n{_machine(threads)}; {arguments.dataset.name}, {arguments.size}, bank {rows} x {dim}")
        height, width = arguments.size
        work_done = 2 * (BACKBONE_MACS * height * width + height // 8 * width // 8 * rows * dim)
        _print_latencies(runners, labels, {form: work_done / rate / 1e12 for form, rate in rates.items()})
        print(describe(rates))
        _print_fits(ours, theirs)


def _environment() -> str:
    """The peers' interpreter, in ``.venv-peers``."""
    folder = Path(".venv-peers")
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        print(f"installing {', '.join(PACKAGES)} into {folder} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / ".ready").touch()
    return str(python)


def _frames(arguments: argparse.Namespace, work: Path) -> np.ndarray:
    """Write train.npy and test.npy, resized once for everybody; returns which test images are bad."""
    data = open_dataset(arguments.dataset)
    rule = ResizeRule(arguments.size)
    train = [rule.apply(read_image(path)) for path in data.train[: arguments.limit]]
    np.save(work / "train.npy", np.stack(train))
    np.save(work / "test.npy", np.stack([rule.apply(read_image(sample.image)) for sample in data.test]))
    return np.array([not sample.is_good for sample in data.test])


def _ours(arguments: argparse.Namespace, work: Path) -> tuple[dict[tuple[str, str], Path], dict[str, float]]:
    """Fit and export, timed; the bank is kept for those who search it in their own way."""
    files = open_dataset(arguments.dataset).train[: arguments.limit]
    recipe = resolve("patchcore", "resnet18", arguments.weights, [f"coreset_ratio={arguments.ratio}"])
    parts: dict[str, float] = {}
    start = time.perf_counter()
    settings = Settings(size=arguments.size, final_fit=False, holdout=0.02, precisions=("int8", "fp32"))
    quick = fit(recipe, files, settings, work / "quick.edgead", _timing(parts))
    openvino = registry().get("exporters", "openvino")()
    export(quick.bundle, openvino, "int8", work / "quick-int8.edgead", _timing(parts), max_loss=1)
    seconds = {"fit + export, INT8": time.perf_counter() - start, **parts}
    settings = Settings(size=arguments.size, final_fit=False, holdout=0.02)
    reference = fit(recipe, files, settings, work / "ours.edgead", make_progress()).bundle
    np.save(work / "bank.npy", _bank(reference))
    bundles = {}
    for target, forms in (("openvino", FORMS), ("onnx", ("int8", "fp32"))):
        for form in forms:
            out = work / f"{target}-{form}.edgead"
            try:
                export(reference, registry().get("exporters", target)(), form, out, silent, max_loss=1)
            except EdgeadError as error:
                print(f"edgead {target} {form}: {error}", file=sys.stderr)
            else:
                bundles[target, form] = out
    return bundles, seconds


def _timing(parts: dict[str, float]) -> Progress:
    """Progress that adds up each part's seconds."""

    @contextmanager
    def timed(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        start = time.perf_counter()
        with make_progress()(description, total) as advance:
            yield advance
        parts[description] = parts.get(description, 0.0) + time.perf_counter() - start

    return timed


def _bank(reference: Bundle) -> np.ndarray:
    graph = onnx.load(reference.file(reference.manifest.reference.forms["fp32"])).graph
    held = {i.name: numpy_helper.to_array(i) for i in graph.initializer if i.name.startswith("memory_bank")}
    return np.ascontiguousarray(held["memory_bank"] + held["memory_bank_mean"])


def _theirs(
    arguments: argparse.Namespace, work: Path, peer: str, threads: int, environment: Mapping[str, str]
) -> dict[str, Any]:
    words = [peer, str(HERE / "anomalib_fit.py"), str(work), str(arguments.weights), str(arguments.ratio)]
    words += [str(threads), str(arguments.longest)]
    done = subprocess.run(words, capture_output=True, text=True, env=dict(environment))
    if done.returncode or not done.stdout:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return {"failure": (lines or [f"exit code {done.returncode}"])[-1][:300]}
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _race(runners: list[Competitor], environment: Mapping[str, str], work: Path) -> None:
    for number, runner in enumerate(runners):
        if not runner.failure:
            runner.start(environment, work / f"{number}.log")
    alive = [runner for runner in runners if not runner.failure]
    with make_progress()("taking turns", ROUNDS * len(alive)) as advance:
        for _ in range(ROUNDS):
            for runner in alive:
                answer = runner.ask({"frames": BLOCK})
                runner.blocks.append(answer["ms"])
                runner.peak_bytes = answer["peak_bytes"]
                advance(1)
    for runner in alive:
        if not runner.made_up_bank:
            runner.scores = np.array(runner.ask({"judge": True})["scores"])
        assert runner.process
        runner.process.kill()


def _machine(threads: int) -> str:
    units = ", ".join(name for name, there in (cpu().units or {}).items() if there)
    return f"{cpu().model} ({units}), {threads} threads"


def _print_latencies(runners: list[Competitor], labels: np.ndarray, at_best: Mapping[str, float]) -> None:
    """A row each; ``at_best`` has the seconds that the yardstick's rate would take, of each form."""
    first = runners[0]
    head = (
        "",
        "p50 ms",
        "p99 ms",
        f"times {first.name} (blocks)",
        "of the yardstick",
        "image AUROC",
        "peak MB",
    )
    print(f"| {' | '.join((*head, 'model MB'))} |\n|{' --- |' * (len(head) + 1)}")
    for runner in runners:
        if runner.failure:
            print(f"| {runner.name} | failed: {runner.failure} |")
            continue
        pairs = zip(runner.blocks, first.blocks, strict=True)
        ratios = [np.median(mine) / np.median(best) for mine, best in pairs]
        p50, p99 = np.percentile(np.concatenate(runner.blocks), [50, 99])
        row = [
            f"{p50:.2f}",
            f"{p99:.2f}",
            f"{np.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})",
            f"{at_best[runner.form] * 1e3 / p50:.0%}",
            "-",
            f"{runner.peak_bytes / 1e6:.0f}",
            f"{runner.facts['model_bytes'] / 1e6:.1f}",
        ]
        if runner.scores is not None:
            area = auroc(runner.scores[~labels], runner.scores[labels])
            row[4] = "-" if area is None else f"{100 * area:.1f}"
        print(f"| {' | '.join([runner.name, *row])} |")


def _print_fits(ours: Mapping[str, float], theirs: Mapping[str, Any]) -> None:
    whole, *parts = (f"{name} {seconds:.1f} s" for name, seconds in ours.items())
    print(f"* edgead: {whole}, of which {', '.join(parts)}")
    if "failure" in theirs:
        return
    total = ours["fit + export, INT8"]
    gates = ours["compiling and gating"]
    took = {name: theirs[f"{name}_s"] for name in ("features", "coreset", "export")}
    how = "" if theirs["own_bank"] else f", the coreset reckoned from {theirs['picks_timed']} picks"
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    print(
        f"* anomalib {theirs['anomalib']}: {told} for {theirs['bank'][0]} rows{how}: "
        f"{sum(took.values()) / total:.0f} times edgead's, {sum(took.values()) / (total - gates):.0f} times "
        "without the gates, which have no counterpart there"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--size", default=(256, 256), type=lambda text: tuple(map(int, text.split("x"))))
    parser.add_argument("--ratio", type=float, default=0.1)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--longest", type=int, default=4000)
    parser.add_argument("--peers", help="an interpreter with the peers, instead of making .venv-peers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
