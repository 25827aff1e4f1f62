"""Which files to learn from: what a user means by a folder of good images, and what is left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgead.datasets import Dataset, find_categories, layouts_of, open_dataset
from edgead.datasets.recognition import Whole, find_whole
from edgead.errors import DatasetError, PluginError
from edgead.files import is_folder
from edgead.folders import left_out, list_images
from edgead.masks.beside import find_masks, name_pairs
from edgead.notices import Notice


@dataclass(frozen=True)
class Gathered:
    """The files to learn from, and what to say about how they were chosen."""

    paths: tuple[Path, ...]
    notices: tuple[Notice, ...]


def gather(images: Path | Sequence[Path]) -> Gathered:
    """Return the good images that are meant.

    A folder is one of good images; or a data set in a known layout, or the part of one that holds its
    training images, and then just those are meant. A file is itself.

    Raises:
        DatasetError: a folder doesn't exist or holds no image, holds masks beside images, is the root of
            several data sets, or something is given twice.
    """
    given = [Path(images)] if isinstance(images, str | Path) else [Path(path) for path in images]
    known: set[Path] = set()
    paths: list[Path] = []
    notices: list[Notice] = []
    for path in given:
        if (real := path.resolve()) in known:
            raise DatasetError(f"{path}: given twice; give each folder of good images once")
        known.add(real)
        alone = path is given[0] and isinstance(images, str | Path)
        found = _folder(path) if alone or is_folder(path) else Gathered((path,), ())
        paths += found.paths
        notices += found.notices
    files = [path for path in given if path in paths]
    for folder in dict.fromkeys(file.parent for file in files):
        own = [file for file in files if file.parent == folder]
        notices += _of_test(folder, own, find_whole(folder))
    return Gathered(tuple(paths), tuple(notices))


def _folder(folder: Path) -> Gathered:
    data = _dataset_of(folder)
    if data is not None:
        used = sorted({path.parent for path in data.train})
        for parent in used:
            _refuse_masks(parent, [path for path in data.train if path.parent == parent])
        unseen = [notice for parent in used for notice in left_out(parent)]
        others = len(_images_below(folder)) - len(data.train)
        if others:
            here = folder.resolve()
            values = {"folder": here.name, "layout": data.layout, "images": len(data.train)}
            code = "dataset-train" if here == data.folder else "dataset-part"
            unseen.insert(0, Notice(code, {**values, "others": others}))
        return Gathered(data.train, tuple(unseen))
    whole = find_whole(folder)
    try:
        images = list_images(folder, good=True)
    except DatasetError:
        if whole is not None and whole.split.train:
            raise DatasetError(
                f"{folder}: a part of a data set in the layout {whole.layout}, with no images of its own; "
                f"give {whole.folder}, whose training images are learned"
            ) from None
        _refuse_several(folder)
        raise
    told = _of_test(folder, images, whole)
    _refuse_masks(folder, images)
    return Gathered(tuple(images), (*told, *left_out(folder)))


def _of_test(folder: Path, images: Sequence[Path], whole: Whole | None) -> tuple[Notice, ...]:
    """Say which images a data set keeps for testing.

    Args:
        images: in ``folder``.
        whole: the data set that the folder is a part of, if any.

    Raises:
        DatasetError: some are defective, or masks. Where a folder is just beside one that's called good, and
            neither training images nor masks say more, it may as well be another product's: that's a notice.
    """
    if whole is None:
        return ()
    split = whole.split
    is_sure = bool(split.train) or any(sample.masks for sample in split.test)
    where = {"folder": folder.resolve().name, "data": whole.name, "layout": whole.layout}
    real = {image.resolve() for image in images}
    masks = real & {mask.resolve() for sample in split.test for mask in sample.masks}
    bad = real & {sample.image.resolve() for sample in split.test if not sample.is_good}
    if bad and not is_sure:
        return (Notice("learns-beside-good", {**where, "images": len(bad)}),)
    if masks or bad:
        counts = ((bad, "defective test images"), (masks, "masks"))
        what = " and ".join(f"{name} ({len(files)})" for files, name in counts if files)
        if split.train:
            instead = f"give {whole.folder}, whose training images are learned"
        else:
            instead = "give its folder of good images"
        raise DatasetError(
            f"{folder}: holds {what} of the data set {whole.folder} (layout {whole.layout}), which would be "
            f"learned as good; {instead}"
        )
    good = real & {sample.image.resolve() for sample in split.test if sample.is_good}
    if not good or (not split.train and all(sample.is_good for sample in split.test)):
        return ()
    code = "learns-test-images" if split.train else "learns-all-good"
    return (Notice(code, {**where, "images": len(good)}),)


def _dataset_of(folder: Path) -> Dataset | None:
    """The data set that the folder is, or whose training images all lie in it; None if neither."""
    if not is_folder(folder):
        return None
    here = folder.resolve()
    for root in (here, here.parent):
        with suppress(DatasetError, PluginError):  # what's wrong with its test images is no matter here
            if len(layouts_of(root)) != 1:
                continue
            data = open_dataset(root)
            if data.train and all(here in path.parents for path in data.train):
                return _beside(data, folder, here)
    return None


def _beside(data: Dataset, folder: Path, here: Path) -> Dataset:
    """The data set with its training images' paths as the user would write them."""
    train = tuple(folder / path.relative_to(here) for path in data.train)
    return Dataset(**{**vars(data), "train": train})


def _images_below(folder: Path) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        if is_folder(path):
            with suppress(DatasetError):
                found += list_images(path)
    with suppress(DatasetError):
        found += list_images(folder)
    return found


def _refuse_several(folder: Path) -> None:
    """A folder without images may be the root of several data sets."""
    categories: tuple[str, ...] = ()
    with suppress(DatasetError, PluginError):
        categories = find_categories(folder)
    if categories:
        raise DatasetError(
            f"{folder}: holds {len(categories)} data sets; give the one to learn, for instance "
            f"{folder / categories[0]}, or several of them, one after the other"
        )


def _refuse_masks(folder: Path, images: Sequence[Path]) -> None:
    """Where masks lie beside images, some of the images are defective and the masks aren't images at all."""
    masks = find_masks(images)
    if masks:
        raise DatasetError(
            f"{folder}: masks lie beside the images ({name_pairs(masks)}), so some may be defective, and the "
            "masks would be learned as good; give a folder of good images alone, or a data set that "
            "`edgead datasets` recognises"
        )


__all__ = ["Gathered", "gather"]
