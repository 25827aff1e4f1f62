"""What an engine is to edgead: it opens a model, and the session that it gives runs images.

Protocols alone. ``edgead.runtime.engines`` finds the engine by name and opens a session; each of edgead's own
two has a module of its own, and a plugin registers others by the hook ``edgead_register_engines``.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Generator, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.model_bytes import ModelBytes

Outputs = Mapping[str, NDArray[Any]]
"""A graph's outputs by name: a bundle's has ``score`` (1,) and ``anomaly_map`` (1, 1, H, W), float32."""


@runtime_checkable
class Pending(Protocol):
    """An image that was started. One that nobody waits for is run all the same, and its outputs dropped."""

    @property
    def done(self) -> bool:
        """Whether ``wait`` returns or raises at once."""
        ...

    def wait(self, timeout: float | None = None) -> Outputs:
        """Return the outputs, the caller's to keep; waiting again returns the same.

        Args:
            timeout: seconds, 0 or more; None waits as long as it takes.

        Raises:
            TimedOutError: it isn't done yet: it goes on, and may be waited for again.
            InferenceError: the engine failed on it; waiting again raises it again.
        """
        ...


@runtime_checkable
class Session(Protocol):
    """One compiled graph. Several threads may use it at once; each gets its own images' outputs."""

    engine: str
    """The registered name of the engine."""
    version: str
    """The version of what computes, empty where it has none: another one is proven anew."""
    device: str
    """The engine's name of the device that it runs on."""
    runs_on: str
    """Engine and device, and why on nothing better where there's a choice, in one line."""
    input_shape: tuple[int, ...]
    """(1, H, W, 3)."""
    input_type: str
    """The type of the graph's image, in numpy's name: ``uint8``."""
    honours: Collection[str]
    """Names of the ``EngineOptions`` that make a difference for this model on this device; some of the
    engine's."""

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        """Run one image (1, H, W, 3) uint8; the outputs are the caller's to keep.

        Raises:
            InferenceError: the engine fails on it.
        """
        ...

    def start(self, image: NDArray[np.uint8]) -> Pending:
        """Start one image (1, H, W, 3) uint8, which is copied, and return at once.

        Several may be under way, from several threads; they may take turns.

        Raises:
            InferenceError: the engine doesn't take it; it may as well be raised by ``Pending.wait``.
        """
        ...

    def map(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        """Run many images for throughput; yields in the order given.

        Where ``images`` raises, the outputs of all that it gave before are yielded first.

        Raises:
            InferenceError: the engine fails on one; those before it have been yielded.
        """
        ...

    def execution(self) -> Mapping[str, int]:
        """Count convolutions and matrix products by the precision that they really run in: i8, bf16, f32.

        Empty where the engine doesn't tell.
        """
        ...


@runtime_checkable
class OwningSession(Protocol):
    """A session that can do without copies, too, as edgead's own two can; nobody else's needs to."""

    def start_owned(self, image: NDArray[np.uint8]) -> Pending:
        """As ``start``, of an image that nobody changes before its outputs are there: it isn't copied."""
        ...

    def map_owned(self, images: Iterable[NDArray[np.uint8]]) -> Generator[Outputs, None, None]:
        """As ``map``, of images that nobody changes before their outputs are yielded: none is copied."""
        ...


@runtime_checkable
class Engine(Protocol):
    """What runs graphs. Making one is cheap and imports nothing heavy: that's for ``open``."""

    name: str
    """The registered name."""
    reads: Collection[str]
    """Ends of the names of model files that it reads, ``.onnx`` for instance."""
    honours: Collection[str]
    """Names of the ``EngineOptions`` that it may make use of; see ``edgead.runtime.engine_options``."""

    def lacks(self) -> str | None:
        """None where it can be used here, else how to install what it lacks, as a command."""
        ...

    def open(self, model: ModelBytes, options: EngineOptions) -> Session:
        """Compile a model, in ``edgead.runtime.cores.pinned(options.cores)`` where it honours ``cores``.

        Args:
            model: whose name ends in one of ``reads``. It's the bytes that were checked against the bundle's
                hashes, so nothing of it is looked for on the disk; ``ModelBytes.as_files`` serves an SDK that
                takes paths only.
            options: none of ``device``, ``threads`` and ``cores`` is set that it doesn't honour.

        Raises:
            MissingDependencyError: its package isn't installed.
            DeviceError: it has no such device, or can't use it here.
            CompileError: it can't read or run the model.
        """
        ...


def members(protocol: type) -> list[str]:
    """The names of a protocol's members, ``__call__`` among them: what a plugin's object must have."""
    own = {name for name in vars(protocol) if not name.startswith("_") or name == "__call__"}
    return sorted(own | inspect.get_annotations(protocol).keys())


__all__ = ["Engine", "Outputs", "OwningSession", "Pending", "Session", "members"]
