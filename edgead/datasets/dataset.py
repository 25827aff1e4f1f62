"""Labelled data sets: what to learn from, which test images are good, which are defective and where.

Data sets lie in folders in many ways. Each way is a *layout* that a plugin registers: an
``edgead.types.Layout``. The published ones are in ``edgead_plugins.layouts`` and described in
docs/datasets.md. A folder is one data set, or one category of it; or the root of several, each a subfolder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgead.datasets.recognition import (
    ask,
    existing,
    find_whole,
    fitting,
    folder_above,
    layout_names,
    subfolders_in,
)
from edgead.errors import DatasetError, UnknownNameError
from edgead.folders import SUFFIXES, left_out
from edgead.names import shown
from edgead.notices import Notice, say
from edgead.plugins import registry
from edgead.types import Sample

_SHOWN = 20
"""How many categories an error message names."""


@dataclass(frozen=True)
class Dataset:
    """One data set, or one category of it, as its layout reads it.

    Attributes:
        name: what to call it in a table: the folder's name, or ``root/category`` of the two asked for.
        layout: the name of the layout.
        category: the one asked for, or None where the folder itself was.
        folder: where it lies.
        train: good images to learn from; may be empty.
        test: labelled images, the good first; never empty.
        validation: good images that the publisher sets apart; usually none.
        notices: what the user should know of.
    """

    name: str
    layout: str
    category: str | None
    folder: Path
    train: tuple[Path, ...]
    test: tuple[Sample, ...]
    validation: tuple[Path, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The notices in words, a line each."""
        return tuple(say(notice) for notice in self.notices)

    @property
    def unmasked(self) -> tuple[Sample, ...]:
        """The defective test images without a mask; where there are any, pixel metrics are undefined."""
        return tuple(sample for sample in self.test if not sample.is_good and not sample.masks)


def open_dataset(folder: Path, layout: str | None = None, category: str | None = None) -> Dataset:
    """List what is in a data set. No image is opened, but for masks that tell good from defective, and
    files beside others that may be masks.

    Args:
        folder: one data set or category; or, with ``category``, the root of several.
        layout: the name of its layout; recognised from the folder by default.
        category: the subfolder to open.

    Raises:
        UnknownNameError: no such layout or category.
        DatasetError: no layout fits the folder, several do, the folder is a root and no category is given, or
            a part of the data set is missing or empty.
        PluginError: a layout fails in a way of its own.
    """
    root = existing(folder)
    here = root
    if category is not None:
        here = root / category
        known = find_categories(root, layout)
        if category not in known:
            if not known:
                raise DatasetError(f"{root}: is one data set and has no categories; leave '{category}' out")
            raise UnknownNameError("category", category, known)
    chosen = _choose(here, layout)
    split = ask(chosen, here, lambda it: it.read(here))
    if not split.test:
        raise DatasetError(f"{here}: no test images; is the data set complete?")
    found = Dataset(
        name=here.name if category is None else f"{root.name}/{category}",
        layout=chosen,
        category=category,
        folder=here,
        train=split.train,
        test=tuple(sorted(split.test, key=lambda sample: not sample.is_good)),
        validation=split.validation,
    )
    by_layout = [Notice("layout", {"text": text}) for text in split.notes]
    folders = dict.fromkeys(sample.image.parent for sample in found.test)
    unseen = [notice for place in folders for notice in left_out(place)]
    return replace(found, notices=(*_notices(found), *by_layout, *unseen))


def find_categories(folder: Path, layout: str | None = None) -> tuple[str, ...]:
    """Return the categories in a data set's root, sorted; none where the folder is itself one data set.

    Args:
        layout: look for this one only.

    Raises:
        UnknownNameError: no such layout.
        DatasetError: the folder doesn't exist, or neither it nor any subfolder is in a known layout.
    """
    root = existing(folder)
    names = layout_names(layout)
    if fitting(root, names):
        return ()
    categories = subfolders_in(root, names)
    if not categories:
        raise DatasetError(_unrecognised(root, layout))
    return tuple(categories)


