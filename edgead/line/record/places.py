"""Where a record's files are. A database's word for it is a stranger's: no name leads out of the folder."""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path

from edgead.errors import OutputError
from edgead.files import output_errors
from edgead.names import shown

LIVE = "live"
_IMAGE = re.compile(
    r"images/[A-Za-z0-9][A-Za-z0-9_-]{0,39}/[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9a-f]{16}-[0-9]{1,19}\.(png|jpg)"
)


def image_name(camera: str, run: str, trigger: int, utc_ns: int, suffix: str) -> str:
    """The name of a verdict's image, relative to the record's folder.

    Raises:
        ValueError: camera, run or suffix are none that a line has.
    """
    day = time.strftime("%Y-%m-%d", time.gmtime(utc_ns // 1_000_000_000))
    name = f"images/{camera}/{day}/{run}-{trigger}.{suffix}"
    if not is_image_name(name):
        raise ValueError(f"no name for an image: {name[:200]!r}")
    return name


def map_name(image: str) -> str:
    """The name of the anomaly map that lies next to an image."""
    return f"{image.rpartition('.')[0]}.map.png"


def is_image_name(name: str) -> bool:
    """Whether an image of a record may be called so."""
    return _IMAGE.fullmatch(name) is not None


def make_place(folder: Path, name: str) -> Path:
    """Make the folders of a file of this name, which is where ``file_in`` finds it; returns the file's path.

    Raises:
        OutputError: they can't be made, or one of them is a link or a file.
    """
    path = folder
    for part in name.split("/")[:-1]:
        path = path / part
        with output_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise OutputError(f"{shown(path)}: a link, and what lies there would never be found: remove it")
    return folder / name


def file_in(folder: Path, name: str) -> Path | None:
    """The plain file of this name in a folder; None where there's none, or where a link is on the way."""
    path = folder
    parts = name.split("/")
    for part in parts:
        path = path / part
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError):
            return None
        if not (stat.S_ISREG(mode) if part is parts[-1] else stat.S_ISDIR(mode)):
            return None
    return path


__all__ = ["LIVE", "file_in", "image_name", "is_image_name", "make_place", "map_name"]
