"""What a bundle was taught: lessons in its folder ``taught/``, append-only and each bound to the one before.

A lesson is ``NNNN.json`` and the files that it lists, under names made of their content: rows of the bank it
adds to (``HASH.f32``), and the image as the model sees it (``HASH.png``). The JSON comes last, under a name
that nobody else may have taken meanwhile, so a lesson is there whole or not at all, and of two teachers at
once the later is told. It has the hash of the bundle's manifest, of the lesson before and of itself: what was
changed, taken out from between or brought from another bundle is refused, and so is the bundle. That the
*last* lessons were removed shows nowhere. Undoing is a further lesson, which names the one that it undoes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgead.adding import add_file, growing_folder
from edgead.bundle.folder import OpenFolder
from edgead.errors import (
    ChangedLessonError,
    FileSizeError,
    ForeignLessonError,
    LessonError,
    ManifestError,
    MissingLessonError,
    OutputError,
)
from edgead.files import write_file
from edgead.leftovers import lock, unlock
from edgead.manifest import FileRecord
from edgead.manifest.strict import UNNAMED, load, plain, read

FOLDER = "taught"
MAX_LESSONS = 400
MAX_LESSON_BYTES = 64 << 10
"""Largest JSON of a lesson."""
CAPACITY = 256
"""Rows that false alarms add to the normal bank, and missed defects to theirs, at most."""
TEACHER_SECONDS = 10
"""How long a teacher waits for another one to write, which takes milliseconds."""
SINGLE = np.dtype("<f4")

Floats = NDArray[np.float32]
Kind = Literal["false-alarm", "missed", "undo"]

_ADVICE = "copy the folder again, or remove it to go back to what was never taught"
_LESSON = re.compile(r"\d{4}\.json")
_CONTENT = re.compile(r"[0-9a-f]{32}\.(f32|png)")


@dataclass(frozen=True)
class Lesson:
    """One thing that a bundle was taught.

    Attributes:
        number: counts up from 1.
        kind: what was wrong with the image's verdict; ``undo`` takes an earlier lesson back.
        bundle: SHA-256 of the bundle's manifest.
        previous: the ``digest`` of the lesson before, empty for the first.
        time: UTC, ``2026-05-04T13:05:09Z``.
        by: who taught it; may be empty.
        reason: in the teacher's words; may be empty.
        image: name of the image's file, without its folder; empty for an array.
        image_sha256: of that file, or of the array's bytes; empty for ``undo``.
        threshold: of the image score, when it was taught.
        score: the image's score before.
        level: positions with a lower patch score are left alone by its rows.
        rows: number of rows.
        dim: values of a row.
        array: the rows (rows, dim), and for ``missed`` then each one's radius; None without rows.
        picture: the image after the resize rule, PNG; None for ``undo``.
        undoes: the number of the lesson that this one takes back, or None.
        digest: SHA-256 of all of this as JSON, but for itself.
    """

    number: int
    kind: Kind
    bundle: str
    previous: str
    time: str
    by: str = ""
    reason: str = ""
    image: str = ""
    image_sha256: str = ""
    threshold: float = 0.0
    score: float = 0.0
    level: float = 0.0
    rows: int = 0
    dim: int = 0
    array: FileRecord | None = None
    picture: FileRecord | None = None
    undoes: int | None = None
    digest: str = ""

    def sealed(self) -> Lesson:
        """The same with its digest."""
        content = {**plain(self), "digest": ""}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return replace(self, digest=hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class Lessons:
    """Everything that a bundle was taught, in order.

    Attributes:
        bundle: SHA-256 of the manifest that they are bound to.
        all: every lesson, those that were undone and those that undo among them.
    """

    bundle: str = field(default="", compare=False)
    all: tuple[Lesson, ...] = ()

    @property
    def undone(self) -> Mapping[int, int]:
        """The lessons that were taken back, each with the number of the lesson that did it."""
        return {lesson.undoes: lesson.number for lesson in self.all if lesson.undoes is not None}

    @property
    def active(self) -> tuple[Lesson, ...]:
        """The lessons that count."""
        undone = self.undone
        return tuple(each for each in self.all if each.kind != "undo" and each.number not in undone)

    @property
    def files(self) -> frozenset[str]:
        """Names in the folder that belong to a lesson."""
        named = {f"{lesson.number:04d}.json" for lesson in self.all}
        listed = (file for lesson in self.all for file in (lesson.array, lesson.picture) if file is not None)
        return frozenset(named | {file.path for file in listed})

    def next(self, **fields: Any) -> Lesson:
        """The lesson that would come after these, sealed.

        Args:
            fields: of ``Lesson``, but for its number and what it's bound to.
        """
        previous = self.all[-1].digest if self.all else ""
        number = len(self.all) + 1
        return Lesson(number=number, bundle=self.bundle, previous=previous, **fields).sealed()

    def with_next(self, lesson: Lesson) -> Lessons:
        """These and one more."""
        return replace(self, all=(*self.all, lesson))


def read_lessons(
    folder: OpenFolder, manifest_sha256: str, names: Iterable[str], held: dict[str, bytes] | None = None
) -> Lessons:
    """Read and check everything that a bundle was taught.

    Args:
        folder: the bundle's.
        manifest_sha256: of its manifest.
        names: of the files in ``taught/``, which are few, small enough and no links.
        held: is given the rows' files, by their path in the bundle, where it isn't None.

    Raises:
        LessonError: the subclass says what is wrong; the message starts with the bundle's path.
        FileSizeError: too many lessons, or one is too large.
    """
    there, bundle = set(names), folder.path
    numbered = sorted(name for name in there if _LESSON.fullmatch(name))
    if len(numbered) > MAX_LESSONS:
        raise FileSizeError(f"{bundle}: {len(numbered)} lessons are over the limit of {MAX_LESSONS}")
    found = Lessons(manifest_sha256)
    for number, name in enumerate(numbered, 1):
        if name != f"{number:04d}.json":
            raise MissingLessonError(
                f"{bundle}: lesson {number} of {FOLDER}/ is missing, and {name} is there: {_ADVICE}"
            )
        found = found.with_next(_read_lesson(folder, name, found, there, held))
    return found


def _read_lesson(
    folder: OpenFolder, name: str, before: Lessons, there: set[str], held: dict[str, bytes] | None
) -> Lesson:
    where = f"{folder.path}: {FOLDER}/{name}"
    try:
        content = folder.read(f"{FOLDER}/{name}", MAX_LESSON_BYTES)
    except FileSizeError:
        raise FileSizeError(f"{where} is over the limit of {MAX_LESSON_BYTES} bytes: {_ADVICE}") from None
    try:
        lesson: Lesson = read(Lesson, load(content, UNNAMED), UNNAMED)
    except ManifestError as error:
        raise ChangedLessonError(f"{where} isn't a lesson ({error}): {_ADVICE}") from None
    if lesson.sealed().digest != lesson.digest:
        raise ChangedLessonError(f"{where} was changed (another SHA-256): {_ADVICE}")
    if _rendered(lesson) != content:
        raise ChangedLessonError(f"{where} isn't written as edgead writes it: {_ADVICE}")
    if lesson.bundle != before.bundle:
        raise ForeignLessonError(
            f"{where} was taught to another bundle, or before this one was exported again: remove the folder "
            f"{FOLDER}, and teach this bundle"
        )
    if (lesson.number, lesson.previous) != (len(before.all) + 1, before.all[-1].digest if before.all else ""):
        raise ChangedLessonError(f"{where} doesn't follow the lesson before it: {_ADVICE}")
    _check(lesson, before, where)
    for listed in (lesson.array, lesson.picture):
        if listed is None:
            continue
        if listed.path not in there:
            raise MissingLessonError(f"{where} lists {listed.path}, which is missing: {_ADVICE}")
        content = read_file(folder, listed)
        if held is not None and listed is lesson.array:
            held[f"{FOLDER}/{listed.path}"] = content
    return lesson


def read_file(folder: OpenFolder, listed: FileRecord) -> bytes:
    """Return the content that a lesson lists; raises ChangedLessonError where it's another by now."""
    name = f"{FOLDER}/{listed.path}"
    try:
        content = folder.read(name, listed.bytes)
    except FileSizeError:
        content = b""
    if len(content) != listed.bytes or hashlib.sha256(content).hexdigest() != listed.sha256:
        raise ChangedLessonError(f"{folder.path}: {name} was changed (SHA-256): {_ADVICE}")
    return content


