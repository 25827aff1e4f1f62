"""Features for fitting: through the same session, resize rule and (quantised) backbone as the camera's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import onnx

from edgead.leftovers import scratch_folder
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_as_honoured
from edgead.runtime.session import Session
from edgead.types import (
    Arithmetic,
    Backbone,
    Compute,
    Defect,
    Features,
    FittingData,
    Image,
    LearningData,
    Progress,
    Scorer,
    TrainingData,
)
from edgead.workbench.good_images import GoodImages
from edgead.workbench.graph import FEATURE_PREFIX, compose_features
from edgead.workbench.pieces import Pieces


def training_data(
    backbone: Backbone,
    frames: GoodImages | Pieces,
    seed: int,
    progress: Progress,
    checkpoint: Path,
    defects: Sequence[Defect] = (),
    compute: Compute | None = None,
) -> TrainingData:
    """What is learned from these frames; see ``edgead.types.LearningData``."""
    return TrainingData(
        backbone=backbone,
        images=lambda: iter(frames),
        n_images=len(frames),
        size=frames.rule.size,
        seed=seed,
        progress=progress,
        defects=lambda: iter(defects),
        checkpoint=checkpoint,
        compute=compute or Compute(),
    )


@contextmanager
def fitting_data(
    graph: onnx.ModelProto, scorer: Scorer, data: LearningData, precision: Arithmetic = "f32"
) -> Iterator[FittingData]:
    """Open the backbone's graph, quantised or not, and offer a scorer what it may learn from.

    Args:
        scorer: for its ``embed``.
        data: with the backbone whose graph it is.
        precision: the arithmetic allowed where the graph isn't quantised.
    """
    model = compose_features(graph, scorer, data.size)
    with opened(model, precision=precision, throughput=True) as session:

        def embed(images: Iterable[Image]) -> Iterator[Features]:
            for outputs in session.map(image[None] for image in images):
                yield {name.removeprefix(FEATURE_PREFIX): array[0] for name, array in outputs.items()}

        yield FittingData(
            **vars(data),
            shapes=_shapes(model),
            features=lambda: embed(data.images()),
            embed=embed,
        )


def all_but(folds: Sequence[FittingData], own: int) -> FittingData:
    """The images of all folds but one, one after another; for a scorer's ``fit_folds``."""
    parts = [fold for number, fold in enumerate(folds) if number != own]
    return replace(
        parts[0],
        images=lambda: chain.from_iterable(part.images() for part in parts),
        n_images=sum(part.n_images for part in parts),
        features=lambda: chain.from_iterable(part.features() for part in parts),
    )


@contextmanager
def opened(
    model: onnx.ModelProto, engine: str = "auto", precision: Arithmetic = "f32", throughput: bool = False
) -> Iterator[Session]:
    """Open a graph that has no file of its own."""
    with scratch_folder() as folder:
        file = folder / "model.onnx"
        onnx.save(model, file)
        yield open_as_honoured(file, engine, EngineOptions(precision=precision, throughput=throughput))


def _shapes(model: onnx.ModelProto) -> Mapping[str, tuple[int, int, int]]:
    shapes = {}
    for output in model.graph.output:
        _, channels, height, width = (d.dim_value for d in output.type.tensor_type.shape.dim)
        shapes[output.name.removeprefix(FEATURE_PREFIX)] = (channels, height, width)
    return shapes
