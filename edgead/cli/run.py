"""``edgead run``: a verdict for each frame, as lines for people or of JSON, and heatmaps where asked for."""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.bundle_names import find_bundle
from edgead.cli.arguments import camera_options, count_of, engine_options
from edgead.cli.completion import complete_paths
from edgead.cli.output import show_notices
from edgead.progress import make_progress

if TYPE_CHECKING:
    from edgead.cli.verdicts import HeatmapNames, Verdict
    from edgead.device.drift import Drift
    from edgead.errors import EdgeadError
    from edgead.notices import Notice
    from edgead.runtime.detector import Detector
    from edgead.types import Image

log = logging.getLogger(__name__)


@click.command("run")
@click.argument("bundle", shell_complete=complete_paths)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=complete_paths)
@engine_options
@camera_options
@click.option(
    "--threshold", type=float, metavar="SCORE", help="Use this threshold instead of the bundle's own."
)
@click.option(
    "--product", metavar="NAME", help="Judge by this product's thresholds, in a bundle for several."
)
@click.option(
    "--depth",
    type=click.IntRange(9, 16),
    metavar="BITS",
    help="Bits that 16-bit images really use, 12 for instance (default: as when fitting).",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write a heatmap of each frame here."
)
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a row for each frame here, as soon as it's judged.",
)
@click.option(
    "--drift",
    "drift_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Learn here, over this run and the next ones, what is usual on this line, and say what has changed.",
)
@click.option("--limit", type=count_of(1), metavar="N", help="Stop after N frames of each SOURCE.")
@click.option(
    "--self-test",
    "self_test_minutes",
    type=float,
    metavar="MINUTES",
    help="Judge an image of the bundle's own this often, and end where its score isn't the recorded one.",
)
@click.option("--json", "--jsonl", "as_json", is_flag=True, help="Print lines of JSON on a terminal too.")
@click.option("--text", "as_text", is_flag=True, help="Print lines for people into a pipe or file too.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Show neither progress nor the summary; notes still go to stderr."
)
def command(
    bundle: str,
    sources: tuple[str, ...],
    device: str,
    engine: str | None,
    threads: int | None,
    cores: tuple[int, ...] | None,
    cache: bool,
    threshold: float | None,
    product: str | None,
    depth: int | None,
    out: Path | None,
    csv_path: Path | None,
    drift_path: Path | None,
    self_test_minutes: float | None,
    limit: int | None,
    as_json: bool,
    as_text: bool,
    quiet: bool,
) -> None:
    """Judge each SOURCE and print a line for each frame.

    A SOURCE is an image, a folder of images, a quoted pattern such as 'photos/*.png', a video, a camera (0 or
    /dev/video0), a stream (rtsp://...), or - for a list of paths on stdin.

    \b
    edgead run part.edgead photos/
    edgead run part.edgead 'photos/*.png' --csv verdicts.csv --out heatmaps
    edgead run part.edgead rtsp://user:password@10.0.0.5/stream
    find photos -name '*.png' | edgead run part.edgead -

    On a terminal the lines are for people, with a summary; in a pipe or a file they are JSON. What can't be
    judged has a line with "error"; the rest is judged all the same, and the exit code is 2.
    """
    from edgead.cli.read_ahead import ReadAhead, planned
    from edgead.cli.verdicts import HeatmapNames, Tally, csv_file, print_for_people, print_json_line
    from edgead.device.drift import Drift
    from edgead.errors import DatasetError, SelfTestError
    from edgead.folders import left_out
    from edgead.runtime.detector import load
    from edgead.slots import Slots
    from edgead.sources import STDIN, check_sources, count, expand

    if as_json and as_text:
        raise click.UsageError("--json and --text exclude each other: give one of them")
    path = find_bundle(bundle)
    check_sources(sources)
    found = list(expand(sources)) if STDIN not in sources else None
    slots = Slots.of(path)
    if slots is not None:
        path = slots.start().path
    began = time.perf_counter()
    detector = load(
        path,
        device=device,
        engine=engine,
        threads=threads,
        threshold=threshold,
        cores=cores,
        cache=cache,
        depth=depth,
        product=product,
        self_test_minutes=self_test_minutes,
    )
    log.info("%s on %s, loaded in %.2f s", path, detector.runs_on, time.perf_counter() - began)
    show_notices(detector.bundle.notices)
    for source in dict.fromkeys(expand(source for source in sources if source != STDIN)):
        if Path(source).is_dir():
            show_notices(left_out(Path(source)))
    if detector.bundle.manifest.target == "jetson":
        click.echo(detector.runs_on, err=True)
    if out is not None:
        _make_folder(out, sources)
    drift = Drift(detector, drift_path) if drift_path is not None else None
    for_people = as_text or (sys.stdout.isatty() and not as_json)
    tally, failures = Tally(), []
    total = count(found) if found is not None and limit is None else None
    with ExitStack() as stack:
        sinks: list[Callable[[Verdict], None]] = [print_for_people if for_people else print_json_line]
        if csv_path is not None:
            sinks.insert(0, stack.enter_context(csv_file(csv_path)))
        if for_people and not quiet:  # whatever ends the run, the summary is printed
            stack.callback(lambda: click.echo(str(tally)))
        advance = stack.enter_context(make_progress(quiet or not _to_file())("judging", total))
        if drift is not None:  # the same holds for what was learned
            stack.callback(_tell, drift, for_people)
            stack.callback(drift.save)
        names = HeatmapNames() if out is not None else None
        lines = sys.stdin.buffer if sys.stdin else ()
        listed = (expand([source], lines) for source in sources)
        read: Callable[[Path], Image] = detector.read_image
        if drift is None:  # which learns how long judging takes, with nothing beside it
            read = stack.enter_context(closing(ReadAhead(planned(sources, limit), detector)))
        for verdict, error in _judge(listed, detector, read, limit, out, names, drift):
            tally.add(verdict)
            if slots is not None and verdict.error is None:
                slots.frame_judged()
            if error is not None:
                failures.append(error)
            for sink in sinks:
                sink(verdict)
            advance(1)
            if (tested := detector.self_test) is not None and not tested.passed:
                raise SelfTestError(f"{path}: {tested}; look at the device, and start again")
    show_notices([doubt for doubt in (detector.depth_notice(), detector.size_notice()) if doubt])
    if not tally.good + tally.anomalous + tally.failed:
        raise DatasetError("-: no path on stdin, so nothing was judged; give a list of images, one a line")
    _raise_for(failures, tally.good + tally.anomalous + tally.failed)


