"""That what is exported passes its own proof: else its first load would refuse it, on this very machine.

The parity gate judges held-out images; a bundle proves itself on two of them that are changed, darkened for
instance, and a form may be near enough on the one and not on the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from edgead.errors import EdgeadError
from edgead.manifest import ThresholdRecord
from edgead.runtime.proof import Parity
from edgead.types import Precision
from edgead.workbench.form_report import FormReport


def proven(
    reports: Sequence[FormReport],
    choose: Callable[[Sequence[FormReport]], FormReport],
    proof: Callable[[Precision, ThresholdRecord], Parity],
) -> list[FormReport]:
    """Have the form that is chosen prove itself, and where it doesn't, the next.

    Args:
        reports: of every form.
        choose: takes one that misses nothing, or raises an ``EdgeadError`` where none is left.
        proof: of a form with its thresholds.

    Returns:
        The reports; one whose form was tried and isn't proven has the proof as its parity, which it misses.
    """
    found = list(reports)
    while True:
        try:
            chosen = choose(found)
        except EdgeadError:  # whoever chooses next says why
            return found
        assert chosen.threshold is not None, "a form that passes has been judged"
        outcome = proof(chosen.precision, chosen.threshold)
        if outcome.passed:
            return found
        found = [
            dataclasses.replace(report, parity=outcome) if report.precision == chosen.precision else report
            for report in found
        ]


__all__ = ["proven"]
