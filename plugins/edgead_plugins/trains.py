"""What a scorer that trains a network has besides: it says before it reads images where it can't."""

from __future__ import annotations

from typing import ClassVar

from edgead.errors import OptionError
from edgead.types import Compute


class TrainsNetwork:
    """A scorer that trains with ``edgead_plugins.training``; see ``edgead.types.ChecksCompute``."""

    whole_batches: ClassVar[str] = ""
    """Why a step needs its batch in one piece, the middle of a sentence; "" where it doesn't."""

    def check_compute(self, compute: Compute) -> None:
        """Raise ``OptionError`` where it can't be trained so; see ``seeding.pick_device``."""
        if compute.micro_batch is not None and self.whole_batches:
            raise OptionError(
                f"{self.whole_batches}: leave --micro-batch out, and lower -o batch_size instead"
            )
        from edgead_plugins.training.machine import check_machine

        check_machine(compute)


__all__ = ["TrainsNetwork"]
