"""Which graphs can be taught on the device: their scorer and post-processor offer what it takes.

The tensors that teaching reads, patch embeddings and patch scores, have names in the graph and are no outputs
of it: a session is opened with them only where there are lessons.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edgead.errors import PluginError
from edgead.types import LinearMap, PostProcessor, Scores, Size


@dataclass(frozen=True)
class Teachable:
    """What teaching needs to know of a graph.

    Attributes:
        grid: (h, w) of the patch scores.
        dim: values of an embedding.
        weighted: the paper's image score is the highest patch score times a weight, not the map's maximum.
        vertical, horizontal: (H, h) and (W, w) float32; see ``edgead.types.LinearMap``.
    """

    grid: Size
    dim: int
    weighted: bool
    vertical: NDArray[np.float32]
    horizontal: NDArray[np.float32]


def teachable(
    scores: Scores, embedding: tuple[int, ...], postprocessor: PostProcessor, grid: Size, size: Size
) -> Teachable | None:
    """None where a part doesn't offer what it takes.

    Args:
        embedding: the shape of ``scores.embedding``, which is there.
        grid: (h, w) of the patch scores.
        size: (H, W) of the image.

    Raises:
        PluginError: what a part offers is of another shape than it must be.
    """
    if not isinstance(postprocessor, LinearMap):
        return None
    if len(embedding) != 2 or embedding[0] != grid[0] * grid[1]:
        raise PluginError(f"a scorer's embedding must be ({grid[0] * grid[1]}, dim), not {embedding}")
    vertical, horizontal = postprocessor.matrices(grid, size)
    for matrix, wanted in ((vertical, (size[0], grid[0])), (horizontal, (size[1], grid[1]))):
        if matrix.shape != wanted:
            raise PluginError(f"a post-processor's matrix must be {wanted}, not {matrix.shape}")
    return Teachable(grid, embedding[1], scores.image is not None, vertical, horizontal)


def name_inside(model: onnx.ModelProto, named: Collection[str]) -> None:
    """Keep the names of some outputs on the tensors themselves, which are outputs no longer.

    spox names outputs alone, each by an Identity of its own: the tensor before it takes the name.

    Args:
        model: as ``spox.build`` yields it; it's changed.
    """
    graph = model.graph
    for name in named:
        identity = next(node for node in graph.node if name in node.output)
        inner = identity.input[0]
        graph.node.remove(identity)
        if not any(inner in node.output for node in graph.node):
            raise PluginError(f"what a scorer gives as {name} must be made of the graph's inputs")
        for node in graph.node:
            for names in (node.input, node.output):
                for place, old in enumerate(names):
                    if old == inner:
                        names[place] = name
    kept = [value for value in graph.output if value.name not in named]
    del graph.output[:]
    graph.output.extend(kept)


__all__ = ["Teachable", "name_inside", "teachable"]
