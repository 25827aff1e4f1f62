"""Small real bundles: PatchCore on generated images with the embedded backbone, fitted once per test run."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgead.bundle import Bundle
from edgead.plugins import registry
from edgead.progress import silent
from edgead.workbench.export import Export, export
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve

SIZE = (96, 64)


def good_image(index: int, size: tuple[int, int] = (120, 80)) -> np.ndarray:
    """A brushed surface with its own light and noise."""
    rng = np.random.default_rng(index)
    lines = np.repeat(rng.normal(0, 12, (size[0], 1)), size[1], axis=1)
    light = 110 + 30 * np.linspace(-1, 1, size[1]) * rng.uniform(0.5, 1)
    image = light + lines + rng.normal(0, 3, size)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def bad_image(index: int) -> np.ndarray:
    """A good image with a dark blob."""
    image = good_image(1000 + index)
    cv2.circle(image, (40, 30 + 3 * index), 9, (20, 25, 30), -1)
    return image


def write_images(folder: Path, images: list[np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"{index:03d}.png"), image)
    return folder


def make_reference(folder: Path, n: int = 16, out: str = "patchcore.edgead", **settings) -> Bundle:
    images = write_images(folder / "good", [good_image(i) for i in range(n)])
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    chosen = Settings(**({"size": SIZE, "holdout": 0.4, "false_positive_rate": 0.1} | settings))
    return fit(recipe, images, chosen, folder / out, silent).bundle


def make_compiled(reference: Bundle, target: str, precision: str, out: Path, max_loss: float = 0.2) -> Export:
    """Compile; six held-out toy images say little about a loss, so it's allowed to be large."""
    exporter = registry().get("exporters", target)()
    return export(reference, exporter, precision, out, silent, max_loss=max_loss)