def _judge(
    sources: Iterable[Iterable[str]],
    detector: Detector,
    read: Callable[[Path], Image],
    limit: int | None,
    out: Path | None,
    names: HeatmapNames | None,
    drift: Drift | None,
) -> Iterator[tuple[Verdict, EdgeadError | None]]:
    """Yield what becomes of each frame; a frame, or a source, that fails ends nothing but itself.

    Args:
        sources: what each source that was typed stands for; the limit is on the frames of each.
        read: reads an image file.
    """
    from edgead.cli.verdicts import Verdict
    from edgead.errors import (
        DeviceError,
        EngineError,
        FrameError,
        ImageError,
        InputError,
        OutputError,
    )
    from edgead.sources import frames, label

    news: Callable[..., tuple[Notice, ...]] = drift.update if drift is not None else lambda *_: ()
    for source, left in _up_to(limit, sources):
        log.debug("source %s", label(source))
        try:
            for frame in islice(frames(source, read), left[0]):
                left[0] = None if left[0] is None else left[0] - 1
                if frame.image is None:
                    error = ImageError(frame.problem or frame.source)
                    yield Verdict(frame.source, frame.index, error=str(error), drift=news(None)), error
                    continue
                start = time.perf_counter()
                try:
                    prediction = detector(frame.image)
                except FrameError as refused:
                    yield Verdict(frame.source, frame.index, error=str(refused), drift=news(None)), refused
                    continue
                except EngineError as failed:  # no fault of the frame's: the next may fare no better
                    yield Verdict(frame.source, frame.index, error=str(failed), drift=news(None)), failed
                    raise
                took = time.perf_counter() - start
                heatmap = None
                if out is not None and names is not None:
                    heatmap = out / names(frame.name, frame.source)
                told = news(prediction, frame.image, took)
                verdict = Verdict(
                    frame.source, frame.index, prediction, None, frame.note, heatmap, took * 1e3, told
                )
                if heatmap is not None:
                    try:
                        prediction.save(heatmap, frame.image)
                    except OutputError:  # what is judged is said, whatever becomes of its picture
                        yield replace(verdict, heatmap=None), None
                        raise
                yield verdict, None
        except (InputError, DeviceError) as error:
            yield Verdict(label(source), error=str(error)), error


def _tell(drift: Drift, for_people: bool) -> None:
    """Say at the end how the line is: its notices on stderr, and all that is known in a line of JSON."""
    from edgead.cli.output import json_line

    show_notices(drift.notices)
    if not for_people:
        click.echo(json_line({"drift": drift.record()}))


def _up_to(limit: int | None, sources: Iterable[Iterable[str]]) -> Iterator[tuple[str, list[int | None]]]:
    """Each source, with how many of its frames are left of the limit: whoever takes some counts it down."""
    for group in sources:
        left = [limit]
        for source in group:
            if left[0] == 0:
                break
            yield source, left


def _raise_for(failures: Sequence[EdgeadError], total: int) -> None:
    """One failure is the command's own; several are counted, and are printed already."""
    from edgead.errors import ImageError

    if len(failures) == total == 1:
        raise failures[0]
    if failures:
        kind = type(failures[0]) if len({type(error) for error in failures}) == 1 else ImageError
        raise kind(f'{len(failures)} of {total} couldn\'t be judged; see the lines with "error"')


def _make_folder(out: Path, sources: Sequence[str]) -> None:
    from edgead.files import is_file, output_errors

    if is_file(out / "manifest.json"):
        raise click.UsageError(f"--out {out} is a bundle, which heatmaps would damage: give another folder")
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for source in sources:
        if Path(source).is_dir() and out.samefile(source):
            raise click.UsageError(
                f"--out {out} is a source too, so heatmaps would be judged next time: give another folder"
            )


def _to_file() -> bool:
    """Whether stdout goes to a file: a bar doesn't disturb it, as it would what reads a pipe."""
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # closed, or not a file at all
        return False
