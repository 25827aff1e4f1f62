"""``edgead export``: a reference bundle compiled for a target, through the parity and the precision gate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.arguments import Rate
from edgead.cli.completion import complete_names, complete_paths
from edgead.cli.fit_options import describe_fit, fit_options, fit_record, threshold_record
from edgead.cli.forms import explain_choice, explain_targets, print_forms
from edgead.cli.output import json_option, print_json, quiet_option, show_notices, typed
from edgead.cli.sizes_found import print_sizes_found
from edgead.cli.trade_off import kept_record, print_kept
from edgead.names import shown
from edgead.notices import Notice, say
from edgead.progress import make_progress

if TYPE_CHECKING:
    from edgead.manifest import Manifest

PRECISIONS = ("auto", "int8", "mixed", "bf16", "fp32")


@click.command("export")
@click.argument("source", metavar="METHOD|BUNDLE", shell_complete=complete_paths)
@click.option(
    "--target",
    metavar="NAME",
    shell_complete=complete_names("exporters"),
    required=True,
    help="What to compile for: openvino, onnx, jetson or a plugin's; auto for the fastest on this machine.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    help="Form of the graph; auto, the default, takes the fastest that passes both gates.",
)
@click.option(
    "--max-loss",
    metavar="POINTS",
    type=Rate(0, 100),
    default=0.5,
    show_default=True,
    help="Points of AUROC that a form may lose against FP32 on synthetic defects.",
)
@click.option(
    "--min-auroc",
    metavar="X",
    type=Rate(0, 1),
    default=0.75,
    show_default=True,
    help="AUROC on synthetic defects, 0 to 1, under which the bundle gets a warning.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Refuse a model that hardly tells defects, or that too few images judge (exit code 4).",
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
    min_auroc: float,
    strict: bool,
    images: tuple[Path, ...],
    out: Path | None,
    quiet: bool,
    as_json: bool,
    **words: Any,
) -> None:
    """Compile a fitted bundle for a target.

    With --target auto the targets that can be timed here compete, and the fastest that passes is written.
    A bare METHOD is ./METHOD.edgead, which `edgead fit` writes. Each form of the graph has to pass two gates:
    it must give the results of exact arithmetic, and tell good images from defective ones as well as FP32.
    """
    from edgead.api.export import export
    from edgead.api.fit import fit
    from edgead.workbench.targets import exporter_named

    exporter_named(target)  # a misspelt one costs no fitting
    progress = make_progress(quiet)
    made, fitted = None, {}
    if images:
        made = fit(source, images, progress=progress, **words)
        fitted = {"fit": fit_record(made.bundle, made.why)}
        for line in describe_fit(made.bundle, made.why) if not as_json else ():
            click.echo(line)
        if not as_json:
            print_sizes_found(made.bundle.manifest)
    else:
        _refuse_unused(click.get_current_context(), words)
    done = export(
        made or source,
        target,
        out,
        precision=precision,
        max_loss=max_loss / 100,
        min_auroc=min_auroc,
        strict=strict,
        on_report=None if as_json else print_forms,
        progress=progress,
    )
    manifest = done.bundle.manifest
    notices = (*manifest.notices, *done.beside, *_of_windows(manifest))
    explain = (
        partial(explain_targets, done) if done.targets else partial(explain_choice, done.forms, done.chosen)
    )
    why = explain(precision)
    if as_json:
        forms = [
            {"target": manifest.target, **f.record(), "p50_ms": f.p50_ms, "cpu_ms": f.cpu_ms}
            for f in done.forms
        ]
        print_json({"bundle": str(done.bundle.path), "target": manifest.target, "precision": done.chosen,
                    "forms": forms, "targets": [{**t.record(), "cpu_ms": t.cpu_ms} for t in done.targets],
                    "threshold": manifest.threshold.score,
                    "calibration": threshold_record(manifest.threshold),
                    "fitted_threshold": done.fitted_threshold,
                    "trade_off": kept_record(done.bundle),
                    "why": why,
                    "notices": [notice.record() for notice in notices], **fitted})  # fmt: skip
        return
    for line in why:
        click.echo(line)
    size = sum(file.bytes for file in manifest.files)
    click.echo(f"{done.bundle.path}: {done.chosen} for {manifest.target}, {size / 1e6:.1f} MB")
    click.echo(f"threshold {manifest.threshold.score:.4g}: {shown(say(manifest.threshold.notice()))}")
    if f"{manifest.threshold.score:.4g}" != f"{done.fitted_threshold:.4g}":
        said = f"fit said {done.fitted_threshold:.4g}, of FP32"
        click.echo(f"  ({said}: each form has scores and a threshold of its own)")
    print_kept(done.bundle)
    told = made.notices if made else ()
    show_notices([notice for notice in notices if notice not in told])
    click.echo(f"next: {typed('edgead', 'run', done.bundle.path, 'IMAGES')}")


def _of_windows(manifest: Manifest) -> tuple[Notice, ...]:
    """That a bundle which judges in windows was timed on one of them."""
    if manifest.windows is None:
        return ()
    height, width = manifest.input.size
    return (Notice("times-of-a-window", {"height": height, "width": width}),)


def _refuse_unused(context: click.Context, words: Mapping[str, Any]) -> None:
    """An option of fitting without ``--images`` would be ignored in silence."""
    typed = click.core.ParameterSource.COMMANDLINE
    for option in context.command.params:
        if option.name in words and context.get_parameter_source(option.name) is typed:
            raise click.UsageError(
                f"{option.opts[-1]} is for fitting: give --images too, or use `edgead fit`", context
            )