def _check(lesson: Lesson, before: Lessons, where: str) -> None:
    """What its fields have to do with each other."""
    undo = lesson.kind == "undo"
    values = 1 if lesson.kind == "missed" else 0
    size = 4 * lesson.rows * (lesson.dim + values)
    holds = (
        0 <= lesson.rows <= CAPACITY
        and 0 <= lesson.dim <= 1 << 16
        and (lesson.array is not None) == (lesson.rows > 0)
        and (lesson.array is None or lesson.array.bytes == size)
        and (lesson.picture is None) == undo
        and undo == (lesson.undoes is not None)
        and (not undo or lesson.undoes in {each.number for each in before.active})
        and not (undo and lesson.rows)
        and all(math.isfinite(x) for x in (lesson.level, lesson.score, lesson.threshold))
        and all(_CONTENT.fullmatch(f.path) for f in (lesson.array, lesson.picture) if f is not None)
    )
    if not holds:
        raise LessonError(f"{where} holds what no lesson of edgead's does: {_ADVICE}")


def rows_of(lesson: Lesson, content: bytes, bundle: Path) -> tuple[Floats, Floats]:
    """A lesson's rows (rows, dim), and the radii (rows,) of a missed defect's, else empty; float32.

    Args:
        content: of its array's file; empty where it has none.
        bundle: the bundle's folder, for the message.

    Raises:
        LessonError: NaN or infinity, or a radius under 0.
    """
    if lesson.array is None:
        return np.empty((0, lesson.dim), np.float32), np.empty(0, np.float32)
    values = np.frombuffer(content, SINGLE).astype(np.float32)
    rows, radii = np.split(values, [lesson.rows * lesson.dim])
    if not np.isfinite(values).all() or (radii < 0).any():
        raise LessonError(f"{bundle}: {FOLDER}/{lesson.array.path} holds what no image yields: {_ADVICE}")
    return rows.reshape(lesson.rows, lesson.dim), radii


