"""What the tests of methods that train have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgead.progress import silent
from edgead.types import Size, TrainingData
from edgead.workbench.recipe import open_backbone
from tests.bundles import good_image


def examples_of(folder: Path, size: Size, seed: int, n: int) -> TrainingData:
    """n drawn good images for the ``default`` backbone, with the checkpoint in a folder."""
    return TrainingData(
        backbone=open_backbone("default"),
        images=lambda: (good_image(i, size) for i in range(n)),
        n_images=n,
        size=size,
        seed=seed,
        progress=silent,
        checkpoint=folder,
    )


def changed(words: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Options ``key=value``, the changes in place of those of the same key."""
    keys = {change.split("=")[0] for change in changes}
    return [*(word for word in words if word.split("=")[0] not in keys), *changes]
