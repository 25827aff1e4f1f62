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
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

import onnx

from edgead import sbom
from edgead.bundle import Bundle, write_bundle
from edgead.carried import carried_image
from edgead.device.calibrate import calibrate
from edgead.device.parity import probe_images
from edgead.errors import (
    CompileError,
    EngineError,
    GateError,
    InputError,
    OutputError,
    ParityError,
    PrecisionError,
)
from edgead.files import exists
from edgead.held_out import HeldOut, read_held_out, write_held_out
from edgead.manifest import DEFAULT, Manifest, ProbeRecord, ReferenceRecord, ThresholdRecord
from edgead.notices import Notice, say
from edgead.plugins import registry
from edgead.processor import cpu
from edgead.resize import ResizeRule
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead.runtime.exact import ExactSession
from edgead.runtime.model_bytes import ModelBytes, read_model
from edgead.runtime.proof import Parity, replay_probes
from edgead.runtime.session import Session
from edgead.runtime.warming import warm_up
from edgead.types import Artifact, CarriesImages, Exporter, Image, Precision, Progress
from edgead.version import __version__
from edgead.window_rule import rule_of
from edgead.workbench.choose import choose
from edgead.workbench.doubts import MIN_AUROC, check_limit, doubts, refuse_grave
from edgead.workbench.exact_scores import ExactScores, parity
from edgead.workbench.form_report import FormReport
from edgead.workbench.form_scores import form_figures
from edgead.workbench.graph_bytes import load_graph
from edgead.workbench.precision import PrecisionGate, defective_images
from edgead.workbench.probes import CARRIED, carry, held_out
from edgead.workbench.probes import FOLDER as PROBES
from edgead.workbench.proven import proven
from edgead.workbench.reference_check import check_reference
from edgead.workbench.saturation import unsafe_layers
from edgead.workbench.steps import logged
from edgead.workbench.timing import is_timed_elsewhere, on_one_core, timed

log = logging.getLogger(__name__)

