"""What the calls take: paths of any kind, bundles under any name, options as a mapping or as words."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgead.api.records import Export, Fit
from edgead.bundle import Bundle, read_bundle
from edgead.bundle_names import find_bundle
from edgead.errors import OptionError, OutputError
from edgead.files import is_folder
from edgead.names import shown

if TYPE_CHECKING:
    from edgead.types import Size

AnyPath: TypeAlias = "str | os.PathLike[str]"
AnyBundle: TypeAlias = "AnyPath | Bundle | Fit | Export"
"""A bundle's folder, ``NAME`` for ``./NAME.edgead``, or what a call returned."""
Options: TypeAlias = "Mapping[str, Any] | Iterable[str]"
"""``{"coreset_ratio": 0.1}`` or ``["coreset_ratio=0.1"]``."""


def paths(name: str, given: AnyPath | Iterable[AnyPath]) -> list[Path]:
    """One path or several, as a list; raises OptionError for anything else."""
    try:
        found = [given] if isinstance(given, str | os.PathLike) else list(given)
        if any("\0" in str(path) or not str(path) for path in found):
            raise OptionError(f"{name}: an empty text or one with a NUL is no path")
        return [Path(path) for path in found]
    except TypeError:
        raise OptionError(f"{name} must be a path, or several: {type(given).__name__} isn't") from None


def path_of(bundle: AnyBundle) -> Path:
    """Return the bundle's folder; raises BundleNotFoundError, or OptionError for what is no bundle."""
    if isinstance(bundle, Bundle | Fit | Export):
        return bundle.path
    if not isinstance(bundle, str | os.PathLike):
        raise OptionError(
            f"{type(bundle).__name__} is no bundle: give its path, or what edgead.fit or export returned"
        )
    return find_bundle(bundle)


def read(bundle: AnyBundle) -> Bundle:
    """Return the bundle; one that's named by its path is checked, raising BundleError."""
    if isinstance(bundle, Fit | Export):
        return bundle.bundle
    return bundle if isinstance(bundle, Bundle) else read_bundle(path_of(bundle))


def option_words(options: Options) -> list[str]:
    """Options as ``edgead fit -o`` takes them; numbers keep every digit."""
    if isinstance(options, str):
        return [options]
    if not isinstance(options, Iterable):
        raise OptionError(f"options {options!r} must be a mapping, or key=value words")
    if isinstance(options, Mapping):
        return [f"{name}={_word(value)}" for name, value in options.items()]
    return [str(word) for word in options]


def _word(value: Any) -> str:
    value = value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value  # NumPy's
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(map(_word, value))
    return repr(value) if isinstance(value, float) else str(value)


def as_size(size: int | Sequence[int] | None) -> Size | None:
    """Return (height, width) of a pair, or of one number for both; None stays.

    Raises:
        OptionError: neither.
    """
    if size is None:
        return None
    try:
        sides = size if isinstance(size, Iterable) else [size] * 2
        height, width = (operator.index(side) for side in sides)
    except (TypeError, ValueError):
        raise OptionError(f"size {size!r} must be (height, width) or one number, (256, 640) say") from None
    return height, width


def check_folders(*files: Path | None) -> None:
    """Raise OutputError where a file's folder isn't there: it should be known before the work is done."""
    for file in files:
        if file is not None and not is_folder(file.parent):
            raise OutputError(f"{shown(file)}: its folder doesn't exist; make it first")


def optional(path: AnyPath | None) -> Path | None:
    """A path, or None."""
    return None if path is None else Path(path)


__all__ = [
    "AnyBundle",
    "AnyPath",
    "Options",
    "as_size",
    "check_folders",
    "option_words",
    "optional",
    "path_of",
    "paths",
    "read",
]
