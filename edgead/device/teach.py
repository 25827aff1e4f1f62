"""Teaching on the device: from images whose verdict was wrong to lessons, and what those cost.

What a lesson costs is judged on what is there: the images that the bundle carries to prove itself with, and
those of all earlier lessons. The images that threshold and gates rest on aren't in a compiled bundle, so
nothing is said of them.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle, Lesson, Lessons, read_bundle, refuse_unsigned
from edgead.bundle.listing import MAX_RESERVED_BYTES, MAX_RESERVED_FILES, RESERVED
from edgead.bundle.taught import (
    CAPACITY,
    FOLDER,
    MAX_LESSONS,
    SINGLE,
    only_teacher,
    write_content,
    write_lesson,
)
from edgead.carried import carried_image
from edgead.device.lesson_rows import Rows, of_false_alarm, of_missed, rows_left
from edgead.errors import TeachError
from edgead.files import remove_leftovers
from edgead.held_out import read_held_out
from edgead.images import decode_image
from edgead.names import shown
from edgead.notices import Notice
from edgead.runtime.lessons import Taught, taught, with_rows
from edgead.runtime.proof import CHANGES
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
LONGEST_TEXT = 2000
"""Characters of a reason or a name that are kept."""

_log = logging.getLogger(__name__)

Wrong = Literal["false-alarm", "missed"]


@dataclass(frozen=True)
class Example:
    """An image whose verdict was wrong.

    Attributes:
        name: of its file, without the folder; empty for an array.
        sha256: of the file, or of the array's bytes.
        image: (H, W, 3) uint8 after the resize rule.
        mask: (H, W) bool after it, where the missed defect is; None where nobody says.
    """

    name: str
    sha256: str
    image: Image
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Change:
    """One image's verdict before and after a lesson.

    Attributes:
        image: the carried image and its change, or the lesson whose image it is.
        before, after: whether it's anomalous.
        score_before, score_after: its image score.
        wanted: what it should be: False of a good image, True of a missed defect's, None where nobody knows.
    """

    image: str
    before: bool
    after: bool
    score_before: float
    score_after: float
    wanted: bool | None

    @property
    def flips(self) -> bool:
        """Whether the verdict changes."""
        return self.before != self.after


@dataclass(frozen=True)
class Draft:
    """A lesson that isn't taken yet.

    Attributes:
        example: the image.
        rows: what it adds.
        own: its own verdict, before and with all lessons of the same proposal.
    """

    example: Example
    rows: Rows
    own: Change


@dataclass(frozen=True)
class Proposal:
    """What would be taught or undone, and what that costs.

    Attributes:
        bundle: as it was read.
        kind: of the lessons.
        drafts: one an image; none for an undoing.
        undoes: the lesson that would be undone, or None.
        changes: of the carried images and those of earlier lessons.
        threshold: of the image score.
        notices: what doesn't do what it should, and what isn't known.
    """

    bundle: Bundle
    kind: Literal["false-alarm", "missed", "undo"]
    drafts: tuple[Draft, ...]
    undoes: int | None
    changes: tuple[Change, ...]
    threshold: float
    notices: tuple[Notice, ...] = ()

    @property
    def flips(self) -> tuple[Change, ...]:
        """The verdicts on other images that would change."""
        return tuple(change for change in self.changes if change.flips)

    @property
    def largest_move(self) -> float:
        """The largest change of another image's score, as a share of the threshold."""
        moves = (abs(each.score_after - each.score_before) for each in self.changes)
        return max(moves, default=0.0) / max(abs(self.threshold), 1e-9)


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
    for example in examples:
        outputs = session(example.image[None])
        if _is_anomalous(before, outputs, threshold) != (kind == "false-alarm"):
            notices.append(
                Notice(f"lesson-no-{kind}", {"image": _name(example), "score": _score(before, outputs)})
            )
            continue
        if not rows_left(after, kind == "missed"):
            raise TeachError(
                f"{shown(bundle.path)}: all {CAPACITY} rows for lessons of this kind are used: undo some "
                "with --undo, or fit again with the images that were taught among the good ones"
            )
        number += 1
        if kind == "false-alarm":
            rows = of_false_alarm(after, outputs, wanted, level)
        else:
            rows = of_missed(after, outputs, _cells(example.mask, before), good)
        if len(rows.rows):
            after = with_rows(after, number, rows.rows, rows.radii, rows.level)
        kept.append((example, rows, outputs))
    drafts = tuple(
        Draft(example, rows, _change(_name(example), before, after, outputs, threshold, kind == "missed"))
        for example, rows, outputs in kept
    )
    notices += [
        Notice(f"lesson-still-{kind}", {"image": draft.own.image, "score": draft.own.score_after})
        for draft in drafts
        if draft.own.after != draft.own.wanted
    ]
    changes = _changes(bundle, session, before, after, threshold) if drafts else ()
    notices += [_cost(changes)] if drafts else []
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
    changes = _changes(bundle, session, before, after, threshold, but=number)
    return Proposal(bundle, "undo", (), number, changes, threshold, (_cost(changes),))


