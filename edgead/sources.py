"""Where frames come from: image files, folders, videos, cameras and network streams, one iterator for all."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgead.errors import DatasetError, DeviceError, EdgeadError, ImageError
from edgead.files import exists, is_file, is_folder
from edgead.folders import VIDEO_SUFFIXES
from edgead.images import list_images, read_image
from edgead.streams import (
    camera_number,
    images,
    is_device,
    is_url,
    open_file,
    open_live,
    public,
)
from edgead.types import Image

STDIN = "-"
"""The source that is a list of paths, one a line."""


@dataclass(frozen=True)
class Frame:
    """One frame, or why there's none.

    Attributes:
        source: the file's path, ``camera N``, or a stream's address without its password.
        index: number of the frame in a video or camera stream, from 0; None for an image file.
        image: (H, W, 3) uint8 BGR, or None where the file can't be used.
        problem: why not, or None.
        note: what else is to be known of the source, with a video's last frame; or None.
    """

    source: str
    index: int | None
    image: Image | None
    problem: str | None = None
    note: str | None = None

    @property
    def name(self) -> str:
        """The source's last name, with the frame's number; not unique over several sources."""
        base = Path(self.source.partition("?")[0] if is_url(self.source) else self.source).name
        return base if self.index is None else f"{base}.{self.index:06d}"


def image_files(source: str) -> Iterator[Path]:
    """Yield the image files that ``frames`` will read for a source; none for what isn't one, or can't be."""
    path = Path(source)
    try:
        if is_url(source) or is_device(source) or (camera_number(source) is not None and not exists(path)):
            return
        if is_folder(path):
            yield from list_images(path)
        elif is_file(path) and path.suffix.lower() not in VIDEO_SUFFIXES:
            yield path
    except EdgeadError:  # said where its frames are asked for
        return


def frames(source: str, read: Callable[[Path], Image] = read_image) -> Iterator[Frame]:
    """Yield the frames of a source in order.

    An image that can't be used is yielded with its problem, so that one bad file doesn't end a folder.

    Args:
        source: an image file, a folder of images, a video file, a camera's number (``0`` or ``camera:0``) or
            device file (``/dev/video0``), or a stream's address (``rtsp://...``, ``http://...``).
        read: reads an image file, at a depth of its own for instance (``Detector.read_image``).

    Raises:
        edgead.errors.DatasetError: a folder without images.
        edgead.errors.ImageError: a video that can't be read, or, after its last frame, one that is cut or has
            a hole.
        edgead.errors.DeviceError: no such camera or stream, or, after its last frame, one that ended.
    """
    path = Path(source)
    number = camera_number(source)
    if is_url(source):
        yield from _live(source, source, "the address, the network and the user's name and password")
    elif number is not None and not exists(path):
        yield from _live(source, number, f"the number, the cable and the rights to /dev/video{number}")
    elif is_device(source):
        yield from _live(source, source, "the cable and your rights to the device")
    elif is_folder(path):
        for file in list_images(path):
            yield _image(file, read)
    elif path.suffix.lower() in VIDEO_SUFFIXES and is_file(path):
        yield from _video(source)
    else:
        yield _image(path, read)


def label(source: str) -> str:
    """Return what a source is called where it's printed, a stream's address without its password."""
    if is_url(source):
        return public(source)
    number = camera_number(source)
    return source if number is None or exists(Path(source)) else f"camera {number}"


def expand(sources: Iterable[str], lines: Iterable[bytes] = ()) -> Iterator[str]:
    """Yield sources one by one: those that ``-`` stands for come from ``lines``, a pattern's by name.

    Args:
        lines: paths, one a line, read when their turn comes; empty lines are left out.
    """
    for source in sources:
        if source == STDIN:
            yield from filter(None, (os.fsdecode(line.rstrip(b"\r\n")) for line in lines))
        else:
            yield from _matches(source) or [source]


def check_sources(sources: Sequence[str]) -> None:
    """Find what can't be a source before any work is done: what isn't there, empty folders and patterns.

    Raises:
        edgead.errors.DatasetError: the message names all of them, or, where it's one, says what's wrong.
        edgead.errors.ImageError: it is one file.
    """
    problems: list[EdgeadError] = []
    for source in sources:
        if source == STDIN or is_url(source) or _matches(source):
            continue
        path = Path(source)
        try:
            if is_file(path / "manifest.json"):
                problems.append(DatasetError(f"{source}: a bundle, not images; give one bundle, first"))
            elif is_folder(path):
                list_images(path)
            elif not exists(path) and camera_number(source) is None:
                problems.append(_absent(source))
        except EdgeadError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        told = [str(problem).partition(": ") for problem in problems]
        listed = ", ".join(f"{name} ({why.partition(';')[0]})" for name, _, why in told)
        raise DatasetError(f"{len(problems)} of {len(sources)} sources can't be used: {listed}")


def count(sources: Sequence[str]) -> int | None:
    """Return how many frames there are, or None where that can't be known beforehand."""
    total = 0
    for source in sources:
        path = Path(source)
        if source == STDIN or is_url(source) or is_device(source):
            return None
        if is_folder(path):
            total += len(list_images(path))
        elif path.suffix.lower() in VIDEO_SUFFIXES or (camera_number(source) is not None):
            return None
        else:
            total += 1
    return total


