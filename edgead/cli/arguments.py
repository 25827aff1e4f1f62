"""Arguments that several verbs share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgead.errors import BundleNotFoundError
from edgead.files import exists, is_file, is_folder
from edgead.names import shown
from edgead.notices import count
from edgead.runtime.engine_options import MOST_THREADS

F = TypeVar("F", bound=Callable[..., Any])

MOST_CORES = 4096
"""No machine has more processors."""
_SPAN = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")


engine_option = click.option(
    "--engine",
    metavar="NAME",
    help="Run it with openvino, onnxruntime or a plugin's engine instead of the bundle's own.",
)


def engine_options(function: F) -> F:
    """Add ``--device``, ``--engine`` and ``--threads``."""
    options = (
        click.option(
            "--device",
            metavar="NAME",
            default="auto",
            help="Device of the engine, GPU for instance; `edgead doctor` lists them.",
        ),
        engine_option,
        click.option(
            "--threads",
            metavar="N",
            type=click.IntRange(1, MOST_THREADS),
            help="CPU threads (default: all).",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


class Cores(click.ParamType[tuple[int, ...]]):
    """``2,3`` or ``0-3``: numbers of logical processors."""

    name = "cores"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(value)
        cores: list[int] = []
        for part in value.split(","):
            match = _SPAN.fullmatch(part)
            if not match:
                self.fail(f"'{value}' isn't a list of cores such as 2,3 or 0-3", param, ctx)
            first, last = int(match[1]), int(match[2] or match[1])
            if first > last or last >= MOST_CORES:
                self.fail(f"'{part}' isn't a span of cores from a lower to a higher number", param, ctx)
            cores.extend(range(first, last + 1))
        return tuple(dict.fromkeys(cores))


def camera_options(function: F) -> F:
    """Add ``--cores`` and ``--cache``."""
    options = (
        click.option(
            "--cores", metavar="N,N", type=Cores(), help="Do all work on these processor cores: 2,3 or 0-3."
        ),
        click.option(
            "--cache", is_flag=True, help="Keep the compiled graph, so that the next start is faster."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def find_bundle(text: str) -> Path:
    """Return the folder that the user means: the path itself, or ``./NAME.edgead`` for a bare name.

    Raises:
        edgead.errors.BundleNotFoundError: there's neither; the message has the near matches of this folder.
    """
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
    from edgead.images import SUFFIXES, list_images

    if is_file(path):
        return "an image" if path.suffix.lower() in SUFFIXES else None
    try:
        return f"a folder of {count(len(list_images(path)), 'image')}"
    except DatasetError:
        return None


def refuse_swapped(method: str) -> None:
    """A folder where the method belongs: say in which order they come.

    Raises:
        click.UsageError: ``method`` is a folder.
    """
    if is_folder(Path(method)):
        raise click.UsageError(f"{method} is a folder: METHOD comes first, then the folder of good images")


__all__ = ["camera_options", "engine_option", "engine_options", "find_bundle", "refuse_swapped"]
