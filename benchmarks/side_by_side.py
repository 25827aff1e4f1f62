"""edgead beside what a user would otherwise run: same images, weights, bank size and threads, in one run.

    python benchmarks/side_by_side.py DATASET_DIR --weights resnet18.safetensors [--size 256x256]
        [--ratio 0.1] [--limit 200] [--threads N] [--longest 4000] [--peers PYTHON|none] [--json FILE]

PatchCore with ResNet-18's layers 2 and 3. The peers (benchmarks/peers/) run in an environment of their own,
made in ``.venv-peers`` from the package index if need be (some GB). Every competitor is a process that loads
its model and waits; they take turns in blocks, so a machine that slows down slows all of them, and ratios are
taken block by block. A peer that fails or can't be installed is in the table with its message.
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
from rows import Better, Row, markdown, missing, of_turns, save_rows
from yardstick import describe, yardstick

from edgead.bundle import Bundle
from edgead.datasets import open_dataset
from edgead.errors import EdgeadError
from edgead.images import read_image
from edgead.machine import cpu
from edgead.metrics.scores import auroc
from edgead.plugins import registry
from edgead.progress import make_progress, silent
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
HELD = "AVX2"
"""What oneDNN is held to in a second race, among OpenVINO's competitors alone: OpenVINO's other kernels and
ONNX Runtime have no such switch, see ``held.py``."""
PART = "side_by_side"


@dataclass
class Competitor:
    """A process that answers, and what it has answered."""

    name: str
    words: list[str]
    form: str = "fp32"
    peer: bool = False
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
    peer, no_peers = _environment(arguments.peers)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        labels = _frames(arguments, work)
        bundles, ours = _ours(arguments, work)
        theirs = {"failure": no_peers} if no_peers else _theirs(arguments, work, peer, threads, environment)
        runners = []
        for (target, form), bundle in bundles.items():
            words = [sys.executable, str(HERE / "edgead_runner.py"), folder, str(bundle), str(threads)]
            runner = Competitor(f"edgead {target} {form}", words, form)
            runner.failure = bundle if isinstance(bundle, str) else ""
            runners.append(runner)
        for form, hint in (("fp32", "f32"), ("bf16", "bf16")):
            words = [peer, str(HERE / "openvino_runner.py"), folder, theirs.get("model", "-")]
            runner = Competitor(f"anomalib OpenVINO {form}", [*words, str(threads), hint], form)
            runner.peer, runner.made_up_bank = True, not theirs.get("own_bank", False)
            runner.failure = theirs.get("failure", "")
            if form == "bf16" and not (cpu().units or {}).get("BF16"):
                runner.failure = "this processor has no BF16 unit"
            runners.append(runner)
        for search in ("torch", "faiss"):
            words = [peer, str(HERE / "torch_runner.py"), folder, str(arguments.weights)]
            runner = Competitor(f"torch + {search} fp32", [*words, str(threads), search], peer=True)
            runner.failure = no_peers
            runners.append(runner)
        _race(runners, environment, work)
        held = [_held(runner) for runner in runners if "openvino" in runner.name.lower()]
        print(f"again, with oneDNN held to {HELD} ...", file=sys.stderr)
        _race(held, {**environment, "ONEDNN_MAX_CPU_ISA": HELD}, work)
        rates = yardstick(threads)
        rows, dim = np.load(work / "bank.npy").shape
        print(f"\n{_machine(threads)}; {arguments.dataset.name}, {arguments.size}, bank {rows} x {dim}")
        height, width = arguments.size
        work_done = 2 * (BACKBONE_MACS * height * width + height // 8 * width // 8 * rows * dim)
        at_best = {form: work_done / rate / 1e12 for form, rate in rates.items()}
        races = _rows(arguments.dataset.name, runners, labels, at_best)
        races += _rows(f"{arguments.dataset.name}, oneDNN held to {HELD}", held, labels, {})
        print("\n".join(markdown(races)))
        print(describe(rates))
        fits = _fits(arguments.dataset.name, ours, theirs)
        print("\n".join(markdown(fits)))
        print("; ".join(f"{name} {seconds:.1f} s" for name, seconds in ours.items()))
        save_rows([*races, *fits], arguments.json)


def _environment(named: str | None) -> tuple[str, str]:
    """The peers' interpreter, made in ``.venv-peers`` if need be; or nothing, and why there are no peers."""
    if named == "none":
        return "", "left out, as asked for: --peers none"
    if named:
        return named, ""
    folder = Path(".venv-peers")
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        print(f"installing {', '.join(PACKAGES)} into {folder} ...", file=sys.stderr)
        for words in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", *PACKAGES],
        ):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                told = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
                return "", f"the peers can't be installed ({told[:200]})"
        (folder / ".ready").touch()
    return str(python), ""


def _frames(arguments: argparse.Namespace, work: Path) -> np.ndarray:
    """Write train.npy and test.npy, resized once for everybody; returns which test images are bad."""
    data = open_dataset(arguments.dataset)
    rule = ResizeRule(arguments.size)
    train = [rule.apply(read_image(path)) for path in data.train[: arguments.limit]]
    np.save(work / "train.npy", np.stack(train))
    np.save(work / "test.npy", np.stack([rule.apply(read_image(sample.image)) for sample in data.test]))
    return np.array([not sample.is_good for sample in data.test])


