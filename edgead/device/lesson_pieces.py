"""What an example is judged and taught by: itself, or the windows of it in which its verdict went wrong.

Of a frame that's judged in windows a lesson's image is one window, a frame of the model's own size: what is
kept of it, replayed and undone is as small as another bundle's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.device.lesson_costs import is_anomalous, score_of
from edgead.device.proposal import Example, Wrong
from edgead.runtime.lessons import Taught
from edgead.runtime.session import Session
from edgead.window_rule import WindowRule, rule_of
from edgead.windows import Window, cut

MOST = 8
"""Windows of one frame that are taught at most, those of the highest values first: each is a lesson."""


@dataclass(frozen=True)
class Pieces:
    """What of an example is to be taught.

    Attributes:
        examples: its pieces, the most important first; none where its verdict isn't wrong.
        score: the example's own.
    """

    examples: tuple[Example, ...]
    score: float


def pieces_of(
    bundle: Bundle, session: Session, known: Taught, threshold: float, kind: Wrong, example: Example
) -> Pieces:
    """The pieces of an example in which its verdict is wrong.

    Args:
        session: gives what ``known`` takes.
        known: the lessons before.
        threshold: on the image score.
    """
    rule = rule_of(bundle)
    if isinstance(rule, WindowRule):
        return _windows_of(rule, session, known, threshold, kind, example)
    outputs = session(example.image[None])
    is_wrong = is_anomalous(known, outputs, threshold) == (kind == "false-alarm")
    return Pieces((example,) if is_wrong else (), score_of(known, outputs))


def _windows_of(
    rule: WindowRule, session: Session, known: Taught, threshold: float, kind: Wrong, example: Example
) -> Pieces:
    """Of a false alarm the windows whose core is over the threshold; of a missed defect those that show it.

    Without a mask that's the window of the highest value.
    """
    judged = list(_judged(rule, session, known, example))
    score = max(peak for _, peak, _ in judged)
    alarms = [(peak, window) for window, peak, is_seen in judged if peak > threshold or is_seen]
    if kind == "false-alarm":
        highest = sorted(alarms, key=lambda one: -one[0])[:MOST]
        return Pieces(tuple(_piece(rule, example, window) for _, window in highest), score)
    if alarms:
        return Pieces((), score)
    highest = sorted(((peak, window) for window, peak, _ in judged), key=lambda one: -one[0])
    if example.mask is None:
        return Pieces((_piece(rule, example, highest[0][1]),), score)
    showing = [window for _, window in highest if example.mask[window.core].any()]
    return Pieces(tuple(_piece(rule, example, window) for window in showing[:MOST]), score)


def _judged(
    rule: WindowRule, session: Session, known: Taught, example: Example
) -> Iterator[tuple[Window, float, bool]]:
    """Each window, the highest value of its core, and whether a lesson's defect is seen there."""
    for window in rule.places(example.image.shape):
        found = known.apply(session(cut(example.image, window, rule.size)[None]))
        core = _core(rule, example, window)
        is_seen = found.seen is not None and bool(found.seen[core].any())
        yield window, float(found.anomaly_map[core].max()), is_seen


def _piece(rule: WindowRule, example: Example, window: Window) -> Example:
    """A window as an example of its own; what's outside of its core belongs to its neighbours."""
    mask = None
    if example.mask is not None:
        mask = np.zeros(rule.size, bool)
        mask[window.core_inside] = example.mask[window.core]
    place = f"window from row {window.rows.start}, column {window.columns.start}"
    return replace(
        example,
        name=f"{example.name}, {place}".removeprefix(", "),
        image=cut(example.image, window, rule.size),
        mask=mask,
        core=_core(rule, example, window),
    )


def _core(rule: WindowRule, example: Example, window: Window) -> NDArray[np.bool_]:
    """(H, W) which of a window's pixels count: its core's, of these the region of interest's."""
    core = np.zeros(rule.size, bool)
    core[window.core_inside] = True if rule.roi is None else rule.roi.inside(example.image.shape)[window.core]
    return core


__all__ = ["MOST", "Pieces", "pieces_of"]
