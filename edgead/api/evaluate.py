"""``edgead.evaluate``: a bundle on labelled images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgead.api import values
from edgead.api.arguments import AnyBundle, AnyPath, check_folders, optional, path_of
from edgead.api.notes import tell
from edgead.errors import OptionError
from edgead.extras import explained
from edgead.names import shown
from edgead.progress import silent
from edgead.runtime.detector import Detector, load

if TYPE_CHECKING:
    from edgead.datasets import Dataset
    from edgead.evaluation.evaluate import Evaluation
    from edgead.evaluation.report import Gallery
    from edgead.types import Progress

TIMED_FRAMES = 100
"""Frames that are timed for a report."""


@explained("evaluating")
def evaluate(
    bundle: AnyBundle | Detector,
    dataset: AnyPath | Dataset,
    *,
    layout: str | None = None,
    category: str | None = None,
    threshold: float | None = None,
    product: str | None = None,
    report: AnyPath | None = None,
    csv: AnyPath | None = None,
    verdicts: AnyPath | None = None,
    draws: int = 1000,
    device: str | None = None,
    engine: str | None = None,
    threads: int | None = None,
    depth: int | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Measure a bundle on labelled images; as ``edgead eval``.

    Nothing is tuned on the images: verdicts are at the bundle's own threshold, unless another is given.

    Example:
        >>> found = edgead.evaluate(made, "photos/dataset", report="report.html")  # doctest: +SKIP

    Args:
        bundle: what ``edgead.export`` or ``edgead.load`` returned, a bundle's path, or ``NAME`` for
            ``./NAME.edgead``.
        dataset: a folder with ``good`` and one for each defect, or a published data set that ``edgead
            datasets`` recognises; or what ``edgead.datasets.open_dataset`` returned.
        layout: the data set's layout instead of the recognised one.
        category: of a folder that is the root of several data sets.
        threshold: on the image score, for the verdicts; the metrics don't depend on it.
        product: by whose thresholds, in a bundle with some for several; not with a detector.
        report: an HTML file to write, with every image, its heatmap and a threshold to move.
        csv: a file to write the metrics to, as fractions.
        verdicts: a file to write a line to for each image, as CSV.
        draws: how often the bootstrap draws images for the 95 % intervals; 0 for none.
        device, engine, threads, depth: as ``edgead.load`` takes them; not with a detector.
        progress: reports long work; ``edgead.progress.bar`` is a bar on a terminal.

    Returns:
        The verdict on each image, what the threshold does (``verdicts``: escapes, false alarms, F1 beside
        F1-max), and the metrics, as fractions. What's doubtful about threshold, images and masks, and images
        that can't be judged (``problems``), are logged at WARNING, too.

    Raises:
        edgead.errors.DatasetError: no layout fits, or the data set is incomplete.
        edgead.errors.ImageError: an image or a mask can't be read; nothing is judged then.
        edgead.errors.OptionError: a threshold or an option is out of range.
        edgead.errors.UnknownNameError: the bundle has no such product.
        edgead.errors.BundleError, edgead.errors.EngineError, edgead.errors.ParityError: as ``edgead.load``.
        edgead.errors.MissingDependencyError: a report needs the extra ``report``.
        edgead.errors.OutputError: a file can't be written; where its folder is missing, before any work.
    """
    from edgead.datasets import Dataset, open_dataset
    from edgead.evaluation.evaluate import judge
    from edgead.evaluation.report import Gallery, import_jinja2
    from edgead.evaluation.table import metrics_csv, verdicts_csv
    from edgead.files import write_file

    for name, file in {"report": report, "csv": csv, "verdicts": verdicts}.items():
        values.path(name, file)
    if not isinstance(dataset, Dataset):
        values.path("dataset", dataset)
    draws = values.whole("draws", draws, 0, values.MOST_DRAWS)
    threshold = values.maybe_number("threshold", threshold)
    values.called("progress", progress)
    page, csv_file, verdicts_file = optional(report), optional(csv), optional(verdicts)
    check_folders(page, csv_file, verdicts_file)
    files = [file.resolve() for file in (page, csv_file, verdicts_file) if file is not None]
    if len(set(files)) < len(files):
        raise OptionError("report, csv and verdicts must be files of their own")
    if page is not None:
        import_jinja2()  # one that isn't installed shows before any work
    words: dict[str, Any] = {"device": device, "engine": engine, "threads": threads, "depth": depth}
    words["product"] = values.maybe_text("product", product, "a product's name")
    words = {name: value for name, value in words.items() if value is not None}
    if isinstance(dataset, Dataset):
        _refuse("data set", {"layout": layout, "category": category})
        data = dataset
    else:
        data = open_dataset(Path(dataset), layout, category)
    detector = _open(bundle, words)
    gallery = Gallery(detector) if page is not None else None

    def keep(*image: Any) -> None:
        if gallery is not None:
            gallery.add(*image)

    found = judge(detector, data.test, progress, on_image=keep, draws=draws, threshold=threshold)
    found = replace(found, dataset=data)
    if page is not None and gallery is not None:
        single = detector if isinstance(bundle, Detector) else load(detector.bundle.path, **words)
        _write_report(page, found, data, gallery, single, threads, progress)
    if csv_file is not None:
        write_file(csv_file, metrics_csv(found).encode())
    if verdicts_file is not None:
        write_file(verdicts_file, verdicts_csv(found.images, found.threshold).encode())
    tell([*data.notices, *found.notices, *found.problems])
    return found


def _open(bundle: AnyBundle | Detector, words: Mapping[str, Any]) -> Detector:
    if isinstance(bundle, Detector):
        _refuse("detector", words)
        return bundle
    return load(path_of(bundle), **words, throughput=True)


def _refuse(what: str, words: Mapping[str, Any]) -> None:
    for name, value in words.items():
        if value is not None:
            raise OptionError(f"{name} {value!r} is for a path, and this is a {what} already: leave it out")


def _write_report(
    page: Path,
    found: Evaluation,
    data: Dataset,
    gallery: Gallery,
    detector: Detector,
    threads: int | None,
    progress: Progress,
) -> None:
    from edgead import machine
    from edgead.evaluation.bench import bench
    from edgead.evaluation.report import Timing, write_report

    (latency,) = bench([detector], TIMED_FRAMES, progress)
    processor, bundle = machine.cpu(), detector.bundle
    where = f"{processor.model}, {threads or processor.threads} threads"
    write_report(
        page,
        shown(f"{bundle.path.name} on {data.name}"),
        found,
        gallery,
        bundle,
        timing=Timing({bundle.manifest.precision: latency}, where),
        facts={"bundle's folder": shown(bundle.path.resolve()), "data set": shown(data.folder.resolve())},
        notes=data.notes,
    )


__all__ = ["TIMED_FRAMES", "evaluate"]
