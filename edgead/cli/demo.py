"""``edgead demo``: the whole way on generated images, ending in a page to look at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.cli.arguments import count_of
from edgead.cli.output import json_option, print_json, quiet_option
from edgead.progress import make_progress

if TYPE_CHECKING:
    from edgead.demo.demo import Demo


@click.command("demo")
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    default=Path("edgead-demo"),
    help="Where images, bundles and page go (default edgead-demo).",
)
@click.option(
    "--seed",
    metavar="N",
    type=count_of(0),
    default=0,
    help="Seed of the generated parts and defects (default 0).",
)
@quiet_option
@json_option
def command(out: Path, seed: int, quiet: bool, as_json: bool) -> None:
    """Generate a product, fit, export for OpenVINO in FP32 and INT8, judge, time, and write a page."""
    from edgead.demo.demo import record, run_demo

    start = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - start:4.0f} s  {line}")

    silent = quiet or as_json
    demo = run_demo(out, seed, make_progress(silent), (lambda line: None) if silent else say)
    if as_json:
        print_json(record(demo))
        return
    for line in _summary(demo):
        click.echo(line)


def _summary(demo: Demo) -> list[str]:
    from edgead.evaluation.table import percent

    found = demo.evaluation
    good, bad = len(found.good), len(found.bad)
    kinds = sorted((m["image_auroc"].value or 0.0, kind) for kind, m in found.defects.items())
    hardest = ", ".join(f"{kind.replace('_', ' ')} {value:.0%}" for value, kind in kinds[:3])
    image, pixel = (percent(found.metrics[name]) for name in ("image_auroc", "pixel_auroc"))
    lines = [
        f"{bad - found.escapes} of {bad} defective parts found, "
        f"{found.false_alarms} of {good} good parts rejected",
        f"AUROC {image} % by image, {pixel} % by pixel; hardest: {hardest}",
    ]
    forms = list(demo.latencies.items())
    times = ", ".join(f"{form} {latency.p50_ms:.1f} ms" for form, latency in forms)
    if len(forms) > 1:
        times += f": {forms[0][1].p50_ms / forms[-1][1].p50_ms:.1f} times as fast"
    return [*lines, f"median per frame: {times}", f"page: {demo.page.resolve()}"]
