"""DMAD as one model for several products, without and with annotated defects, and for each by itself.

    python benchmarks/dmad.py DATASET_DIR... [--backbone NAME --weights FILE] [--size 256] [--preset quick]
        [-o key=value]... [--good 100] [--annotated 10] [--run unsupervised|semi-supervised|NAME]...
        [--judged N] [--form fp32|int8]... [--keep DIR] [--seed N]

Of each data set, ``--annotated`` defective test images (half of them where there are fewer than twice as
many) are set apart by the seed: the semi-supervised run learns from them, and no run is judged on them.
``--good`` is how many good training images of each are used, also drawn by the seed. A run NAME is a model of
that data set alone, unsupervised. Each row is what `edgead eval` measures on the exported bundle.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import edgead
from edgead.bundle import read_bundle
from edgead.cli.classes import class_means
from edgead.cli.progress import make_progress
from edgead.datasets import Dataset, open_dataset
from edgead.errors import GateError
from edgead.evaluation.bench import bench
from edgead.evaluation.evaluate import evaluate
from edgead.images import read_image
from edgead.plugins import registry
from edgead.progress import silent
from edgead.types import Sample
from edgead.workbench.export import export
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve

SHOWN = ("image_auroc", "pixel_auroc", "aupro_30")


@dataclass(frozen=True)
class Product:
    """One data set's images: to learn from, to learn defects from, to be judged."""

    name: str
    good: list[Path]
    annotated: list[Sample]
    test: list[Sample]


def divide(data: Dataset, good: int, annotated: int, judged: int | None, seed: int) -> Product:
    """Draw what is learnt from; of the other test images all, or ``judged`` good and defective ones each."""
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(data.train))[:good].tolist())
    bad = [s for s in data.test if not s.is_good and s.masks]
    apart = [bad[i] for i in sorted(rng.permutation(len(bad))[: min(annotated, len(bad) // 2)].tolist())]
    known = {sample.image for sample in apart}
    rest = [sample for sample in data.test if sample.image not in known]
    if judged is not None:
        kinds = [[s for s in rest if s.is_good is kind] for kind in (True, False)]
        rest = [kind[i] for kind in kinds for i in sorted(rng.permutation(len(kind))[:judged].tolist())]
    return Product(data.name, [data.train[i] for i in chosen], apart, rest)


def write_defects(products: Sequence[Product], folder: Path) -> Path:
    """The annotated defects as ``edgead fit --defects`` takes them."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for product in products:
        for sample in product.annotated:
            name = f"{product.name}-{sample.defect}-{sample.image.stem}.png"
            mask = np.max([read_image(file) for file in sample.masks], axis=0)
            cv2.imwrite(str(folder / "images" / name), read_image(sample.image))
            cv2.imwrite(str(folder / "masks" / name), (mask > 0).astype(np.uint8) * 255)
    return folder


def run(name: str, products: Sequence[Product], defects: bool, words: argparse.Namespace) -> None:
    """Fit one model on all the products, and print its rows."""
    recipe = resolve("dmad", words.backbone, words.weights, words.option, words.preset)
    size = (words.size, words.size)
    forms = words.form or ["fp32", "int8"]
    settings = Settings(size=size, seed=words.seed, precisions=forms)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if words.keep is None else words.keep / name
        folder.mkdir(parents=True, exist_ok=True)
        annotated = [write_defects(products, Path(temporary) / "defects")] if defects else []
        images = [file for product in products for file in product.good]
        reference, seconds = folder / "reference.edgead", folder / "seconds"
        if not seconds.exists():
            start = time.monotonic()
            fit(recipe, images, settings, reference, make_progress(), annotated)
            seconds.write_text(f"{time.monotonic() - start:.0f}")
        exporter = registry().get("exporters", "openvino")()
        for precision in forms:
            out = folder / f"{precision}.edgead"
            try:
                if not out.exists():
                    export(read_bundle(reference), exporter, precision, out, silent)
            except GateError as error:
                print(f"| {name} | {precision} | refused: {error} |", flush=True)
                continue
            bundle = read_bundle(out)
            detector = edgead.load(bundle.path, throughput=True)
            found = {product.name: evaluate(detector, product.test, draws=0) for product in products}
            p50 = bench([edgead.load(bundle.path)], 50, silent)[0].p50_ms
            size_mb = sum(file.bytes for file in bundle.manifest.files) / 1e6
            tail = f"{seconds.read_text()} | {size_mb:.1f} | {p50:.1f}"
            for product, each in found.items():
                values = [each.metrics[metric].value for metric in SHOWN]
                counts = f"{len(each.good)}/{len(each.bad)}"
                print(row(name, precision, f"{product} ({counts})", values, "| | "), flush=True)
            means = class_means(found)
            print(row(name, precision, "**mean**", [means[metric] for metric in SHOWN], tail), flush=True)


def row(name: str, form: str, data: str, values: Sequence[float | None], tail: str) -> str:
    """One row of the table, in percent."""
    shown = " | ".join("-" if value is None else f"{100 * value:.1f}" for value in values)
    return f"| {name} | {form} | {data} | {shown} | {tail} |"


def main() -> None:
    """Print the table."""
    words = _arguments()
    data = [open_dataset(folder) for folder in words.datasets]
    products = [divide(each, words.good, words.annotated, words.judged, words.seed) for each in data]
    for product in products:
        print(f"{product.name}: {len(product.good)} good, {len(product.annotated)} annotated")
    print("| model | form | judged on (good/defective) | image AUROC | pixel AUROC | PRO 30 % ", end="")
    print("| fit s | MB | p50 ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in words.run or ["unsupervised", "semi-supervised", *(product.name for product in products)]:
        chosen = [product for product in products if product.name == name] or products
        run(name, chosen, name == "semi-supervised", words)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--backbone")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("-o", "--option", action="append", default=[])
    parser.add_argument("--good", type=int, default=100)
    parser.add_argument("--annotated", type=int, default=10)
    parser.add_argument("--judged", type=int, help="test images of each kind and set; all by default")
    parser.add_argument("--run", action="append")
    parser.add_argument("--form", action="append", help="fp32 and int8 by default")
    parser.add_argument("--keep", type=Path, help="a folder for the bundles; what it has isn't made anew")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
