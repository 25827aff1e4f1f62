"""Export: a reference bundle becomes a compiled one, through two gates.

Each form that the target can run is compiled and opened in the target's engine. *Parity* compares it with
the same graph in exact arithmetic; *precision* compares how well it separates good from synthetically
defective images with the FP32 form. ``auto`` takes the fastest form that passes both. Threshold and
precision gate use the calibration form, which hasn't learnt from the held-out images, on the same engine.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import edgead
from edgead.bundle import Bundle, write_bundle
from edgead.errors import CompileError, EngineError, GateError, InputError, ParityError, PrecisionError
from edgead.images import read_image
from edgead.manifest import ProbeRecord, ThresholdRecord
from edgead.notices import Notice
from edgead.processor import cpu
from edgead.resize import ResizeRule
from edgead.runtime.exact import ExactSession
from edgead.runtime.parity import check_parity, probe_images
from edgead.runtime.session import Session, open_session
from edgead.types import Artifact, CarriesImages, Exporter, Image, Precision, Progress, TimedElsewhere
from edgead.workbench.calibrate import calibrate
from edgead.workbench.choose import choose, processor_ms, remembered_ms
from edgead.workbench.doubts import MIN_AUROC, check_limit, doubts, refuse_grave
from edgead.workbench.form_report import FormReport
from edgead.workbench.precision import PrecisionGate, defective_images
from edgead.workbench.probes import CARRIED, carry, held_out
from edgead.workbench.saturation import unsafe_layers
from edgead.workbench.steps import logged

log = logging.getLogger(__name__)

MAX_LOSS = 0.005
"""AUROC that a form may lose against FP32, as a fraction: half a point."""
TIMED_RUNS, FEWEST_RUNS, TIMED_SECONDS = 15, 5, 1.5
"""How often latencies are taken: so often, unless it takes longer than that; but a few times in any case."""
CARRIED_IMAGES = 16
"""Held-out images that a target's bundle takes along where its exporter says ``carries_images``."""
REFERENCE_FACTS = ("forms", "calibration_forms", "lacking", "held_out_groups")
"""Facts of a reference bundle alone; see ``fit``."""


@dataclass(frozen=True)
class Export:
    """What export yields.

    Attributes:
        bundle: the compiled bundle, written.
        chosen: the form in it.
        forms: every form that was tried.
    """

    bundle: Bundle
    chosen: Precision
    forms: tuple[FormReport, ...]


