"""What GenICam's packages say of a fault, in words for people."""

from __future__ import annotations

import re

from edgead.errors import one_line

_WHERE = re.compile(r" : \w+ thrown .*", re.DOTALL)


def why_of(error: BaseException) -> str:
    """One line, without the place in the package's own code."""
    return one_line(_WHERE.sub("", str(error)) or error, "message", 200)


__all__ = ["why_of"]
