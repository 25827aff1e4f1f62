"""FYD's scorer: a network trained to show the same part at the same position, and PaDiM's density on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import OptionError
from edgead.notices import Notice
from edgead.types import Backbone, BankPrecision, FittingData, Scores, Size, TrainingData
from edgead.workbench.graph import static_shape
from edgead_plugins.fyd.options import ALIGNMENT, TRAINED, FYDOptions
from edgead_plugins.layers import check_known
from edgead_plugins.padim import FittedPaDiM, PaDiM
from edgead_plugins.trains import TrainsNetwork

RATE = (
    "learning rate {learning_rate}, for {what}: a mean part explains {explained_lying:.0%} of the images "
    "as they lie and {explained_placed:.0%} moved into place; another with -o learning_rate"
)
SENTENCES = {
    "fyd-moving": RATE.replace("{what}", "parts that move"),
    "fyd-still": RATE.replace("{what}", "parts or a surface that don't move"),
    "fyd-unaligned": "the image isn't aligned, for parts or a surface that don't move: there it did harm; "
    "-o align_image=yes aligns it all the same",
    "fyd-worn": "the training ended after {epochs} epochs, with {left:.0%} left of the features' spread: it "
    "made different places alike; lower -o learning_rate, or compare with padim",
}


class FYD(TrainsNetwork):
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    whole_batches: ClassVar[str] = "fyd compares the images of a batch with each other"
    Options: ClassVar[type] = FYDOptions
    learns_positions = True

    def __init__(self, options: FYDOptions | None = None) -> None:
        self.options = options or FYDOptions()
        self._padim = PaDiM(self.options.density())

    def train(self, data: TrainingData) -> Backbone:
        """Train the alignments and fine-tune the backbone.

        Raises:
            OptionError: the backbone can't be trained, or lacks the stages.
            TrainingError: the loss isn't finite, or the features collapsed.
            MissingDependencyError: torch isn't installed.
        """
        from edgead_plugins.fyd.fitting import train_fyd

        stages = tuple(self._padim.feature_maps(data.backbone))
        check_known(stages, data.backbone, "fyd")
        if not self.options.layers and len(stages) < 3:
            raise OptionError(
                f"fyd needs maps of stride 4, 8 and 16; '{data.backbone.name}' has "
                f"{', '.join(data.backbone.feature_info)}: name those to use with -o layers=..."
            )
        return train_fyd(data, stages, self.options)

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """The stages, and the transform back where maps are taken back."""
        aligned = self.options.align_image is not False or self.options.align_features
        back = [ALIGNMENT] if aligned and self.options.restore else []
        return [*self._padim.feature_maps(backbone), *back]

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The maps as they are."""
        return dict(maps)

    def fit(self, data: FittingData) -> FittedFYD:
        """PaDiM's density of the aligned maps; see ``PaDiM.fit``."""

        def stages() -> Iterator[Mapping[str, NDArray[np.float32]]]:
            for maps in data.features():
                yield {name: value for name, value in maps.items() if name != ALIGNMENT}

        shapes = {name: shape for name, shape in data.shapes.items() if name != ALIGNMENT}
        fitted = self._padim.fit(dataclasses.replace(data, shapes=shapes, features=stages))
        told = data.backbone.provenance
        return FittedFYD(fitted, told.get(TRAINED, {}), told.get("spread_left", {}))


@dataclass(frozen=True)
class FittedFYD:
    """A density of aligned maps, how the network was trained, and what is left of its features' spread."""

    density: FittedPaDiM
    trained: Mapping[str, Any] = field(default_factory=dict)
    spread_left: Mapping[str, float] = field(default_factory=dict)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The density's, and how the network was trained."""
        return {**self.density.facts, **({TRAINED: dict(self.trained)} if self.trained else {})}

    @property
    def notices(self) -> Sequence[Notice]:
        """The density's, and what was decided in training."""
        found = list(self.density.notices)
        if self.trained.get("chosen"):
            code = "fyd-moving" if self.trained["moving"] else "fyd-still"
            found.append(Notice(code, dict(self.trained), SENTENCES[code]))
        if self.trained.get("align_image_chosen") and not self.trained["align_image"]:
            found.append(Notice("fyd-unaligned", {}, SENTENCES["fyd-unaligned"]))
        if self.trained.get("worn"):
            values = {"epochs": self.trained["epochs"], "left": min(self.spread_left.values())}
            found.append(Notice("fyd-worn", values, SENTENCES["fyd-worn"]))
        return found

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``; the image score is left to the finished map's maximum."""
        stages = {name: value for name, value in maps.items() if name != ALIGNMENT}
        scores = self.density.graph(stages, bank)
        if ALIGNMENT not in maps:
            return scores
        _, _, h, w = static_shape(scores.patch)
        return Scores(patch=taken_back(scores.patch, maps[ALIGNMENT], (h, w)), image=scores.image)


def taken_back(patch: Var, transform: Var, size: Size) -> Var:
    """Sample the aligned (1, 1, h, w) scores at the transformed (1, 6, 1, 1) grid; borders go on."""
    height, width = size
    xs = ((np.arange(width, dtype=np.float32) * 2 + 1) / width - 1).reshape(1, 1, width, 1)
    ys = ((np.arange(height, dtype=np.float32) * 2 + 1) / height - 1).reshape(1, height, 1, 1)
    a, b, x, c, d, y = (
        op.gather(transform, op.const(np.array([i])), axis=1) for i in range(6)
    )  # (1, 1, 1, 1) each
    at = op.concat(
        [
            op.add(op.add(op.mul(p, op.const(xs)), op.mul(q, op.const(ys))), r)
            for p, q, r in ((a, b, x), (c, d, y))
        ],
        axis=3,
    )
    return op.grid_sample(patch, at, mode="bilinear", padding_mode="border", align_corners=0)


__all__ = ["FYD", "FittedFYD", "taken_back"]
