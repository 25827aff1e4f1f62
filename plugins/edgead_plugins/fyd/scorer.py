"""FYD's scorer: a network trained to show the same part at the same position, and PaDiM's density on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import spox.opset.ai.onnx.v18 as op
from numpy.typing import NDArray
from spox import Var

from edgead.errors import OptionError
from edgead.types import Backbone, BankPrecision, FittingData, Scores, Size, TrainingData
from edgead_plugins.padim import FittedPaDiM, PaDiM, PaDiMOptions

ALIGNMENT = "alignment"
"""The trained network's map (1, 6, 1, 1): the 2 x 3 transform that takes an aligned map back to the image."""


@dataclass(frozen=True)
class FYDOptions:
    """FYD's options; ``-o name=value``. Where the paper's value isn't known, it says so."""

    layers: tuple[str, ...] = ()
    """Feature maps to align and compare; empty: those of stride 4, 8 and 16, the paper's stages 1 to 3."""
    align_image: bool = True
    """Align the image itself, by the distance between the images of a batch (ICA); no for textures."""
    align_features: bool = True
    """Align the map of each stage too (FCA)."""
    max_rotation: float = 10.0
    """Degrees that one alignment may turn by; a reconstruction, as the next two are."""
    max_scale: float = 0.1
    """Share of the size that one alignment may enlarge or shrink by."""
    max_shift: float = 0.1
    """Share of the side that one alignment may shift by."""
    restore: bool = True
    """Take the anomaly map back from the aligned frame to the image's own; a reconstruction."""
    epochs: int = 50
    """Passes over the good images; 50 in a derivative of the paper."""
    batch_size: int = 32
    """Images a step; 32 in a derivative of the paper. Each is compared with another one of its batch."""
    learning_rate: float = 1e-5
    """Of the backbone, the stages' alignments and the predictors; 1e-4 in a derivative of the paper, which
    did worse here (docs/methods/fyd.md); 0 trains the image's alignment alone."""
    image_learning_rate: float = 0.01
    """Of the image's alignment; 0.01 in a derivative of the paper."""
    momentum: float = 0.9
    """Of the stochastic gradient descent; 0.9 in a derivative of the paper."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1."""
    dimensions: int | None = None
    """Channels of the density; as PaDiM's option of this name, and so the next five."""
    form: Literal["full", "low-rank", "diagonal"] = "full"
    """Covariance at each position."""
    rank: int | None = None
    """Directions that the low-rank form keeps."""
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    """How coarser maps reach the finest grid."""
    ridge: float = 0.01
    """Added to the covariance's diagonal."""
    memory_mib: int = 512
    """Memory for covariances while fitting."""

    def __post_init__(self) -> None:
        checks = {
            "max_rotation": 0 <= self.max_rotation <= 45,
            "max_scale": 0 <= self.max_scale <= 0.5,
            "max_shift": 0 <= self.max_shift <= 0.3,
            "epochs": self.epochs >= 0,
            "batch_size": self.batch_size >= 2,
            "learning_rate": self.learning_rate >= 0,
            "image_learning_rate": self.image_learning_rate >= 0,
            "momentum": 0 <= self.momentum < 1,
        }
        for name, good in checks.items():
            if not good:
                raise OptionError(
                    f"fyd: {name}={getattr(self, name)} is out of range; see `edgead methods fyd`"
                )
        self.density()

    def density(self) -> PaDiMOptions:
        """The options of the density, which check themselves."""
        names = ("layers", "dimensions", "form", "rank", "upsampling", "ridge", "memory_mib")
        return PaDiMOptions(**{name: getattr(self, name) for name in names})


class FYD:
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    Options: ClassVar[type] = FYDOptions

    def __init__(self, options: FYDOptions | None = None) -> None:
        self.options = options or FYDOptions()
        self._padim = PaDiM(self.options.density())

    def train(self, examples: TrainingData) -> Backbone:
        """Train the alignments and fine-tune the backbone.

        Raises:
            OptionError: the backbone can't be trained, or lacks the stages.
            TrainingError: the loss isn't finite, or the features collapsed.
            MissingDependencyError: torch isn't installed.
        """
        from edgead_plugins.fyd.fitting import train_fyd

        stages = tuple(self._padim.feature_maps(examples.backbone))
        known = examples.backbone.feature_info
        if any(stage not in known for stage in stages):
            raise OptionError(
                f"fyd: backbone '{examples.backbone.name}' has {', '.join(known)}; choose layers of them"
            )
        if not self.options.layers and len(stages) < 3:
            raise OptionError(
                f"fyd needs maps of stride 4, 8 and 16; '{examples.backbone.name}' has {', '.join(known)}: "
                "name those to use with -o layers=..."
            )
        return train_fyd(examples, stages, self.options)

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """The stages, and the transform back where maps are taken back."""
        aligned = self.options.align_image or self.options.align_features
        back = [ALIGNMENT] if aligned and self.options.restore else []
        return [*self._padim.feature_maps(backbone), *back]

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The maps as they are."""
        return dict(maps)

    def fit(self, training: FittingData) -> FittedFYD:
        """PaDiM's density of the aligned maps; see ``PaDiM.fit``."""

        def stages() -> Iterator[Mapping[str, NDArray[np.float32]]]:
            for maps in training.features():
                yield {name: value for name, value in maps.items() if name != ALIGNMENT}

        shapes = {name: shape for name, shape in training.shapes.items() if name != ALIGNMENT}
        fitted = self._padim.fit(dataclasses.replace(training, shapes=shapes, features=stages))
        return FittedFYD(fitted)


@dataclass(frozen=True)
class FittedFYD:
    """A density of aligned maps."""

    density: FittedPaDiM

    @property
    def facts(self) -> Mapping[str, Any]:
        """The density's."""
        return self.density.facts

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``; the image score is left to the finished map's maximum."""
        stages = {name: value for name, value in maps.items() if name != ALIGNMENT}
        scores = self.density.graph(stages, bank)
        if ALIGNMENT not in maps:
            return scores
        _, _, h, w = (int(n) for n in scores.patch.unwrap_tensor().shape or ())  # type: ignore[arg-type]
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
