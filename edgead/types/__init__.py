"""The frozen records and protocols that cross a plugin line: plain values, nothing that does work.

Five subjects: values, what makes a method, what makes a target, what makes a data set, what makes a line.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

from edgead.types.data import GOOD, Layout, Sample, Split
from edgead.types.line import (
    Decision,
    Discovers,
    Grab,
    Health,
    Role,
    SeenCamera,
    Sink,
    Source,
    TellsTriggers,
    Times,
    Verdict,
    Why,
)
from edgead.types.method import (
    Backbone,
    ChecksCompute,
    ChoosesImageScore,
    Compute,
    Defect,
    FeatureInfo,
    Features,
    FitsFolds,
    FittedScorer,
    FittingData,
    GivesNotices,
    InBulk,
    InNumpy,
    InputSpec,
    KeepsNodesInFloat,
    KeepsPart,
    LearningData,
    LearnsDefects,
    LearnsPositions,
    LinearMap,
    Method,
    PostProcessor,
    Refittable,
    Scorer,
    Scores,
    Trainable,
    TrainingData,
)
from edgead.types.target import Artifact, CarriesImages, Exporter, TimedElsewhere
from edgead.types.values import (
    PRECISIONS,
    Arithmetic,
    BankPrecision,
    Image,
    Placement,
    Precision,
    Prediction,
    Progress,
    Region,
    Resize,
    Size,
)


class Register(Protocol):
    """What a hook is handed."""

    def __call__(self, name: str, factory: str | Callable[..., Any], summary: str = "") -> None:
        """Name a factory, given as a callable or as ``"package.module:Name"``.

        Args:
            name: what the user types.
            summary: one line for the lists.
        """
        ...


_RENAMED = {"Training": FittingData, "Examples": TrainingData}
"""Names of plugin API 1 that go on working: each record is named after the verb that gets it now."""


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module 'edgead.types' has no attribute '{name}'")
    new = _RENAMED[name]
    warnings.warn(f"edgead.types.{name} is {new.__name__} now; import that", DeprecationWarning, stacklevel=2)
    return new


__all__ = [
    "GOOD",
    "PRECISIONS",
    "Arithmetic",
    "Artifact",
    "Backbone",
    "BankPrecision",
    "CarriesImages",
    "ChecksCompute",
    "ChoosesImageScore",
    "Compute",
    "Decision",
    "Defect",
    "Discovers",
    "Exporter",
    "FeatureInfo",
    "Features",
    "FitsFolds",
    "FittedScorer",
    "FittingData",
    "GivesNotices",
    "Grab",
    "Health",
    "Image",
    "InBulk",
    "InNumpy",
    "InputSpec",
    "KeepsNodesInFloat",
    "KeepsPart",
    "Layout",
    "LearningData",
    "LearnsDefects",
    "LearnsPositions",
    "LinearMap",
    "Method",
    "Placement",
    "PostProcessor",
    "Precision",
    "Prediction",
    "Progress",
    "Refittable",
    "Region",
    "Register",
    "Resize",
    "Role",
    "Sample",
    "Scorer",
    "Scores",
    "SeenCamera",
    "Sink",
    "Size",
    "Source",
    "Split",
    "TellsTriggers",
    "TimedElsewhere",
    "Times",
    "Trainable",
    "TrainingData",
    "Verdict",
    "Why",
]
