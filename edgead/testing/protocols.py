"""What the kit asks of a plugin's object, read off the protocols: a new member is asked for at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgead.notices import Notice
from edgead.registry import Kind
from edgead.runtime.session import Engine, OwningSession, Pending, Session, members
from edgead.testing.check import require
from edgead.types import (
    Backbone,
    CarriesImages,
    ChecksCompute,
    ChoosesImageScore,
    Discovers,
    Exporter,
    FitsFolds,
    FittedScorer,
    GivesNotices,
    InBulk,
    InNumpy,
    KeepsNodesInFloat,
    KeepsPart,
    Layout,
    LearnsDefects,
    LearnsPositions,
    LinearMap,
    PostProcessor,
    Refittable,
    Scorer,
    Sink,
    Source,
    TellsTriggers,
    TimedElsewhere,
    Trainable,
)

REQUIRED: Mapping[Kind, type] = {
    "backbones": Backbone,
    "scorers": Scorer,
    "postprocessors": PostProcessor,
    "exporters": Exporter,
    "engines": Engine,
    "layouts": Layout,
    "sources": Source,
    "sinks": Sink,
}
"""What a registered factory makes; a method is a record."""
YIELDED = (FittedScorer, Session, Pending)
"""What those make in turn: the checks of a method and of an engine ask for them."""


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, kind) for v in value)
    )


def _takes(count: int) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        if not callable(value):
            return False
        names = [name for name in inspect.signature(value).parameters if name != "self"]  # of a class, too
        return len(names) == count

    return holds


OPTIONAL: Mapping[type, tuple[str, Callable[[Any], bool]]] = {
    KeepsNodesInFloat: ("a sequence of names, and not one text", _is_list_of(str)),
    LearnsDefects: ("True or False", _is_flag),
    LearnsPositions: ("True or False", _is_flag),
    CarriesImages: ("True or False", _is_flag),
    TimedElsewhere: ("True or False", _is_flag),
    GivesNotices: ("a sequence of edgead.notices.Notice", _is_list_of(Notice)),
    Trainable: ("a method train(data)", _takes(1)),
    ChecksCompute: ("a method check_compute(compute)", _takes(1)),
    Refittable: ("a method refit(data)", _takes(1)),
    ChoosesImageScore: ("a method with_image_score(image_score)", _takes(1)),
    LinearMap: ("a method matrices(shape, size)", _takes(2)),
    InNumpy: ("a method in_numpy(maps)", _takes(1)),
    InBulk: ("a method in_bulk(images)", _takes(1)),
    KeepsPart: ("a method part(maps, data)", _takes(2)),
    FitsFolds: ("a method fit_folds(folds)", _takes(1)),
    Discovers: ("a method cameras()", _takes(0)),
    TellsTriggers: ("a method on_trigger(told)", _takes(1)),
    OwningSession: ("a method that takes an image, or images", _takes(1)),
}
"""What a plugin's object may have besides, and what it must be then."""


def require_members(thing: object, protocol: type) -> None:
    """Fail the check where a member is missing, or an optional one isn't what it must be."""
    lacking = [name for name in members(protocol) if not hasattr(thing, name)]
    name = thing.__name__ if isinstance(thing, type) else type(thing).__name__
    where = f"{protocol.__module__}.{protocol.__name__}"
    require(not lacking, f"{name} lacks {' and '.join(lacking)}; see {where}")
    for optional, (wanted, holds) in OPTIONAL.items():
        for member in members(optional):
            if hasattr(thing, member):
                value = getattr(thing, member)
                require(holds(value), f"its {member} is {value!r}: it must be {wanted}")


__all__ = ["OPTIONAL", "REQUIRED", "YIELDED", "require_members"]
