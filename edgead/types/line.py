"""What an inspection line is made of: where images come from, and where verdicts go.

Sources and sinks each run in a process of their own; see ``edgead.line``. Times are nanoseconds of
``time.monotonic_ns``, which all processes of a machine share and nobody sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from edgead.types.values import Region

Decision = Literal["accept", "reject"]
Why = Literal[
    "score", "deadline", "error", "crash", "overrun", "no-image", "uncorrelated", "no-judge", "stopped"
]
"""What a verdict rests on. ``score``: the model's. All others are the fail-safe's: ``deadline``, no score in
time; ``error``, judging raised or its score isn't finite; ``crash``, the judge's process ended; ``overrun``,
more images than can wait; ``no-image``, lost, incomplete or no camera; ``uncorrelated``, it isn't certain
which trigger an image belongs to; ``no-judge``, none is ready; ``stopped``, the line ended before."""
Role = Literal["verdict", "inform"]
"""``verdict``: what acts on it takes part in the verdict, so that the line isn't ready without it.
``inform``: may be late or miss some, which is counted."""


@dataclass(frozen=True, eq=False)
class Grab:
    """What a camera gave for one trigger.

    Attributes:
        image: (H, W, 3) uint8 BGR, (H, W) uint8 or (H, W) uint16, any strides; None where there's a problem.
            It's copied before the next ``read``, so its memory may be the camera's.
        frame_id: the camera's own count of triggers, one more for each whether its image came or not; never
            wrapped round. None where the camera doesn't count: a lost image is then seen by nobody.
        camera_ns: the camera's own time stamp in ns, or None.
        encoder: the encoder's count at the trigger, or None.
        problem: why there's no image, or none to be judged: an incomplete buffer for instance. Else None.
        depth: significant bits of a uint16 image, 9 to 16; None where the camera doesn't say. A bundle that
            learned another depth doesn't judge it.
    """

    image: NDArray[Any] | None
    frame_id: int | None = None
    camera_ns: int | None = None
    encoder: int | None = None
    problem: str | None = None
    depth: int | None = None


@dataclass(frozen=True)
class Times:
    """When what happened to one trigger, in ns of the monotonic clock; None for what didn't happen.

    Attributes:
        trigger: the trigger; where the image is the first that's known of it, when that was there.
        grab: the image was there.
        judged: the judge's answer was there.
        sent: the verdict was handed to this sink.
    """

    trigger: int
    grab: int | None = None
    judged: int | None = None
    sent: int | None = None


@dataclass(frozen=True)
class Verdict:
    """The one verdict on one trigger.

    Attributes:
        run: the line's start that it's of, 16 hexadecimal digits: triggers count from 1 in each.
        trigger: unique in a run, 1 and up.
        part: what the trigger's sender called it; where nobody did, the camera's frame id or count.
        camera: whose image.
        decision: ``accept`` or ``reject``.
        why: ``score``, or why it's the fail-safe's.
        score, threshold: image score and the threshold that it was compared with; None without a score.
        regions: anomalous regions in the image's own pixels, the highest peak first, at most 16.
        bundle: SHA-256 of the manifest that judged or would have, in hexadecimal digits; None before that's
            known.
        times: when what happened.
        encoder: the encoder's count at the trigger, or None.
        frame_id: the camera's count at the trigger, or None.
    """

    run: str
    trigger: int
    part: str
    camera: str
    decision: Decision
    why: Why
    score: float | None
    threshold: float | None
    regions: tuple[Region, ...]
    bundle: str | None
    times: Times
    encoder: int | None = None
    frame_id: int | None = None


@dataclass(frozen=True)
class Health:
    """How a sink is.

    Attributes:
        ok: whether it does what it should.
        detail: one line for people; empty where there's nothing to say.
        counts: what it counts, by name: what was dropped, clients, and the like.
    """

    ok: bool
    detail: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


class Source(Protocol):
    """A camera, or what stands for one. Made as ``factory(options)``, which opens nothing.

    It lives in one thread of a process of its own. After ``DeviceError`` it's closed, and opened again after
    a pause.
    """

    Options: ClassVar[type]
    """A frozen dataclass with a default for every field; see ``edgead.options``."""

    def open(self) -> None:
        """Begin to take triggers; nothing from before is given by ``read``.

        Raises:
            edgead.errors.DeviceError: it isn't there, or can't be used.
        """
        ...

    def read(self, timeout: float) -> Grab | None:
        """Return the next trigger's image, or None where none came in so many seconds.

        Raises:
            edgead.errors.DeviceError: the camera is gone.
        """
        ...

    def close(self) -> None:
        """Let go of everything; also before ``open``, and twice. Never raises."""
        ...


@dataclass(frozen=True)
class SeenCamera:
    """A camera that a source could open.

    Attributes:
        name: what it's called to people, one line.
        options: the source's options that choose it.
        about: what else is known, text by name: vendor, model, serial, address and the like.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Discovers(Protocol):
    """A source that can tell which cameras are there. Optional; ``edgead line cameras`` shows them."""

    def cameras(self) -> Sequence[SeenCamera]:
        """Look for cameras, in bounded time; called where it isn't open. None of them is changed by it.

        Raises:
            edgead.errors.DeviceError: it can't look.
        """
        ...


class Sink(Protocol):
    """What verdicts go to. Made as ``factory(options)``, which opens nothing.

    It lives in one thread of a process of its own. After ``OutputError`` from ``open`` or ``beat``, and with
    the role ``verdict`` from ``send``, it's closed, and opened again after a pause; what was said meanwhile
    is never given to it.
    """

    Options: ClassVar[type]
    """A frozen dataclass with a default for every field; see ``edgead.options``."""

    roles: ClassVar[tuple[Role, ...]]
    """The roles that it can have, the usual first."""

    def open(self) -> None:
        """Connect, or listen, with the output at its fail-safe level.

        Raises:
            edgead.errors.OutputError: it can't.
        """
        ...

    def send(self, verdict: Verdict) -> None:
        """Put a verdict out, in bounded time: within the line's ``send_ms``, or the process is killed.

        Raises:
            edgead.errors.OutputError: it couldn't, or isn't open.
        """
        ...

    def beat(self, ready: bool) -> None:
        """Told several times a second whether the line is ready; where not, put the output at its fail-safe
        level. A heartbeat counts up here: it stops where the line does.

        Raises:
            edgead.errors.OutputError: it couldn't.
        """
        ...

    def health(self) -> Health:
        """How it is, at once."""
        ...

    def close(self) -> None:
        """Put the output at its fail-safe level and let go; also before ``open``, and twice. Never raises."""
        ...


@runtime_checkable
class TellsTriggers(Protocol):
    """A sink whose other side also says when a part is triggered, a PLC for instance. Optional.

    Cameras with ``trigger = "plc"`` have their triggers from it.
    """

    def on_trigger(self, told: Callable[[str | None], None]) -> None:
        """Called once, before ``open``: call ``told`` at each trigger, from any thread.

        Args:
            told: takes the part's name, or None where it has none; at most 64 characters. It never waits.
        """
        ...


__all__ = [
    "Decision",
    "Discovers",
    "Grab",
    "Health",
    "Role",
    "SeenCamera",
    "Sink",
    "Source",
    "TellsTriggers",
    "Times",
    "Verdict",
    "Why",
]
