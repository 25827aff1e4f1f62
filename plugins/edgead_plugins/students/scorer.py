"""Uninformed Students' scorer: how wrong the students are about the teacher, and how much they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import TrainingError
from edgead.notices import Notice
from edgead.types import Backbone, BankPrecision, FittingData, Scores, TrainingData
from edgead.workbench.graph import parameter, static_shape
from edgead_plugins.layers import deepest_unless
from edgead_plugins.students.options import ERROR, STUDENTS, TEACHER, VARIANCE, StudentsOptions, held_out
from edgead_plugins.trains import TrainsNetwork
from edgead_plugins.usual import by_position, whole


class UninformedStudents(TrainsNetwork):
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    Options: ClassVar[type] = StudentsOptions

    def __init__(self, options: StudentsOptions | None = None) -> None:
        self.options = options or StudentsOptions()

    def train(self, data: TrainingData) -> Backbone:
        """Train the teachers, unless there are some, and the students; what comes back holds both.

        Raises:
            OptionError: the backbone can't be run in torch or lacks the layer, the teacher's file can't be
                used, or patches don't fit into the images.
            DatasetError: there are no pictures for the teacher.
            TrainingError: a loss isn't finite, or the teacher says the same everywhere.
            OutputError: the teacher can't be written.
            MissingDependencyError: torch isn't installed.
        """
        layer = deepest_unless(self.options.layer, data.backbone, "uninformed-students")
        from edgead_plugins.students.fitting import train_students

        return train_students(data, layer, self.options)

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """Teacher and students of every scale."""
        return list(backbone.feature_info)

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """Of each scale, regression error and predictive variance (1, 1, h, w).

        With t the teacher's descriptor, y_i the students' and m their mean: |m - t|^2, and the mean of
        |y_i - m|^2, which is the mean of |y_i|^2 less |m|^2 without the difference of large numbers. A single
        student has no variance.
        """
        found = {}
        for name in maps:
            if not name.startswith(TEACHER):
                continue
            scale = name.removeprefix(TEACHER)
            teacher, students = maps[name], maps[f"{STUDENTS}{scale}"]
            _, d, h, w = static_shape(teacher)
            count = static_shape(students)[1] // d
            each = op.reshape(students, op.const([count, d, h, w]))
            mean = op.reduce_mean(each, op.const([0]), keepdims=1)
            wrong = op.sub(mean, teacher)
            found[f"{ERROR}{scale}"] = op.reduce_sum(op.mul(wrong, wrong), op.const([1]), keepdims=1)
            if count > 1:
                apart = op.sub(each, mean)
                squares = op.reduce_sum(op.mul(apart, apart), op.const([0, 1]), keepdims=1)
                found[f"{VARIANCE}{scale}"] = op.div(squares, op.const(np.float32(count)))
        return found

    def fit(self, data: FittingData) -> FittedStudents:
        """Measure what's usual: mean and deviation of errors and variances on the images held out.

        Raises:
            TrainingError: they're the same everywhere.
        """
        held = held_out(data.n_images, self.options.heldout, data.seed)
        sums = {name: np.zeros((2, h, w)) for name, (_, h, w) in data.shapes.items()}
        images = (image for image, counts in zip(data.images(), held, strict=True) if counts)
        with data.progress("measuring held-out images", int(held.sum())) as advance:
            for maps in data.embed(images):
                for name, value in maps.items():
                    values = value[0].astype(np.float64)
                    sums[name] += values, np.square(values)
                advance(1)
        moments = {name: each / held.sum() for name, each in sums.items()}
        usual = {}
        for name, (first, second) in moments.items():
            mean, deviation = whole(first, second)
            if not deviation.item() > 1e-12 * max(1.0, mean.item()):
                raise TrainingError(
                    f"uninformed-students: '{name}' is {mean.item():.3g} at every position of the images "
                    "held out: train for longer with -o steps"
                )
            usual[name] = mean, deviation
            if self.options.usual == "position":
                usual[name] = by_position(first, second, int(held.sum()))
        weights = {name: 1.0 if name.startswith(ERROR) else self.options.variance_weight for name in usual}
        provenance = data.backbone.provenance
        facts: dict[str, Any] = {
            "usual": {name: {"mean": _mean(m), "deviation": _mean(d)} for name, (m, d) in usual.items()},
            "held_out": int(held.sum()),
            "raised_by": _raised_by(usual, weights),
            **{key: provenance[key] for key in REPORTED if key in provenance},
        }
        notices = [Notice("students-one-image", {"images": 1}, ONLY_ONE)] if data.n_images == 1 else []
        return FittedStudents(usual, weights, self.options.image_score, facts, notices)


REPORTED = ("training", "loss", "teacher", "trained_on")
"""What the facts repeat of the trained network's provenance."""
ONLY_ONE = "one image to learn from: errors are measured on the image that the students know; give more"

Usual = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Mean and deviation by map, (1, 1) for a whole one or (h, w) by position."""


@dataclass(frozen=True)
class FittedStudents:
    """What's usual of each map, how much it counts, which image score, facts and notices."""

    usual: Usual
    weights: Mapping[str, float]
    image_score: Literal["max", "mean"]
    facts: Mapping[str, Any]
    notices: Sequence[Notice] = ()

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``.

        The map is the mean over the scales of z_e + z_v, z = (value - mean) / deviation, and raised.
        """
        patch, scales = None, _scales(self.usual)
        offset = np.full((1, 1), _raised_by(self.usual, self.weights))
        for name, (mean, deviation) in self.usual.items():
            factor = self.weights[name] / (deviation * scales)
            offset = offset - mean * factor
            if self.weights[name]:
                part = op.mul(maps[name], parameter(f"{name}_factor", _as_map(factor)))
                patch = part if patch is None else op.add(patch, part)
        assert patch is not None
        if offset.size > 1:  # one mean for all positions is just what the map is raised by
            patch = op.add(patch, parameter("usual_offset", _as_map(np.maximum(offset, 0))))
        if self.image_score == "max":
            return Scores(patch=patch)
        mean_of_map = op.reduce_mean(patch, op.const([1, 2, 3]), keepdims=0)
        return Scores(patch=patch, image=op.reshape(mean_of_map, op.const([1])))


def _scales(usual: Usual) -> int:
    return sum(name.startswith(ERROR) for name in usual)


def _raised_by(usual: Usual, weights: Mapping[str, float]) -> float:
    """What the map is raised by, so that no score is below 0: no error or variance is."""
    least = sum(weights[name] * mean / deviation for name, (mean, deviation) in usual.items())
    return float(np.max(least)) / _scales(usual)


def _as_map(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)[None, None]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


__all__ = ["FittedStudents", "UninformedStudents"]