def _ours(
    arguments: argparse.Namespace, work: Path
) -> tuple[dict[tuple[str, str], Path | str], dict[str, float]]:
    """Fit and export, timed; the bank is kept for those who search it in their own way.

    Returns:
        The bundles by target and form, or why there's none; and the seconds that the parts took.
    """
    files = open_dataset(arguments.dataset).train[: arguments.limit]
    recipe = resolve("patchcore", "resnet18", arguments.weights, [f"coreset_ratio={arguments.ratio}"])
    parts: dict[str, float] = {}
    start = time.perf_counter()
    settings = Settings(size=arguments.size, final_fit=False, holdout=0.02, precisions=("int8", "fp32"))
    quick = fit(recipe, files, settings, work / "quick.edgead", _timing(parts))
    openvino = registry().get("exporters", "openvino")()
    export(quick.bundle, openvino, "int8", work / "quick-int8.edgead", _timing(parts), max_loss=1)
    seconds = {"fit + export, INT8": time.perf_counter() - start, **parts}
    settings = Settings(size=arguments.size, final_fit=False, holdout=0.02, folds=0)  # no threshold is used
    reference = fit(recipe, files, settings, work / "ours.edgead", make_progress()).bundle
    np.save(work / "bank.npy", _bank(reference))
    bundles: dict[tuple[str, str], Path | str] = {}
    for target, forms in (("openvino", FORMS), ("onnx", ("int8", "fp32"))):
        for form in forms:
            out = work / f"{target}-{form}.edgead"
            try:
                export(reference, registry().get("exporters", target)(), form, out, silent, max_loss=1)
            except EdgeadError as error:
                bundles[target, form] = str(error)
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
                advance(1)
                if runner.failure:
                    continue
                try:
                    answer = runner.ask({"frames": BLOCK})
                except (ValueError, OSError):
                    runner.failure = "it ended while it was timed"
                    continue
                runner.blocks.append(answer["ms"])
                runner.peak_bytes = answer["peak_bytes"]
    for runner in alive:
        if not runner.made_up_bank and not runner.failure:
            runner.scores = np.array(runner.ask({"judge": True})["scores"])
        assert runner.process
        runner.process.kill()


def _held(runner: Competitor) -> Competitor:
    """The same competitor, to be started anew."""
    held = Competitor(
        runner.name, runner.words, runner.form, runner.peer, runner.made_up_bank, runner.failure
    )
    if runner.form == "bf16":
        held.failure = f"{HELD} has no BF16 unit"
    return held


def _machine(threads: int) -> str:
    units = ", ".join(name for name, there in (cpu().units or {}).items() if there)
    return f"{cpu().model} ({units}), {threads} threads"


def _rows(
    dataset: str, runners: list[Competitor], labels: np.ndarray, at_best: Mapping[str, float]
) -> list[Row]:
    """A row each; ``at_best`` has the seconds that the yardstick's rate would take, of each form."""
    first, rows = runners[0], []
    for runner in runners:
        name = f"{dataset}: {runner.name}"
        if runner.failure or first.failure:
            rows.append(
                missing(PART, name, runner.failure or f"{first.name} failed, which it's held against")
            )
            continue
        medians = [[float(np.median(block)) for block in each.blocks] for each in (runner, first)]
        p50, p99 = np.percentile(np.concatenate(runner.blocks), [50, 99])
        area = None if runner.scores is None else auroc(runner.scores[~labels], runner.scores[labels])
        shown = {
            "p50 ms": f"{p50:.2f}",
            "p99 ms": f"{p99:.2f}",
            "of the yardstick": f"{at_best[runner.form] * 1e3 / p50:.0%}" if at_best else "-",
            "image AUROC": "-" if area is None else f"{100 * area:.1f}",
            "peak MB": f"{runner.peak_bytes / 1e6:.0f}",
            "model MB": f"{runner.facts['model_bytes'] / 1e6:.1f}",
        }
        better: Better = "higher" if runner.peer else ""
        rows.append(Row(PART, name, f"times {first.name}", *of_turns(*medians), better, "", shown))
    return rows


def _fits(dataset: str, ours: Mapping[str, float], theirs: Mapping[str, Any]) -> list[Row]:
    """How long fitting and exporting takes, once each, so without a range."""
    name = f"{dataset}: anomalib's fit and export"
    if "failure" in theirs:
        return [missing("fitting", name, theirs["failure"])]
    took = sum(theirs[f"{part}_s"] for part in ("features", "coreset", "export"))
    whole, gates = ours["fit + export, INT8"], ours["compiling and gating"]
    how = "" if theirs["own_bank"] else f" (coreset reckoned from {theirs['picks_timed']} picks)"
    rows = []
    for end, seconds in (("", whole), (", without edgead's gates", whole - gates)):
        shown = {"edgead, s": f"{seconds:.1f}", "anomalib, s": f"{took:.1f}{how}"}
        ratio = took / seconds
        rows.append(Row("fitting", name + end, "times edgead's", ratio, ratio, ratio, "higher", "", shown))
    return rows


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
    parser.add_argument("--peers", help="their interpreter, instead of making .venv-peers; none for no peers")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
