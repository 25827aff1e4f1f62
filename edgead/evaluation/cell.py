"""One cell of a benchmark: fit a method on a data set, export it, evaluate the bundle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgead.bundle import Bundle, read_bundle
from edgead.datasets import Dataset, open_dataset
from edgead.errors import DatasetError, OptionError
from edgead.evaluation.bench import bench, processor_ms
from edgead.evaluation.checking import ANY_SIZE, check
from edgead.evaluation.evaluate import judge
from edgead.image_score import parse as parse_image_score
from edgead.leftovers import scratch_folder
from edgead.plugins import registry
from edgead.processor import cpu
from edgead.resize import ResizeRule
from edgead.runtime.detector import load
from edgead.types import PRECISIONS, Precision, Progress, Size
from edgead.version import __version__
from edgead.workbench.export import Export, export
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve

TIMED_FRAMES = 50


@dataclass(frozen=True)
class Making:
    """How a bundle is made for a comparison; see the options of ``edgead fit`` and ``edgead export``.

    Attributes:
        method: a registered method, with options after a colon: ``patchcore:coreset_ratio=0.1,projection=0``.
        backbone, weights: instead of the method's own.
        size: (H, W), or None to choose it from the images.
        seed: of all randomness.
        target, precision: what to export; ``fp32`` is what papers compare.
        depth: significant bits of 16-bit images.
        preset: one of the method's; its options are changes to it.
        holdout, final_fit: as ``Settings`` has them.
        image_score: ``auto``, or what ``edgead.image_score.parse`` reads.
    """

    method: str
    backbone: str | None = None
    weights: str | None = None
    size: Size | None = None
    seed: int = 0
    target: str = "openvino"
    precision: str = "fp32"
    depth: int | None = None
    preset: str | None = None
    holdout: float = 0.2
    final_fit: bool | None = None
    image_score: str = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *PRECISIONS):
            raise OptionError(f"precision '{self.precision}' must be auto, {', '.join(PRECISIONS)}")

        if self.image_score != "auto":
            parse_image_score(self.image_score)

    @property
    def forms(self) -> tuple[Precision, ...]:
        """The forms that fitting has to prepare for the precision; FP32 always is."""
        return PRECISIONS if self.precision == "auto" else (cast(Precision, self.precision),)


@dataclass(frozen=True)
class Cell:
    """A method on a data set.

    Attributes:
        making: the method, and how its bundle is made.
        dataset: the data set's folder, absolute.
        layout, category: as ``edgead eval`` takes them.
    """

    making: Making
    dataset: str
    layout: str | None = None
    category: str | None = None

    def open(self) -> Dataset:
        """List the data set's images; raises as ``open_dataset`` does."""
        return open_dataset(Path(self.dataset), self.layout, self.category)

    def record(self) -> dict[str, Any]:
        """The cell as JSON; ``from_record`` reads it."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_record(record: dict[str, Any]) -> Cell:
        """Read what ``record`` gave, after a way through JSON."""
        making = dict(record["making"])
        making["size"] = None if making["size"] is None else tuple(making["size"])
        return Cell(Making(**making), record["dataset"], record["layout"], record["category"])

    def key(self) -> str:
        """A hash of all that decides the result: the cell, edgead's version and the files' names and sizes.

        Raises as ``open``.
        """
        data = self.open()
        files = [*data.train, *(s.image for s in data.test), *(m for s in data.test for m in s.masks)]
        listed = [(file.name, file.stat().st_size) for file in files]
        if self.making.weights is not None:
            weights = Path(self.making.weights)
            listed.append((weights.name, weights.stat().st_size if weights.is_file() else 0))
        text = json.dumps([self.record(), __version__, listed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Took:
    """What fitting took: seconds, and the processor's seconds, which other work hardly touches."""

    seconds: float
    cpu_seconds: float


def make_bundle(making: Making, data: Dataset, folder: Path, progress: Progress) -> tuple[Export, Took]:
    """Fit and export into the folder; returns the export and what fitting took.

    Raises:
        DatasetError: the data set has no training images.
        EdgeadError: as ``fit`` and ``export`` raise.
    """
    reference, took = _fit(making, data, making.forms, folder / "reference.edgead", progress)
    return _export(making, reference, folder, progress), took


