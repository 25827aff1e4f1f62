"""``edgead bench``: latency, throughput and memory of bundles, side by side."""

from __future__ import annotations

import dataclasses

import click

from edgead.cli.arguments import engine_options, find_bundle
from edgead.cli.output import json_option, print_json, print_table, quiet_option
from edgead.cli.progress import make_progress


@click.command("bench")
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...")
@engine_options
@click.option(
    "--frames", metavar="N", type=click.IntRange(1), default=200, help="Frames timed for each (default 200)."
)
@quiet_option
@json_option
def command(
    bundles: tuple[str, ...],
    device: str,
    engine: str | None,
    threads: int | None,
    frames: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Time each BUNDLE, frame to prediction, in turns in one run; compare only what one run prints."""
    from edgead import machine
    from edgead.evaluation.bench import bench
    from edgead.evaluation.memory import peak_memory
    from edgead.runtime.detector import load

    paths = [find_bundle(text) for text in bundles]
    detectors = [load(path, device=device, engine=engine, threads=threads) for path in paths]
    latencies = bench(detectors, frames, make_progress(quiet))
    peaks = [peak_memory(path, device, engine, threads) for path in paths]
    processor = machine.cpu()
    if as_json:
        rows = [
            {
                "bundle": str(path),
                "precision": detector.bundle.manifest.precision,
                "engine": engine or detector.bundle.manifest.engine,
                "peak_memory_bytes": peak,
                **dataclasses.asdict(latency),
            }
            for path, detector, latency, peak in zip(paths, detectors, latencies, peaks, strict=True)
        ]
        print_json({"cpu": processor.model, "threads": threads or processor.threads, "bundles": rows})
        return
    header = ("bundle", "precision", "engine", "p50 ms", "p95 ms", "p99 ms", "max ms", "frames/s", "MB")
    table = []
    for path, detector, latency, peak in zip(paths, detectors, latencies, peaks, strict=True):
        manifest = detector.bundle.manifest
        times = (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms)
        table.append((
            path.name,
            manifest.precision,
            engine or manifest.engine,
            *(f"{time:.2f}" for time in times),
            f"{latency.frames_per_second:.1f}",
            f"{peak / 1e6:.0f}",
        ))  # fmt: skip
    print_table(table, header)
    click.echo(f"{frames} frames each on {processor.model}, {threads or processor.threads} threads; "
               "MB is the peak of a process that only runs the bundle")  # fmt: skip
