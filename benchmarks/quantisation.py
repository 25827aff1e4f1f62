"""What each way of quantising the backbone loses: one table, the source of docs/quantisation.md.

    python benchmarks/quantisation.py DATASET_DIR... --backbone NAME --weights FILE [--auroc]

SQNR: variance of the FP32 embeddings over that of the error, in dB, on test images; it tells small
differences apart that an AUROC of a hundred images can't. --auroc adds image and pixel AUROC of PatchCore,
every variant with the bank rows of the same patches, so that nothing but the backbone differs.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from edgead.datasets import find_samples
from edgead.images import ResizeRule, list_images, read_image
from edgead.masks import read_mask
from edgead.metrics.scores import auroc, pixel_auroc
from edgead.progress import silent
from edgead.runtime.openvino_session import block_telemetry
from edgead.workbench.features import fitting_data, opened, training_data
from edgead.workbench.good_images import GoodImages
from edgead.workbench.graph import compose
from edgead.workbench.quantize import quantise_backbone
from edgead.workbench.recipe import open_backbone
from edgead.workbench.stem import centre_on_level, exact_input, find_stem
from edgead_plugins.coreset import greedy_coreset, random_projection
from edgead_plugins.patchcore import FittedPatchCore, PatchCore
from edgead_plugins.postprocessors import Gaussian

SIZE = (256, 256)
IMAGES = 60
"""Images that a variant is quantised on, and as many that its error is measured on."""

block_telemetry()
import nncf  # noqa: E402
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters as Advanced  # noqa: E402
from nncf.quantization.advanced_parameters import OverflowFix  # noqa: E402
from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Ranges  # noqa: E402

nncf.set_log_level(logging.ERROR)
Variant = tuple[str, Callable[[onnx.ModelProto, list], onnx.ModelProto], str]


def _nncf(model: onnx.ModelProto, images: list, **options: object) -> onnx.ModelProto:
    data = nncf.Dataset([image[None] for image in images], lambda image: {"image": image})
    return nncf.quantize(model, data, subset_size=len(images), **options)


def _exact(model: onnx.ModelProto, images: list, **options: object) -> onnx.ModelProto:
    stem = find_stem(model)
    return exact_input(_nncf(centre_on_level(model, stem), images, **options), stem)


_NO_FIX = Advanced(overflow_fix=OverflowFix.DISABLE)
_ALL_FIXED = Advanced(overflow_fix=OverflowFix.ENABLE)
VARIANTS: list[Variant] = [
    ("FP32", lambda m, i: m, "f32"),
    ("BF16", lambda m, i: m, "bf16"),
    ("INT8, nncf's defaults", lambda m, i: _nncf(m, i), "f32"),
    ("  asymmetric activations", lambda m, i: _nncf(m, i, preset=nncf.QuantizationPreset.MIXED), "f32"),
    ("  no overflow fix", lambda m, i: _nncf(m, i, advanced_parameters=_NO_FIX), "f32"),
    (
        "  no bias correction",
        lambda m, i: _nncf(m, i, advanced_parameters=Advanced(disable_bias_correction=True)),
        "f32",
    ),
    (
        "  ranges averaged over images",
        lambda m, i: _nncf(
            m, i, advanced_parameters=Advanced(activations_range_estimator_params=Ranges.MEAN_MINMAX)
        ),
        "f32",
    ),
    ("  exact input", lambda m, i: _exact(m, i), "f32"),
    (
        "  exact input, every layer's overflow fixed",
        lambda m, i: _exact(m, i, advanced_parameters=_ALL_FIXED),
        "f32",
    ),
    ("edgead's int8: exact input, safe weights, measured bias", lambda m, i: quantise_backbone(m, i), "f32"),
    (
        "edgead's mixed: first convolution FP32",
        lambda m, i: quantise_backbone(m, i, True),
        "f32",
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--auroc", action="store_true")
    arguments = parser.parse_args()
    backbone = open_backbone(arguments.backbone, arguments.weights)
    print("| data | backbone | SQNR dB | image AUROC | pixel AUROC |\n| --- | --- | --- | --- | --- |")
    for dataset in arguments.datasets:
        _table(dataset, backbone, arguments.auroc)


def _table(dataset: Path, backbone, with_auroc: bool) -> None:
    scorer, rule = PatchCore(), ResizeRule(SIZE)
    plain = backbone.onnx(scorer.feature_maps(backbone), SIZE)
    good = GoodImages(tuple(list_images(dataset / "train" / "good")), rule)
    samples = find_samples(dataset)
    step = max(1, len(samples) // IMAGES)
    probes = GoodImages(tuple(s.image for s in samples[::step]), rule)
    calibration = [image for image, _ in zip(good, range(IMAGES), strict=False)]
    exact, rows, picks = _embeddings(plain, backbone, scorer, probes), None, None
    for name, quantise, precision in VARIANTS:
        model = quantise(plain, calibration)
        found = _embeddings(model, backbone, scorer, probes, precision)
        noise = float(((found - exact) ** 2).sum())
        signal = float(((exact - exact.mean(0)) ** 2).sum())
        sqnr = f"{10 * np.log10(signal / noise):.1f}" if noise else "-"
        figures = "- | -"
        if with_auroc:
            rows = _embeddings(model, backbone, scorer, good, precision)
            if picks is None:
                narrow = rows @ random_projection(rows.shape[1], 128, 0)
                picks = greedy_coreset(narrow, len(rows) // 100, start=0)
            bank = "fp32" if name == "FP32" else "int8"
            figures = _auroc(model, scorer, rows[picks], samples, rule, bank, precision)
        print(f"| {dataset.name} | {name} | {sqnr} | {figures} |", flush=True)


def _embeddings(model, backbone, scorer, frames: GoodImages, precision: str = "f32") -> np.ndarray:
    data = training_data(backbone, frames, 0, silent, Path())
    with fitting_data(model, scorer, data, precision) as training:
        return np.concatenate(
            [maps["patches"].reshape(len(maps["patches"]), -1).T for maps in training.features()]
        )


def _auroc(model, scorer, bank, samples, rule, bank_precision: str, precision: str) -> str:
    fitted = FittedPatchCore(bank, (SIZE[0] // 8, SIZE[1] // 8), scorer.options, 0, np.arange(len(bank)))
    graph = compose(model, scorer, fitted, Gaussian(), SIZE, bank_precision).model
    scores, maps, masks = [], [], []
    with opened(graph, precision=precision) as session:
        for sample in samples:
            image = read_image(sample.image)
            outputs = session(rule.apply(image)[None])
            scores.append(float(outputs["score"][0]))
            maps.append(outputs["anomaly_map"][0, 0])
            masks.append(read_mask(sample.masks, rule, image.shape[:2]))
    bad = np.array([not s.is_good for s in samples])
    values = np.array(scores)
    image, pixel = auroc(values[~bad], values[bad]), pixel_auroc(np.stack(maps), np.stack(masks))
    return f"{100 * image:.2f} | {100 * pixel:.2f}"


if __name__ == "__main__":
    main()
