"""DeSTSeg's scorer: from the networks' outputs to a map of the image's size, and its highest pixels' mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import spox.opset.ai.onnx.v18 as op
from spox import Var

from edgead.errors import OptionError
from edgead.notices import Notice
from edgead.types import Backbone, BankPrecision, FittingData, Scores, Size, TrainingData
from edgead.workbench.graph import static_shape
from edgead_plugins.cosine import cosine_distance
from edgead_plugins.destseg.options import FOUND, LOGITS, STUDENT, TEACHER, DeSTSegOptions
from edgead_plugins.destseg.upsampling import enlarged
from edgead_plugins.layers import check_known
from edgead_plugins.postprocessors import mean_of_highest
from edgead_plugins.trains import TrainsNetwork

POOR = 0.8
"""Pixel AUROC on synthetic defects, below which fitting warns."""
REPORTED = ("training", "loss", "teacher_layers", "parameters", "textures", FOUND, "trained_on")
"""What the manifest's facts repeat of the trained networks' provenance."""
POORLY_FOUND = (
    "the networks hardly find synthetic defects (pixel AUROC {pixel_auroc:.3f}): train for more "
    "-o student_steps and -o steps, or don't rely on the map"
)


class DeSTSeg(TrainsNetwork):
    """The scorer. ``Options`` are stored; work begins in ``train``."""

    Options: ClassVar[type] = DeSTSegOptions

    def __init__(self, options: DeSTSegOptions | None = None) -> None:
        self.options = options or DeSTSegOptions()

    def train(self, data: TrainingData) -> Backbone:
        """Train student and segmentation network; what comes back holds them and the teacher.

        Raises:
            OptionError: the backbone lacks a map or can't be run in torch, or a side isn't a multiple of 32.
            DatasetError: the folder of textures holds no images.
            TrainingError: a loss isn't finite.
            MissingDependencyError: torch isn't installed.
        """
        if any(n % 32 for n in data.size):
            raise OptionError(
                f"destseg: the student halves the image five times, so --size needs multiples of 32, not "
                f"{data.size[0]} x {data.size[1]}"
            )
        layers = self.teacher_layers(data.backbone)
        from edgead_plugins.destseg.fitting import train_destseg

        return train_destseg(data, layers, self.options)

    def teacher_layers(self, backbone: Backbone) -> list[str]:
        """The teacher's maps of stride 4, 8 and 16.

        Raises:
            OptionError: there is none of one of these strides, or one asked for isn't there.
        """
        known = backbone.feature_info
        layers = list(self.options.layers)
        check_known(layers, backbone, "destseg")
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

    def fit(self, data: FittingData) -> FittedDeSTSeg:
        """Nothing is left to learn."""
        provenance = data.backbone.provenance
        found = provenance.get(FOUND, 1.0)
        notices = [Notice("destseg-poor", {"pixel_auroc": found}, POORLY_FOUND)] if found < POOR else []
        count = max(1, round(self.options.top / 256**2 * data.size[0] * data.size[1]))
        facts = {
            "map": self.options.map,
            **{key: provenance[key] for key in REPORTED if key in provenance},
            "image_score": {"mean_of_highest": count},
        }
        return FittedDeSTSeg(data.size, count, facts, notices)


@dataclass(frozen=True)
class FittedDeSTSeg:
    """The image's size, how many of its highest pixels make the score, facts and notices."""

    size: Size
    count: int
    facts: Mapping[str, Any]
    notices: Sequence[Notice] = ()

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """See ``edgead.types.FittedScorer``; the map is of the image's size already.

        From logits: the probability of an anomaly. From teacher's and student's maps: the product over the
        layers of 1 - cos over the channels; coarser layers are enlarged to the finest first.
        """
        if LOGITS in maps:
            fine = op.sigmoid(maps[LOGITS])
        else:
            numbers = sorted(int(name.removeprefix(TEACHER)) for name in maps if name.startswith(TEACHER))
            pairs = [(maps[f"{TEACHER}{n}"], maps[f"{STUDENT}{n}"]) for n in numbers]
            layers = [cosine_distance(teacher, student, op.const([1])) for teacher, student in pairs]
            _, _, h, w = static_shape(layers[0])
            fine = layers[0]
            for layer in layers[1:]:
                fine = op.mul(fine, enlarged(layer, (h, w)))
        whole = enlarged(fine, self.size)
        return Scores(patch=whole, image=mean_of_highest(whole, self.count))


__all__ = ["DeSTSeg", "FittedDeSTSeg"]
