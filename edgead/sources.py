"""Where frames come from: image files, folders of them, videos and cameras, one iterator for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from edgead.errors import DeviceError, ImageError
from edgead.images import list_images, quiet_opencv, read_image
from edgead.types import Image

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


@dataclass(frozen=True)
class Frame:
    """One frame, or why there's none.

    Attributes:
        source: the file's path, or ``camera N``.
        index: number of the frame in a video or camera stream, from 0; None for an image file.
        image: (H, W, 3) uint8 BGR, or None where the file can't be used.
        problem: why not, or None.
    """

    source: str
    index: int | None
    image: Image | None
    problem: str | None = None

    @property
    def name(self) -> str:
        """A file name without folders that is unique within its source."""
        base = Path(self.source).name.replace(" ", "-")
        return base if self.index is None else f"{base}.{self.index:06d}"


def frames(source: str) -> Iterator[Frame]:
    """Yield the frames of a source in order.

    An image that can't be used is yielded with its problem, so that one bad file doesn't end a folder.

    Args:
        source: an image file, a folder of images, a video file, or a camera's number.

    Raises:
        edgead.errors.DatasetError: a folder without images.
        edgead.errors.ImageError: a video that can't be read.
        edgead.errors.DeviceError: no such camera.
    """
    path = Path(source)
    if source.isdecimal() and not path.exists():
        yield from _stream(f"camera {source}", int(source))
    elif path.is_dir():
        for file in list_images(path):
            yield _image(file)
    elif path.suffix.lower() in VIDEO_SUFFIXES and path.exists():
        yield from _stream(source, source)
    else:
        yield _image(path)


def _image(path: Path) -> Frame:
    try:
        return Frame(str(path), None, read_image(path))
    except ImageError as error:
        return Frame(str(path), None, None, str(error))


def _stream(name: str, source: str | int) -> Iterator[Frame]:
    with quiet_opencv():
        capture = cv2.VideoCapture(source)
    try:
        index = 0
        while True:
            there, image = capture.read()
            if not there:
                break
            yield Frame(name, index, image)
            index += 1
    finally:
        capture.release()
    if index == 0 and isinstance(source, int):
        raise DeviceError(
            f"{name} gives no image; check the number, the cable and the rights to /dev/video{source}"
        )
    if index == 0:
        raise ImageError(f"{name}: no frame of this video can be read; convert it or give a folder of images")


__all__ = ["VIDEO_SUFFIXES", "Frame", "frames"]
