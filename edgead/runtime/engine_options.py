"""What an engine is asked for beside a model: one record, validated here and nowhere else.

Two kinds of option, and one rule for each, so that none is dropped in silence:

* ``device``, ``threads`` and ``cores`` say where the work is done, ``outputs`` what else is wanted of it. An
  engine that can't keep to one refuses it: it's an ``OptionError`` before anything is opened.
* ``precision``, ``throughput`` and ``cache`` allow an engine something. One that makes no use of it is right
  all the same, and the log says so: a warning, but for ``throughput`` at INFO, since edgead itself asks for
  it of whatever engine there is.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgead.errors import OptionError

if TYPE_CHECKING:
    from edgead.types import Arithmetic

MOST_CORES = 4096
DEMANDS = ("device", "threads", "cores", "outputs")
"""Options that an engine keeps to or refuses."""
ALLOWANCES = ("precision", "throughput", "cache")
"""Options that an engine may leave unused, which is said."""
MOST_THREADS = 1024
"""An engine that's given many more hangs while it makes them."""


@dataclass(frozen=True)
class EngineOptions:
    """What a session is opened with; every default is the engine's own choice.

    Raises:
        OptionError: a value is of the wrong type or out of range.
    """

    device: str = "auto"
    """The engine's name of a device, ``auto`` for the one that it takes by itself (the CPU)."""
    precision: Arithmetic = "f32"
    """The arithmetic allowed where the graph itself isn't quantised: ``f32``, or ``bf16``."""
    threads: int | None = None
    """CPU threads, 1 to 1024; None for as many as ``cores``, or all of the machine's."""
    throughput: bool = False
    """Prefer many images a second over a short latency."""
    cache: bool = False
    """Keep the compiled graph in the user's cache for the next start."""
    cores: Sequence[int] | None = None
    """Logical processors, as ``taskset`` and ``lscpu`` count them, that all work is done on; None for any.
    Kept as a tuple, each once."""
    outputs: tuple[str, ...] = ()
    """Names of the graph's tensors that are to be outputs besides its own, behind them and in this order."""

    def __post_init__(self) -> None:
        if not isinstance(self.device, str) or not self.device:
            raise OptionError(f"device {self.device!r} must be a device's name, or 'auto'")
        if self.precision not in ("f32", "bf16"):
            raise OptionError(f"precision {self.precision!r} isn't an engine's arithmetic: f32 or bf16")
        threads = whole("threads", self.threads)
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise OptionError(f"threads {threads} must be at least 1 and at most {MOST_THREADS}")
        object.__setattr__(self, "threads", threads)
        for name in ("throughput", "cache"):
            value = getattr(self, name)
            if value not in (True, False):
                raise OptionError(f"{name} {value!r} must be True or False")
            object.__setattr__(self, name, bool(value))
        if not isinstance(self.outputs, tuple) or not all(n and isinstance(n, str) for n in self.outputs):
            raise OptionError(f"outputs {self.outputs!r} must be a tuple of tensors' names")
        if self.cores is not None:
            object.__setattr__(self, "cores", _cores(self.cores))

    @property
    def thread_count(self) -> int | None:
        """``threads``, else as many as ``cores``, else None: the engine chooses."""
        return self.threads or (None if self.cores is None else len(self.cores))

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the options that aren't at their default, in order."""
        fields = dataclasses.fields(self)
        return tuple(field.name for field in fields if getattr(self, field.name) != field.default)

    def only(self, honoured: Collection[str]) -> EngineOptions:
        """The same with every option that isn't among these at its default."""
        kept = {name: getattr(self, name) for name in self.asked if name in honoured}
        return EngineOptions(**kept)


def whole(name: str, value: Any) -> int | None:
    """A whole number or None, whatever integer type it came in.

    Raises:
        OptionError: it's anything else; the message starts with the name.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return None if value is None else operator.index(value)
    except TypeError:
        raise OptionError(f"{name} {value!r} must be a whole number") from None


def _cores(cores: Any) -> tuple[int, ...]:
    if isinstance(cores, str) or not isinstance(cores, Sequence):
        raise OptionError(f"cores {cores!r} must be a list of processor cores, [2, 3] for instance")
    if len(cores) > MOST_CORES:
        raise OptionError(f"cores: {len(cores)} of them, no machine has more than {MOST_CORES}")
    numbers = tuple(dict.fromkeys(operator.index(core) for core in cores if whole("cores", core) is not None))
    if not numbers or min(numbers) < 0:
        raise OptionError(f"cores {list(cores)}: give the numbers of one core at least, [2, 3] for instance")
    return numbers


__all__ = ["ALLOWANCES", "DEMANDS", "MOST_THREADS", "EngineOptions", "whole"]
