"""KolektorSDD and KolektorSDD2: each image has a mask beside it, and is good where the mask is empty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgead.errors import DatasetError
from edgead.images import list_images
from edgead.masks import MaskNames, read_mask_file
from edgead.types import GOOD, Sample, Split
from edgead_plugins.layouts.folders import subfolders

DEFECT = "defect"
"""The one kind of defect that both data sets know."""


@dataclass(frozen=True)
class KolektorSDD:
    """``kosNN/PartN.jpg`` with ``kosNN/PartN_label.bmp``, a folder for each commutator.

    The publishers' division is for supervised learning, three folds by commutator. Here, of the good images
    in the order of their names, every third is for testing, together with all the defective ones: so both
    kinds of test image come from the same commutators.
    """

    refines: tuple[str, ...] = ()

    def recognises(self, folder: Path) -> bool:
        return any(_has(folder / item, "_label.bmp") for item in _items(folder))

    def read(self, folder: Path) -> Split:
        samples = [sample for item in _items(folder) for sample in _beside(folder / item, "_label.bmp")]
        good = [sample for sample in samples if sample.is_good]
        kept = tuple(sample for place, sample in enumerate(good) if place % 3 == 2)
        note = "no official split for learning from good images: every third good one is for testing"
        return Split(
            train=tuple(sample.image for place, sample in enumerate(good) if place % 3 != 2),
            test=(*kept, *(sample for sample in samples if not sample.is_good)),
            notes=(note,),
        )


@dataclass(frozen=True)
class KolektorSDD2:
    """``train`` and ``test``, each with ``NNNNN.png`` and ``NNNNN_GT.png``."""

    refines: tuple[str, ...] = ()

    def recognises(self, folder: Path) -> bool:
        return all(_has(folder / part, "_GT.png") for part in ("train", "test"))

    def read(self, folder: Path) -> Split:
        train = _beside(folder / "train", "_GT.png")
        test = _beside(folder / "test", "_GT.png")
        defective = sum(not sample.is_good for sample in train)
        note = f"{defective} defective images in train are not used: methods here learn from good ones"
        return Split(
            train=tuple(sample.image for sample in train if sample.is_good),
            test=tuple(sorted(test, key=lambda sample: (not sample.is_good, sample.image))),
            notes=(note,) if defective else (),
        )


def _items(folder: Path) -> list[str]:
    return [name for name in subfolders(folder) if name.startswith("kos")]


def _has(folder: Path, ending: str) -> bool:
    return folder.is_dir() and any(_ends(path, ending) for path in folder.iterdir())


def _ends(file: Path, ending: str) -> bool:
    return file.name.casefold().endswith(ending.casefold())


def _beside(folder: Path, ending: str) -> list[Sample]:
    """Label the images of a folder by the masks beside them."""
    files = [file for file in list_images(folder) if not _is_copy(file)]
    masks = MaskNames({file.name[: -len(ending)]: file for file in files if _ends(file, ending)})
    samples = []
    for image in (file for file in files if not _ends(file, ending)):
        mask = masks.find(image.stem)
        if mask is None:
            raise DatasetError(
                f"{image}: no {image.stem}{ending} beside it, so nobody knows whether it's good; restore "
                "that file or remove the image"
            )
        bad = read_mask_file(mask).marked.any()
        samples.append(Sample(image, DEFECT, (mask,)) if bad else Sample(image, GOOD))
    return samples


def _is_copy(file: Path) -> bool:
    """Whether it's a stray duplicate: ``10301 (copy).png`` and its mask are in KolektorSDD2's archive."""
    return file.stem.endswith(" (copy)")


__all__ = ["DEFECT", "KolektorSDD", "KolektorSDD2"]
