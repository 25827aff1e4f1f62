"""How fast large frames are judged in windows, beside anomalib's tiler: the same frames, backbone and bank.

    python benchmarks/windows_speed.py DATASET_DIR --weights resnet18.safetensors [--side 2048] [--window 256]
        [--ratio 0.01] [--rounds 5] [--threads N] [--peers PYTHON|none] [--json FILE]

Frames are the good images laid side by side. PatchCore with ResNet-18's layers 2 and 3, in INT8 and FP32 for
OpenVINO; the peer runs in torch, since its tiler can't be exported. It's given edgead's bank, and tiles that
overlap as edgead's windows do, and without overlap. All take turns, a frame each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from rows import Row, markdown, missing, of_turns, save_rows
from side_by_side import HERE, Competitor, _bank, _environment

from edgead.datasets import open_dataset
from edgead.images import read_image
from edgead.machine import cpu
from edgead.plugins import registry
from edgead.progress import make_progress, silent
from edgead.windows import windows
from edgead.workbench.export import export
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve

PART = "windows_speed"
FRAMES = 4
LEARNED_SIDE = 768
"""Of the frames that are learned: the pictures are the same, and fitting isn't what is timed."""


def main() -> None:
    arguments = _arguments()
    threads = arguments.threads or cpu().threads
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    peer, no_peers = _environment(arguments.peers)
    size = (arguments.window, arguments.window)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        files = open_dataset(arguments.dataset).train
        frames = np.stack([_laid_out(files, arguments.side, i) for i in range(FRAMES)])
        np.save(work / "train.npy", frames)
        (work / "good").mkdir()
        for i in range(20):
            cv2.imwrite(str(work / "good" / f"{i:02d}.png"), _laid_out(files, LEARNED_SIDE, 100 + i))
        recipe = resolve("patchcore", "resnet18", arguments.weights, [f"coreset_ratio={arguments.ratio}"])
        settings = Settings(size=size, windows=True, folds=0, final_fit=False, precisions=("int8", "fp32"))
        reference = fit(recipe, work / "good", settings, work / "ours.edgead", make_progress()).bundle
        np.save(work / "bank.npy", _bank(reference))
        record = reference.manifest.windows
        assert record is not None
        count = len(windows(frames[0].shape, size, record.margin))
        runners = []
        for form in ("int8", "fp32"):
            out = work / f"{form}.edgead"
            export(reference, registry().get("exporters", "openvino")(), form, out, silent, max_loss=1)
            words = [sys.executable, str(HERE / "edgead_runner.py"), folder, str(out), str(threads)]
            runners.append(Competitor(f"edgead openvino {form}", words, form))
        step = arguments.window - 2 * record.margin
        for name, stride in (("overlapping", step), ("not overlapping", arguments.window)):
            words = [peer, str(HERE / "anomalib_tiler.py"), folder, str(arguments.weights), str(threads)]
            words += [str(arguments.window), str(stride)]
            runners.append(Competitor(f"anomalib tiler, {name}", words, peer=True, failure=no_peers))
        for number, runner in enumerate(runners):
            if not runner.failure:
                runner.start(environment, work / f"{number}.log")
        for _ in range(arguments.rounds):
            for runner in runners:
                if runner.failure:
                    continue
                try:
                    answer = runner.ask({"frames": 1})
                except (ValueError, OSError):
                    runner.failure = "it ended while it was timed"
                    continue
                runner.blocks.append(answer["ms"])
                runner.peak_bytes = answer["peak_bytes"]
        for runner in runners:
            if runner.process:
                runner.process.kill()
        rows, dim = np.load(work / "bank.npy").shape
        print(
            f"{cpu().model}, {cpu().kind}, {threads} threads; frames of {arguments.side} x {arguments.side}, "
            f"{count} windows of {arguments.window} x {arguments.window}, margin {record.margin}, "
            f"bank {rows:,} x {dim}\n"
        )
        table = _rows(runners, arguments.side**2 / 1e6, count)
        print("\n".join(markdown(table)))
        save_rows(table, arguments.json)


def _laid_out(files: list[Path], side: int, seed: int) -> np.ndarray:
    """Good images side by side, (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    frame = np.zeros((side, side, 3), np.uint8)
    y = 0
    while y < side:
        x, height = 0, side
        while x < side:
            image = read_image(files[int(rng.integers(len(files)))])
            part = image[: side - y, : side - x]
            frame[y : y + part.shape[0], x : x + part.shape[1]] = part
            x, height = x + image.shape[1], min(height, image.shape[0])
        y += height
    return frame


def _rows(runners: list[Competitor], megapixels: float, count: int) -> list[Row]:
    first, rows = runners[0], []
    for runner in runners:
        if runner.failure or first.failure:
            rows.append(missing(PART, runner.name, runner.failure or f"{first.name} failed"))
            continue
        medians = [[float(np.median(block)) for block in each.blocks] for each in (runner, first)]
        median = float(np.median(np.concatenate(runner.blocks)))
        shown = {
            "ms a megapixel": f"{median / megapixels:.1f}",
            "windows a second": f"{count / median * 1e3:.0f}" if not runner.peer else "-",
            "peak MB": f"{runner.peak_bytes / 1e6:.0f}",
        }
        better = "higher" if runner.peer else ""
        rows.append(Row(PART, runner.name, f"times {first.name}", *of_turns(*medians), better, "", shown))
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--ratio", type=float, default=0.01)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--peers", help="their interpreter, instead of making .venv-peers; none for no peers")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
