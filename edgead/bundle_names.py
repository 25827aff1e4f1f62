"""What bundles are called where nobody says: the names that fit and export give, and which one is meant."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from edgead.errors import BundleNotFoundError
from edgead.files import exists, is_file
from edgead.names import shown
from edgead.notices import count

SUFFIX = ".edgead"


def fitted_name(method: str) -> Path:
    """Return where a fitted bundle goes by default: ``./METHOD.edgead``."""
    return Path(f"{method}{SUFFIX}")


def compiled_name(reference: Path, target: str) -> Path:
    """Return where a compiled bundle goes by default: ``./NAME-TARGET.edgead``, by the fitted one's name."""
    return Path(f"{reference.resolve().name.removesuffix(SUFFIX)}-{target}{SUFFIX}")


def find_bundle(text: str | os.PathLike[str]) -> Path:
    """Return the folder that the user means: the path itself, or ``./NAME.edgead`` for a bare name.

    Raises:
        edgead.errors.BundleNotFoundError: there's neither; the message has the near matches of this folder.
    """
    text = os.fspath(text)
    path = Path(text)
    named = path.with_name(f"{path.name}.edgead") if path.name else path
    for folder in (path, named):
        if is_file(folder / "manifest.json"):
            return folder
    if exists(path):
        if holds := _images_in(path):
            raise BundleNotFoundError(
                f"{text}: {holds}, not a bundle: the bundle comes first, then what it judges"
            )
        return path  # reading it will say what's wrong with it
    known = [folder.name for folder in sorted(Path.cwd().glob("*.edgead"))]
    near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
    made = f"; here are {', '.join(known)}" if known else ""
    hint = f"did you mean {' or '.join(near)}?" if near else f"`edgead fit METHOD GOOD_DIR` makes one{made}"
    raise BundleNotFoundError(f"{shown(text)}: no such bundle: {hint}")


def _images_in(path: Path) -> str | None:
    """Tell what the user has taken for a bundle, in a few words, where it's images."""
    from edgead.errors import DatasetError
    from edgead.folders import SUFFIXES, list_images

    if is_file(path):
        return "an image" if path.suffix.lower() in SUFFIXES else None
    try:
        return f"a folder of {count(len(list_images(path)), 'image')}"
    except DatasetError:
        return None


__all__ = ["SUFFIX", "compiled_name", "find_bundle", "fitted_name"]
