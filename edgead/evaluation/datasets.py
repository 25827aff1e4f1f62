"""Labelled data sets: what to learn from, which test images are good, which are defective and where.

Data sets lie in folders in many ways. Each way is a *layout* that a plugin registers: an
``edgead.types.Layout``. The published ones are in ``edgead_plugins.layouts`` and described in
docs/datasets.md. A folder is one data set, or one category of it; or the root of several, each a subfolder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from edgead.errors import DatasetError, EdgeadError, PluginError, UnknownNameError
from edgead.folders import SUFFIXES, left_out
from edgead.names import shown
from edgead.notices import Notice, say
from edgead.plugins import registry
from edgead.registry import one_line
from edgead.types import GOOD, Layout, Sample

T = TypeVar("T")

_PARTS = ("train", "test", "validation", "ground_truth")
"""Subfolders that are parts of a data set, never categories of their own."""
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
    """List what is in a data set. No image is opened, except masks that alone tell good from defective.

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
    root = _existing(folder)
    here = root
    if category is not None:
        here = root / category
        known = find_categories(root, layout)
        if category not in known:
            if not known:
                raise DatasetError(f"{root}: is one data set and has no categories; leave '{category}' out")
            raise UnknownNameError("category", category, known)
    chosen = _choose(here, layout)
    split = _ask(chosen, here, lambda it: it.read(here))
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
    root = _existing(folder)
    names = _names(layout)
    if _fitting(root, names):
        return ()
    categories = _subfolders_in(root, names)
    if not categories:
        raise DatasetError(_unrecognised(root, layout))
    return tuple(categories)


def layouts_of(folder: Path) -> list[str]:
    """Return the layouts that recognise a folder, told by names alone; more than one where it's ambiguous.

    Raises:
        DatasetError: the folder doesn't exist or can't be read.
        PluginError: a layout fails in a way of its own.
    """
    return _fitting(_existing(folder), _names(None))


def find_samples(folder: Path, layout: str | None = None) -> list[Sample]:
    """List a data set's test images, the good first; raises as ``open_dataset`` does."""
    return list(open_dataset(folder, layout).test)


# ---------------------------------------------------------------- recognition


def _existing(folder: Path) -> Path:
    """Return the folder with a name: ``.`` and ``..`` have none."""
    folder = Path(folder)
    if not folder.exists():
        raise DatasetError(f"{folder}: no such folder; give the folder of a data set")
    if not folder.is_dir():
        raise DatasetError(f"{folder}: a file, not a folder; give the folder of a data set")
    return folder.resolve() if folder.name in ("", "..") else folder


def _names(layout: str | None) -> list[str]:
    if layout is None:
        names = registry().names("layouts")
        if not names:
            raise PluginError(
                "no layout is registered; install edgead anew with pip, and see `edgead plugins`"
            )
        return names
    registry().entry("layouts", layout)  # raises where nobody registers it
    return [layout]


def _ask(layout: str, folder: Path, question: Callable[[Layout], T]) -> T:
    """Put a question to a layout; what goes wrong in a plugin is told by the plugin's name."""
    factory = registry().get("layouts", layout)
    try:
        return question(factory())
    except EdgeadError:
        raise
    except OSError as error:
        where = error.filename or folder
        raise DatasetError(f"{where}: can't be read ({error.strerror}); check the path and rights") from None
    except Exception as error:
        entry = registry().entry("layouts", layout)
        raise PluginError(
            f"{entry.distribution} {entry.version}: layout '{layout}' fails on {folder} ({one_line(error)}); "
            "name another with --layout, or uninstall it"
        ) from error


def _fitting(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the layouts that recognise a folder, without those that another of them refines."""
    fitting = [name for name in names if _ask(name, folder, lambda it: it.recognises(folder))]
    above = {name: set(_ask(name, folder, lambda it: tuple(it.refines))) for name in fitting}
    covered: set[str] = set()
    for name in fitting:
        todo = set(above[name])
        while todo:
            general = todo.pop()
            if general not in covered and general in registry().names("layouts"):
                todo |= set(_ask(general, folder, lambda it: tuple(it.refines)))
            covered.add(general)
    return [name for name in fitting if name not in covered]


def _choose(folder: Path, layout: str | None) -> str:
    names = _names(layout)
    fitting = _fitting(folder, names)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DatasetError(
            f"{folder}: fits the layouts {' and '.join(fitting)}; "
            f"choose with --layout {' or --layout '.join(fitting)}"
        )
    categories = _subfolders_in(folder, names)
    if categories:
        more = ", ..." if len(categories) > _SHOWN else ""
        raise DatasetError(
            f"{folder}: holds {len(categories)} data sets; give one of them, "
            f"for instance {folder / categories[0]} (there are {', '.join(categories[:_SHOWN])}{more})"
        )
    raise DatasetError(_unrecognised(folder, layout))


def _subfolders_in(folder: Path, names: Sequence[str]) -> list[str]:
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise DatasetError(f"{folder}: can't be read ({error.strerror}); check the path and rights") from None
    inside = [path for path in inside if not path.name.startswith(".") and path.name not in _PARTS]
    return [path.name for path in inside if _fitting(path, names)]


def _unrecognised(folder: Path, layout: str | None) -> str:
    """Say why nothing fits, and what is near that does."""
    everything = registry().names("layouts")
    if layout is not None:
        other = _fitting(folder, everything)
        hint = f"it looks like {' or '.join(other)}" if other else "see docs/datasets.md for what it expects"
        return f"{folder}: not in the layout {layout}; {hint}"
    parent = folder.absolute().parent
    if near := _fitting(parent, everything):
        return f"{folder}: a part of a data set in the layout {near[0]}; give the folder above it, {parent}"
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        with suppress(DatasetError):  # a folder that can't be read is no reason to say less
            if _subfolders_in(path, everything):
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
    if not defective or defective == len(found.test):
        notices.append(Notice("no-good" if defective else "no-defective"))
    return notices


__all__ = ["GOOD", "Dataset", "Sample", "find_categories", "find_samples", "layouts_of", "open_dataset"]