def _absent(source: str) -> EdgeadError:
    if source.startswith("/dev/"):
        return DeviceError(f"{source}: no such device; `ls /dev/video*` shows the cameras that there are")
    if glob.has_magic(source):
        return DatasetError(f"{source}: no file has such a name; check the pattern")
    if source.partition(":")[0].lower() == "camera":
        return DeviceError(f"{source}: not a camera's number; give camera:0 for instance")
    return ImageError(f"{source}: no such file; check the path")


def _matches(source: str) -> list[str]:
    """The files and folders of a pattern such as ``photos/*.png``, by name; of what exists, none."""
    if is_url(source) or not glob.has_magic(source) or os.path.lexists(source):
        return []
    return sorted(glob.glob(source, recursive=True))  # noqa: PTH207 (an absolute pattern, and ** as typed)


def _image(path: Path, read: Callable[[Path], Image]) -> Frame:
    try:
        return Frame(str(path), None, read(path))
    except ImageError as error:
        return Frame(str(path), None, None, str(error))


def _video(name: str) -> Iterator[Frame]:
    """Yield a file's frames; each is held until the next is read, so that the last can bear a note."""
    capture, stream = open_file(name)
    held: Frame | None = None
    for image in images(capture, stream):
        if held is not None:
            yield held
        held = Frame(name, stream.read - 1, image)
    damage = stream.damage()
    if held is not None:
        yield held if damage else replace(held, note=stream.doubt())
    if held is None:
        raise ImageError(
            f"{name}: no frame of this video can be read, so it is cut short, damaged or of an unknown kind; "
            "copy or convert it"
        )
    if damage:
        raise ImageError(f"{name}: the video is cut short or damaged: {damage}; copy it again")


def _live(source: str, opened: str | int, advice: str) -> Iterator[Frame]:
    name = label(source)
    capture, stream = open_live(opened)
    for image in images(capture, stream):
        yield Frame(name, stream.read - 1, image)
    if stream.read == 0:
        raise DeviceError(f"{name} gives no image; check {advice}")
    if stream.stated is None:
        raise DeviceError(f"{name} ended after {stream.read:,} frames; check {advice}, and start again")
    if damage := stream.damage():
        raise ImageError(f"{name}: cut short or damaged: {damage}; start again")


__all__ = [
    "STDIN",
    "VIDEO_SUFFIXES",
    "Frame",
    "check_sources",
    "count",
    "expand",
    "frames",
    "image_files",
    "label",
]
