"""Checks of a target, on a small graph that is made up: one convolution, distances, and an INT8 product."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgead.errors import CompileError
from edgead.leftovers import scratch_folder
from edgead.plugins import registry
from edgead.registry import Entry
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import engine_names, open_as_honoured, open_session
from edgead.testing.check import CheckFailed, require
from edgead.testing.material import good_image
from edgead.testing.protocols import require_members
from edgead.testing.running import apart
from edgead.testing.small_graph import small_graph
from edgead.types import PRECISIONS, Artifact, Exporter, Precision

if TYPE_CHECKING:
    pass

APART: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.05, "mixed": 0.05, "bf16": 0.05}


def says_what_it_is(entry: Entry) -> None:
    """its ``target`` is the registered name, its ``precisions`` are known forms and FP32 is among them"""
    exporter = registry().get("exporters", entry.name)()
    require_members(exporter, Exporter)
    require(exporter.target == entry.name, f"its target is '{exporter.target}', registered is '{entry.name}'")
    unknown = [p for p in exporter.precisions if p not in PRECISIONS]
    require(not unknown, f"precisions {', '.join(unknown)} aren't known: they are {', '.join(PRECISIONS)}")
    require(
        "fp32" in exporter.precisions, "fp32 must be among its precisions: the others are held against it"
    )


def writes_what_it_lists(entry: Entry) -> None:
    """for each form it writes the files that its Artifact lists, the model among them, and no others"""
    known = engine_names()
    for precision in _exporter(entry).precisions:
        with _compiled(entry, precision) as (artifact, folder):
            written = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
            require(
                set(artifact.files) == written and artifact.model in written,
                f"{precision}: it lists {sorted(artifact.files)} with model '{artifact.model}', and writes "
                f"{sorted(written)}",
            )
            require(
                artifact.engine in known,
                f"{precision}: no engine is named '{artifact.engine}': {' or '.join(known)}",
            )


def same_bytes_twice(entry: Entry) -> None:
    """the same graph compiles to the same bytes"""
    for precision in _exporter(entry).precisions:
        digests = []
        for _ in range(2):
            with _compiled(entry, precision) as (artifact, folder):
                digests.append(
                    [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in artifact.files]
                )
        require(digests[0] == digests[1], f"{precision}: two compilations of one graph differ")


def agrees_with_the_reference(entry: Entry) -> None:
    """each compiled form, opened as a camera opens it, yields what ONNX Runtime makes of the graph"""
    image = good_image(0)[None]
    with scratch_folder() as scratch:
        file = scratch / "reference.onnx"
        file.write_bytes(small_graph().SerializeToString(deterministic=True))
        reference = open_session(file, "onnxruntime")(image)
    for precision in _exporter(entry).precisions:
        with _compiled(entry, precision) as (artifact, folder):
            options = EngineOptions(precision=artifact.engine_precision)
            session = open_as_honoured(folder / artifact.model, artifact.engine, options)
            outputs = session(image)
            del session
        for name in ("anomaly_map", "score"):
            require(name in outputs, f"{precision}: the compiled model has no output '{name}'")
            off, allowed = apart(outputs[name], reference[name]), APART[precision]
            require(
                off <= allowed, f"{precision}: '{name}' is {off:.2%} off the reference, {allowed:.2%} allowed"
            )


def leaves_the_graph_alone(entry: Entry) -> None:
    """compiling changes nothing of the graph that it's given"""
    graph = small_graph()
    before = graph.SerializeToString(deterministic=True)
    with scratch_folder() as folder:
        _exporter(entry).compile(graph, "fp32", folder)
    require(
        graph.SerializeToString(deterministic=True) == before, "compile() changes the graph: work on a copy"
    )


def refuses_what_it_cannot_compile(entry: Entry) -> None:
    """a graph with an operator that nobody has is a CompileError, from compiling or from opening"""
    graph = small_graph()
    graph.graph.node[0].op_type = "NoSuchOperator"
    with scratch_folder() as folder:
        try:
            artifact = _exporter(entry).compile(graph, "fp32", folder)
            open_session(folder / artifact.model, artifact.engine)
        except CompileError as error:
            require("\n" not in str(error), "its CompileError has several lines: say it in one")
            return
        except Exception as error:
            raise CheckFailed(
                f"it raises {type(error).__name__}: raise CompileError with one line"
            ) from error
    raise CheckFailed("a graph with an operator that doesn't exist is compiled and opened without a word")


def _exporter(entry: Entry) -> Any:
    return registry().get("exporters", entry.name)()


@contextmanager
def _compiled(entry: Entry, precision: Precision) -> Iterator[tuple[Artifact, Path]]:
    with scratch_folder() as folder:
        yield _exporter(entry).compile(small_graph(), precision, folder), folder


CHECKS = (
    says_what_it_is,
    writes_what_it_lists,
    same_bytes_twice,
    agrees_with_the_reference,
    leaves_the_graph_alone,
    refuses_what_it_cannot_compile,
)
