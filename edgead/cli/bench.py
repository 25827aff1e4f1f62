"""``edgead bench``: latency, throughput and memory of bundles, side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.bundle_names import find_bundle
from edgead.cli.arguments import Rate, camera_options, count_of, engine_options
from edgead.cli.completion import complete_paths
from edgead.cli.output import json_option, print_json, print_table, quiet_option, show_notices
from edgead.names import shown, told_apart
from edgead.progress import make_progress

if TYPE_CHECKING:
    from edgead.notices import Notice
    from edgead.runtime.detector import Detector


@click.command("bench")
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...", shell_complete=complete_paths)
@engine_options
@camera_options
@click.option(
    "--frames",
    metavar="N",
    type=count_of(1),
    default=200,
    help="Frames to time for each (default 200).",
)
@click.option(
    "--rate",
    "rates",
    metavar="FPS",
    type=Rate(0.001, 1e6),
    multiple=True,
    help="Also deliver frames at this rate, as a camera does, and count the late ones. May be repeated.",
)
@quiet_option
@json_option
def command(
    bundles: tuple[str, ...],
    device: str,
    engine: str | None,
    threads: int | None,
    cores: tuple[int, ...] | None,
    cache: bool,
    frames: int,
    rates: tuple[float, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure how long each BUNDLE takes from frame to prediction, in turns.

    Compare only figures of the same run: a machine's speed changes from run to run. Of bundles of one fitted
    model in one form, a note says where another engine is over a tenth faster.
    """
    from edgead import machine
    from edgead.evaluation.bench import bench
    from edgead.evaluation.faster import Timed, slower_for_their_engine
    from edgead.evaluation.memory import peak_memory
    from edgead.runtime.detector import load

    paths = [find_bundle(text) for text in bundles]
    detectors = [
        load(path, device=device, engine=engine, threads=threads, cores=cores, cache=cache) for path in paths
    ]
    for name, detector in zip(_names(paths), detectors, strict=True):
        show_notices(_told(detector), name if len(paths) > 1 else "")
    if rates:
        _paced(paths, detectors, rates, frames, quiet, as_json)
        return
    latencies = bench(detectors, frames, make_progress(quiet))
    peaks = [peak_memory(path, device, engine, threads) for path in paths]
    processor = machine.cpu()
    names = _names(paths)
    slower = slower_for_their_engine([
        Timed(name, one.bundle.manifest, engine or one.bundle.manifest.engine, latency.p50_ms, latency.frames)
        for name, one, latency in zip(names, detectors, latencies, strict=True)
    ])  # fmt: skip
    if as_json:
        rows = [
            {
                "bundle": str(path),
                "precision": detector.bundle.manifest.precision,
                "engine": engine or detector.bundle.manifest.engine,
                "peak_memory_bytes": peak,
                "notices": _notices(detector),
                **dataclasses.asdict(latency),
            }
            for path, detector, latency, peak in zip(paths, detectors, latencies, peaks, strict=True)
        ]
        print_json({
            "cpu": processor.model,
            "threads": threads or processor.threads,
            "bundles": rows,
            "notices": [notice.record() for notice in slower],
        })  # fmt: skip
        return
    header = ("bundle", "precision", "engine", "p50 ms", "p95 ms", "p99 ms", "max ms", "frames/s", "MB")
    table = []
    for name, detector, latency, peak in zip(names, detectors, latencies, peaks, strict=True):
        manifest = detector.bundle.manifest
        times = (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms)
        table.append((
            name,
            manifest.precision,
            engine or manifest.engine,
            *(f"{time:.2f}" for time in times),
            f"{latency.frames_per_second:.1f}",
            f"{peak / 1e6:.0f}",
        ))  # fmt: skip
    print_table(table, header)
    click.echo(f"{frames} frames each on {processor.model}, {threads or processor.threads} threads; "
               "MB is the peak of a process that only runs the bundle")  # fmt: skip
    show_notices(slower)


def _names(paths: list[Path]) -> list[str]:
    return [shown(name) for name in told_apart([path.resolve() for path in paths])]


def _told(detector: Detector) -> tuple[Notice, ...]:
    """What its bundle's user should know, and what the frames are where it judges in windows."""
    from edgead.notices import Notice
    from edgead.window_rule import WindowRule

    rule = detector.rule
    if not isinstance(rule, WindowRule):
        return detector.bundle.notices
    height, width = rule.plain_size
    windows = len(rule.places(rule.map_size(rule.plain_size)))
    values = {"height": height, "width": width, "windows": windows}
    return *detector.bundle.notices, Notice("bench-windows", values)


def _notices(detector: Detector) -> list[dict[str, Any]]:
    """The same for scripts; stderr has it as well."""
    return [notice.record() for notice in _told(detector)]


def _paced(
    paths: list[Path],
    detectors: list[Detector],
    rates: tuple[float, ...],
    frames: int,
    quiet: bool,
    as_json: bool,
) -> None:
    from edgead import machine
    from edgead.evaluation.pacing import pace

    progress = make_progress(quiet)
    found = [
        (path, pace(d, rate, frames, progress))
        for path, d in zip(paths, detectors, strict=True)
        for rate in rates
    ]
    processor = machine.cpu()
    if as_json:
        notices = {path: _notices(detector) for path, detector in zip(paths, detectors, strict=True)}
        rows = [
            {"bundle": str(path), "notices": notices[path], **dataclasses.asdict(result)}
            for path, result in found
        ]
        print_json({"cpu": processor.model, "threads": processor.threads, "bundles": rows})
        return
    header = (
        "bundle",
        "asked/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "own p50",
        "own p99",
        "missed",
        "memory +MB",
    )
    names = dict(zip(paths, _names(paths), strict=True))
    table = [
        (
            names[path],
            f"{r.rate:g}",
            *(f"{t:.2f}" for t in (r.p50_ms, r.p99_ms, r.max_ms, r.busy_p50_ms, r.busy_p99_ms)),
            f"{r.missed} of {r.frames}",
            f"{r.growth_bytes / 1e6:.1f}",
        )
        for path, r in found
    ]
    print_table(table, header)
    click.echo(
        f"{processor.model}, {processor.threads} threads; asked/s: frames a second that come. Times count "
        "from when a frame is due; own: the detector's time alone; missed: not judged when the next was due"
    )
