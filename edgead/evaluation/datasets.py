"""Labelled test images: which are good, which are defective and where.

Two layouts. *MVTec*: ``test/good``, ``test/<defect>``, ``ground_truth/<defect>/NAME_mask.png``.
*Plain*: the folder itself has ``good`` and one folder per defect, with no masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgead.errors import DatasetError
from edgead.images import list_images

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        image: its file.
        defect: the name of its defect, or ``good``.
        mask: a file that is nonzero where it's defective, or None.
    """

    image: Path
    defect: str
    mask: Path | None = None

    @property
    def is_good(self) -> bool:
        """Whether the image shows a good part."""
        return self.defect == GOOD


def find_samples(folder: Path) -> list[Sample]:
    """List a data set's test images, the good first.

    Raises:
        DatasetError: neither layout is there, or a class is empty.
    """
    root = folder / "test" if (folder / "test").is_dir() else folder
    if not (root / GOOD).is_dir():
        raise DatasetError(
            f"{folder}: no test/good and no good folder in it; give a folder in MVTec layout, or one with "
            "good/ and a folder for each defect"
        )
    kinds = sorted((p.name for p in root.iterdir() if p.is_dir()), key=lambda name: (name != GOOD, name))
    kinds = [k for k in kinds if not k.startswith(".") and k not in ("ground_truth", "train")]
    return [
        Sample(image, kind, _mask(folder / "ground_truth" / kind, image))
        for kind in kinds
        for image in list_images(root / kind)
    ]


def _mask(folder: Path, image: Path) -> Path | None:
    candidates = (folder / f"{image.stem}_mask.png", folder / f"{image.stem}.png")
    return next((c for c in candidates if c.is_file()), None)
