"""What makes a method: backbone, scorer, post-processor, and what they learn from.

What a plugin may leave out is a protocol of its own: a scorer that has ``train`` is ``Trainable``, say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgead.image_score import PAPER, ImageScore
from edgead.notices import Notice
from edgead.types.values import BankPrecision, Image, Progress, Size

if TYPE_CHECKING:  # the workbench's packages; a camera has none of them
    import onnx
    from spox import Var

Features = Mapping[str, NDArray[np.float32]]
"""One image's maps by name, float32 (C, h, w)."""

Defect = tuple[Image, NDArray[np.uint8]]
"""An image (H, W, 3) uint8 BGR and its mask (H, W) uint8, 1 where it's defective, after the resize rule."""


@dataclass(frozen=True)
class FeatureInfo:
    """What one named feature map of a backbone looks like.

    Attributes:
        channels: length of the vector at each position.
        stride: input pixels between two neighbouring positions.
    """

    channels: int
    stride: int


@dataclass(frozen=True)
class InputSpec:
    """What a backbone wants to see. Documentation and defaults only: the graph does the arithmetic itself.

    Attributes:
        size: the one size that the graph takes, or None where any will do.
        multiple: height and width must be multiples of this.
        channel_order: the order that the network was trained in; the graph's ``image`` is always BGR.
        mean, std: the network's normalisation, in 0..255 units, in ``channel_order``.
    """

    size: Size | None = None
    multiple: int = 32
    channel_order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)


@runtime_checkable
class Backbone(Protocol):
    """A pretrained network as an ONNX graph that describes itself.

    Attributes:
        name: what the user typed, for instance ``timm:resnet18``.
        feature_info: the feature maps by name, the finest first.
        input: what the network wants to see.
        provenance: JSON values for the manifest; ``weights_sha256`` at least.
    """

    name: str
    feature_info: Mapping[str, FeatureInfo]
    input: InputSpec
    provenance: Mapping[str, Any]

    def onnx(self, feature_maps: Sequence[str], size: Size) -> onnx.ModelProto:
        """Return a graph from ``image`` (1, H, W, 3) uint8 BGR to the maps (1, C, h, w) float32, by name.

        The weights are initialisers, the opset is 18 and H, W are fixed to ``size``.

        Raises:
            edgead.errors.OptionError: a map that isn't in ``feature_info``, or a size that doesn't fit.
        """
        ...


@runtime_checkable
class KeepsNodesInFloat(Protocol):
    """A backbone that INT8 harms in places.

    Attributes:
        float_nodes: nodes of its graph, by name, that stay in FP32 where it's quantised; of those, what the
            graph holds.
    """

    float_nodes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Compute:
    """On what a network is trained, and how; nothing of it matters where none is.

    Attributes:
        device: ``auto``, which is the first GPU, else the CPU; or as torch names it: ``cpu``, ``cuda``,
            ``cuda:1``, ``mps``.
        amp: arithmetic of the passes through the networks; weights and losses stay in FP32. ``bf16``,
            ``fp16``, ``off`` for FP32, or ``auto``: ``bf16`` on a GPU that has it, ``fp16`` on another of
            NVIDIA's, else ``off``.
        micro_batch: images that go through a network at a time, at least 1; a step learns from its whole
            batch all the same. None: as many as a step has, fewer where memory is short and where that
            changes no more than rounding.
        workers: processes that make synthetic images ahead, 0 for none beside the training itself; None: by
            the cores that are there. They change nothing but the time.
    """

    device: str = "auto"
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    micro_batch: int | None = None
    workers: int | None = None


@dataclass(frozen=True, kw_only=True)
class LearningData:
    """What a scorer learns from, whatever it does with it: good images, and how to go about it.

    Attributes:
        backbone: for its ``feature_info``: the pretrained one that the recipe names; while fitting, the one
            that was trained, where one was.
        images: each call starts a pass over the good images after the resize rule, in order, (H, W, 3) uint8
            BGR.
        n_images: number of good images.
        size: (height, width) of the images, and of the network's input.
        seed: the only source of randomness that a scorer may use.
        progress: to report long work with.
        defects: each call starts a pass over annotated defects: image (H, W, 3) uint8 BGR and mask (H, W)
            uint8, 1 where it's defective. Usually there are none.
        checkpoint: a folder for what training needs to go on after a kill; it may hold an earlier run's, of
            these or of other images and options. It's removed once the bundle is written. None where nothing
            is kept.
        compute: on what a network is trained, and how.
    """

    backbone: Backbone
    images: Callable[[], Iterator[Image]]
    n_images: int
    size: Size
    seed: int
    progress: Progress
    defects: Callable[[], Iterator[Defect]] = field(default=lambda: iter(()))
    checkpoint: Path | None = None
    compute: Compute = Compute()


