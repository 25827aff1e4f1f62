"""What lessons do to a verdict, in numpy, on a frame's patch embeddings and patch scores.

The graph stays as it is. *A false alarm's rows* join the normal bank: a position's patch score is its
distance to the nearest row of it, so it's lowered to the distance to the nearest taught row where that is
less. Only positions over ``level`` are looked at: the others are as unusual as good images' are. Map and
image score are made anew of the patch scores, by the post-processor's matrices and ``edgead.image_score``; of
a frame with no position lowered they are the graph's own, bit by bit. The paper's weighted score stays where
it's the highest patch score after as before, and else becomes that without a weight: never higher than it
was, and never more lenient than the plain maximum.

*A missed defect's rows* are a bank of their own, with a verdict of its own: a position within a row's radius,
and nearly as unusual as that was, makes the frame anomalous, whatever its score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle, Lesson
from edgead.bundle.taught import rows_of
from edgead.errors import InferenceError, LessonError
from edgead.image_score import PAPER, ImageScore, score_of
from edgead.manifest import ComposedMethod, TeachingRecord
from edgead.runtime.session import Outputs
from edgead.teaching import read_matrices, required

SIMILAR = 0.9
"""Share of a defect row's own patch score that a position's must reach to be compared with it."""

SMALL, PIECES = 1 << 18, 32
"""Multiplications that NumPy's BLAS does on the calling thread alone, and how many such pieces a product is
cut into at most: threads of its own, woken beside the engine's, cost more than they save. [OpenBLAS,
interface/gemm.c: SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD]"""

LESSON, SEEN = "lesson", "seen"
"""What outputs hold besides where lessons were applied already and one saw its defect: its number (1,), and
where, (1, 1, H, W) bool."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DefectRows:
    """The bank of missed defects.

    Attributes:
        rows: (m, dim) float32.
        radii: (m,) float32, at least 0.
        lessons: (m,) the number of each row's lesson.
        level: positions with a lower patch score are like none of them.
    """

    rows: Floats
    radii: Floats
    lessons: NDArray[np.int64]
    level: float


@dataclass(frozen=True)
class Judged:
    """What the lessons leave of a frame's outputs.

    Attributes:
        score: the image score.
        anomaly_map: (H, W) float32.
        lesson: the lesson whose missed defect is seen again, or None.
        seen: (H, W) bool, where; None with ``lesson``.
    """

    score: float
    anomaly_map: Floats
    lesson: int | None = None
    seen: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Taught:
    """A bundle's lessons as arrays, ready for frames; it keeps no state.

    Attributes:
        record: the bundle's.
        image_score: which number of the map the image score is.
        vertical, horizontal: (H, h) and (W, w) float32.
        rows: (n, dim) float32, of false alarms.
        level: positions with a lower patch score are left alone.
        defects: of missed defects.
    """

    record: TeachingRecord
    image_score: ImageScore
    vertical: Floats
    horizontal: Floats
    rows: Floats
    level: float
    defects: DefectRows

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the tensors that a session must give beside its own outputs."""
        return self.record.embedding, self.record.patch

    def apply(self, outputs: Outputs) -> Judged:
        """Judge by what was taught; the arrays given aren't changed."""
        patch, embedding = self._read(outputs)
        score, anomaly_map = float(outputs["score"][0]), outputs["anomaly_map"][0, 0]
        lowered = self._lowered(patch, embedding)
        if lowered is not None:
            anomaly_map = self._finished(lowered)
            score = self._score(score, patch, lowered, anomaly_map)
        lesson, seen = self._seen(patch, embedding)
        return Judged(score, anomaly_map, lesson, seen)

    def patches(self, outputs: Outputs) -> tuple[Floats, Floats]:
        """A frame's patch scores (h * w,), lowered by what was taught, and embeddings (h * w, dim)."""
        patch, embedding = self._read(outputs)
        lowered = self._lowered(patch, embedding)
        return patch if lowered is None else lowered, embedding

    def score_with(self, outputs: Outputs, patch: Floats) -> float:
        """The image score that a frame would have with these patch scores (h * w,), none of them raised."""
        own, before = float(outputs["score"][0]), self._read(outputs)[0]
        if np.array_equal(patch, before):
            return own
        return self._score(own, before, patch, self._finished(patch))

    def _finished(self, patch: Floats) -> Floats:
        """The map (H, W) of patch scores (h * w,)."""
        return product(product(self.vertical, patch.reshape(self.record.grid)), self.horizontal.T)

    def _read(self, outputs: Outputs) -> tuple[Floats, Floats]:
        patch, embedding = outputs[self.record.patch].reshape(-1), outputs[self.record.embedding]
        h, w = self.record.grid
        if patch.shape != (h * w,) or embedding.shape != (h * w, self.record.dim):
            raise InferenceError(
                f"the graph's tensors {' and '.join(self.outputs)} aren't of the bundle's shapes: "
                "export the bundle again"
            )
        return patch, embedding

    def _lowered(self, patch: Floats, embedding: Floats) -> Floats | None:
        """The patch scores with the taught rows in the bank; None where none is lowered."""
        if not len(self.rows):
            return None
        over = np.flatnonzero(patch > self.level)
        if not len(over):
            return None
        distance = nearest(embedding[over], self.rows)
        lower = distance < patch[over]
        if not lower.any():
            return None
        lowered = patch.copy()
        lowered[over[lower]] = distance[lower]
        return lowered

    def _score(self, own: float, patch: Floats, lowered: Floats, anomaly_map: Floats) -> float:
        """The image score of a map made anew; ``own`` is what the graph made of it."""
        if self.image_score.rule != "paper":
            score = score_of(lowered.reshape(self.record.grid), anomaly_map, own, self.image_score)
        elif self.record.own_score == "map-maximum":
            score = float(anomaly_map.max())
        else:
            highest = int(patch.argmax())
            kept = lowered[highest] == patch[highest]
            score = own if kept else float(lowered.max())
        return min(own, float(np.float32(score)))

    def _seen(self, patch: Floats, embedding: Floats) -> tuple[int | None, NDArray[np.bool_] | None]:
        """The lesson of the defect row that a position is nearest to, in shares of its radius; and where."""
        bank = self.defects
        if not len(bank.rows):
            return None, None
        like = np.flatnonzero(patch >= bank.level)
        if not len(like):
            return None, None
        share = distances(embedding[like], bank.rows) / np.maximum(bank.radii, np.finfo(np.float32).tiny)
        inside = share <= 1
        if not inside.any():
            return None, None
        place = np.zeros(patch.shape, bool)
        place[like[inside.any(1)]] = True
        lesson = int(bank.lessons[int(share.min(0).argmin())])
        return lesson, _enlarged(place.reshape(self.record.grid), len(self.vertical), len(self.horizontal))


