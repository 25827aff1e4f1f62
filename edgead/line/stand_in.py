"""What judges a virtual camera's images without a bundle, and how one breaks that another bundle brought.

It reads what is written in the images. Its bundle is a mere name: ``good.2`` judges as ``good.1`` does, and
the others are broken as their first word says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import InferenceError, SelfTestError
from edgead.line.broken import break_down
from edgead.line.channel import Message
from edgead.line.events import Scored

Judging = Callable[[NDArray[Any], Message], Scored]
"""What makes a score of an image, by what the line says of it."""

GOOD = "good.0"
"""The name that a line begins with."""


def name_of(how: str, number: int, shadow: int) -> str:
    """The name of a bundle: good, or how it's broken; ``worse`` is it after so many images."""
    return f"{how or 'good'}.{number}.{shadow}"


def stand_in(name: str) -> tuple[Judging, dict[str, Any]]:
    """Judges, and says what a judge's process does.

    Its score is the part's number, so that a mixed-up image shows; the threshold is under it for a defect.

    Raises:
        SelfTestError: its name says that it's refused.
    """
    how, *numbers = name.split(".")
    if how == "refused":
        raise SelfTestError("the fault script says that this bundle is refused; take it out")
    if how == "crash":
        break_down(how)
    left = int(numbers[-1]) if how == "worse" else 0

    def judging(image: NDArray[Any], message: Message) -> Scored:
        nonlocal left
        left -= 1
        if how == "raise" or (how == "worse" and left < 0):
            raise InferenceError("the fault script says that this bundle fails; take it out")
        if how == "hang":
            break_down(how)
        corner = np.asarray(image[:2, :8], np.uint8).reshape(2, 8, -1)[..., 0]
        part = float(int.from_bytes(corner[0].tobytes(), "big"))
        anomalous = bool(corner[1, 0] > 127)
        return Scored(part, part - 0.5 if anomalous else part + 0.5, anomalous)

    digest = hashlib.sha256(name.encode()).hexdigest()
    return judging, {
        "bundle": digest,
        "identity": digest,
        "runs_on": "no engine",
        "threshold": 0.0,
        "depth": None,
    }


__all__ = ["GOOD", "Judging", "name_of", "stand_in"]
