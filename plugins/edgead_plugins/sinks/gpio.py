"""GPIO lines as a line's sink: a pulse for each accept, and levels that are reject by themselves.

At rest the outputs say reject: an accept is the only thing that changes them, for the length of a pulse.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from edgead.errors import OptionError, OutputError, one_line
from edgead.extras import explained
from edgead.options import Range, check_options
from edgead.types import Health, Role, Verdict

if TYPE_CHECKING:
    from gpiod import LineRequest

LINES = ("accept", "reject", "ready", "beat")
OFFSET = Range(0, 1023)


@dataclass(frozen=True)
class GpioOptions:
    """Which lines of which chip, by their offsets, and the pulse."""

    chip: str = "/dev/gpiochip0"
    """The chip's device."""
    accept: Annotated[int, OFFSET] | None = None
    """Active for a pulse with each accept, inactive at rest."""
    reject: Annotated[int, OFFSET] | None = None
    """Active at rest, inactive for a pulse with each accept."""
    ready: Annotated[int, OFFSET] | None = None
    """Active while the line is ready."""
    beat: Annotated[int, OFFSET] | None = None
    """Changes with each beat of the line."""
    active_low: tuple[str, ...] = ()
    """Which of accept, reject, ready and beat are active where the voltage is low."""
    pulse_ms: Annotated[float, Range(0.1, 10_000)] = 20.0
    """How long a pulse is. Shorter than the time from one part to the next."""
    gap_ms: Annotated[float, Range(0.1, 10_000)] = 5.0
    """The rest at least before a pulse, where an accept comes during another's."""
    silent_ms: Annotated[float, Range(10, 600_000)] = 1000.0
    """Without the line's beat for so long the lines go to rest. Longer than beat_ms."""

    def __post_init__(self) -> None:
        check_options(self)
        given = [each for each in (self.accept, self.reject, self.ready, self.beat) if each is not None]
        if len(set(given)) != len(given):
            raise OptionError("options 'accept', 'reject', 'ready' and 'beat' name a line twice: keep one")
        if wrong := [name for name in self.active_low if name not in LINES]:
            raise OptionError(f"option 'active_low' takes {', '.join(LINES)}, not '{wrong[0][:20]}'")

    def offsets(self) -> dict[str, int]:
        """The lines that are used."""
        lines = {"accept": self.accept, "reject": self.reject, "ready": self.ready, "beat": self.beat}
        return {name: offset for name, offset in lines.items() if offset is not None}


