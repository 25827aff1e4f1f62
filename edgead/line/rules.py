"""What the arbiter goes by: a line's times and its fail-safe, and what it knows of each camera."""

from __future__ import annotations

from dataclasses import dataclass

from edgead.types import Decision

STANDBY = 2
"""Judges for each camera: the active one, and one that stands by."""


@dataclass(frozen=True)
class Rules:
    """What the arbiter goes by, times in ns.

    Attributes:
        run: names this start in every verdict.
        deadline: from a trigger to its verdict.
        failsafe: what is said where there's no score in time.
        stops: whether such a verdict takes the line's readiness away for good.
        hung: how long a judge may have an image until it's killed, ``deadline`` or more.
    """

    run: str
    deadline: int
    failsafe: Decision = "reject"
    stops: bool = False
    hung: int = 1_000_000_000


@dataclass(frozen=True)
class CameraRules:
    """What the arbiter knows of one camera.

    Attributes:
        name: unique.
        told: whether triggers are told of by another than the camera.
        window: how far a trigger and its image may be apart where they're told of, ns.
        queue: images that may wait for the judge.
    """

    name: str
    told: bool = False
    window: int = 0
    queue: int = 2

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of the judges that it begins with; others follow where the bundle is changed."""
        return tuple(f"{self.name}/{number}" for number in range(STANDBY))


def camera_of(judge: str) -> str:
    """The camera whose judge this is."""
    return judge.rpartition("/")[0]


__all__ = ["STANDBY", "CameraRules", "Rules", "camera_of"]