def as_judged(outputs: Outputs) -> Judged:
    """What outputs say by themselves."""
    lesson = int(outputs[LESSON][0]) if LESSON in outputs else None
    seen = None if lesson is None else outputs[SEEN][0, 0]
    return Judged(float(outputs["score"][0]), outputs["anomaly_map"][0, 0], lesson, seen)


def taught(bundle: Bundle, lessons: Sequence[Lesson] | None = None) -> Taught:
    """A bundle's lessons as arrays.

    Args:
        lessons: those that count; the bundle's own active ones where None.

    Raises:
        TeachError: the bundle can't be taught.
        LessonError: a lesson's rows aren't of the bundle's size, or hold what no image yields.
    """
    record, method = required(bundle), bundle.manifest.method
    chosen = method.image_score if isinstance(method, ComposedMethod) else None
    vertical, horizontal = read_matrices(bundle)
    empty, none = np.empty((0, record.dim), np.float32), np.empty(0, np.float32)
    found = Taught(
        record,
        PAPER if chosen is None else chosen.image_score,
        vertical,
        horizontal,
        empty,
        np.inf,
        DefectRows(empty, none, np.empty(0, np.int64), np.inf),
    )
    for lesson in bundle.lessons.active if lessons is None else lessons:
        if lesson.rows:
            rows, radii = rows_of(lesson, bundle.read_taught(lesson.array), bundle.path)
            found = with_rows(found, lesson.number, rows, radii, lesson.level)
    return found


def with_rows(known: Taught, number: int, rows: Floats, radii: Floats, level: float) -> Taught:
    """The same with the rows of one more lesson; ``radii`` are empty for a false alarm's.

    Raises:
        LessonError: the rows are of another size.
    """
    if rows.shape[1:] != (known.record.dim,):
        raise LessonError(f"lesson {number} has rows of {rows.shape[1]} values, not {known.record.dim}")
    if not len(radii):
        return replace(known, rows=np.concatenate([known.rows, rows]), level=min(known.level, level))
    old = known.defects
    return replace(
        known,
        defects=DefectRows(
            np.concatenate([old.rows, rows]),
            np.concatenate([old.radii, radii]),
            np.concatenate([old.lessons, np.full(len(rows), number, np.int64)]),
            min(old.level, level),
        ),
    )


def nearest(queries: Floats, rows: Floats) -> Floats:
    """(n,) float32 Euclidean distance of each query (n, dim) to the nearest row, without cancellation."""
    index = _squares(queries, rows).argmin(1)
    difference = queries - rows[index]
    found: Floats = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found


def distances(queries: Floats, rows: Floats) -> Floats:
    """(n, m) float32 Euclidean distances of queries (n, dim) to rows (m, dim)."""
    squares = _squares(queries, rows) + np.einsum("ij,ij->i", queries, queries)[:, None]
    found: Floats = np.sqrt(np.maximum(squares, 0))
    return found


def product(one: Floats, other: Floats) -> Floats:
    """``one @ other``, a few rows at a time where it's small."""
    step = max(1, SMALL // other.size)
    found: Floats
    if step >= len(one) or len(one) > step * PIECES:
        found = one @ other
        return found
    found = np.empty((len(one), other.shape[1]), np.float32)
    for start in range(0, len(one), step):
        np.matmul(one[start : start + step], other, out=found[start : start + step])
    return found


def _squares(queries: Floats, rows: Floats) -> Floats:
    """|q - r|^2 - |q|^2, (n, m): one product ranks all rows."""
    products = product(queries, rows.T)
    products *= -2
    products += np.einsum("ij,ij->i", rows, rows)
    return products


def _enlarged(cells: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Cells (h, w) as pixels (height, width)."""
    rows = np.arange(height) * cells.shape[0] // height
    columns = np.arange(width) * cells.shape[1] // width
    pixels: NDArray[np.bool_] = cells[rows][:, columns]
    return pixels


__all__ = [
    "LESSON",
    "SEEN",
    "SIMILAR",
    "DefectRows",
    "Judged",
    "Taught",
    "as_judged",
    "distances",
    "nearest",
    "product",
    "taught",
    "with_rows",
]