MAX_LOSS = 0.005
"""AUROC that a form may lose against FP32, as a fraction: half a point."""
CARRIED_IMAGES = 16
"""Held-out images that a target's bundle takes along where its exporter says ``carries_images``."""


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
    if manifest.reference is None:
        raise InputError(
            f"{reference.path}: already compiled for {manifest.target}; export the bundle that fit wrote"
        )
    check_apart(out, reference)
    held, judged = manifest.reference.forms, manifest.reference.calibration_forms
    check_reference(reference)
    forms = _forms_to_try(manifest.reference, exporter, precision)
    rule = ResizeRule(manifest.input.size, manifest.input.resize)
    inside = None if manifest.windows else rule_of(reference).inside(manifest.input.size)
    good = _held_out(reference)
    defects = defective_images(good, manifest.method.seed, inside=inside)
    probes = probe_images(good, rule, manifest.method.seed)
    rate = manifest.threshold.false_positive_rate
    unseen = read_held_out(reference)
    groups = _probe_groups(manifest)
    by_user = manifest.threshold.counted == "groups"
    with write_bundle(out) as staging, ExitStack() as stack:
        # In the bundle's own disk and folder: renamed from there, and removed with it whatever happens.
        scratch = staging.folder / "scratch"
        scratch.mkdir()
        reports: list[FormReport] = []
        artifacts: dict[Precision, Artifact] = {}
        sessions: dict[Precision, Session] = {}
        judged_by: dict[Precision, HeldOut] = {}
        exact: dict[Precision, ExactScores] = {}
        gate: PrecisionGate | None = None
        advance = stack.enter_context(progress("compiling and gating", len(forms)))
        for form in reversed(forms):  # FP32 first: the others are compared with it
            folder = scratch / form
            graph = _graph(reference, held[form])
            try:
                artifacts[form], sessions[form] = _compile(exporter, graph, form, folder, reference)
                judge = sessions[form]
                if judged:
                    twin = scratch / f"{form}-calibration"
                    twin_graph = _graph(reference, judged[form])
                    _, judge = _compile(exporter, twin_graph, form, twin, reference)
            except EngineError as error:
                if form == "fp32":  # then there's nothing to hold the others against
                    raise
                reports.insert(0, FormReport(form, failure=str(error)))
                continue
            gate = gate or PrecisionGate(judge, good, defects, max_loss, manifest.method.seed, inside)
            trial, separation = gate.judge(judge)
            in_windows = manifest.windows is not None
            figures = form_figures(unseen, trial, gate.fp32(trial), groups or (), in_windows)
            threshold = calibrate(
                figures.scores.tolist(), figures.maxima.tolist(), rate, figures.groups or None, by_user
            )
            judged_by[form] = figures
            exact[form] = ExactScores()
            report = _judge(form, threshold, sessions[form], graph, probes, folder, exact[form])
            log.info("%s for %s: %s", form, exporter.target, separation)
            log.debug("%s: %s", form, report.parity)
            doubtful = doubts(trial, groups, min_auroc)
            reports.insert(0, dataclasses.replace(report, separation=separation, notices=doubtful))
            advance(1)
        if not is_timed_elsewhere(exporter):
            reports = timed(reports, sessions, good[0])
            load = {form: partial(_loaded, reference, held[form]) for form in forms}
            reports = on_one_core(reports, artifacts, load, scratch, good[0], sessions)
        more = isinstance(exporter, CarriesImages) and exporter.carries_images
        count = CARRIED_IMAGES if more else CARRIED
        carried: dict[Precision, tuple[ProbeRecord, ...]] = {}

        def proof(form: Precision, threshold: ThresholdRecord) -> Parity:
            folder = scratch / f"{form}-proof"
            folder.mkdir()
            carried[form] = carry(reference, held[form], folder, count, exact[form])
            return replay_probes(reference, carried[form], sessions[form], threshold, form)

        reports = proven(reports, lambda those: _choose(those, precision), proof)
        on_report(reports)
        chosen = _choose(reports, precision)
        log.info("%s chosen, on one core in ms: %s", chosen.precision,
                 {r.precision: r.cpu_ms for r in reports})  # fmt: skip
        if strict:
            refuse_grave(_notices(reference, chosen))
        for name in artifacts[chosen.precision].files:
            (scratch / chosen.precision / name).rename(staging.folder / name)
        (scratch / f"{chosen.precision}-proof" / PROBES).rename(staging.folder / PROBES)
        if (teaching := manifest.teaching) is not None:
            (staging.folder / teaching.file).write_bytes(reference.read(teaching.file))
        if manifest.roi is not None:
            (staging.folder / manifest.roi.file).write_bytes(reference.read(manifest.roi.file))
        if any(file.path == sbom.FILE for file in manifest.files):
            (staging.folder / sbom.FITTED_FILE).write_bytes(reference.read(sbom.FILE))
        (staging.folder / sbom.FILE).write_bytes(sbom.sbom(_distributions(exporter)))
        sessions.clear()
        shutil.rmtree(scratch)
        manifest = dataclasses.replace(
            _manifest(reference, exporter, artifacts[chosen.precision], chosen, reports),
            held_out=write_held_out(staging.folder, judged_by[chosen.precision]),
            probes=carried[chosen.precision],
        )
        return Export(staging.finish(manifest), chosen.precision, tuple(reports))


def check_apart(out: Path, reference: Bundle) -> None:
    """Raise ``OutputError`` where the compiled bundle would take the fitted one's place."""
    if exists(out) and out.samefile(reference.path):
        raise OutputError(f"{out}: that is the fitted bundle, which export only reads; give another --out")


def _forms_to_try(reference: ReferenceRecord, exporter: Exporter, precision: str) -> list[Precision]:
    """All forms for ``auto``, else the named one; FP32 too, since it's what the others are held against."""
    offered = [p for p in exporter.precisions if p in reference.forms]
    if precision == "auto":
        return offered
    if precision not in offered:
        reasons: dict[str, str] = {form: say(why) for form, why in reference.lacking.items()}
        reason = reasons.get(precision, f"target {exporter.target} has no such form")
        raise InputError(
            f"precision '{precision}' isn't to be had ({reason}): choose auto, {', '.join(offered)}"
        )
    return [p for p in offered if p in (precision, "fp32")]


def _held_out(reference: Bundle) -> list[Image]:
    return [carried_image(reference, name) for name in held_out(reference)]


def _graph(reference: Bundle, name: str) -> ModelBytes:
    return ModelBytes(PurePath(name).name, reference.read(name))


def _loaded(reference: Bundle, name: str) -> onnx.ModelProto:
    """A graph of the bundle's, of the bytes that its hashes are of."""
    return load_graph(reference.read(name), f"{reference.path}: '{name}'")


