"""Running a graph for a check: on each engine that is installed, and in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgead.discovery import ALLOW_LIST
from edgead.errors import CompileError, one_line
from edgead.extras import install
from edgead.leftovers import scratch_folder
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_as_honoured
from edgead.runtime.own_engines import OWN, is_installed
from edgead.runtime.session import Outputs, Session
from edgead.testing.check import CheckFailed, Skipped
from edgead.types import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

ENGINES = {name: OWN[name].title for name in ("onnxruntime", "openvino")}
"""edgead's own, which every graph must run on; the reference engine first."""
RANDOM = (
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
)
AGREEMENT = 1e-3
"""How far two engines may be apart in FP32, as a share of the largest value."""


def installed_engines() -> list[str]:
    """Engines that are installed here; the reference engine first."""
    return [engine for engine in ENGINES if is_installed(engine)]


@contextmanager
def opened(graph: onnx.ModelProto, engine: str) -> Iterator[Session]:
    """Compile a graph for an engine; raises CheckFailed with the engine's words where it can't."""
    import onnx

    with scratch_folder() as folder:
        file = folder / "model.onnx"
        onnx.save(graph, file)
        try:
            session = open_as_honoured(file, engine, EngineOptions(threads=2))
        except CompileError as error:
            raise CheckFailed(
                f"{ENGINES[engine]} can't run this graph: {error}; compose it of operators that both engines "
                f"have (it uses {', '.join(operators(graph))})"
            ) from error
        yield session


def operators(graph: onnx.ModelProto) -> list[str]:
    """The operators of a graph, sorted."""
    return sorted({node.op_type for node in graph.graph.node})


def outputs_by_engine(graph: onnx.ModelProto, images: Iterable[Image]) -> dict[str, list[Outputs]]:
    """What each installed engine makes of the images; raises CheckFailed where one can't."""
    images = list(images)
    found = {}
    for engine in installed_engines():
        with opened(graph, engine) as session:
            found[engine] = [session(image[None]) for image in images]
    return found


def require_agreement(graph: onnx.ModelProto, images: Iterable[Image], tolerance: float = AGREEMENT) -> None:
    """Fail where both engines yield other numbers for the same images; skip where only one is installed."""
    engines = installed_engines()
    if len(engines) < 2:
        raise Skipped(f"one engine is installed; for both: {install('all')}")
    found = outputs_by_engine(graph, images)
    for one, other in zip(*(found[engine] for engine in engines), strict=True):
        for name in one:
            off = apart(one[name], other[name])
            if not off <= tolerance:
                raise CheckFailed(
                    f"{' and '.join(ENGINES.values())} are {off:.2%} of the largest value apart in "
                    f"'{name}', {tolerance:.2%} is allowed: find the operator that they take differently (a "
                    "division by almost nothing? a difference of large numbers? ties?)"
                )


def apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Largest difference as a share of the largest value; infinite where anything isn't finite."""
    difference = np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0)
    scale = np.abs(other.astype(np.float64)).max(initial=0.0)
    if not (np.isfinite(difference) and np.isfinite(scale)):
        return float("inf")
    return float(difference / max(scale, 1e-6))


# ---------------------------------------------------------------- another process

_HIDE = """
import sys
class Hidden:
    def find_spec(self, name, *rest):
        if name.partition('.')[0] in {hidden!r}:
            raise ModuleNotFoundError('hidden by the check', name=name)
sys.meta_path.insert(0, Hidden())
"""


def in_another_process(
    code: str, hidden: Sequence[str] = (), variables: Mapping[str, str] = MappingProxyType({})
) -> Any:
    """Run Python code in a fresh process with this one's ``sys.path`` and no third-party plugin allowed.

    Args:
        code: its last line printed is JSON.
        hidden: top-level packages that can't be imported there.
        variables: of its environment, beside this process's own.

    Raises:
        CheckFailed: it failed; with the last line of its error.
    """
    path = os.pathsep.join(p for p in sys.path if p)
    environment = dict(os.environ) | {"PYTHONPATH": path, ALLOW_LIST: ""} | dict(variables)
    done = subprocess.run(
        [sys.executable, "-c", _HIDE.format(hidden=tuple(hidden)) + code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise CheckFailed(one_line(done.stderr or f"exit code {done.returncode}", "last"))
    return json.loads(done.stdout.splitlines()[-1])


__all__ = [
    "AGREEMENT",
    "ENGINES",
    "RANDOM",
    "apart",
    "in_another_process",
    "installed_engines",
    "opened",
    "operators",
    "outputs_by_engine",
    "require_agreement",
]
