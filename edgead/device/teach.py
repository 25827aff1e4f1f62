"""Teaching on the device: from images whose verdict was wrong to lessons; ``take`` writes them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.bundle.taught import CAPACITY
from edgead.carried import carried_image
from edgead.device.lesson_costs import (
    change_of,
    changes_of,
    cost,
    is_anomalous,
    pictures,
    replay_lessons,
)
from edgead.device.lesson_pieces import pieces_of
from edgead.device.lesson_rows import Rows, of_false_alarm, of_missed, rows_left
from edgead.device.proposal import Change, Draft, Example, Proposal, Wrong
from edgead.device.taking import take
from edgead.errors import TeachError
from edgead.held_out import read_held_out
from edgead.names import shown
from edgead.notices import Notice
from edgead.runtime.lessons import Taught, taught, with_rows
from edgead.runtime.session import Outputs, Session
from edgead.types import Image

USUAL, MOST_OF_THRESHOLD = 0.5, 0.95
"""A false alarm is to score as this quantile of the held-out images do, and no more than that share of the
threshold."""
LEVEL_QUANTILE = 0.99
"""Positions count as unusual over this quantile of the carried images' patch scores, or over the score wanted
where that is less: of a good frame few are, so few are compared with what was taught."""
COVERED = 0.25
"""Share of a cell, or of the most that any is, that a mask must cover."""


def propose(
    bundle: Bundle, session: Session, threshold: float, kind: Wrong, examples: Sequence[Example]
) -> Proposal:
    """Work out lessons from images, each with the ones before it in mind; nothing is written.

    Args:
        session: gives the tensors that ``edgead.runtime.lessons.Taught.outputs`` names.
        threshold: on the image score.

    Raises:
        TeachError: the method has no bank, or the rows are used up.
        LessonError, EngineError: as the bundle and the engine fail.
    """
    before = taught(bundle)
    after, number = before, len(bundle.lessons.all)
    wanted, level = _aims(bundle, session, before, threshold)
    good = np.empty((0, before.record.dim), np.float32)
    if kind == "missed":
        good = _good_patches(bundle, session, before)
    kept: list[tuple[Example, Rows, Outputs]] = []
    notices: list[Notice] = []
    for whole in examples:
        pieces = pieces_of(bundle, session, before, threshold, kind, whole)
        if not pieces.examples:
            notices.append(Notice(f"lesson-no-{kind}", {"image": _name(whole), "score": pieces.score}))
        for place, example in enumerate(pieces.examples):
            outputs = session(example.image[None])
            if place and kind == "false-alarm" and not is_anomalous(after, outputs, threshold):
                continue  # what the windows before it taught is enough
            if not rows_left(after, kind == "missed"):
                raise TeachError(
                    f"{shown(bundle.path)}: all {CAPACITY} rows for lessons of this kind are used: undo some "
                    "with --undo, or fit again with the images that were taught among the good ones"
                )
            number += 1
            if kind == "false-alarm":
                rows = of_false_alarm(after, outputs, wanted, level)
            else:
                cells, core = (_cells(each, before) for each in (example.mask, example.core))
                rows = of_missed(after, outputs, cells, good, core)
            if len(rows.rows):
                after = with_rows(after, number, rows.rows, rows.radii, rows.level)
            kept.append((example, rows, outputs))
    drafts = tuple(
        Draft(example, rows, change_of(_name(example), before, after, outputs, threshold, kind == "missed"))
        for example, rows, outputs in kept
    )
    notices += [
        Notice(f"lesson-still-{kind}", {"image": draft.own.image, "score": draft.own.score_after})
        for draft in drafts
        if draft.own.after != draft.own.wanted
    ]
    changes = changes_of(bundle, session, before, after, threshold) if drafts else ()
    notices += [cost(changes)] if drafts else []
    return Proposal(bundle, kind, drafts, None, changes, threshold, tuple(notices))


def propose_undo(bundle: Bundle, session: Session, threshold: float, number: int | None) -> Proposal:
    """Work out what undoing a lesson changes; None is the last that counts.

    Raises:
        TeachError: there's no such lesson, or it was undone.
    """
    active = bundle.lessons.active
    if not active:
        raise TeachError(f"{shown(bundle.path)}: no lesson counts, so there's nothing to undo")
    number = active[-1].number if number is None else number
    if number not in {lesson.number for lesson in active}:
        known = ", ".join(str(lesson.number) for lesson in active)
        by = bundle.lessons.undone.get(number)
        why = f"was undone by lesson {by}" if by else "is none that counts"
        raise TeachError(f"{shown(bundle.path)}: lesson {number} {why}; these count: {known}")
    before = taught(bundle)
    after = taught(bundle, [lesson for lesson in active if lesson.number != number])
    changes = changes_of(bundle, session, before, after, threshold, but=number)
    return Proposal(bundle, "undo", (), number, changes, threshold, (cost(changes),))


def _aims(bundle: Bundle, session: Session, known: Taught, threshold: float) -> tuple[float, float]:
    """The image score that a false alarm is brought down to, and over which patch score positions count."""
    figures = read_held_out(bundle)
    outputs = [session(image[None]) for image in _carried(bundle)]
    scores = figures.scores if figures is not None else [float(each["score"][0]) for each in outputs]
    usual = float(np.quantile(scores, USUAL)) if len(scores) else threshold
    wanted = min(usual, MOST_OF_THRESHOLD * threshold)
    if np.isfinite(known.level):  # as the lessons before: one level for all
        return wanted, known.level
    patches = [each[known.record.patch].reshape(-1) for each in outputs]
    level = float(np.quantile(np.concatenate(patches), LEVEL_QUANTILE)) if patches else np.inf
    return wanted, min(level, wanted)


def _good_patches(bundle: Bundle, session: Session, known: Taught) -> NDArray[np.float32]:
    """Embeddings of the carried images and of the false alarms that were taught, (n, dim)."""
    marks = [image for lesson, image in pictures(bundle) if lesson.kind == "false-alarm"]
    found = [session(image[None])[known.record.embedding] for image in (*_carried(bundle), *marks)]
    return np.concatenate(found) if found else np.empty((0, known.record.dim), np.float32)


def _carried(bundle: Bundle) -> list[Image]:
    """The good images that the bundle carries, each once and unchanged."""
    files = dict.fromkeys(probe.file for probe in bundle.manifest.probes)
    return [carried_image(bundle, file) for file in files]


def _cells(mask: NDArray[np.bool_] | None, known: Taught) -> NDArray[np.bool_] | None:
    """Where a mask (H, W) covers a cell, (h * w,)."""
    if mask is None:
        return None
    h, w = known.record.grid
    share = cv2.resize(mask.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA).reshape(-1)
    cells: NDArray[np.bool_] = (share >= min(COVERED, float(share.max()))) & (share > 0)
    return cells


def _name(example: Example) -> str:
    return example.name or f"array {example.sha256[:8]}"


__all__ = [
    "Change",
    "Draft",
    "Example",
    "Proposal",
    "Wrong",
    "propose",
    "propose_undo",
    "replay_lessons",
    "take",
]
