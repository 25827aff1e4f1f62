"""``edgead export``: a reference bundle compiled for a target, through the parity and the precision gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.arguments import find_bundle
from edgead.cli.fitting import FitWords, describe_fit, fit_options, fit_record, run_fit
from edgead.cli.output import json_option, print_json, print_table, quiet_option
from edgead.cli.progress import make_progress

if TYPE_CHECKING:
    from edgead.workbench.export import FormReport

PRECISIONS = ("auto", "int8", "mixed", "bf16", "fp32")


@click.command("export")
@click.argument("source", metavar="METHOD|BUNDLE")
@click.option(
    "--target", metavar="NAME", required=True, help="What to compile for: openvino, onnx or a plugin's."
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    help="Form of the graph (default auto, the fastest that passes both gates).",
)
@click.option(
    "--max-loss",
    metavar="POINTS",
    type=click.FloatRange(0, 100),
    default=0.5,
    show_default=True,
    help="Points of AUROC that a form may lose against FP32 on synthetic defects.",
)
@click.option(
    "--images",
    metavar="GOOD_DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Fit METHOD on these images first.",
)
@fit_options
@click.option(
    "--out",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="The compiled bundle (default NAME-TARGET.edgead).",
)
@quiet_option
@json_option
def command(
    source: str,
    target: str,
    precision: str,
    max_loss: float,
    images: tuple[Path, ...],
    out: Path | None,
    quiet: bool,
    as_json: bool,
    **words: Any,
) -> None:
    """Compile a fitted bundle for a target; a bare METHOD is ./METHOD.edgead, which `edgead fit` writes."""
    from edgead.bundle import read_bundle
    from edgead.plugins import registry
    from edgead.workbench.export import export

    exporter = registry().get("exporters", target)()
    progress = make_progress(quiet)
    fitted = {}
    if images:
        reference, why = run_fit(source, images, Path(f"{source}.edgead"), FitWords(**words), progress)
        fitted = {"fit": fit_record(reference, why)}
        for line in describe_fit(reference, why) if not as_json else ():
            click.echo(line)
    else:
        _refuse_unused(click.get_current_context())
        reference = read_bundle(find_bundle(source))
    out = out or Path(f"{reference.path.resolve().name.removesuffix('.edgead')}-{target}.edgead")
    report = (lambda forms: None) if as_json else _print_forms
    done = export(reference, exporter, precision, out, progress, report, max_loss / 100)
    manifest = done.bundle.manifest
    if as_json:
        forms = [{**form.record(), "p50_ms": form.p50_ms} for form in done.forms]
        print_json({"bundle": str(done.bundle.path), "precision": done.chosen, "forms": forms,
                    "threshold": manifest.threshold.score, **fitted})  # fmt: skip
        return
    size = sum(file.bytes for file in manifest.files)
    click.echo(f"{done.bundle.path}: {done.chosen} for {target}, {size / 1e6:.1f} MB")
    click.echo(f"threshold {manifest.threshold.score:.4g}: {manifest.threshold.note}")
    click.echo(f"next: edgead run {done.bundle.path} IMAGES")


def _refuse_unused(context: click.Context) -> None:
    """An option of fitting without ``--images`` would be ignored in silence."""
    typed = click.core.ParameterSource.COMMANDLINE
    for name in FitWords.__dataclass_fields__:
        if context.get_parameter_source(name) is typed:
            raise click.UsageError(
                f"--{name.replace('_', '-')} is for fitting: give --images too, or use `edgead fit`", context
            )


def _print_forms(forms: Sequence[FormReport]) -> None:
    """Every form with its figures, the latency as measured here and now."""
    rows = []
    for form in forms:
        executed = " ".join(f"{kind}:{count}" for kind, count in sorted(form.execution.items()))
        rows.append((
            form.precision,
            f"{form.p50_ms:.2f}" if form.p50_ms is not None else "-",
            f"{form.auroc:.4f}" if form.auroc is not None else "-",
            f"{form.loss * 100:.2f}" if form.loss is not None else "-",
            f"{form.separation.measured_loss * 100:.2f}" if form.separation else "-",
            f"{max(form.parity.score, form.parity.map):.2%}" if form.parity else "-",
            f"{form.model_bytes / 1e6:.1f}" if form.model_bytes else "-",
            executed or "-",
            "miss" if form.misses else "pass",
        ))  # fmt: skip
    header = ("form", "p50 ms", "AUROC*", "expected loss", "lost", "parity", "MB", "layers run in", "gates")
    print_table(rows, header)
    for form in forms:
        if form.failure is not None:
            click.echo(f"{form.precision} fails: {form.failure}")
            continue
        for miss in form.misses:
            click.echo(f"{form.precision} misses {miss}")
    click.echo("* of held-out good images against the same with synthetic defects; losses in its points")
