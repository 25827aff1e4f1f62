"""Numbers as callers give them to a web."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgead.errors import OptionError


def plain_number(name: str, value: Any) -> float:
    """A number of any numeric type as a float; it may be NaN or infinite.

    Raises:
        OptionError: it's text, a truth value, or no number at all.
    """
    if not isinstance(value, str | bytes | bool | np.bool_):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise OptionError(f"{name} {str(value)[:40]!r} must be a number")


__all__ = ["plain_number"]