def export(
    reference: Bundle,
    exporter: Exporter,
    precision: str,
    out: Path,
    progress: Progress,
    on_report: Callable[[Sequence[FormReport]], None] = lambda reports: None,
    max_loss: float = MAX_LOSS,
    min_auroc: float = MIN_AUROC,
    strict: bool = False,
) -> Export:
    """Compile, gate, choose, calibrate and write.

    Args:
        reference: what fit wrote.
        precision: a form, or ``auto``.
        out: the compiled bundle's path.
        on_report: is given the table of forms before anything is written or refused.
        max_loss: AUROC that a form may lose against FP32 on the gate's images, 0 to 1.
        min_auroc: AUROC on the gate's images, 0 to 1, under which the bundle gets a notice.
        strict: refuse a bundle whose verdicts are doubtful, ``doubts.GRAVE``, rather than note it.

    Raises:
        InputError: the bundle isn't a reference, or the target has no such form.
        GateError: no form passes, or the named one doesn't, or the bundle is doubtful and ``strict`` is set;
            nothing is written.
        EngineError: the named form can't be compiled.
    """
    check_limit(min_auroc)
    progress = logged(progress, log)
    manifest = reference.manifest
    if manifest.kind != "reference":
        raise InputError(
            f"{reference.path}: already compiled for {manifest.target}; export the bundle that fit wrote"
        )
    held: Mapping[str, str] = manifest.facts["forms"]
    judged: Mapping[str, str] = manifest.facts.get("calibration_forms", {})
    forms = _forms_to_try(held, manifest.facts["lacking"], exporter, precision)
    rule = ResizeRule(manifest.input.size, manifest.input.resize)
    good = _held_out(reference)
    defects = defective_images(good, manifest.method.seed)
    probes = probe_images(good, rule, manifest.method.seed)
    rate = manifest.threshold.false_positive_rate
    groups = manifest.facts.get("held_out_groups")
    by = manifest.provenance.get("images", {}).get("group", "")
    with write_bundle(out) as staging, ExitStack() as stack:
        # In the bundle's own disk and folder: renamed from there, and removed with it whatever happens.
        scratch = staging.folder / "scratch"
        scratch.mkdir()
        reports: list[FormReport] = []
        artifacts: dict[Precision, Artifact] = {}
        sessions: dict[Precision, Session] = {}
        gate: PrecisionGate | None = None
        advance = stack.enter_context(progress("compiling and gating", len(forms)))
        for form in reversed(forms):  # FP32 first: the others are compared with it
            folder = scratch / form
            file = reference.file(held[form])
            try:
                artifacts[form], sessions[form] = _compile(exporter, file, form, folder)
                judge = sessions[form]
                if judged:
                    twin = scratch / f"{form}-calibration"
                    _, judge = _compile(exporter, reference.file(judged[form]), form, twin)
            except EngineError as error:
                if form == "fp32":  # then there's nothing to hold the others against
                    raise
                reports.insert(0, FormReport(form, failure=str(error)))
                continue
            gate = gate or PrecisionGate(judge, good, defects, max_loss, manifest.method.seed)
            trial, separation = gate.judge(judge)
            threshold = calibrate(trial.good.tolist(), trial.good_maxima.tolist(), rate, groups, by)
            report = _judge(form, threshold, sessions[form], file, probes, folder)
            log.info("%s for %s: %s", form, exporter.target, separation)
            log.debug("%s: %s", form, report.parity)
            doubtful = doubts(trial, groups, min_auroc)
            reports.insert(0, dataclasses.replace(report, separation=separation, notices=doubtful))
            advance(1)
        if not isinstance(exporter, TimedElsewhere) or exporter.timed_here:
            reports = _timed(reports, sessions, good[0])
            files = {form: reference.file(held[form]) for form in forms}
            reports = _on_one_core(reports, artifacts, files, scratch, good[0])
        on_report(reports)
        chosen = _choose(reports, precision)
        log.info("%s chosen, on one core in ms: %s", chosen.precision,
                 {r.precision: r.cpu_ms for r in reports})  # fmt: skip
        if strict:
            refuse_grave(_notices(reference, chosen))
        for name in artifacts[chosen.precision].files:
            (scratch / chosen.precision / name).rename(staging.folder / name)
        more = isinstance(exporter, CarriesImages) and exporter.carries_images
        count = CARRIED_IMAGES if more else CARRIED
        carried = carry(reference, held[chosen.precision], staging.folder, count)
        sessions.clear()
        shutil.rmtree(scratch)
        return Export(
            staging.finish(_manifest(reference, exporter, artifacts, chosen, reports, carried)),
            chosen.precision,
            tuple(reports),
        )


def _forms_to_try(
    held: Mapping[str, str], lacking: Mapping[str, str], exporter: Exporter, precision: str
) -> list[Precision]:
    """All forms for ``auto``, else the named one; FP32 too, since it's what the others are held against."""
    offered = [p for p in exporter.precisions if p in held]
    if precision == "auto":
        return offered
    if precision not in offered:
        reason = lacking.get(precision, f"target {exporter.target} has no such form")
        raise InputError(
            f"precision '{precision}' isn't to be had ({reason}): choose auto, {', '.join(offered)}"
        )
    return [p for p in offered if p in (precision, "fp32")]


def _held_out(reference: Bundle) -> list[Image]:
    return [read_image(reference.file(name)) for name in held_out(reference)]


def _compile(exporter: Exporter, graph: Path, form: Precision, folder: Path) -> tuple[Artifact, Session]:
    folder.mkdir()
    loaded = onnx.load(graph)
    if unsafe := unsafe_layers(loaded):
        raise CompileError(
            f"{form} is left out: processors without VNNI would clip its sums (layer {min(unsafe)}) and give "
            "other verdicts; fit it again with this version of edgead, or tell the plugin's author"
        )
    made = exporter.compile(loaded, form, folder)
    processor = cpu()
    if made.engine_precision == "bf16" and processor.units and not processor.units["BF16"]:
        # The engine would calculate in something else, and the gates would judge that.
        raise CompileError(
            f"{form} is left out: this processor ({processor.model}) has no BF16 unit, so it can't be judged "
            "here; export on one that has it"
        )
    return made, open_session(folder / made.model, made.engine, precision=made.engine_precision)


