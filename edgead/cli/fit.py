"""``edgead fit``: good images in, a reference bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgead.cli.arguments import refuse_swapped
from edgead.cli.completion import complete_names
from edgead.cli.fitting import FitWords, describe_fit, fit_options, fit_record, run_fit
from edgead.cli.output import json_option, print_json, quiet_option, typed
from edgead.cli.progress import make_progress
from edgead.files import is_file
from edgead.names import shown


@click.command("fit")
@click.argument("method", shell_complete=complete_names("methods"))
@click.argument("good_dir", nargs=-1, required=True, type=click.Path(path_type=Path))
@fit_options
@click.option(
    "--out", metavar="PATH", type=click.Path(path_type=Path), help="The bundle (default METHOD.edgead)."
)
@quiet_option
@json_option
def command(
    method: str, good_dir: tuple[Path, ...], out: Path | None, quiet: bool, as_json: bool, **words: Any
) -> None:
    """Fit METHOD on the good images in GOOD_DIR and write a bundle for `edgead export`.

    GOOD_DIR is a folder of good images, or a data set that `edgead datasets` recognises, of which the
    training images are then meant.

    Of several products, give each one's folder: one model is fitted on them all, with one threshold.
    """
    refuse_swapped(method)
    out = out or Path(f"{method}.edgead")
    replaces = is_file(out / "manifest.json")
    bundle, why = run_fit(method, good_dir, out, FitWords(**words), make_progress(quiet))
    if as_json:
        print_json({**fit_record(bundle, why), "replaced": replaces})
        return
    if replaces:
        click.echo(f"{shown(out)}: replaces the bundle that was there; --out gives another name")
    for line in describe_fit(bundle, why):
        click.echo(line)
    click.echo(f"next: {typed('edgead', 'export', bundle.path, '--target', 'openvino')}")