def replay_lessons(bundle: Bundle, session: Session, threshold: float) -> tuple[Change, ...]:
    """Judge the images of all lessons that count, without any lesson and with all of them.

    Args:
        session: gives the tensors that teaching takes.
        threshold: on the image score.
    """
    before, after = taught(bundle, ()), taught(bundle)
    return tuple(
        _change(_called(lesson), before, after, session(image[None]), threshold, lesson.kind == "missed")
        for lesson, image in _pictures(bundle)
    )


def _called(lesson: Lesson) -> str:
    return f"lesson {lesson.number}'s image {lesson.image}".rstrip()


def take(proposal: Proposal, by: str = "", reason: str = "") -> tuple[Lesson, ...]:
    """Write what was proposed, one lesson after the other, each whole or not at all.

    Args:
        by: who teaches.
        reason: why.

    Raises:
        TeachError: another lesson was taken meanwhile, or there's no room.
        LessonError, OutputError: the folder can't be trusted, or not be written.
        UnsignedChangeError: signatures are demanded here, and the lesson would have none.
    """
    with only_teacher(proposal.bundle.path):
        return _take(proposal, by, reason)


# ---------------------------------------------------------------- how


def _take(proposal: Proposal, by: str, reason: str) -> tuple[Lesson, ...]:
    bundle = proposal.bundle
    refuse_unsigned(bundle)
    now = read_bundle(bundle.path, verify=False)
    if now.lessons != bundle.lessons:
        raise _overtaken(bundle, 0)
    lessons = bundle.lessons
    taken: list[Lesson] = []
    pictures = [_png(draft.example.image) for draft in proposal.drafts]
    _check_room(bundle, sum(map(len, pictures)) + sum(d.rows.rows.nbytes for d in proposal.drafts),
                3 * max(1, len(pictures)), max(1, len(pictures)))  # fmt: skip
    common = {
        "time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": by[:LONGEST_TEXT],
        "reason": reason[:LONGEST_TEXT],
        "threshold": proposal.threshold,
    }
    if proposal.undoes is not None:
        drafted = [lessons.next(kind="undo", undoes=proposal.undoes, **common)]
    else:
        drafted = []
    for place in range(max(len(proposal.drafts), len(drafted))):
        lesson = drafted[0] if drafted else _lesson(lessons, proposal, place, pictures[place], common)
        if not write_lesson(bundle.path, lesson):
            raise _overtaken(bundle, len(taken))
        lessons = lessons.with_next(lesson)
        taken.append(lesson)
        _log.info("%s: lesson %d, %s, %d rows", bundle.path, lesson.number, lesson.kind, lesson.rows)
    remove_leftovers(bundle.path / FOLDER)
    return tuple(taken)


def _lesson(
    lessons: Lessons, proposal: Proposal, place: int, picture: bytes, common: dict[str, object]
) -> Lesson:
    """Write a draft's files, and return the lesson that lists them."""
    draft, folder = proposal.drafts[place], proposal.bundle.path
    rows = draft.rows
    array = b"".join(np.ascontiguousarray(each, SINGLE).tobytes() for each in (rows.rows, rows.radii))
    return lessons.next(
        kind=proposal.kind,
        image=draft.example.name[:LONGEST_TEXT],
        image_sha256=draft.example.sha256,
        score=draft.own.score_before,
        level=rows.level,
        rows=len(rows.rows),
        dim=rows.rows.shape[1],
        array=write_content(folder, array, ".f32") if array else None,
        picture=write_content(folder, picture, ".png"),
        **common,
    )


