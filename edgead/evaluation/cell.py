"""One cell of a benchmark: fit a method on a data set, export it, evaluate the bundle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgead
from edgead.bundle import Bundle
from edgead.datasets import Dataset, open_dataset
from edgead.errors import DatasetError, OptionError
from edgead.evaluation.bench import bench
from edgead.evaluation.checking import ANY_SIZE, check
from edgead.evaluation.evaluate import judge
from edgead.plugins import registry
from edgead.resize import ResizeRule
from edgead.runtime.detector import load
from edgead.types import PRECISIONS, Progress, Size
from edgead.workbench.export import export
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
    """

    method: str
    backbone: str | None = None
    weights: str | None = None
    size: Size | None = None
    seed: int = 0
    target: str = "openvino"
    precision: str = "fp32"
    depth: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *PRECISIONS):
            raise OptionError(f"precision '{self.precision}' must be auto, {', '.join(PRECISIONS)}")


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
        text = json.dumps([self.record(), edgead.__version__, listed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def make_bundle(making: Making, data: Dataset, folder: Path, progress: Progress) -> tuple[Bundle, float]:
    """Fit and export into the folder; returns the bundle and the seconds that fitting took.

    Raises:
        DatasetError: the data set has no training images.
        EdgeadError: as ``fit`` and ``export`` raise.
    """
    if not data.train:
        raise DatasetError(f"{data.folder}: no training images, so nothing can be fitted on it")
    method, _, options = making.method.partition(":")
    recipe = resolve(
        method,
        making.backbone,
        None if making.weights is None else Path(making.weights),
        [option for option in options.split(",") if option],
    )
    precisions = PRECISIONS if making.precision == "auto" else (making.precision,)
    settings = Settings(size=making.size, seed=making.seed, precisions=precisions, depth=making.depth)  # type: ignore[arg-type]
    exporter = registry().get("exporters", making.target)()
    start = time.monotonic()
    reference = fit(recipe, data.train, settings, folder / "reference.edgead", progress).bundle
    seconds = time.monotonic() - start
    done = export(reference, exporter, making.precision, folder / "compiled.edgead", progress)
    return done.bundle, seconds


def run_cell(cell: Cell, draws: int, timed: bool, progress: Progress) -> dict[str, Any]:
    """Run one cell.

    Args:
        draws: of the bootstrap.
        timed: whether to measure latency; only where nothing else runs beside it.

    Returns:
        What ``Evaluation.record`` gives, the precision, the bundle's bytes, seconds and latency.
    """
    data = cell.open()
    check(data.test, ResizeRule(ANY_SIZE))  # a bad file shows before anything is fitted
    with tempfile.TemporaryDirectory(prefix="edgead-") as folder:
        bundle, seconds = make_bundle(cell.making, data, Path(folder), progress)
        found = judge(load(bundle.path, throughput=True), data.test, progress, draws=draws)
        latency = bench([load(bundle.path)], TIMED_FRAMES, progress)[0] if timed else None
        return {
            **found.record(),
            "name": data.name,
            "dataset_notices": [notice.record() for notice in data.notices],
            "precision": bundle.manifest.precision,
            "size": list(bundle.manifest.input.size),
            "bundle_bytes": sum(file.bytes for file in bundle.manifest.files),
            "fit_seconds": round(seconds, 2),
            "p50_ms": None if latency is None else latency.p50_ms,
        }


__all__ = ["Cell", "Making", "make_bundle", "run_cell"]
