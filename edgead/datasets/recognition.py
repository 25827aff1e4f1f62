"""Which layout a folder is in, and the data set that a folder is a part of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgead.errors import DatasetError, EdgeadError, PluginError, one_line
from edgead.files import exists, is_folder
from edgead.plugins import registry
from edgead.types import Layout, Split

T = TypeVar("T")

_PARTS = ("train", "test", "validation", "ground_truth")
"""Subfolders that are parts of a data set, never categories of their own."""
_ABOVE = 3
"""Folders above a part of a data set that are looked at: a mask's is at most so deep."""


@dataclass(frozen=True)
class Whole:
    """The data set that a folder is a part of.

    Attributes:
        folder: where it lies, as far as can be in the way the user wrote the part's path.
        name: its folder's name.
        layout: the name of its layout.
        split: what is in it, by absolute paths.
    """

    folder: Path
    name: str
    layout: str
    split: Split


def find_whole(part: Path) -> Whole | None:
    """Return the outermost data set, up to three folders above, that lists a file in ``part``; None if none.

    A data set that can't be read lists nothing. No image is opened that its layout doesn't open.
    """
    part = Path(part)
    for here in dict.fromkeys((Path(os.path.normpath(part.absolute())), part.resolve())):
        for up in range(min(_ABOVE, len(here.parents)), 0, -1):
            root = here.parents[up - 1]
            with suppress(DatasetError, PluginError):
                fit = fitting(root, layout_names(None))
                if len(fit) != 1:
                    continue
                split = ask(fit[0], root, lambda it, root=root: it.read(root))  # type: ignore[misc]
                if any(here in file.parents for file in _files(split)):
                    return Whole(_as_written(part, here, up), root.name, fit[0], split)
    return None


def folder_above(part: Path, up: int = 1) -> Path:
    """Return the folder so many above, as the user would write it."""
    return _as_written(part, Path(os.path.normpath(part.absolute())), up)


def _as_written(part: Path, here: Path, up: int) -> Path:
    """Take the last names off a path as it's written, where it has so many and they are that of the file."""
    if part.parts[-up:] == here.parts[-up:] and len(part.parts) >= up:
        return part.parents[up - 1]
    return here.parents[up - 1]


def _files(split: Split) -> list[Path]:
    tested = [file for sample in split.test for file in (sample.image, *sample.masks)]
    return [*split.train, *split.validation, *tested]


def existing(folder: Path) -> Path:
    """Return the folder with a name: ``.`` and ``..`` have none.

    Raises:
        DatasetError: it doesn't exist, or is a file.
    """
    folder = Path(folder)
    if not exists(folder):
        raise DatasetError(f"{folder}: no such folder; give the folder of a data set")
    if not is_folder(folder):
        raise DatasetError(f"{folder}: a file, not a folder; give the folder of a data set")
    return folder.resolve() if folder.name in ("", "..") else folder


def layout_names(layout: str | None) -> list[str]:
    """Return the layout asked for, or all that are registered."""
    if layout is None:
        names = registry().names("layouts")
        if not names:
            raise PluginError(
                "no layout is registered; install edgead anew with pip, and see `edgead plugins`"
            )
        return names
    registry().entry("layouts", layout)  # raises where nobody registers it
    return [layout]


def ask(layout: str, folder: Path, question: Callable[[Layout], T]) -> T:
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


def fitting(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the layouts that recognise a folder, without those that another of them refines."""
    fit = [name for name in names if ask(name, folder, lambda it: it.recognises(folder))]
    above = {name: set(ask(name, folder, lambda it: tuple(it.refines))) for name in fit}
    covered: set[str] = set()
    for name in fit:
        todo = set(above[name])
        while todo:
            general = todo.pop()
            if general not in covered and general in registry().names("layouts"):
                todo |= set(ask(general, folder, lambda it: tuple(it.refines)))
            covered.add(general)
    return [name for name in fit if name not in covered]


def subfolders_in(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the names of the subfolders that one of these layouts recognises, sorted."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise DatasetError(f"{folder}: can't be read ({error.strerror}); check the path and rights") from None
    inside = [path for path in inside if not path.name.startswith(".") and path.name not in _PARTS]
    return [path.name for path in inside if fitting(path, names)]


__all__ = [
    "Whole",
    "ask",
    "existing",
    "find_whole",
    "fitting",
    "folder_above",
    "layout_names",
    "subfolders_in",
]