def _judge(
    form: Precision,
    threshold: ThresholdRecord,
    session: Session,
    file: Path,
    probes: Sequence[Image],
    folder: Path,
) -> FormReport:
    reference = ExactSession(file)
    return FormReport(
        precision=form,
        parity=check_parity(session, reference, probes, threshold, form),
        threshold=threshold,
        execution=session.execution(),
        model_bytes=sum(f.stat().st_size for f in folder.iterdir()),
    )


def _timed(
    reports: Sequence[FormReport], sessions: Mapping[Precision, Session], image: Image
) -> list[FormReport]:
    """Median latencies, the forms in turn, so that a machine that slows down slows all of them."""
    times: dict[Precision, list[float]] = {form: [] for form in sessions}
    began = time.perf_counter()
    for turn in range(TIMED_RUNS):
        if turn >= FEWEST_RUNS and time.perf_counter() - began > TIMED_SECONDS:
            break
        for form, session in sessions.items():
            start = time.perf_counter()
            session(image[None])
            times[form].append(time.perf_counter() - start)
    return [
        dataclasses.replace(r, p50_ms=float(np.median(times[r.precision])) * 1e3)
        if r.precision in times
        else r
        for r in reports
    ]


def _on_one_core(
    reports: Sequence[FormReport],
    artifacts: Mapping[Precision, Artifact],
    graphs: Mapping[Precision, Path],
    scratch: Path,
    image: Image,
) -> list[FormReport]:
    """The processor times of the forms that pass; one alone needs no choice."""
    passing = [r.precision for r in reports if not r.misses]
    if len(passing) < 2:
        return list(reports)

    def measure() -> dict[Precision, float]:
        sessions = {}
        for form in passing:
            made = artifacts[form]
            model = scratch / form / made.model
            sessions[form] = open_session(model, made.engine, precision=made.engine_precision, threads=1)
        return processor_ms(sessions, image)

    loaded = {form: onnx.load(graphs[form]) for form in passing}
    times = remembered_ms(loaded, artifacts[passing[0]].engine, measure)
    return [dataclasses.replace(r, cpu_ms=times.get(r.precision)) for r in reports]


def _choose(reports: Sequence[FormReport], precision: str) -> FormReport:
    """The named form, or the best that passes; see ``edgead.workbench.choose``."""
    if precision != "auto":
        report = next(r for r in reports if r.precision == precision)
        if report.failure is not None:
            raise CompileError(report.failure)
        if report.misses:
            kind = ParityError if report.misses[0].startswith("parity") else PrecisionError
            raise kind(
                f"precision {precision} misses a gate ({'; '.join(report.misses)}); use --precision auto"
            )
        return report
    passing = [r for r in reports if not r.misses]
    if not passing:
        faults = "; ".join(f"{r.precision}: {r.misses[0]}" for r in reports)
        raise GateError(f"no form passes the gates ({faults}); nothing was written")
    times = {r.precision: r.cpu_ms for r in passing if r.cpu_ms is not None}
    best = choose([r.precision for r in passing], times)
    return next(r for r in passing if r.precision == best)


def _manifest(
    reference: Bundle,
    exporter: Exporter,
    artifacts: Mapping[Precision, Artifact],
    chosen: FormReport,
    reports: Sequence[FormReport],
    probes: tuple[ProbeRecord, ...],
) -> Any:
    artifact = artifacts[chosen.precision]
    assert chosen.threshold is not None
    parent = next(f.sha256 for f in reference.manifest.files if f.path == reference.manifest.model)
    return dataclasses.replace(
        reference.manifest,
        edgead=edgead.__version__,
        kind="compiled",
        threshold=chosen.threshold,
        target=exporter.target,
        engine=artifact.engine,
        engine_precision=artifact.engine_precision,
        precision=chosen.precision,
        model=artifact.model,
        reports={"forms": [r.record() for r in reports]},
        provenance={**reference.manifest.provenance, "parent": {"model_sha256": parent}},
        facts={k: v for k, v in reference.manifest.facts.items() if k not in REFERENCE_FACTS},
        files=(),
        probes=probes,
        notices=_notices(reference, chosen),
    )


def _notices(reference: Bundle, chosen: FormReport) -> tuple[Notice, ...]:
    """The reference's, and the chosen form's of what isn't said yet."""
    known = {notice.code for notice in reference.manifest.notices}
    return (*reference.manifest.notices, *(n for n in chosen.notices if n.code not in known))
