"""The table ``[log]`` of a line's file: where its record is, and which images are kept for how long."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from edgead.errors import OptionError, cut
from edgead.line.tables import made
from edgead.options import Range

_SHARE = re.compile(r"1/([1-9][0-9]{0,8})")


@dataclass(frozen=True)
class LogTable:
    """The table ``[log]``."""

    folder: str = "record"
    """Where the record is: its database, the images that are kept, and the newest image of each camera."""
    format: Literal["png", "jpeg"] = "png"
    """Of the images that are kept. jpeg is quicker and smaller, and loses details; 16 bits are always png."""
    live_per_second: Annotated[float, Range(0, 5)] = 5.0
    """How often the newest image of each camera is written for the page, at most; 0: not at all."""


@dataclass(frozen=True)
class ImagesTable:
    """``images`` in ``[log]``: which are kept."""

    reject: Literal["all", "none"] = "all"
    """Those of rejected parts, and of verdicts by the fail-safe."""
    near: Annotated[float, Range(0, 10)] = 0.1
    """Those whose score is so near the threshold, as a share of it; 0: none for that."""
    good: str = "1/500"
    """Of the others every so many'th, '1/500' for instance; all or none."""

    recent: Annotated[int, Range(0, 10_000)] = 30
    """Of the others so many of each camera's newest are held in memory, 256 MiB at most, so that one can
    still be kept once somebody files it as a missed defect."""

    @property
    def share(self) -> int | None:
        """Of how many good ones one is kept, 0 for none; None where ``good`` says no such thing."""
        if self.good in ("all", "none"):
            return 1 if self.good == "all" else 0
        share = _SHARE.fullmatch(self.good)
        return None if share is None else int(share[1])


@dataclass(frozen=True)
class KeepTable:
    """``keep`` in ``[log]``: for how long images are kept. The oldest go first; those with feedback stay."""

    days: Annotated[float, Range(0.01, 100_000)] = 90.0
    """Days that an image is kept."""
    gigabytes: Annotated[float, Range(0.001, 1_000_000)] = 50.0
    """What all images may take, in 10^9 bytes."""
    row_days: Annotated[float, Range(0, 100_000)] = 0.0
    """Days that a verdict's row is kept, where its image is gone and it has no feedback; 0: for ever."""


@dataclass(frozen=True)
class Log:
    """All of ``[log]``."""

    table: LogTable
    images: ImagesTable
    keep: KeepTable


def log_of(document: Mapping[str, Any], name: str) -> Log | None:
    """What a line's file says of its record; None where it says nothing, and nothing is recorded then.

    Raises:
        OptionError: names file and table.
    """
    own, where = document.get("log"), f"{name}: [log]"
    if own is None:
        return None
    if not isinstance(own, Mapping):
        raise OptionError(f"{where} must be a table: write [log] above its keys")
    parts = {}
    for key in ("images", "keep"):
        parts[key] = own.get(key, {})
        if not isinstance(parts[key], Mapping):
            raise OptionError(f"{where}: {key} must be a table: {key} = {{ key = value }}")
    table = made(LogTable, {key: value for key, value in own.items() if key not in parts}, where)
    images = made(ImagesTable, parts["images"], f"{where}: images")
    if images.share is None:
        raise OptionError(
            f"{where}: images: good = '{cut(images.good, 40)}' is no share: write '1/500', 'all' or 'none'"
        )
    return Log(table, images, made(KeepTable, parts["keep"], f"{where}: keep"))


__all__ = ["ImagesTable", "KeepTable", "Log", "LogTable", "log_of"]