def _overtaken(bundle: Bundle, taken: int) -> TeachError:
    kept = f"{taken} of these were taken before it" if taken else "nothing of this was taken"
    return TeachError(
        f"{shown(bundle.path)}: another lesson was taken meanwhile, and {kept}: see --list, and teach again"
    )


def _check_room(bundle: Bundle, more_bytes: int, more_files: int, more_lessons: int) -> None:
    """Refuse what would make the folder larger than a bundle's reader takes."""
    sizes = []
    for file in (each for name in RESERVED for each in (bundle.path / name).rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # another writer has just given it its own name
            if file.is_file():
                sizes.append(file.stat().st_size)
    size = sum(sizes)
    if (
        len(sizes) + more_files > MAX_RESERVED_FILES
        or size + more_bytes + (more_lessons << 14) > MAX_RESERVED_BYTES
        or len(bundle.lessons.all) + more_lessons > MAX_LESSONS
    ):
        raise TeachError(
            f"{shown(bundle.path)}: it holds {len(bundle.lessons.all)} lessons in {size:,} bytes, and "
            "there's no room for more: fit again with the images that were taught"
        )


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
    pictures = [image for lesson, image in _pictures(bundle) if lesson.kind == "false-alarm"]
    found = [session(image[None])[known.record.embedding] for image in (*_carried(bundle), *pictures)]
    return np.concatenate(found) if found else np.empty((0, known.record.dim), np.float32)


def _carried(bundle: Bundle) -> list[Image]:
    """The good images that the bundle carries, each once and unchanged."""
    files = dict.fromkeys(probe.file for probe in bundle.manifest.probes)
    return [carried_image(bundle, file) for file in files]


def _pictures(bundle: Bundle) -> Iterator[tuple[Lesson, Image]]:
    """The images of the lessons that count, as the model sees them."""
    for lesson in bundle.lessons.active:
        if lesson.picture is not None:
            content = bundle.read_taught(lesson.picture)
            name = bundle.path / FOLDER / lesson.picture.path
            yield lesson, decode_image(content, name, bundle.manifest.input.size)


def _cost(changes: Sequence[Change]) -> Notice:
    """What the cost was judged on, and what it wasn't."""
    lessons = sum(change.image.startswith("lesson ") for change in changes)
    return Notice("lesson-cost", {"carried": len(changes) - lessons, "lessons": lessons})


def _changes(
    bundle: Bundle, session: Session, before: Taught, after: Taught, threshold: float, but: int | None = None
) -> tuple[Change, ...]:
    """Every image that is there, judged before and after; not that of lesson ``but``, which is undone."""
    found = []
    for probe in bundle.manifest.probes:
        image = CHANGES[probe.change](carried_image(bundle, probe.file))
        wanted = False if probe.change == "none" else None
        name = probe.file if probe.change == "none" else f"{probe.file} {probe.change}"
        found.append(_change(name, before, after, session(image[None]), threshold, wanted))
    for lesson, image in _pictures(bundle):
        if lesson.number == but:
            continue
        wanted = lesson.kind == "missed"
        found.append(_change(_called(lesson), before, after, session(image[None]), threshold, wanted))
    return tuple(found)


def _change(
    name: str, before: Taught, after: Taught, outputs: Outputs, threshold: float, wanted: bool | None
) -> Change:
    return Change(
        name,
        _is_anomalous(before, outputs, threshold),
        _is_anomalous(after, outputs, threshold),
        _score(before, outputs),
        _score(after, outputs),
        wanted,
    )


def _is_anomalous(known: Taught, outputs: Outputs, threshold: float) -> bool:
    judged = known.apply(outputs)
    return judged.score > threshold or judged.lesson is not None


def _score(known: Taught, outputs: Outputs) -> float:
    return known.apply(outputs).score


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


def _png(image: Image) -> bytes:
    grey = bool((image == image[..., :1]).all())
    return bytes(cv2.imencode(".png", image[..., 0] if grey else image)[1].tobytes())


__all__ = ["Change", "Draft", "Example", "Proposal", "propose", "propose_undo", "replay_lessons", "take"]