@dataclass(frozen=True, kw_only=True)
class TrainingData(LearningData):
    """What ``train`` gets: a network may be trained on it; there's always a ``checkpoint``."""

    checkpoint: Path


@dataclass(frozen=True, kw_only=True)
class FittingData(LearningData):
    """What ``fit`` and ``refit`` get: the good images' features as well.

    Attributes:
        shapes: (channels, height, width) of each map that the scorer's ``embed`` yields.
        features: each call starts a pass over the good images, in order, one mapping of map name to float32
            (C, h, w) per image: what ``embed`` yields, from the graph that the camera will run.
        embed: the same for other images (H, W, 3) uint8 BGR, of ``size``.
    """

    shapes: Mapping[str, tuple[int, int, int]]
    features: Callable[[], Iterator[Features]]
    embed: Callable[[Iterable[Image]], Iterator[Features]] = field(default=lambda images: iter(()))


@dataclass(frozen=True)
class Scores:
    """What a scorer's part of the graph yields.

    Attributes:
        patch: (1, 1, h, w) float32, the anomaly of each position; larger is more anomalous, at least 0.
        image: (1,) float32 image score, or None for the maximum of the finished anomaly map.
        embedding: (h * w, dim) float32, row by row: what ``patch`` is the Euclidean distance of, to the
            nearest of what was learnt. With it the bundle can be taught on the device (``edgead teach``): a
            position of the map is then as anomalous as the nearer of the two, what was learnt or was taught.
            Only where ``image`` is None, or the highest of ``patch`` times a weight of at most 1.
    """

    patch: Var
    image: Var | None = None
    embedding: Var | None = None


class FittedScorer(Protocol):
    """What fitting yields: it lowers itself to ONNX operators and is then no longer needed.

    Attributes:
        facts: JSON values for the manifest and ``edgead inspect``, for instance the bank's shape.
            ``warnings``, a list of sentences, is shown by ``edgead fit``; ``GivesNotices`` is better.
    """

    facts: Mapping[str, Any]

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """Compose the scores from what ``embed`` yields, (1, C, h, w), with spox operators of opset 18."""
        ...


@runtime_checkable
class Refittable(Protocol):
    """A fitted scorer that can carry what it chose over to another precision of the same backbone.

    Optional: without it, the scorer is fitted from scratch for each precision, and forms then differ by more
    than their arithmetic.
    """

    def refit(self, data: FittingData) -> FittedScorer:
        """Learn the same from the same images' features, as another precision of the backbone yields them."""
        ...


@runtime_checkable
class GivesNotices(Protocol):
    """A fitted scorer that has something to say to whoever uses the bundle.

    Attributes:
        notices: with codes and sentences of the plugin's own; see ``edgead.notices.Notice``.
    """

    notices: Sequence[Notice]