def _fit(
    making: Making, data: Dataset, forms: Sequence[Precision], out: Path, progress: Progress
) -> tuple[Bundle, Took]:
    if not data.train:
        raise DatasetError(f"{data.folder}: no training images, so nothing can be fitted on it")
    method, _, options = making.method.partition(":")
    recipe = resolve(
        method,
        making.backbone,
        None if making.weights is None else Path(making.weights),
        [option for option in options.split(",") if option],
        making.preset,
        None if making.image_score == "auto" else parse_image_score(making.image_score),
    )
    settings = Settings(
        size=making.size,
        seed=making.seed,
        holdout=making.holdout,
        precisions=forms,
        final_fit=making.final_fit,
        depth=making.depth,
    )
    start, cpu_start = time.monotonic(), _cpu_seconds()
    bundle = fit(recipe, data.train, settings, out, progress).bundle
    return bundle, Took(time.monotonic() - start, _cpu_seconds() - cpu_start)


def _cpu_seconds() -> float:
    """Of this process and of those that it has begun and that have ended."""
    return sum(os.times()[:4])


def _export(making: Making, reference: Bundle, folder: Path, progress: Progress) -> Export:
    exporter = registry().get("exporters", making.target)()
    return export(reference, exporter, making.precision, folder / "compiled.edgead", progress)


def _kept_fit(
    cell: Cell, data: Dataset, forms: Sequence[Precision], kept: Path, progress: Progress
) -> tuple[Bundle, Took]:
    """The reference bundle that the last cell left in the folder, where it's of the same fit; else a new one.

    One bundle is kept, no more: cells of one fit follow each other.
    """
    fitting = dataclasses.replace(cell, making=dataclasses.replace(cell.making, target="", precision="fp32"))
    name = hashlib.sha256(json.dumps([fitting.record(), list(forms)], sort_keys=True).encode()).hexdigest()
    path, note = kept / f"{name[:32]}.edgead", kept / f"{name[:32]}.json"
    if note.exists():
        return read_bundle(path), Took(**json.loads(note.read_text()))
    for old in kept.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    bundle, took = _fit(cell.making, data, forms, path, progress)
    note.write_text(json.dumps(dataclasses.asdict(took)))
    return bundle, took


def run_cell(
    cell: Cell,
    draws: int,
    timed: bool,
    progress: Progress,
    kept: Path | None = None,
    forms: Sequence[Precision] = (),
) -> dict[str, Any]:
    """Run one cell.

    Args:
        draws: of the bootstrap.
        timed: whether to measure latency; only where nothing else runs beside it.
        kept: a folder in which the fit is left for the next cell, which may differ in target and precision
            alone; None: nothing is kept.
        forms: the forms to prepare for those cells too.

    Returns:
        What ``Evaluation.record`` gives, the precision and the loss that its gate expects, what the gates
        found of each form that was tried, the processor's class, the bundle's bytes, seconds and latency.
    """
    data = cell.open()
    check(data.test, ResizeRule(ANY_SIZE))  # a bad file shows before anything is fitted
    with scratch_folder() as folder:
        if kept is None:
            made, took = make_bundle(cell.making, data, folder, progress)
        else:
            wanted = [form for form in PRECISIONS if form in {*forms, *cell.making.forms}]
            reference, took = _kept_fit(cell, data, wanted, kept, progress)
            made = _export(cell.making, reference, folder, progress)
        bundle = made.bundle
        engine = bundle.manifest.engine  # its target was named, and so it may be a plugin's
        found = judge(load(bundle.path, engine=engine, throughput=True), data.test, progress, draws=draws)
        latency = bench([load(bundle.path, engine=engine)], TIMED_FRAMES, progress)[0] if timed else None
        chosen = next(form for form in made.forms if form.precision == made.chosen)
        return {
            **found.record(),
            "name": data.name,
            "dataset_notices": [notice.record() for notice in data.notices],
            "precision": bundle.manifest.precision,
            "size": list(bundle.manifest.input.size),
            "processor": cpu().kind,
            "bundle_bytes": sum(file.bytes for file in bundle.manifest.files),
            "fit_seconds": round(took.seconds, 2),
            "fit_cpu_seconds": round(took.cpu_seconds, 2),
            "p50_ms": None if latency is None else latency.p50_ms,
            "cpu_ms": processor_ms(load(bundle.path, engine=engine, threads=1), TIMED_FRAMES),
            "expected_loss": chosen.loss,
            "forms": [form.record() for form in made.forms],
        }


__all__ = ["Cell", "Making", "Took", "make_bundle", "run_cell"]
