"""``edgead run``'s files, decoded in threads before it's their turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from edgead.ahead import Planned
from edgead.errors import ImageError
from edgead.runtime.detector import Detector
from edgead.sources import STDIN, expand, image_files
from edgead.types import Image


def planned(sources: Iterable[str], limit: int | None) -> Iterator[Path]:
    """The image files in the order that they'll be judged; not those on stdin, which come when they like."""
    for source in sources:
        if source != STDIN:
            files = (file for each in expand([source]) for file in image_files(each))
            yield from islice(files, limit)


class ReadAhead:
    """Reads image files, the next ones while one is judged.

    Args:
        plan: the files in the order that they're likely to be asked for.
    """

    def __init__(self, plan: Iterable[Path], detector: Detector) -> None:
        self._planned: Planned[Path, Image | ImageError] = Planned(
            plan, detector.read_ahead, detector.read_image
        )

    def __call__(self, path: Path) -> Image:
        """Read one, (H, W, 3) uint8 BGR; raises ImageError as ``Detector.read_image``."""
        read = self._planned(path)
        if isinstance(read, Exception):
            raise read
        return read

    def close(self) -> None:
        self._planned.close()


__all__ = ["ReadAhead", "planned"]
