"""What a target is: an exporter, and what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgead.types.values import Arithmetic, Precision

if TYPE_CHECKING:  # the workbench's; a camera hasn't it
    import onnx


@dataclass(frozen=True)
class Artifact:
    """What an exporter wrote.

    Attributes:
        model: file name of the model, relative to the folder.
        files: every file it wrote, relative to the folder.
        engine: the engine that runs it, as ``edgead.runtime.engines.open_session`` knows it.
        engine_precision: the arithmetic that the engine may use for what isn't quantised: f32 or bf16.
    """

    model: str
    files: tuple[str, ...]
    engine: str
    engine_precision: Arithmetic = "f32"


class Exporter(Protocol):
    """Compiles the one graph for a target.

    Attributes:
        target: the name on the command line.
        precisions: the forms that the target can run, the fastest first.
    """

    target: str
    precisions: Sequence[Precision]

    def compile(self, graph: onnx.ModelProto, precision: Precision, folder: Path) -> Artifact:
        """Write the graph of this precision into ``folder``; raises ``CompileError`` where it can't."""
        ...


@runtime_checkable
class CarriesImages(Protocol):
    """An exporter whose bundles may take more held-out images along, for a check on the device.

    Attributes:
        carries_images: whether they do.
    """

    carries_images: bool


@runtime_checkable
class TimedElsewhere(Protocol):
    """An exporter for which this machine's latencies may say nothing, so that none are taken.

    Attributes:
        timed_here: False where they say nothing about the target's: the first form that passes is taken.
    """

    timed_here: bool


__all__ = ["Artifact", "CarriesImages", "Exporter", "TimedElsewhere"]
