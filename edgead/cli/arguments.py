"""Arguments that several verbs share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgead.api.values import MOST
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


def count_of(least: int, most: int = MOST) -> click.IntRange:
    """A whole number, bounded on both sides: what counts something has no more than 64 bits."""
    return click.IntRange(least, most)


class Rate(click.FloatRange):
    """A finite number in a range; click's own takes ``nan`` for any."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} isn't a finite number", param, ctx)
        return number


class Cores(click.ParamType[tuple[int, ...]]):
    """``2,3`` or ``0-3``: numbers of logical processors."""

    name = "cores"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read the numbers; what isn't text has been read already."""
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


__all__ = ["Cores", "Rate", "camera_options", "count_of", "engine_option", "engine_options"]