def _compile(
    exporter: Exporter, graph: ModelBytes, form: Precision, folder: Path, reference: Bundle
) -> tuple[Artifact, Session]:
    folder.mkdir()
    loaded = load_graph(graph.data, f"{reference.path}: '{graph.name}'")
    if unsafe := unsafe_layers(loaded):
        raise CompileError(
            f"{form} is left out: processors without VNNI would clip its sums (layer {min(unsafe)}) and give "
            "other verdicts; fit it again with this version of edgead, or tell the plugin's author"
        )
    made = exporter.compile(loaded, form, folder)
    processor = cpu()
    if made.engine_precision == "bf16" and processor.lacks_bf16:
        # The engine would calculate in something else, and the gates would judge that.
        raise CompileError(
            f"{form} is left out: this processor ({processor.model}) has no BF16 unit, so it can't be judged "
            "here; export on one that has it"
        )
    options = EngineOptions(precision=made.engine_precision)
    session = open_session(read_model(folder / made.model, made.files), made.engine, options)
    warm_up(session, reference.manifest.input.size, reference.path)
    return made, session


def _judge(
    form: Precision,
    threshold: ThresholdRecord,
    session: Session,
    graph: ModelBytes,
    probes: Sequence[Image],
    folder: Path,
    known: ExactScores,
) -> FormReport:
    """Hold a form against exact arithmetic, whose scores are put into ``known``."""
    return FormReport(
        precision=form,
        parity=parity(ExactSession(graph), session, probes, threshold, form, known),
        threshold=threshold,
        execution=session.execution(),
        model_bytes=sum(f.stat().st_size for f in folder.iterdir()),
    )


def _distributions(exporter: Exporter) -> list[str]:
    """Who registers the exporter's target."""
    known = registry().entries("exporters")
    return [entry.distribution for entry in known if entry.name == exporter.target]


def _choose(reports: Sequence[FormReport], precision: str) -> FormReport:
    """The named form, or the best that passes; see ``edgead.workbench.choose``."""
    if precision != "auto":
        report = next(r for r in reports if r.precision == precision)
        if report.failure is not None:
            raise CompileError(report.failure)
        if report.misses:
            kind = ParityError if report.misses[0].code == "misses-parity" else PrecisionError
            missed = "; ".join(map(say, report.misses))
            raise kind(f"precision {precision} misses a gate ({missed}); use --precision auto")
        return report
    passing = [r for r in reports if not r.misses]
    if not passing:
        faults = "; ".join(f"{r.precision}: {say(r.misses[0])}" for r in reports)
        raise GateError(f"no form passes the gates ({faults}); nothing was written")
    times = {r.precision: r.cpu_ms for r in passing if r.cpu_ms is not None}
    best = choose([r.precision for r in passing], times)
    return next(r for r in passing if r.precision == best)


def _manifest(
    reference: Bundle,
    exporter: Exporter,
    artifact: Artifact,
    chosen: FormReport,
    reports: Sequence[FormReport],
) -> Manifest:
    assert chosen.threshold is not None
    parent = next(f.sha256 for f in reference.manifest.files if f.path == reference.manifest.model)
    return dataclasses.replace(
        reference.manifest,
        edgead=__version__,
        kind="compiled",
        thresholds={DEFAULT: chosen.threshold},
        target=exporter.target,
        engine=artifact.engine,
        engine_precision=artifact.engine_precision,
        precision=chosen.precision,
        model=artifact.model,
        reports={"forms": [r.record() for r in reports]},
        provenance={**reference.manifest.provenance, "parent": {"model_sha256": parent}},
        reference=None,
        files=(),
        notices=_notices(reference, chosen),
    )


def _probe_groups(manifest: Manifest) -> tuple[int, ...] | None:
    """The groups of the images in the bundle, or None where each counts."""
    assert manifest.reference is not None, "export reads reference bundles"
    if manifest.held_out is None or manifest.held_out.folds or manifest.windows is not None:
        return manifest.reference.probe_groups or None
    return manifest.held_out.groups or None


def _notices(reference: Bundle, chosen: FormReport) -> tuple[Notice, ...]:
    """The reference's, and the chosen form's of what isn't said yet."""
    known = {notice.code for notice in reference.manifest.notices}
    return (*reference.manifest.notices, *(n for n in chosen.notices if n.code not in known))