def write_content(bundle: Path, data: bytes, suffix: str) -> FileRecord:
    """Write a lesson's file under a name made of its content; nobody sees it before the lesson lists it.

    Raises:
        OutputError: it can't be written.
    """
    digest = hashlib.sha256(data).hexdigest()
    folder = bundle / FOLDER
    with growing_folder(folder):
        write_file(folder / f"{digest[:32]}{suffix}", data)
    return FileRecord(f"{digest[:32]}{suffix}", len(data), digest)


def write_lesson(bundle: Path, lesson: Lesson) -> bool:
    """Put a lesson into the chain, its files being there; False where another has come before it.

    Raises:
        OutputError: it can't be written.
    """
    folder = bundle / FOLDER
    with growing_folder(folder):
        return add_file(folder / f"{lesson.number:04d}.json", _rendered(lesson))


@contextmanager
def only_teacher(bundle: Path) -> Iterator[None]:
    """Keep other teachers of a bundle waiting until the block ends, and leave nothing that no lesson lists.

    What killed teachers left is removed before the block, and what it wrote itself where it raises. On a disk
    without locks nobody waits, and nothing is removed.

    Raises:
        OutputError: another teacher isn't done in time.
    """
    held = _locked(bundle)
    try:
        if held is not None:
            _remove_unlisted(bundle / FOLDER)
        yield
    except BaseException:
        if held is not None:
            _remove_unlisted(bundle / FOLDER)
        raise
    finally:
        unlock(held)


def _locked(bundle: Path) -> int | None:
    ends = time.monotonic() + TEACHER_SECONDS
    while True:
        try:
            return lock(bundle.resolve())  # a link to a bundle is that bundle
        except OSError as error:
            if time.monotonic() > ends:
                raise OutputError(
                    f"{bundle}: another process has been teaching it for {TEACHER_SECONDS} s "
                    f"({error.strerror}); wait until it's done, and teach again"
                ) from error
        time.sleep(0.02)


def _remove_unlisted(folder: Path) -> None:
    with suppress(OSError):
        names = {file.name for file in folder.iterdir()}
        lessons = [(folder / name).read_text("utf-8", "replace") for name in names if _LESSON.fullmatch(name)]
        for name in filter(_CONTENT.fullmatch, names):
            if not any(name in lesson for lesson in lessons):
                (folder / name).unlink()
        if not lessons:
            folder.rmdir()  # unless something else is in it


def _rendered(lesson: Lesson) -> bytes:
    """The lesson's file."""
    text = json.dumps(plain(lesson), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


__all__ = [
    "CAPACITY",
    "FOLDER",
    "MAX_LESSONS",
    "MAX_LESSON_BYTES",
    "Lesson",
    "Lessons",
    "only_teacher",
    "read_file",
    "read_lessons",
    "rows_of",
    "write_content",
    "write_lesson",
]
