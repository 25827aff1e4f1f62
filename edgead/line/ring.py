"""Images in memory that processes share: slots of one size, in a file without a name, which leaves nothing.

Who may touch a slot is settled by messages; here are only the bytes.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import FrameError

KINDS = ("uint8", "uint16")


class Ring:
    """Slots for images.

    Args:
        descriptor: the file's; it's kept open by whoever opened it.
        slots: how many.
        size: bytes of each; memory is taken where an image is written first.
    """

    def __init__(self, descriptor: int, slots: int, size: int) -> None:
        self.descriptor, self.slots, self.size = descriptor, slots, size
        self._memory = mmap.mmap(descriptor, slots * size)

    @classmethod
    def make(cls, slots: int, size: int) -> Ring:
        """A new one. Its descriptor is the caller's to close."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("edgead-line")
        else:
            file, name = tempfile.mkstemp("edgead-line")
            os.unlink(name)  # noqa: PTH108
            descriptor = file
        os.ftruncate(descriptor, slots * size)
        return cls(descriptor, slots, size)

    def write(self, slot: int, image: NDArray[Any]) -> None:
        """Copy an image into a slot.

        Raises:
            FrameError: it isn't (H, W, 3) uint8 or (H, W) uint8 or uint16, or doesn't go in.
        """
        if why := refused(image.shape, image.dtype.name):
            raise FrameError(why)
        if image.nbytes > self.size:
            size = f"{image.nbytes / (1 << 20):.1f} MiB"
            raise FrameError(f"an image of {size} doesn't go into a slot: raise slot_mib")
        np.copyto(self.read(slot, image.shape, image.dtype.name), image)

    def read(self, slot: int, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        """The image in a slot, as it lies there: it's another one once the slot is free."""
        if why := refused(shape, dtype):
            raise FrameError(why)
        kind = np.dtype(dtype)
        count = math.prod(shape)
        if not 0 <= slot < self.slots or count * kind.itemsize > self.size:
            raise FrameError(f"slot {slot} holds no image of {'x'.join(map(str, shape))} {dtype}")
        return np.frombuffer(self._memory, kind, count, slot * self.size).reshape(tuple(shape))

    def close(self) -> None:
        """Close the file; images that were read stay as long as somebody has them."""
        os.close(self.descriptor)


def refused(shape: Sequence[int], dtype: str) -> str | None:
    """Why this is no frame's shape and type, or None."""
    colour = len(shape) == 3 and shape[2] == 3 and dtype == "uint8"
    mono = len(shape) == 2 and dtype in KINDS
    if (colour or mono) and min(shape) >= 1:
        return None
    told = "x".join(map(str, shape))[:60]
    return f"a frame is (H, W, 3) uint8, (H, W) uint8 or uint16, not {told} {dtype[:20]}"


__all__ = ["Ring", "refused"]