@runtime_checkable
class InNumpy(Protocol):
    """A fitted scorer that can calculate its patch scores without a graph, for the kit to compare."""

    def in_numpy(self, maps: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the patch scores (h, w) of one image's maps (C, h, w), what ``embed`` yields."""
        ...


@runtime_checkable
class InBulk(Protocol):
    """A fitted scorer that can score many images together, without a graph: folds are judged by that.

    Optional: without it each fold's fit becomes a graph, which takes the images one by one.
    """

    def in_bulk(self, images: Sequence[Features]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return what FP32's ``graph`` makes of n images' maps (C, h, w), what ``embed`` yields.

        Returns:
            Patch scores (n, h, w), and image scores (n,), or None where ``Scores.image`` is.
        """
        ...


@runtime_checkable
class KeepsPart(Protocol):
    """A scorer that looks at a part of its features alone, of many channels at some, say.

    Optional, and only where what it fits is ``InBulk``: all images' features are then kept in less memory.
    """

    def part(self, maps: Features, data: FittingData) -> Features:
        """Return the part of one image's maps, copied, that ``fit`` and ``in_bulk`` take in their place."""
        ...


@runtime_checkable
class FitsFolds(Protocol):
    """A scorer that fits again and again, each time without some of the images, for less than so many fits.

    Optional: without it ``fit`` is called once a fold.
    """

    def fit_folds(self, folds: Sequence[FittingData]) -> Iterator[FittedScorer]:
        """Yield, for each fold, what is learned from the images of all *other* folds.

        Each must be independent of its fold's images, which it will judge: that's what folds are for.

        Args:
            folds: two at least; each has the images, features and number of images of one fold, the rest is
                the same in all. A pass over ``features`` may calculate them anew, so make few.
        """
        ...


class Scorer(Protocol):
    """A method's own part. The constructor takes ``Options``, stores it and does nothing else.

    Attributes:
        Options: a frozen dataclass with a default for every field, and a field docstring for ``-o``.
    """

    Options: ClassVar[type]

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """Name the backbone's feature maps that this scorer wants."""
        ...

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """Compose what happens to the feature maps before anything learnt, with spox operators of opset 18.

        Written once, it serves fitting and the finished graph alike. Return ``maps`` where there's nothing.
        """
        ...

    def fit(self, data: FittingData) -> FittedScorer:
        """Learn from good images. Deterministic in ``data.seed``."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """A scorer that trains a network of its own first.

    What it returns takes the backbone's place: it's quantised as any backbone is, its feature maps (a
    teacher's and a student's, say, or an embedding) are what ``feature_maps``, ``embed`` and ``fit`` see, and
    its provenance is kept. So a trained method is a network, a loss and a score.
    """

    def train(self, data: TrainingData) -> Backbone:
        """Train; deterministic in ``data.seed`` on one machine. torch is imported in here, if at all."""
        ...


@runtime_checkable
class ChecksCompute(Protocol):
    """A scorer that trains a network, in ``train`` or ``fit``, as ``LearningData.compute`` has it.

    Optional: without it nothing but the default is let through, since nobody would know what comes of it.
    """

    def check_compute(self, compute: Compute) -> None:
        """Called before images are read.

        Raises:
            edgead.errors.OptionError: there is no such device here, or the method can't be trained so.
        """
        ...


@runtime_checkable
class LearnsDefects(Protocol):
    """A scorer that can learn from annotated defects too, ``edgead fit --defects``; others are given none.

    Attributes:
        learns_defects: whether it can; False is as good as nothing.
    """

    learns_defects: ClassVar[bool]


@runtime_checkable
class LearnsPositions(Protocol):
    """A scorer that learns what is usual at each place of a frame, so that it can't judge windows of one.

    Attributes:
        learns_positions: whether it does, with its options; False is as good as nothing.
    """

    learns_positions: bool


class PostProcessor(Protocol):
    """From patch scores to the graph's two outputs."""

    def graph(self, scores: Scores, shape: Size, size: Size) -> tuple[Var, Var]:
        """Return ``anomaly_map`` (1, 1, H, W) float32 and ``score`` (1,) float32.

        Args:
            scores: what the scorer yields.
            shape: (h, w) of ``scores.patch``.
            size: (H, W) of the input image.
        """
        ...


@runtime_checkable
class ChoosesImageScore(Protocol):
    """A post-processor that can yield other image scores than the paper's; see ``edgead.image_score``."""

    def with_image_score(self, image_score: ImageScore) -> PostProcessor:
        """Return the post-processor whose ``score`` is this number of the map that it finishes."""
        ...


@runtime_checkable
class LinearMap(Protocol):
    """A post-processor whose map is ``vertical @ patch @ horizontal.T``, whatever the scores.

    With it, and with ``Scores.embedding``, the bundle can be taught on the device, which makes the map anew.
    """

    def matrices(self, shape: Size, size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return ``vertical`` (H, h) and ``horizontal`` (W, w) for patch scores (h, w) and images (H, W)."""
        ...


@dataclass(frozen=True)
class Method:
    """A named recipe.

    Attributes:
        scorer, postprocessor, backbone: registered names.
        options: the recipe's changes to the scorer's defaults.
        paper: where the method was published.
        final_fit: fit once more, with the images that were held out for threshold and gates; False for
            methods whose training takes long.
        presets: further changes by name, ``--preset``: ``quick`` for a CPU and ``paper`` for the published
            settings, say; ``paper`` keeps the paper's image score too.
        preset_sizes: by preset, (H, W) of the input in pixels, where the user asks for none.
        preset_backbones: by preset, the backbone's registered name, where the user names none.
        preset_notes: by preset, what its user had better know, in words that follow on its name.
        image_score: the method's own, which a fit departs from where synthetic defects clearly speak for
            another.
    """

    name: str
    scorer: str
    postprocessor: str = "gaussian"
    backbone: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    final_fit: bool = True
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    image_score: ImageScore = PAPER
    preset_sizes: Mapping[str, Size] = field(default_factory=dict)
    preset_backbones: Mapping[str, str] = field(default_factory=dict)
    preset_notes: Mapping[str, str] = field(default_factory=dict)


__all__ = [
    "Backbone",
    "ChecksCompute",
    "ChoosesImageScore",
    "Compute",
    "Defect",
    "FeatureInfo",
    "Features",
    "FitsFolds",
    "FittedScorer",
    "FittingData",
    "GivesNotices",
    "InBulk",
    "InNumpy",
    "InputSpec",
    "KeepsNodesInFloat",
    "KeepsPart",
    "LearningData",
    "LearnsDefects",
    "LearnsPositions",
    "LinearMap",
    "Method",
    "PostProcessor",
    "Refittable",
    "Scorer",
    "Scores",
    "Trainable",
    "TrainingData",
]
