"""The check of a scorer that fits many folds at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.testing.check import Skipped, require
from edgead.testing.workshop import Workshop
from edgead.types import FitsFolds, FittedScorer, FittingData, InBulk

FOLDS = 3
APART = 0.1
"""Share that the median patch scores of a fold's images may be off."""


def folds_are_like_fits(workshop: Workshop) -> None:
    """what its ``fit_folds`` learns without a fold is near what ``fit`` learns of the other folds"""
    from edgead.workbench.features import all_but

    if not isinstance(workshop.recipe().scorer, FitsFolds):  # before it trains
        raise Skipped("its scorer has no fit_folds(folds), which is optional")
    with workshop.offered() as (scorer, data):
        assert isinstance(scorer, FitsFolds)
        images = list(data.images())
        count = min(FOLDS, len(images))
        parts = [_part(data, images[number::count]) for number in range(count)]
        yielded = 0
        for number, fitted in enumerate(scorer.fit_folds(parts)):
            yielded += 1
            require(yielded <= count, f"fit_folds() of {count} folds yields more: one for each")
            if not isinstance(fitted, InBulk):
                continue
            alone = scorer.fit(all_but(parts, number))
            own = list(parts[number].features())
            found, wanted = (float(np.median(_patch(each, own))) for each in (fitted, alone))
            require(
                abs(found - wanted) <= APART * abs(wanted),
                f"fold {number}'s images get patch scores of {found:.4g} from what fit_folds() learned of "
                f"the others, and {wanted:.4g} from fit() (medians; {APART:.0%} apart at most)",
            )
    require(yielded == count, f"fit_folds() of {count} folds yields {yielded}: one for each")


def _part(data: FittingData, images: list[Any]) -> FittingData:
    return replace(
        data, images=lambda: iter(images), n_images=len(images), features=lambda: data.embed(images)
    )


def _patch(fitted: FittedScorer, maps: list[Mapping[str, NDArray[np.float32]]]) -> NDArray[np.float32]:
    assert isinstance(fitted, InBulk)
    return fitted.in_bulk(maps)[0]


__all__ = ["folds_are_like_fits"]
