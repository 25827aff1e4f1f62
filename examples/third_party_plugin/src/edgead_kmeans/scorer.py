"""``kmeans``: a patch is as anomalous as it is far from the nearest k-means centre of good patches.

Centres: Lloyd's algorithm (Least squares quantization in PCM, IEEE Transactions on Information Theory, 1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import spox.opset.ai.onnx.v18 as op
from edgead.options import Range, check_options
from edgead.types import Backbone, BankPrecision, FittingData, Scores
from edgead.workbench.graph import static_shape
from edgead_plugins.nearest import Bank
from numpy.typing import NDArray
from spox import Var

Floats = NDArray[np.float32]
Groups = NDArray[np.int64]


@dataclass(frozen=True)
class KmeansOptions:
    """Options of kmeans; ``-o name=value``. A ``Range`` is what it takes, the string below its help."""

    centres: Annotated[int, Range(1)] = 64
    """How many centres sum up the good patches."""
    rounds: Annotated[int, Range(1)] = 10
    """Rounds of k-means."""

    def __post_init__(self) -> None:
        check_options(self)


class Kmeans:
    """The scorer. It stores its options; work begins in ``fit``."""

    Options: ClassVar[type] = KmeansOptions

    def __init__(self, options: KmeansOptions | None = None) -> None:
        self.options = options or KmeansOptions()

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """Of stride 8, or the coarsest that the backbone has."""
        middle = [name for name, info in backbone.feature_info.items() if info.stride == 8]
        return middle or list(backbone.feature_info)[-1:]

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """Each position with its eight neighbours, their mean; the same for fitting and for the camera."""
        (features,) = maps.values()
        return {"patches": op.average_pool(features, kernel_shape=[3, 3], pads=[1, 1, 1, 1])}

    def fit(self, data: FittingData) -> FittedKmeans:
        """Learn the centres; all that is random comes from the seed."""
        patches = _patches(data)
        rng = np.random.default_rng(data.seed)
        groups = k_means(patches, self.options.centres, self.options.rounds, rng)
        return FittedKmeans(group_means(patches, groups), groups)


@dataclass(frozen=True)
class FittedKmeans:
    """What was learnt: the centres (k, channels), and the group of each training patch, 0 to k - 1."""

    centres: Floats
    groups: Groups

    @property
    def facts(self) -> Mapping[str, Any]:
        """What ``edgead inspect`` shows."""
        return {"centres": len(self.centres)}

    def refit(self, data: FittingData) -> FittedKmeans:
        """The same groups of the same patches, as another precision of the backbone yields them."""
        return FittedKmeans(group_means(_patches(data), self.groups), self.groups)

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """The method as operators; ``Bank`` searches the nearest row, in FP32 or INT8."""
        _, channels, h, w = static_shape(maps["patches"])
        patches = op.transpose(op.reshape(maps["patches"], op.const([channels, h * w])), perm=[1, 0])
        distance = Bank(self.centres, "centres").lower(bank).search(patches).distance
        return Scores(patch=op.reshape(distance, op.const([1, 1, h, w])))

    def in_numpy(self, maps: Mapping[str, Floats]) -> Floats:
        """The same for one image in NumPy, (h, w). Optional: the kit compares ``graph`` with it."""
        channels, h, w = maps["patches"].shape
        patches = maps["patches"].reshape(channels, -1).T
        distance = np.linalg.norm(patches[:, None] - self.centres[None], axis=2)
        return distance.min(1).reshape(h, w)


def k_means(points: Floats, k: int, rounds: int, rng: np.random.Generator) -> Groups:
    """Group (n, channels) points; at most k groups, none of them empty."""
    centres = points[rng.choice(len(points), min(k, len(points)), replace=False)]
    for _ in range(rounds):
        # |p - c|^2 without |p|^2, which is the same for all centres of a point.
        nearest = ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)
        groups: Groups = np.unique(nearest, return_inverse=True)[1]
        centres = group_means(points, groups)
    return groups


def group_means(points: Floats, groups: Groups) -> Floats:
    """(k, channels) means of the points of each group, 0 to k - 1."""
    sums = np.zeros((groups.max() + 1, points.shape[1]))
    np.add.at(sums, groups, points)
    means: Floats = (sums / np.bincount(groups)[:, None]).astype(np.float32)
    return means


def _patches(data: FittingData) -> Floats:
    """All patches of all images, (images * h * w, channels), in order."""
    with data.progress("reading good images", data.n_images) as advance:
        rows = []
        for maps in data.features():
            rows.append(maps["patches"].reshape(len(maps["patches"]), -1).T)
            advance(1)
    return np.concatenate(rows)