def layouts_of(folder: Path) -> list[str]:
    """Return the layouts that recognise a folder, told by names alone; more than one where it's ambiguous.

    Raises:
        DatasetError: the folder doesn't exist or can't be read.
        PluginError: a layout fails in a way of its own.
    """
    return fitting(existing(folder), layout_names(None))


def find_samples(folder: Path, layout: str | None = None) -> list[Sample]:
    """List a data set's test images, the good first; raises as ``open_dataset`` does."""
    return list(open_dataset(folder, layout).test)


# ---------------------------------------------------------------- recognition


def _choose(folder: Path, layout: str | None) -> str:
    names = layout_names(layout)
    fit = fitting(folder, names)
    if len(fit) == 1:
        return fit[0]
    if fit:
        raise DatasetError(
            f"{folder}: fits the layouts {' and '.join(fit)}; "
            f"choose with --layout {' or --layout '.join(fit)}"
        )
    categories = subfolders_in(folder, names)
    if categories:
        more = ", ..." if len(categories) > _SHOWN else ""
        raise DatasetError(
            f"{folder}: holds {len(categories)} data sets; give one of them, "
            f"for instance {folder / categories[0]} (there are {', '.join(categories[:_SHOWN])}{more})"
        )
    raise DatasetError(_unrecognised(folder, layout))


def _unrecognised(folder: Path, layout: str | None) -> str:
    """Say why nothing fits, and what is near that does."""
    everything = registry().names("layouts")
    if layout is not None:
        other = fitting(folder, everything)
        hint = f"it looks like {' or '.join(other)}" if other else "see docs/datasets.md for what it expects"
        return f"{folder}: not in the layout {layout}; {hint}"
    whole = find_whole(folder)
    above = folder_above(folder) if whole is None else whole.folder
    if near := [whole.layout] if whole else fitting(above, everything):
        return f"{folder}: a part of a data set in the layout {near[0]}; give the folder above it, {above}"
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        with suppress(DatasetError):  # a folder that can't be read is no reason to say less
            if subfolders_in(path, everything):
                return f"{folder}: the data sets are one folder further down; give {path}"
    if any(path.suffix.lower() in SUFFIXES for path in folder.iterdir()):
        return f"{folder}: images without labels; sort them into good/ and a folder for each defect"
    return (
        f"{folder}: in no known layout ({', '.join(everything)}); the simplest is a folder with good/ and a "
        "folder for each defect"
    )


def _notices(found: Dataset) -> list[Notice]:
    notices = [] if found.train else [Notice("no-train")]
    defective = sum(not sample.is_good for sample in found.test)
    missing = found.unmasked
    if missing and len(missing) == defective:
        notices.append(Notice("no-masks"))
    elif missing:
        one = missing[0].image
        example = shown(Path(one.parent.name, one.name))
        values = {"count": len(missing), "total": defective, "example": example}
        notices.append(Notice("some-unmasked", values))
    whole = find_whole(found.folder) if missing or not found.train else None
    if whole:
        trained = {os.path.normpath(path) for path in whole.split.train}
        learned = [s for s in found.test if os.path.normpath(s.image.absolute()) in trained]
        if learned:
            values = {"images": len(learned), "folder": shown(whole.folder), "layout": whole.layout}
            notices.append(Notice("judges-train-images", values))
    if missing and whole:
        masked = {sample.image for sample in whole.split.test if sample.masks}
        if any(Path(os.path.normpath(sample.image.absolute())) in masked for sample in missing):
            values = {"folder": shown(whole.folder), "layout": whole.layout}
            notices.append(Notice("masks-above", values))
    if not defective or defective == len(found.test):
        notices.append(Notice("no-good" if defective else "no-defective"))
    return notices


__all__ = ["Dataset", "find_categories", "find_samples", "layouts_of", "open_dataset"]
