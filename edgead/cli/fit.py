"""``edgead fit``: good images in, a reference bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgead.cli.completion import complete_names
from edgead.cli.fit_options import describe_fit, fit_options, fit_record
from edgead.cli.output import json_option, print_json, quiet_option, typed
from edgead.cli.sizes_found import print_sizes_found
from edgead.cli.trade_off import kept_record, print_kept
from edgead.names import shown
from edgead.progress import make_progress


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
    from edgead.api.fit import fit

    done = fit(method, good_dir, out, progress=make_progress(quiet), **words)
    if as_json:
        record = fit_record(done.bundle, done.why)
        print_json({**record, "trade_off": kept_record(done.bundle), "replaced": done.replaced})
        return
    if done.replaced:
        click.echo(f"{shown(done.path)}: replaces the bundle that was there; --out gives another name")
    for line in describe_fit(done.bundle, done.why):
        click.echo(line)
    print_kept(done.bundle)
    print_sizes_found(done.bundle.manifest)
    click.echo(f"next: {typed('edgead', 'export', done.path, '--target', 'openvino')}")
