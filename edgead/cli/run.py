"""``edgead run``: a verdict for each frame, as JSON lines, and heatmaps where asked for."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.cli.arguments import camera_options, engine_options, find_bundle

if TYPE_CHECKING:
    from edgead.runtime.detector import Detector
    from edgead.sources import Frame
    from edgead.types import Prediction


@click.command("run")
@click.argument("bundle")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@engine_options
@camera_options
@click.option("--threshold", type=float, metavar="SCORE", help="Another threshold than the calibrated one.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write a heatmap of each frame here."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after N frames of each SOURCE.")
def command(
    bundle: str,
    sources: tuple[str, ...],
    device: str,
    engine: str | None,
    threads: int | None,
    cores: tuple[int, ...] | None,
    cache: bool,
    threshold: float | None,
    out: Path | None,
    limit: int | None,
) -> None:
    """Judge each SOURCE, an image, folder, video or camera number: one line of JSON for each frame."""
    from edgead.errors import ImageError
    from edgead.files import output_errors
    from edgead.runtime.detector import load
    from edgead.sources import frames

    detector = load(
        find_bundle(bundle),
        device=device,
        engine=engine,
        threads=threads,
        threshold=threshold,
        cores=cores,
        cache=cache,
    )
    if detector.bundle.manifest.target == "jetson":
        click.echo(detector.runs_on, err=True)
    if out is not None:
        with output_errors(out):
            out.mkdir(parents=True, exist_ok=True)
    total = 0
    unusable = []
    for source in sources:
        for frame in islice(frames(source), limit):
            total += 1
            if frame.image is None:
                unusable.append(frame.problem or frame.source)
                click.echo(json.dumps({"source": frame.source, "error": frame.problem}, ensure_ascii=False))
                continue
            prediction = detector(frame.image)
            click.echo(_line(frame, prediction))
            if out is not None:
                _write_heatmap(out, frame, prediction, detector)
    if total == len(unusable) == 1:
        raise ImageError(unusable[0])
    if unusable:
        raise ImageError(f'{len(unusable)} of {total} images can\'t be used; see the lines with "error"')


def _line(frame: Frame, prediction: Prediction) -> str:
    regions = [{"box": list(r.box), "area": r.area, "peak": r.peak} for r in prediction.regions]
    where = {"source": frame.source} | ({} if frame.index is None else {"frame": frame.index})
    verdict = {
        "score": prediction.score,
        "is_anomalous": prediction.is_anomalous,
        "threshold": prediction.threshold,
        "regions": regions,
    }
    return json.dumps(where | verdict, ensure_ascii=False)


def _write_heatmap(folder: Path, frame: Frame, prediction: Prediction, detector: Detector) -> None:
    import cv2

    from edgead.evaluation.heatmap import overlay
    from edgead.files import write_file

    assert frame.image is not None
    threshold = detector.bundle.manifest.threshold.pixel
    drawn = overlay(
        frame.image,
        prediction.anomaly_map,
        threshold,
        rule=detector.rule,
        outline=prediction.is_anomalous,
    )
    write_file(folder / f"{frame.name}.heatmap.png", cv2.imencode(".png", drawn)[1].tobytes())
