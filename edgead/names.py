"""Names of files as text that can always be written.

A file's name is bytes; one that isn't UTF-8 comes as a string with lone surrogates, which opens the file but
can't be printed, written to a CSV or put in a JSON document: the work is done, and then it's lost. What is
shown to a person or a script goes through here; what opens a file doesn't.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows them, so that a line reads as another."""


def shown(name: str | os.PathLike[str]) -> str:
    r"""Return a path, or a text that holds one, as text that every encoding of Unicode can take.

    A byte that isn't UTF-8 becomes ``\xe9``, as Python writes it, and so does a control character, which
    could otherwise move a terminal's cursor or begin a line of its own. Other names are as they are.

    Example:
        >>> print(shown("caf\udce9.png"))
        caf\xe9.png
    """
    text = os.fspath(name)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte over 127, as os.fsdecode hands it on
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNING:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character


def json_text(document: Any, **how: Any) -> str:
    r"""Return a document as JSON that is always valid UTF-8, names in it shown where they aren't text.

    Other characters stay as they are; a control character is written in JSON's own way.

    Args:
        how: more arguments of ``json.dumps``.

    Raises:
        ValueError: a number isn't finite.

    Example:
        >>> print(json_text({"image": "caf\udce9.png"}))
        {"image": "caf\\xe9.png"}
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, **how)
    text = _SURROGATE.sub(lambda found: "\\" + _shown(found[0]), text)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def told_apart(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the shortest endings of paths that tell them apart, with forward slashes.

    ``a/product`` and ``b/product`` stay so, beside ``c/other`` which becomes ``other``. Equal paths get equal
    names. Each is whole folder names, and absolute where nothing less will do.

    Example:
        >>> told_apart(["/lines/a/product", "/lines/b/product", "/lines/a/nut"])
        ['a/product', 'b/product', 'nut']
    """
    whole = [Path(path) for path in paths]
    names = [Path(path.parts[-1]) if path.parts else path for path in whole]
    for length in range(2, max((len(path.parts) for path in whole), default=0) + 1):
        meant: dict[Path, set[Path]] = {}
        for name, path in zip(names, whole, strict=True):
            meant.setdefault(name, set()).add(path)
        names = [
            Path(*path.parts[-length:]) if len(meant[name]) > 1 else name
            for name, path in zip(names, whole, strict=True)
        ]
    return [name.as_posix() for name in names]


def image_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return what to call each image among these: its file's name, and of its folders what tells it apart.

    No name goes above the folder that all lie in, so that the same images elsewhere have the same names.

    Example:
        >>> list(image_names([Path("/x/nut/1.png"), Path("/x/bolt/1.png"), Path("/x/nut/2.png")]).values())
        ['nut/1.png', 'bolt/1.png', '2.png']
    """
    whole = [Path(os.path.normpath(path.absolute())) for path in paths]
    try:
        root = os.path.commonpath(path.parent for path in whole) if whole else ""
        inside = [path.relative_to(root) for path in whole]
    except ValueError:  # on several drives
        inside = whole
    return dict(zip(paths, map(shown, told_apart(inside)), strict=True))


__all__ = ["image_names", "json_text", "shown", "told_apart"]
