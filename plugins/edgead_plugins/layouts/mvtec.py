"""MVTec's data sets, and others in the same form. A category is a folder; sources in docs/datasets.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgead.errors import DatasetError
from edgead.types import Split
from edgead_plugins.layouts.folders import images_if_any, read_labelled, refuse_two_good

MPDD_CATEGORIES = ("bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes")


@dataclass(frozen=True)
class MVTec:
    """``train/good``, ``test/good``, ``test/DEFECT`` and the masks in ``ground_truth/DEFECT``.

    A mask is ``NNN_mask.png`` (MVTec AD) or has its image's name (VisA after its publisher's conversion).
    """

    refines: tuple[str, ...] = ("plain",)

    def recognises(self, folder: Path) -> bool:
        return (folder / "test" / "good").is_dir()

    def read(self, folder: Path) -> Split:
        refuse_two_good(folder / "train", "good")
        found = read_labelled(folder / "test", "good", folder / "ground_truth")
        return Split(
            train=images_if_any(folder / "train" / "good"),
            test=found.samples,
            validation=images_if_any(folder / "validation" / "good"),
            notes=found.notes,
        )


@dataclass(frozen=True)
class MVTecLOCO:
    """As MVTec AD, with ``validation/good`` and a folder of masks for each image, one for each defect in it.

    A pixel's value in a mask says what defect it belongs to; here only whether it does.
    """

    refines: tuple[str, ...] = ("mvtec",)

    def recognises(self, folder: Path) -> bool:
        kinds = ("logical_anomalies", "structural_anomalies")
        return MVTec().recognises(folder) and any((folder / "test" / kind).is_dir() for kind in kinds)

    def read(self, folder: Path) -> Split:
        note = (
            "masks are counted as defective or not; the saturation thresholds in defects_config.json, which "
            "the data set's own sPRO takes, are not used"
        )
        split = MVTec().read(folder)
        return Split(split.train, split.test, split.validation, (*split.notes, note))


@dataclass(frozen=True)
class MVTecAD2:
    """``train/good``, ``validation/good``, ``test_public/good`` and ``test_public/bad``.

    Masks are ``test_public/ground_truth/bad/NNN_LIGHT_mask.png``. ``test_private`` and
    ``test_private_mixed`` have no labels: their publisher's server judges them.
    """

    refines: tuple[str, ...] = ()

    def recognises(self, folder: Path) -> bool:
        return any((folder / name).is_dir() for name in ("test_public", "test_private", "test_private_mixed"))

    def read(self, folder: Path) -> Split:
        public = folder / "test_public"
        if not public.is_dir():
            raise DatasetError(
                f"{folder}: its test images are the private ones, which have no labels; add test_public, "
                "which MVTec publishes with them"
            )
        private = [name for name in ("test_private", "test_private_mixed") if (folder / name).is_dir()]
        note = f"{' and '.join(private)}: no labels, not used"
        found = read_labelled(public, "good", public / "ground_truth", leave_out=("ground_truth",))
        return Split(
            train=images_if_any(folder / "train" / "good"),
            test=found.samples,
            validation=images_if_any(folder / "validation" / "good"),
            notes=(*found.notes, *((note,) if private else ())),
        )


@dataclass(frozen=True)
class MPDD:
    """As MVTec AD; told from it by its categories' names."""

    refines: tuple[str, ...] = ("mvtec",)

    def recognises(self, folder: Path) -> bool:
        return folder.name in MPDD_CATEGORIES and MVTec().recognises(folder)

    def read(self, folder: Path) -> Split:
        return MVTec().read(folder)


__all__ = ["MPDD", "MPDD_CATEGORIES", "MVTec", "MVTecAD2", "MVTecLOCO"]
