"""Pieces of a web as a camera gives them: what is one, and how it becomes BGR."""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgead.bgr import as_bgr
from edgead.errors import FrameError
from edgead.images import check_depth
from edgead.types import Image

AT_ONCE = 256
"""Lines that are looked at, or converted, at once, so that a piece of thousands takes no more memory."""

_log = logging.getLogger(__name__)


class Pieces:
    """Checks pieces, and makes BGR of their lines.

    Args:
        width: pixels of a line.
        channel_order: of colour lines.
        depth: significant bits of uint16 lines, 9 to 16, or None.

    Raises:
        OptionError: the depth is out of range.
        FrameError: the channel order is unknown.
    """

    def __init__(self, width: int, channel_order: Literal["bgr", "rgb"], depth: int | None) -> None:
        check_depth(depth)
        self._width, self._order, self._depth = width, channel_order, depth
        self._asked = False
        as_bgr(np.zeros((1, 1, 3), np.uint8), channel_order, least=1)

    def check(self, piece: NDArray[Any]) -> None:
        """Look at all of a piece, before any of it is used.

        Raises:
            FrameError: it isn't (h, width, 3) uint8, (h, width) uint8 or uint16, of one line or more, or
                holds values over its depth.
        """
        if isinstance(piece, np.ma.MaskedArray):
            raise FrameError("no piece of a web: a masked array, whose masked pixels have no value")
        if not isinstance(piece, np.ndarray) or piece.ndim not in (2, 3):
            what = f"array of shape {piece.shape}" if isinstance(piece, np.ndarray) else type(piece).__name__
            raise FrameError(
                f"no piece of a web: {what}; give a numpy array (lines, width, 3) or (lines, width)"
            )
        if piece.shape[1] != self._width:
            raise FrameError(f"the piece's lines have {piece.shape[1]} pixels, not the web's {self._width}")
        if not len(piece):
            raise FrameError("the piece has no line; give one at least")
        if piece.ndim == 3 and piece.shape[2] not in (1, 3):
            raise FrameError(
                f"the piece's shape is {piece.shape}; give (lines, width, 3), or (lines, width) of grey lines"
            )
        self.bgr(piece[:1])
        if piece.dtype.itemsize == 2 and self._depth is not None:
            for start in range(0, len(piece), AT_ONCE):
                self.bgr(piece[start : start + AT_ONCE])

    def bgr(self, lines: NDArray[Any]) -> Image:
        """(n, width, 3) uint8 BGR of some of a piece's lines."""
        if lines.dtype.itemsize == 1:
            return as_bgr(lines, self._order, least=1)
        if self._depth is None and not self._asked and lines.dtype.kind == "u" and lines.dtype.itemsize == 2:
            self._asked = True
            _log.warning("uint16 lines are taken for 16 bits; say depth=12 where the camera gives fewer")
        return as_bgr(lines, self._order, self._depth, least=1)


def lines_in(piece: Any) -> int:
    """How many lines a piece has; 0 where nobody can tell, for it isn't an array of lines of pixels."""
    if not isinstance(piece, np.ndarray):
        return 0
    is_lines = piece.ndim == 2 or (piece.ndim == 3 and piece.shape[2] in (1, 3, 4))
    return len(piece) if is_lines else 0


__all__ = ["AT_ONCE", "Pieces", "lines_in"]
