"""``edgead.compare``: bundles or methods side by side on one data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgead.api import values
from edgead.api.arguments import AnyBundle, AnyPath, as_size, path_of
from edgead.api.notes import tell
from edgead.api.records import Compared, Export, Fit
from edgead.bundle import Bundle
from edgead.errors import OptionError
from edgead.extras import explained
from edgead.files import is_folder
from edgead.leftovers import scratch_folder
from edgead.names import shown, told_apart
from edgead.plugins import registry
from edgead.progress import silent
from edgead.runtime.detector import load

if TYPE_CHECKING:
    from edgead.datasets import Dataset
    from edgead.evaluation.cell import Making
    from edgead.evaluation.evaluate import Evaluation
    from edgead.types import Progress


@explained("comparing")
def compare(
    bundles: Sequence[AnyBundle],
    dataset: AnyPath | Dataset,
    *,
    layout: str | None = None,
    category: str | None = None,
    backbone: str | None = None,
    weights: AnyPath | None = None,
    size: int | Sequence[int] | None = None,
    depth: int | None = None,
    target: str = "openvino",
    precision: str = "fp32",
    engine: str | None = None,
    seed: int = 0,
    draws: int = 1000,
    progress: Progress = silent,
) -> Compared:
    """Evaluate bundles on the same images: which differences are more than chance; as ``edgead compare``.

    Args:
        bundles: two or more bundles: paths, ``NAME`` for ``./NAME.edgead``, or what the calls returned; or
            methods, which are fitted on the data set's training images first, with options after a colon:
            ``"patchcore:coreset_ratio=0.1"``. The others are compared with the first.
        dataset, layout, category: as ``edgead.evaluate`` takes them.
        backbone, weights, size, depth, target, precision, seed: for methods; as ``edgead.fit`` and
            ``edgead.export`` take them.
        engine: another engine than each bundle's own.
        draws: of the bootstrap; 0 for no intervals.
        progress: reports long work; ``edgead.progress.bar`` is a bar on a terminal.

    Returns:
        An evaluation of each, and of each but the first the differences, with intervals and p values: of
        the verdicts at each one's own threshold, and of the metrics.

    Raises:
        edgead.errors.InputError: fewer than two, or names, images or options that can't be used.
        edgead.errors.EdgeadError: as ``edgead.fit``, ``edgead.export`` and ``edgead.evaluate``.
    """
    if isinstance(bundles, str | os.PathLike | Mapping) or not isinstance(bundles, Iterable):
        raise OptionError("give two bundles or methods at least, in a list")
    bundles = list(bundles)
    if len(bundles) < 2:
        raise OptionError("give two bundles or methods at least, in a list")
    seed, draws = values.whole("seed", seed, 0), values.whole("draws", draws, 0, values.MOST_DRAWS)
    depth = values.maybe_whole("depth", depth)
    values.path("weights", weights)
    values.called("progress", progress)
    from edgead.datasets import Dataset, open_dataset
    from edgead.evaluation.cell import Making
    from edgead.evaluation.checking import ANY_SIZE, check
    from edgead.evaluation.compare import compare as compare_two
    from edgead.resize import ResizeRule

    data = dataset if isinstance(dataset, Dataset) else open_dataset(Path(dataset), layout, category)
    check(data.test, ResizeRule(ANY_SIZE))  # a bad file shows before anything is fitted
    making = Making(
        method="",
        backbone=backbone,
        weights=None if weights is None else str(Path(weights)),
        size=as_size(size),
        seed=seed,
        target=target,
        precision=precision,
        depth=depth,
    )
    names = _names(bundles)
    found = [
        _evaluate(bundle, name, data, making, engine, draws, progress)
        for bundle, name in zip(bundles, names, strict=True)
    ]
    tell(data.notices)
    for name, one in zip(names, found, strict=True):
        tell(f"{name}: {text}" for text in (*one.notices, *one.problems))
    against_first = tuple(compare_two(found[0], other) for other in found[1:])
    return Compared(tuple(names), tuple(found), against_first)


def _names(bundles: Sequence[AnyBundle]) -> list[str]:
    """What was typed; of what isn't text, as much of its path as tells it apart."""
    made = (Bundle, Fit, Export)
    given = [bundle.path.resolve() if isinstance(bundle, made) else bundle for bundle in bundles]
    others = iter(told_apart([path for path in given if not isinstance(path, str)]))
    return [name if isinstance(name, str) else next(others) for name in given]


def _evaluate(
    bundle: AnyBundle,
    name: str,
    data: Dataset,
    making: Making,
    engine: str | None,
    draws: int,
    progress: Progress,
) -> Evaluation:
    from edgead.evaluation.cell import make_bundle
    from edgead.evaluation.evaluate import judge

    with scratch_folder() as folder:
        if isinstance(bundle, str) and _is_method(bundle):
            made = make_bundle(replace(making, method=bundle), data, folder, progress)[0].bundle
            path, engine = made.path, engine or made.manifest.engine  # its target was named
        else:
            path = path_of(bundle)
        detector = load(path, engine=engine, throughput=True)
        found = judge(detector, data.test, progress, f"images: {shown(name)}", draws=draws)
    return replace(found, dataset=data)


def _is_method(name: str) -> bool:
    """Whether a method is meant: a bundle of that name comes first."""
    if is_folder(Path(name)) or is_folder(Path(f"{name}.edgead")):
        return False
    return name.partition(":")[0] in registry().names("methods")


__all__ = ["compare"]
