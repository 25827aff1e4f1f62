"""Features for fitting: through the same session, resize rule and (quantised) backbone as the camera's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgead.runtime.session import Session, open_session
from edgead.types import Arithmetic, Backbone, FittingData, Image, Progress, Scorer
from edgead.workbench.annotated import Defect
from edgead.workbench.frames import Frames
from edgead.workbench.graph import FEATURE_PREFIX, compose_features


@contextmanager
def training_on(
    graph: onnx.ModelProto,
    backbone: Backbone,
    scorer: Scorer,
    frames: Frames,
    seed: int,
    progress: Progress,
    precision: Arithmetic = "f32",
    defects: tuple[Defect, ...] = (),
    checkpoint: Path | None = None,
) -> Iterator[FittingData]:
    """Open the backbone's graph, quantised or not, and offer a scorer what it may learn from.

    Args:
        precision: the arithmetic allowed where the graph isn't quantised.
        defects: annotated ones, after the resize rule.
        checkpoint: a folder for what a training needs to go on after a kill.
    """
    size = frames.rule.size
    model = compose_features(graph, scorer, size)
    with opened(model, precision=precision, throughput=True) as session:

        def embed(images: Iterable[Image]) -> Iterator[Mapping[str, NDArray[np.float32]]]:
            for outputs in session.map(image[None] for image in images):
                yield {name.removeprefix(FEATURE_PREFIX): array[0] for name, array in outputs.items()}

        yield FittingData(
            backbone=backbone,
            shapes=_shapes(model),
            n_images=len(frames),
            size=size,
            features=lambda: embed(frames),
            images=lambda: iter(frames),
            seed=seed,
            progress=progress,
            defects=lambda: iter(defects),
            embed=embed,
            checkpoint=checkpoint,
        )


@contextmanager
def opened(
    model: onnx.ModelProto, engine: str = "auto", precision: Arithmetic = "f32", throughput: bool = False
) -> Iterator[Session]:
    """Open a graph that has no file of its own."""
    with tempfile.TemporaryDirectory(prefix="edgead-") as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, file)
        yield open_session(file, engine, precision=precision, throughput=throughput)


def _shapes(model: onnx.ModelProto) -> Mapping[str, tuple[int, int, int]]:
    shapes = {}
    for output in model.graph.output:
        _, channels, height, width = (d.dim_value for d in output.type.tensor_type.shape.dim)
        shapes[output.name.removeprefix(FEATURE_PREFIX)] = (channels, height, width)
    return shapes
