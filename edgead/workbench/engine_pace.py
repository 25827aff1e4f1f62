"""What a model takes on one engine and on another: processor time on one core, in turns, and remembered.

As with the forms of one target (``edgead.workbench.choose``): other work on the machine hardly touches it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from edgead.bundle import Bundle
from edgead.carried import carried_image
from edgead.errors import EdgeadError, MissingDependencyError, one_line
from edgead.leftovers import scratch_folder
from edgead.machine import installed
from edgead.notices import Notice
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_as_honoured
from edgead.runtime.model_bytes import ModelBytes, model_of, read_model
from edgead.runtime.own_engines import OWN
from edgead.runtime.session import Session
from edgead.types import Arithmetic, Exporter, Precision
from edgead.workbench.choose import SAME_SPEED, processor_ms, remembered_ms
from edgead.workbench.graph_bytes import load_graph
from edgead.workbench.probes import held_out

log = logging.getLogger(__name__)

SECONDS = 0.5
"""Processor time that comparing engines may take; a few runs of each are made in any case."""


@dataclass(frozen=True)
class Model:
    """A compiled model, in memory.

    Attributes:
        data: its files' content.
        engine: what runs it.
        arithmetic: what the engine may use for what isn't quantised.
    """

    data: ModelBytes
    engine: str
    arithmetic: Arithmetic

    def open(self) -> Session:
        """A session of one thread."""
        return open_as_honoured(self.data, self.engine, EngineOptions(precision=self.arithmetic, threads=1))


@dataclass(frozen=True)
class Contender:
    """One form for one target.

    Attributes:
        precision: the form; the reference bundle has its graph.
        compiled: yields the model; it's asked only where nothing is remembered of such graphs.
    """

    precision: Precision
    compiled: Callable[[], Model]

    @staticmethod
    def of(bundle: Bundle) -> Contender:
        """What a compiled bundle holds."""
        told = bundle.manifest
        return Contender(told.precision, lambda: Model(model_of(bundle), told.engine, told.engine_precision))


def engines_ms(
    reference: Bundle, contenders: Mapping[str, Contender], seconds: float = SECONDS
) -> dict[str, float]:
    """Median processor time of one image on one core, milliseconds, by target; one alone isn't timed.

    Args:
        reference: the fitted bundle, which holds the graphs and an image.
        contenders: by target.
        seconds: processor time that it may take, about.
    """
    if len(contenders) < 2:
        return {}
    kept = reference.manifest.reference
    assert kept is not None, "only a fitted bundle has the graphs"

    def measure() -> dict[str, float]:
        sessions = {name: one.compiled().open() for name, one in contenders.items()}
        return processor_ms(sessions, carried_image(reference, held_out(reference)[0]), seconds)

    names = {name: kept.forms[one.precision] for name, one in contenders.items()}
    graphs = {name: load_graph(reference.read(file), file) for name, file in names.items()}
    versions = ", ".join(f"{engine} {installed(engine)}" for engine in OWN)
    return remembered_ms(graphs, versions, measure)


def faster_elsewhere(reference: Bundle, made: Bundle, others: Mapping[str, Exporter]) -> tuple[Notice, ...]:
    """Whether another target's engine runs the exported form faster on this machine, by over a tenth.

    It's the same form, compiled by the other exporter and timed beside the exported one; the other's gates
    aren't run. A target without the form, or whose engine isn't installed, is logged at INFO.

    Args:
        reference: the fitted bundle.
        made: what was exported of it.
        others: the other targets by name; those without that form are passed over.

    Returns:
        A notice on the fastest of the others, if it's faster, and one for each that couldn't be timed.
    """
    told = made.manifest
    form: Precision = told.precision
    found: dict[str, tuple[float, str]] = {}
    failed: list[Notice] = []
    for name, exporter in others.items():
        if form not in exporter.precisions:
            log.info("not timed beside target %s: it has no %s", name, form)
            continue
        other = Contender(form, partial(_compiled, exporter, reference, form))
        try:
            ms = engines_ms(reference, {told.target: Contender.of(made), name: other})
        except MissingDependencyError as error:
            log.info("not timed beside target %s: %s", name, error)
            continue
        except (EdgeadError, OSError) as error:  # what was asked for is written already
            failed.append(Notice("target-not-timed", {"other": name, "form": form, "reason": _reason(error)}))
            continue
        log.info("%s on one core in ms: %s", form, ms)
        if ms[told.target] > SAME_SPEED * ms[name]:
            found[name] = (ms[told.target] / ms[name], name)
    if not found:
        return tuple(failed)
    times, name = max(found.values())
    values = {"target": told.target, "other": name, "form": form, "times": times}
    return (Notice("target-faster", values), *failed)


def _reason(error: Exception) -> str:
    """What the error says, without the names of scratch folders."""
    return str(error.strerror or one_line(error)) if isinstance(error, OSError) else str(error)


def _compiled(exporter: Exporter, reference: Bundle, form: Precision) -> Model:
    kept = reference.manifest.reference
    assert kept is not None, "only a fitted bundle has the graphs"
    with scratch_folder() as folder:
        file = kept.forms[form]
        artifact = exporter.compile(load_graph(reference.read(file), file), form, folder)
        data = read_model(folder / artifact.model, artifact.files)
    return Model(data, artifact.engine, artifact.engine_precision)


__all__ = ["Contender", "Model", "engines_ms", "faster_elsewhere"]
