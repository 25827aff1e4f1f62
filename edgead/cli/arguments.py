"""Arguments that several verbs share."""

from __future__ import annotations

import difflib
from pathlib import Path

from edgead.errors import BundleNotFoundError


def find_bundle(text: str) -> Path:
    """Return the folder that the user means: the path itself, or ``./NAME.edgead`` for a bare name.

    Raises:
        edgead.errors.BundleNotFoundError: there's neither; the message has the near matches of this folder.
    """
    path = Path(text)
    if path.exists():
        return path
    if (named := path.with_name(f"{path.name}.edgead")).is_dir():
        return named
    known = [folder.name for folder in sorted(Path.cwd().glob("*.edgead"))]
    near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`edgead fit METHOD GOOD_DIR` makes one"
    raise BundleNotFoundError(f"{text}: no such bundle: {hint}")


__all__ = ["find_bundle"]
