"""A proposal written into the bundle: one lesson after the other, each whole or not at all."""

from __future__ import annotations

import contextlib
import datetime
import logging

import cv2
import numpy as np

from edgead.bundle import Bundle, Lesson, Lessons, read_bundle, refuse_unsigned
from edgead.bundle.listing import MAX_RESERVED_BYTES, MAX_RESERVED_FILES, RESERVED
from edgead.bundle.taught import FOLDER, MAX_LESSONS, SINGLE, only_teacher, write_content, write_lesson
from edgead.device.proposal import Proposal
from edgead.errors import TeachError
from edgead.files import remove_leftovers
from edgead.names import shown
from edgead.types import Image

LONGEST_TEXT = 2000
"""Characters of a reason or a name that are kept."""

_log = logging.getLogger(__name__)


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


def _png(image: Image) -> bytes:
    grey = bool((image == image[..., :1]).all())
    return bytes(cv2.imencode(".png", image[..., 0] if grey else image)[1].tobytes())


__all__ = ["take"]
