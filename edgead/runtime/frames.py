"""Frames and files as a detector takes them: as deep as what it learned, BGR, and of the model's size."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgead.ahead import in_order
from edgead.depth import DepthUse, Looked, look
from edgead.errors import ImageError, OptionError
from edgead.images import as_8_bits, as_bgr, check_depth, read_image, read_pixels
from edgead.notices import Notice
from edgead.resize import FrameRule
from edgead.runtime.engine_options import whole
from edgead.types import Image

_DEEP = (np.dtype("<u2"), np.dtype(">u2"))

_log = logging.getLogger(__name__)


class Frames:
    """What comes in, made ready for a model.

    Args:
        rule: the resize rule.
        learned: significant bits of the images that the bundle learned; 8 where none had more.
        depth: bits that the caller gave, or None.
        name: the bundle's, for a warning.

    Raises:
        OptionError: the depth isn't what the bundle learned.

    Attributes:
        depth: significant bits of uint16 frames and 16-bit files; None where nothing is known of them.
    """

    def __init__(self, rule: FrameRule, learned: int, depth: int | None, name: str) -> None:
        self.depth = _agreed(learned if learned > 8 else None, depth)
        self._rule, self._name = rule, name
        self._use = DepthUse()
        self._asked = threading.Lock()

    def read(self, path: Path) -> Image:
        """Read an image file, (H, W, 3) uint8 BGR; raises ImageError as ``edgead.images.read_image``."""
        return read_image(path, self.depth, self._use)

    def read_ahead(self, paths: Iterable[Path]) -> Generator[Image | ImageError, None, None]:
        """Read image files in several threads: of each its image, or why it can't be used, in their order."""

        def read(path: Path) -> tuple[Path, Image | ImageError, Looked | None]:
            try:
                pixels = read_pixels(path)
                return path, as_8_bits(path, pixels, self.depth), look(pixels)
            except ImageError as error:
                return path, error, None

        def bytes_of(one: tuple[Path, Image | ImageError, Looked | None]) -> int:
            return 0 if isinstance(one[1], ImageError) else one[1].nbytes

        with closing(in_order(read, paths, bytes_of)) as all_read:
            for path, image, looked in all_read:
                self._use.note(looked, path)
                yield image

    def depth_notice(self) -> Notice | None:
        """What to ask about the 16-bit files that were read so far, where their depth was never told."""
        return self._use.notice() if self.depth is None else None

    def prepare(
        self, frame: NDArray[Any], channel_order: Literal["bgr", "rgb"], depth: int | None
    ) -> tuple[Image, tuple[int, ...]]:
        """Make a frame the model's input.

        Returns:
            The image, (h, w, 3) uint8 BGR, and the shape of the frame as BGR.

        Raises:
            FrameError: it isn't a frame that a detector takes.
            OptionError: the depth isn't the one that is known.
        """
        if getattr(frame, "dtype", None) in _DEEP:
            depth = _agreed(self.depth, whole("depth", depth))
            if depth is None and self._asked.acquire(blocking=False):  # once a detector
                _log.warning(
                    "%s: uint16 frames are taken for 16 bits; say depth=12 where the camera gives fewer",
                    self._name,
                )
        image = as_bgr(frame, channel_order) if depth is None else as_bgr(frame, channel_order, depth)
        return self._rule.apply(image), image.shape

    def prepare_own(
        self, frame: NDArray[Any], channel_order: Literal["bgr", "rgb"], depth: int | None
    ) -> tuple[Image, tuple[int, ...]]:
        """As ``prepare``; the frame may be changed afterwards, for the image has no memory of it."""
        image, shape = self.prepare(frame, channel_order, depth)
        return image.copy() if np.may_share_memory(image, frame) else image, shape

    def prepare_all(
        self,
        frames: Iterable[NDArray[Any]],
        channel_order: Literal["bgr", "rgb"],
        depth: int | None,
        held: bool,
    ) -> Generator[tuple[Image, tuple[int, ...]], None, None]:
        """Yield what ``prepare`` makes of each frame, in order.

        Args:
            held: nobody changes the frames before their images are used: they are prepared in several threads
                ahead of that, and an image may have its frame's memory. Otherwise each is prepared when it
                is asked for, by ``prepare_own``, before the next one is taken.
        """
        if not held:
            for frame in frames:
                yield self.prepare_own(frame, channel_order, depth)
            return

        def bytes_of(prepared: tuple[Image, tuple[int, ...]]) -> int:
            return prepared[0].nbytes + math.prod(prepared[1])

        def prepare(frame: NDArray[Any]) -> tuple[Image, tuple[int, ...]]:
            return self.prepare(frame, channel_order, depth)

        def is_ready(frame: NDArray[Any]) -> bool:
            is_input = isinstance(frame, np.ndarray) and frame.shape == (*self._rule.size, 3)
            return (
                is_input and frame.dtype == np.uint8 and frame.flags.c_contiguous and channel_order == "bgr"
            )

        with closing(in_order(prepare, frames, bytes_of, is_slight=is_ready, finishes=True)) as all_prepared:
            yield from all_prepared


def _agreed(known: int | None, given: int | None) -> int | None:
    """The one depth of both, either of which may be missing."""
    check_depth(given)
    if known is not None and given not in (None, known):
        raise OptionError(f"depth {given} isn't the {known} bits of the images it learned; leave depth out")
    return given if known is None else known


__all__ = ["Frames"]
