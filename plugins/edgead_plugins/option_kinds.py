"""The kinds of numbers that several methods' options take."""

from __future__ import annotations

from typing import Annotated

from edgead.options import Range

Count = Annotated[int, Range(1)]
WholeNumber = Annotated[int, Range(0)]
"""0 leaves out what is counted."""
Positive = Annotated[float, Range(0, open_low=True)]
Factor = Annotated[float, Range(0)]
"""A weight or a rate; 0 switches it off."""
Share = Annotated[float, Range(0, 1, open_low=True)]
BatchSize = Annotated[int, Range(2)]
"""BatchNorm needs two."""
Momentum = Annotated[float, Range(0, 1, open_high=True)]

__all__ = ["BatchSize", "Count", "Factor", "Momentum", "Positive", "Share", "WholeNumber"]
