"""Do synthetic defects tell which draw of PaDiM's channels is best on real ones? docs/methods/padim.md.

    python benchmarks/draws.py DATASET_DIR... [--draws 8] [--size 128x128] [--backbone NAME --weights FILE]

For each data set in MVTec layout: what each draw separates of synthetic defects, its image AUROC on the real
test images (the mean of the highest patch scores, every second position), and the correlation of both.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from edgead.datasets import open_dataset
from edgead.images import read_image
from edgead.metrics.scores import auroc
from edgead.progress import silent
from edgead.types import FittingData, Image
from edgead.workbench.features import fitting_data, training_data
from edgead.workbench.good_images import read_good
from edgead.workbench.recipe import resolve
from edgead_plugins.channel_draws import draw_channels, gaussians, scores
from edgead_plugins.channel_selection import ChannelSelection, select_channels
from edgead_plugins.padim import default_dimensions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--size", default="128x128")
    parser.add_argument("--backbone")
    parser.add_argument("--weights", type=Path)
    asked = parser.parse_args()
    height, width = map(int, asked.size.split("x"))
    recipe = resolve("padim", asked.backbone, asked.weights)
    print("| data | best by synthetic defects | mean | the first | correlation |\n|---|---|---|---|---|")
    for folder in asked.datasets:
        samples = open_dataset(folder)
        frames = read_good(samples.train, (height, width), recipe.backbone.input.multiple, silent).images
        graph = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), (height, width))
        with tempfile.TemporaryDirectory() as scratch:
            learnt = training_data(recipe.backbone, frames, 0, silent, Path(scratch))
            with fitting_data(graph, recipe.scorer, learnt) as data:
                d = default_dimensions(sum(channels for channels, _, _ in data.shapes.values()))
                _, synthetic = draw_channels(data, d, asked.draws, "nearest", 0.01)
                test = [(frames.rule.apply(read_image(s.image)), not s.is_good) for s in samples.test]
                seeds: list[int | list[int]] = [0, *([0, number] for number in range(1, asked.draws))]
                drawn = [select_channels(data.shapes, d, seed, "nearest") for seed in seeds]
                real = [_real(data, test, each) for each in drawn]
        best = real[int(np.argmax(synthetic))]
        r = float(np.corrcoef(synthetic, real)[0, 1])
        print(f"| {folder.name} | {best:.1f} | {np.mean(real):.1f} | {real[0]:.1f} | {r:.2f} |", flush=True)


def _real(data: FittingData, test: list[tuple[Image, bool]], drawn: ChannelSelection) -> float:
    """Image AUROC on the test images, in %."""
    good = np.stack([drawn.embed(maps)[:, ::2].T for maps in data.features()])
    mean, factor = gaussians(good, 0.01)
    judged = data.embed(image for image, _ in test)
    found = [scores(drawn.embed(maps)[None, :, ::2].transpose(0, 2, 1), mean, factor)[0] for maps in judged]
    bad = np.array([anomalous for _, anomalous in test])
    area = auroc(np.array(found)[~bad], np.array(found)[bad])
    assert area is not None
    return 100 * area


if __name__ == "__main__":
    main()
