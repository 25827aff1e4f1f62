"""The whole way on a generated product: draw, fit, export, judge, measure, and one page that shows it.

Nothing here is special to the demo but the images: a user's ``fit``, ``export``, ``eval`` and ``bench`` call
the same functions with the same options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgead
from edgead import machine, notices
from edgead.bundle import Bundle
from edgead.datasets import find_samples
from edgead.demo.product import KINDS, write_dataset
from edgead.errors import CompileError, GateError
from edgead.evaluation.bench import Latency, bench
from edgead.evaluation.evaluate import Evaluation, evaluate
from edgead.evaluation.report import Gallery, Timing, import_jinja2, write_report
from edgead.files import output_errors
from edgead.plugins import registry
from edgead.runtime.openvino_session import import_openvino
from edgead.types import Precision, Progress, Sample
from edgead.workbench.export import Export, export
from edgead.workbench.fit import Settings, fit
from edgead.workbench.form_report import FormReport
from edgead.workbench.recipe import resolve

METHOD, TARGET = "patchcore", "openvino"
OPTIONS = ("layers=stage2", "coreset_ratio=0.05")
"""The finer map alone, for fine defects, and a larger bank than the default 1 %, for a surface that differs
from part to part. On parts that aren't the demo's: image AUROC 0.96, as both maps with 10 % at over three
times the arithmetic."""
SMALLEST = 8
"""Pixels of the smallest defects, chips of the rim: they choose the input, the images' own size."""
N_TRAIN, N_GOOD, N_BAD_PER_KIND = 60, 20, 5
BENCH_FRAMES = 100
LABELS: Mapping[Precision, str] = {"int8": "INT8", "mixed": "mixed", "bf16": "BF16", "fp32": "FP32"}


@dataclass(frozen=True)
class Demo:
    """What the demo made and measured.

    Attributes:
        page: the HTML file.
        shipped: the compiled bundle that gave the verdicts.
        note: which form was shipped, and why.
        evaluation: of the shipped bundle on the test images.
        latencies: by the form's label, FP32 first, the shipped one last.
    """

    page: Path
    shipped: Bundle
    note: str
    evaluation: Evaluation
    latencies: Mapping[str, Latency]


def run_demo(
    out: Path, seed: int, progress: Progress, say: Callable[[str], None] = lambda line: None
) -> Demo:
    """Make the product, fit, export in FP32 and INT8, judge the test images and write the page.

    Args:
        out: the folder for images, bundles and page; made where it's absent, older results are replaced.
        seed: of the product and of everything random in fitting; 0 to 2**31 - 1.
        say: is given a line after each step.

    Raises:
        EngineError: a package of ``edgead[all]`` isn't installed.
        GateError: not even FP32 passes the gates.
        OutputError: the folder can't be written.
    """
    import_openvino()  # these, and resolve: what isn't installed shows before any work
    import_jinja2()
    recipe = resolve(METHOD, options=OPTIONS)
    images = out / "product"
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with progress("drawing the product", None):
        write_dataset(images, N_TRAIN, N_GOOD, N_BAD_PER_KIND, seed)
    samples = find_samples(images)
    say(f"drawn: {N_TRAIN} good parts to learn from, {len(samples)} to judge")

    settings = Settings(smallest_defect=float(SMALLEST), seed=seed)
    fitted = fit(recipe, images / "train" / "good", settings, out / f"{METHOD}.edgead", progress).bundle
    say(f"fitted: {_bank(fitted)}{_sizes(fitted)}")

    reference, shipped, note = _export(fitted, out, progress)
    say(f"exported: {note}")

    gallery, evaluation = _judge(shipped.bundle, samples, progress)
    bad = len(evaluation.bad)
    say(f"judged: {bad - evaluation.escapes} of {bad} defective parts found")

    forms = {LABELS[made.chosen]: made.bundle for made in (reference, shipped)}
    detectors = [edgead.load(bundle.path) for bundle in forms.values()]
    latencies = dict(zip(forms, bench(detectors, BENCH_FRAMES, progress), strict=True))

    page = out / "demo.html"
    processor = machine.cpu()
    where = f"{processor.model}, {processor.threads} threads, with whatever else it was doing."
    write_report(
        page,
        "edgead demo",
        evaluation,
        gallery,
        shipped.bundle,
        timing=Timing(latencies, where),
        facts=_facts(shipped, note, len(samples)),
    )
    return Demo(page, shipped.bundle, note, evaluation, latencies)