class Gpio:
    """The lines. A thread ends the pulses, and takes the lines to rest where the line is silent."""

    Options: ClassVar[type] = GpioOptions
    roles: ClassVar[tuple[Role, ...]] = ("verdict", "inform")

    def __init__(self, options: GpioOptions | None = None) -> None:
        self.options = own = options or GpioOptions()
        self._offsets = own.offsets()
        self._pulse, self._gap, self._silent = own.pulse_ms / 1e3, own.gap_ms / 1e3, own.silent_ms / 1e3
        self._request: LineRequest | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._counts: Counter[str] = Counter()
        self._fault = ""
        self._rest()

    def _rest(self) -> None:
        self._ready = self._tick = False
        self._beaten = 0.0
        self._begins: float | None = None  # when the next pulse does
        self._ends: float | None = None  # when the running one does

    def open(self) -> None:
        """Take the lines, as they are at rest."""
        self.close()
        if "accept" not in self._offsets and "reject" not in self._offsets:
            raise OutputError(
                "gpio: no line says a verdict: give options 'accept' or 'reject' the line's offset"
            )
        with explained("the sink gpio"):
            import gpiod
            from gpiod.line import Direction, Value
        own, values = self.options, self._levels(False)
        try:
            self._request = gpiod.request_lines(
                own.chip,
                consumer="edgead",
                config={
                    offset: gpiod.LineSettings(
                        direction=Direction.OUTPUT,
                        active_low=name in own.active_low,
                        output_value=Value.ACTIVE if values[name] else Value.INACTIVE,
                    )
                    for name, offset in self._offsets.items()
                },
            )
        except (OSError, ValueError) as error:
            raise OutputError(
                f"gpio: {own.chip}: can't take lines {', '.join(map(str, self._offsets.values()))} "
                f"({one_line(error, 'message')}); gpioinfo says whether they're there and free"
            ) from error
        self._rest()
        self._fault = ""
        self._thread = threading.Thread(target=self._time, name="edgead-gpio", daemon=True)
        self._thread.start()

    def send(self, verdict: Verdict) -> None:
        """Begin a pulse with an accept; anything else ends a running one."""
        with self._changed:
            self._opened()
            now = time.monotonic()
            self._counts[verdict.decision] += 1
            if verdict.decision == "accept" and not self._is_ready(now):
                self._counts["withheld"] += 1
                return
            cut = self._ends is not None or self._begins is not None
            self._begins = self._ends = None
            if cut:
                self._counts["cut"] += 1
            if verdict.decision == "accept" and not cut:
                self._ends = now + self._pulse
            elif verdict.decision == "accept":
                self._begins = now + self._gap
            self._put()

    def beat(self, ready: bool) -> None:
        """Set the lines that say readiness and the beat; where it isn't ready all go to rest."""
        with self._changed:
            self._opened()
            self._ready, self._beaten, self._tick = ready, time.monotonic(), not self._tick
            if not ready:
                self._begins = self._ends = None
            self._put()

    def health(self) -> Health:
        """Accepts and rejects, and pulses that were cut short by the next verdict."""
        with self._changed:
            counts = dict(self._counts)
            if self._fault or self._request is None:
                return Health(False, self._fault or "not open", counts)
            lines = ", ".join(f"{name} on line {offset}" for name, offset in self._offsets.items())
            return Health(True, f"{self.options.chip}: {lines}", counts)

    def close(self) -> None:
        """Take the lines to rest, and release them."""
        with self._changed:
            request, self._request = self._request, None
            self._rest()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(1.0)
            self._thread = None
        if request is not None:
            try:
                self._set(request, self._levels(False))
            except (OSError, ValueError):  # the chip is gone
                pass
            finally:
                request.release()

    # ------------------------------------------------------------ how

    def _opened(self) -> None:
        if self._request is None:
            raise OutputError(f"gpio: {self._fault or f'{self.options.chip} is not open'}; open it first")

    def _is_ready(self, now: float) -> bool:
        return self._ready and now - self._beaten <= self._silent

    def _levels(self, pulse: bool) -> dict[str, bool]:
        ready = self._is_ready(time.monotonic())
        return {"accept": pulse, "reject": not pulse, "ready": ready, "beat": self._tick}

    def _put(self) -> None:
        """Set the lines as they should be now, and have the thread look when that changes."""
        assert self._request is not None
        try:
            self._set(self._request, self._levels(self._ends is not None))
        except (OSError, ValueError) as error:
            self._fault = f"{self.options.chip}: a line can't be set ({one_line(error, 'message')})"
            raise OutputError(f"gpio: {self._fault}; is the chip still there?") from error
        self._changed.notify()

    def _set(self, request: LineRequest, levels: dict[str, bool]) -> None:
        from gpiod.line import Value

        values: dict[int | str, Value] = {
            offset: Value.ACTIVE if levels[name] else Value.INACTIVE for name, offset in self._offsets.items()
        }
        request.set_values(values)

    def _time(self) -> None:
        """The thread: what is due at a time."""
        with self._changed:
            while self._request is not None and not self._fault:
                now = time.monotonic()
                due = [at for at in (self._begins, self._ends) if at is not None]
                if self._ready:
                    due.append(self._beaten + self._silent)
                if not due or (left := min(due) - now) > 0:
                    self._changed.wait(None if not due else left)
                    continue
                if self._begins is not None and self._begins <= now:
                    self._begins, self._ends = None, now + self._pulse
                elif self._ends is not None and self._ends <= now:
                    self._ends = None
                else:  # silent
                    self._ready, self._begins, self._ends = False, None, None
                try:
                    self._put()
                except OutputError:  # kept as the fault, which the next verdict or beat tells
                    return


__all__ = ["LINES", "Gpio", "GpioOptions"]
