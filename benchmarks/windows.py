"""What windows find that a squeezed frame doesn't: a method fitted both ways, judged on the test images.

    python benchmarks/windows.py DATASET_DIR... [--method patchcore] [--backbone default] [--window 256]
        [-o coreset_ratio=0.01] [--folds 5] [--seed 0]

For each data set in MVTec layout: image and pixel AUROC, PRO (30 %), F1 at the shipped threshold and the best
that there is, in percent, and the AUROC of the small and the large half of the defective images, by the area
that their masks mark. FP32 on ONNX Runtime; no times, so the processor plays no part.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import edgead
from edgead.datasets import open_dataset
from edgead.masks import read_marks
from edgead.metrics.scores import auroc


def main() -> None:
    arguments = _arguments()
    print("| data set | how | input | image AUROC | pixel AUROC | PRO | F1, best | AUROC small, large |")
    print("|" + " --- |" * 8)
    for folder in arguments.dataset:
        areas = _areas(folder)
        for windows in (False, True):
            with tempfile.TemporaryDirectory() as scratch:
                fitted = edgead.fit(
                    arguments.method,
                    folder,
                    Path(scratch) / "r.edgead",
                    backbone=arguments.backbone,
                    weights=arguments.weights,
                    size=arguments.window if windows else None,
                    windows=windows,
                    folds=arguments.folds,
                    seed=arguments.seed,
                    options=arguments.option,
                )
                made = edgead.export(fitted, "onnx", Path(scratch) / "c.edgead", precision="fp32")
                found = edgead.evaluate(made, folder)
                size = " x ".join(map(str, made.bundle.manifest.input.size))
            good = np.array([j.score for j in found.images if j.sample.is_good])
            bad = [(areas.get(j.sample.image, 0.0), j.score) for j in found.images if not j.sample.is_good]
            middle = float(np.median([area for area, _ in bad]))
            halves = [[s for area, s in bad if (area > middle) == large] for large in (False, True)]
            split = ", ".join(f"{100 * (auroc(good, np.array(half)) or 0):.1f}" for half in halves)
            value = {name: metric.value for name, metric in found.metrics.items()}
            best = found.verdicts.best
            cells = [
                folder.name,
                "windows" if windows else "squeezed",
                size,
                _percent(value["image_auroc"]),
                _percent(value["pixel_auroc"]),
                _percent(value["aupro_30"]),
                f"{_percent(found.verdicts.f1.value)}, {_percent(None if best is None else best.f1)}",
                split,
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def _areas(folder: Path) -> dict[Path, float]:
    """Marked pixels of each defective test image."""
    from edgead.images import read_image

    return {
        sample.image: float(read_marks(sample.masks, read_image(sample.image).shape[:2]).marked.sum())
        for sample in open_dataset(folder).test
        if sample.masks and not sample.is_good
    }


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="+", type=Path)
    parser.add_argument("--method", default="patchcore")
    parser.add_argument("--backbone", default="default")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--option", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    main()
