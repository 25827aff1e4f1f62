"""What makes a model's verdicts doubtful though it passes the gates, said by its own synthetic defects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgead.errors import GateError, OptionError
from edgead.notices import Notice, say
from edgead.workbench.precision import Trial

MIN_AUROC = 0.75
"""Of held-out good images against the same with synthetic defects, many of them barely visible: models of
five real sets have 0.72 to 0.90, one that found none of a hundred real defects 0.67. The limit is on the side
of a word too many: under it, fine defects are missed even where gross ones are found."""
FEWEST_HELD_OUT = 5
"""Held-out parts; of fewer, gates and threshold say little."""
NOTHING = 1e-3
"""A held-out score of so small a share of a defect's is that of an image that the model knows."""
GRAVE = ("flat-scores", "few-held-out", "hardly-differ", "one-held-out", "one-part", "weak-separation")
"""Notices that ``strict`` refuses: with any of them, verdicts are hardly better than a guess."""


def check_limit(min_auroc: float) -> None:
    """Raise ``OptionError`` unless it's from 0, which allows anything, to 1."""
    if not 0 <= min_auroc <= 1:
        raise OptionError(f"min_auroc {min_auroc} must be from 0 to 1, 0.75 for instance")


def doubts(trial: Trial, groups: Sequence[int] | None, min_auroc: float) -> tuple[Notice, ...]:
    """What is doubtful about a model with this trial.

    Args:
        trial: its scores of held-out good images and of synthetic defects.
        groups: the held-out images' groups, where not each is its own.
        min_auroc: the least separation that goes without a word, 0 to 1.
    """
    found = []
    parts = len(trial.good) if groups is None else len(set(groups))
    if parts < FEWEST_HELD_OUT:
        found.append(Notice("few-held-out", {"parts": parts, "wanted": FEWEST_HELD_OUT}))
    if len(trial.good) > 1 and trial.good.max() <= NOTHING * np.median(trial.bad):
        figure = float(f"{trial.good.max():.3g}")
        found.append(Notice("flat-scores", {"images": len(trial.good), "score": figure}))
    if trial.auroc < min_auroc:
        found.append(
            Notice("weak-separation", {"auroc": round(trial.auroc, 3), "wanted": round(min_auroc, 3)})
        )
    return tuple(found)


def refuse_grave(notices: Sequence[Notice]) -> None:
    """Raise ``GateError`` if a notice is one of ``GRAVE``."""
    grave = [say(notice) for notice in notices if notice.code in GRAVE]
    if grave:
        raise GateError(f"strict: nothing was written ({'; '.join(grave)})")


__all__ = ["FEWEST_HELD_OUT", "GRAVE", "MIN_AUROC", "check_limit", "doubts", "refuse_grave"]
