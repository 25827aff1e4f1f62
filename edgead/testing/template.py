"""``edgead plugins new NAME``: a plugin to start from, complete and working.

The files are in ``template_files``, with four words to fill in: ``__NAME__`` (of the method),
``__DISTRIBUTION__``, ``__PACKAGE__`` and ``__CLASS__``.
"""

from __future__ import annotations

import keyword
from pathlib import Path

from edgead.discovery import NAME
from edgead.errors import InputError, OutputError
from edgead.files import output_errors

FILES = Path(__file__).with_name("template_files")
PREFIX = "edgead-"


def write_plugin(name: str, out: Path | None = None) -> tuple[Path, list[Path]]:
    """Write the plugin's folder and return it with its files.

    Args:
        name: the method's; ``edgead-`` before it is left out.
        out: the folder, which mustn't exist or be empty; ``edgead-NAME`` here by default.

    Raises:
        InputError: the name can't be a method's, or is one already.
        OutputError: the folder holds something.
    """
    name = name.removeprefix(PREFIX)
    _check(name)
    folder = Path(PREFIX + name) if out is None else out
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: it's there already and not empty; choose another with --out")
    written = []
    with output_errors(folder):
        for path, text in sorted(plugin_files(name).items()):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
            written.append(file)
    return folder, written


def plugin_files(name: str) -> dict[str, str]:
    """The plugin's files for a method's name: relative path to text."""
    words = {
        "__NAME__": name,
        "__DISTRIBUTION__": PREFIX + name,
        "__PACKAGE__": (PREFIX + name).replace("-", "_"),
        "__CLASS__": "".join(word.capitalize() for word in name.replace("_", "-").split("-")),
    }

    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    return {
        filled(file.relative_to(FILES).as_posix()).removesuffix(".in"): filled(
            file.read_text(encoding="utf-8")
        )
        for file in FILES.rglob("*.in")
    }


def _check(name: str) -> None:
    from edgead.plugins import registry

    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InputError(
            f"'{name}' can't be a method's name: use a-z, 0-9 and single hyphens, 'my-method' say"
        )
    for kind in ("methods", "scorers"):
        if name in registry().names(kind):
            owner = registry().entry(kind, name).distribution
            raise InputError(f"'{name}' is taken: {owner} registers it; choose another name")


__all__ = ["plugin_files", "write_plugin"]