def _export(fitted: Bundle, out: Path, progress: Progress) -> tuple[Export, Export, str]:
    """Compile FP32 for comparison and INT8 to ship; where a gate refuses INT8, the fastest form that passes.

    Returns:
        Both exports, and a sentence on the one to ship.
    """
    exporter = registry().get("exporters", TARGET)()
    name = f"{METHOD}-{TARGET}"
    reference = export(fitted, exporter, "fp32", out / f"{name}-fp32.edgead", progress)
    path = out / f"{name}.edgead"
    try:
        shipped = export(fitted, exporter, "int8", path, progress)
    except (GateError, CompileError):
        shipped = export(fitted, exporter, "auto", path, progress)
        (refused,) = (form for form in shipped.forms if form.precision == "int8")
        why = "; ".join(map(notices.say, refused.misses)) or "it missed a gate in the first of two runs"
        note = f"{LABELS[shipped.chosen]}, the fastest form that passes the gates; INT8 was refused: {why}"
        return reference, shipped, note
    return reference, shipped, f"INT8, {_gates(_report(shipped))}"


def _report(made: Export) -> FormReport:
    return next(form for form in made.forms if form.precision == made.chosen)


def _gates(report: FormReport) -> str:
    """How the shipped form passed; both figures are there, or it wouldn't have."""
    assert report.parity is not None and report.loss is not None and report.auroc is not None
    changed = "loses" if report.loss > 0 else "wins"
    return (
        f"which passes both gates: its map is at most {report.parity.map:.1%} off exact arithmetic's, "
        f"and on synthetic defects it {changed} {abs(report.loss) * 100:.1f} points of AUROC against FP32"
    )


def _judge(bundle: Bundle, samples: list[Sample], progress: Progress) -> tuple[Gallery, Evaluation]:
    """Run the bundle over the test images."""
    detector = edgead.load(bundle.path, throughput=True)
    gallery = Gallery(detector)
    with progress("judging parts", len(samples)) as advance:

        def keep(*image: Any) -> None:
            gallery.add(*image)
            advance(1)

        return gallery, evaluate(detector, samples, keep)


def _facts(shipped: Export, note: str, n_samples: int) -> dict[str, str]:
    """What was done, for the report; the bundle tells the rest."""
    manifest = shipped.bundle.manifest
    commands = (
        f"in this page's folder: edgead fit {METHOD} product/train/good --smallest-defect {SMALLEST}px "
        + " ".join(f"-o {option}" for option in OPTIONS)
        + f" --seed {manifest.method.seed}; edgead export {METHOD} --target {TARGET} "
        f"--precision {shipped.chosen}; edgead eval {shipped.bundle.path.name} product"
    )
    return {
        "product": f"generated: {N_TRAIN} good parts to learn from, {n_samples} to judge, "
        f"{len(KINDS)} kinds of defect from hard to see to plain",
        "memory bank": _bank(shipped.bundle),
        "sizes of defects": _sizes(shipped.bundle).removeprefix("; "),
        "form": note,
        "the same by hand": commands,
    }


def _bank(bundle: Bundle) -> str:
    bank, counts = bundle.manifest.facts["bank"], bundle.manifest.provenance["images"]
    return (
        f"{bank['rows']:,} patches of {bank['dim']} values, chosen from {bank['patches']:,} "
        f"of {counts['fitted_on']} parts"
    )


def _sizes(bundle: Bundle) -> str:
    """What sizes of defects the input shows."""
    measured = bundle.manifest.sizes_found
    return "" if measured is None else f"; {notices.say(measured.summary()[0])}"


def record(demo: Demo) -> dict[str, object]:
    """The demo as one JSON document."""
    return {
        "page": str(demo.page),
        "bundle": str(demo.shipped.path),
        "precision": demo.shipped.manifest.precision,
        "note": demo.note,
        "evaluation": demo.evaluation.record(),
        "latencies": {form: dataclasses.asdict(latency) for form, latency in demo.latencies.items()},
    }


__all__ = ["Demo", "record", "run_demo"]
