"""DeSTSeg's scorer: from the networks' outputs to a map of the image's size, and its highest pixels' mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import spox.opset.ai.onnx.v18 as op
from spox import Var

from edgead.errors import OptionError
from edgead.types import Backbone, BankPrecision, FittingData, Scores, Size, TrainingData
from edgead_plugins.destseg.options import DeSTSegOptions
from edgead_plugins.destseg.upsampling import enlarged, mean_of_highest

LOGITS, TEACHER, STUDENT = "logits", "teacher_", "student_"
"""What the trained networks' outputs are named; teacher's and student's with a number, the finest 1."""
FOUND = "synthetic_pixel_auroc"
"""In the provenance, as text: how well the networks find fresh synthetic anomalies, 0.5 being chance."""
POOR = 0.8
"""Of it, below which fitting warns."""
TINY = 1e-12
"""What a vector's squared length is at least when it's divided by."""


class DeSTSeg:
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    Options: ClassVar[type] = DeSTSegOptions

    def __init__(self, options: DeSTSegOptions | None = None) -> None:
        self.options = options or DeSTSegOptions()

    def train(self, examples: TrainingData) -> Backbone:
        """Train student and segmentation network; what comes back holds them and the teacher.

        Raises:
            OptionError: the backbone lacks a map or can't be run in torch, or a side isn't a multiple of 32.
            DatasetError: the folder of textures holds no images.
            TrainingError: a loss isn't finite.
            MissingDependencyError: torch isn't installed.
        """
        if any(n % 32 for n in examples.size):
            raise OptionError(
                f"destseg: the student halves the image five times, so --size needs multiples of 32, not "
                f"{examples.size[0]} x {examples.size[1]}"
            )
        layers = self.teacher_layers(examples.backbone)
        from edgead_plugins.destseg.fitting import train_destseg

        return train_destseg(examples, layers, self.options)

    def teacher_layers(self, backbone: Backbone) -> list[str]:
        """The teacher's maps of stride 4, 8 and 16.

        Raises:
            OptionError: there is none of one of these strides, or one asked for isn't there.
        """
        known = backbone.feature_info
        layers = list(self.options.layers)
        if missing := [name for name in layers if name not in known]:
            raise OptionError(
                f"destseg: '{backbone.name}' has no map '{missing[0]}'; choose layers of {', '.join(known)}"
            )
        for stride in () if layers else (4, 8, 16):
            layers += [name for name, info in known.items() if info.stride == stride][-1:]
        if [known[name].stride for name in layers] != [4, 8, 16]:
            raise OptionError(
                f"destseg: the teacher needs maps of stride 4, 8 and 16, in order; '{backbone.name}' has "
                f"{', '.join(f'{n} ({i.stride})' for n, i in known.items())}"
            )
        return layers

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """Everything that the trained networks yield."""
        return list(backbone.feature_info)

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """The maps as they are."""
        return dict(maps)

    def fit(self, training: FittingData) -> FittedDeSTSeg:
        """Nothing is left to learn."""
        provenance = training.backbone.provenance
        warnings = []
        if float(provenance.get(FOUND, "1")) < POOR:
            warnings.append(
                f"the networks hardly find synthetic anomalies (pixel AUROC {provenance[FOUND]}): train for "
                "more -o student_steps and -o steps, or don't rely on the map"
            )
        facts: dict[str, Any] = {
            "map": self.options.map,
            **{key: provenance[key] for key in REPORTED if key in provenance},
            "warnings": warnings,
        }
        share = self.options.top / 256**2
        count = max(1, round(share * training.size[0] * training.size[1]))
        return FittedDeSTSeg(
            training.size, count, {**facts, "image_score": f"mean of {count} highest pixels"}
        )


REPORTED = ("training", "loss", "teacher_layers", "parameters", "textures", FOUND, "trained_on")
"""What the manifest's facts repeat of the trained networks' provenance."""


@dataclass(frozen=True)
class FittedDeSTSeg:
    """The image's size, how many of its highest pixels make the score, and facts."""

    size: Size
    count: int
    facts: Mapping[str, Any]

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``; the map is of the image's size already.

        From logits: the probability of an anomaly. From teacher's and student's maps a and b: the product
        over the layers of 1 - cos(a, b) over the channels, written |a/|a| - b/|b||^2 / 2, which is the same
        and doesn't subtract a number near 1 from 1; coarser layers are enlarged to the finest first.
        """
        if LOGITS in maps:
            fine = op.sigmoid(maps[LOGITS])
        else:
            numbers = sorted(int(name.removeprefix(TEACHER)) for name in maps if name.startswith(TEACHER))
            layers = [_distance(maps[f"{TEACHER}{n}"], maps[f"{STUDENT}{n}"]) for n in numbers]
            _, _, h, w = (int(n) for n in layers[0].unwrap_tensor().shape or ())  # type: ignore[arg-type]
            fine = layers[0]
            for layer in layers[1:]:
                fine = op.mul(fine, enlarged(layer, (h, w)))
        whole = enlarged(fine, self.size)
        return Scores(patch=whole, image=mean_of_highest(whole, self.count))


def _distance(a: Var, b: Var) -> Var:
    over = op.const([1])

    def unit(x: Var) -> Var:
        squared = op.max([op.reduce_sum_square(x, over, keepdims=1), op.const(np.float32(TINY))])
        return op.div(x, op.sqrt(squared))

    apart = op.reduce_sum_square(op.sub(unit(a), unit(b)), over, keepdims=1)
    return op.mul(apart, op.const(np.float32(0.5)))
