"""What lessons change: the verdicts on the images that are there, before and after.

These are the images that the bundle carries to prove itself with, and those of all earlier lessons. The
images that threshold and gates rest on aren't in a compiled bundle, so nothing is said of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgead.bundle import Bundle, Lesson
from edgead.bundle.taught import FOLDER
from edgead.carried import carried_image
from edgead.device.proposal import Change
from edgead.images import decode_image
from edgead.notices import Notice
from edgead.runtime.lessons import Taught, taught
from edgead.runtime.proof import CHANGES
from edgead.runtime.session import Outputs, Session
from edgead.types import Image


def replay_lessons(bundle: Bundle, session: Session, threshold: float) -> tuple[Change, ...]:
    """Judge the images of all lessons that count, without any lesson and with all of them.

    Args:
        session: gives the tensors that teaching takes.
        threshold: on the image score.
    """
    before, after = taught(bundle, ()), taught(bundle)
    return tuple(
        change_of(_called(lesson), before, after, session(image[None]), threshold, lesson.kind == "missed")
        for lesson, image in pictures(bundle)
    )


def cost(changes: Sequence[Change]) -> Notice:
    """What the cost was judged on, and what it wasn't."""
    lessons = sum(change.image.startswith("lesson ") for change in changes)
    return Notice("lesson-cost", {"carried": len(changes) - lessons, "lessons": lessons})


def changes_of(
    bundle: Bundle, session: Session, before: Taught, after: Taught, threshold: float, but: int | None = None
) -> tuple[Change, ...]:
    """Every image that is there, judged before and after; not that of lesson ``but``, which is undone."""
    found = []
    for probe in bundle.manifest.probes:
        image = CHANGES[probe.change](carried_image(bundle, probe.file))
        wanted = False if probe.change == "none" else None
        name = probe.file if probe.change == "none" else f"{probe.file} {probe.change}"
        found.append(change_of(name, before, after, session(image[None]), threshold, wanted))
    for lesson, image in pictures(bundle):
        if lesson.number == but:
            continue
        wanted = lesson.kind == "missed"
        found.append(change_of(_called(lesson), before, after, session(image[None]), threshold, wanted))
    return tuple(found)


def change_of(
    name: str, before: Taught, after: Taught, outputs: Outputs, threshold: float, wanted: bool | None
) -> Change:
    """An image's verdict without and with the lessons; ``wanted`` is what it should be, if somebody knows."""
    return Change(
        name,
        is_anomalous(before, outputs, threshold),
        is_anomalous(after, outputs, threshold),
        score_of(before, outputs),
        score_of(after, outputs),
        wanted,
    )


def is_anomalous(known: Taught, outputs: Outputs, threshold: float) -> bool:
    """Whether an image is anomalous with these lessons."""
    judged = known.apply(outputs)
    return judged.score > threshold or judged.lesson is not None


def score_of(known: Taught, outputs: Outputs) -> float:
    """Its image score with these lessons."""
    return known.apply(outputs).score


def pictures(bundle: Bundle) -> Iterator[tuple[Lesson, Image]]:
    """The images of the lessons that count, as the model sees them."""
    for lesson in bundle.lessons.active:
        if lesson.picture is not None:
            content = bundle.read_taught(lesson.picture)
            name = bundle.path / FOLDER / lesson.picture.path
            yield lesson, decode_image(content, name, bundle.manifest.input.size)


def _called(lesson: Lesson) -> str:
    return f"lesson {lesson.number}'s image {lesson.image}".rstrip()


__all__ = ["change_of", "changes_of", "cost", "is_anomalous", "pictures", "replay_lessons", "score_of"]
