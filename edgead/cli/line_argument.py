"""The argument that all verbs of a line have: its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgead.cli.completion import complete_paths


def line_file(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument LINE.TOML, as ``file``."""
    return click.argument(
        "file",
        metavar="LINE.TOML",
        type=click.Path(path_type=Path, dir_okay=False),
        shell_complete=complete_paths,
    )(function)


__all__ = ["line_file"]
