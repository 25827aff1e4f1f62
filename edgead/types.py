"""The frozen records and protocols that cross a plugin line: plain values, nothing that does work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the workbench's packages; a camera has none of them
    import onnx
    from spox import Var

Size = tuple[int, int]
"""(height, width) in pixels."""

Image = NDArray[np.uint8]
"""(H, W, 3) uint8, BGR."""

Precision = Literal["int8", "mixed", "bf16", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("int8", "mixed", "bf16", "fp32")
"""The forms of a graph, the fastest first. int8: backbone and bank in INT8. mixed: as int8, but the
backbone's first convolution in FP32. bf16: backbone in BF16, bank in INT8. fp32: all in FP32."""

BankPrecision = Literal["fp32", "int8"]
Arithmetic = Literal["f32", "bf16"]
"""What an engine may calculate in where a graph isn't quantised."""
Resize = Literal["stretch", "letterbox"]


# ---------------------------------------------------------------- backbones


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
        provenance: facts for the manifest; ``weights_sha256`` at least.

    One that INT8 harms in places may have ``float_nodes`` besides: the nodes of its graph, by name, that stay
    in FP32 where it's quantised.
    """

    name: str
    feature_info: Mapping[str, FeatureInfo]
    input: InputSpec
    provenance: Mapping[str, str]

    def onnx(self, feature_maps: Sequence[str], size: Size) -> onnx.ModelProto:
        """Return a graph from ``image`` (1, H, W, 3) uint8 BGR to the maps (1, C, h, w) float32, by name.

        The weights are initialisers, the opset is 18 and H, W are fixed to ``size``.

        Raises:
            edgead.errors.OptionError: a map that isn't in ``feature_info``, or a size that doesn't fit.
        """
        ...


# ---------------------------------------------------------------- scorers


class Progress(Protocol):
    """Reports long work. ``with progress(description, total) as advance: advance(1)``."""

    def __call__(
        self, description: str, total: int | None
    ) -> AbstractContextManager[Callable[[int], None]]: ...


@dataclass(frozen=True)
class Training:
    """What a scorer may learn from.

    Attributes:
        backbone: the backbone, for its ``feature_info``.
        shapes: (channels, height, width) of each map that the scorer's ``embed`` yields.
        n_images: number of good training images.
        size: (height, width) of the images.
        features: each call starts a pass over the training images, in order, one mapping of map name to
            float32 (C, h, w) per image: what ``embed`` yields, from the graph that the camera will run.
        images: the same for the uint8 (H, W, 3) BGR images after the resize rule.
        defects: labelled defects (image, mask) where the user has some; usually empty.
        seed: the only source of randomness that a scorer may use.
        progress: to report long work with.
    """

    backbone: Backbone
    shapes: Mapping[str, tuple[int, int, int]]
    n_images: int
    size: Size
    features: Callable[[], Iterator[Mapping[str, NDArray[np.float32]]]]
    images: Callable[[], Iterator[Image]]
    seed: int
    progress: Progress
    defects: Callable[[], Iterator[tuple[Image, NDArray[np.uint8]]]] = field(default=lambda: iter(()))
    embed: Callable[[Iterable[Image]], Iterator[Mapping[str, NDArray[np.float32]]]] = field(
        default=lambda images: iter(())
    )
    checkpoint: Path | None = None


@dataclass(frozen=True)
class Examples:
    """What a network may be trained on.

    Attributes:
        backbone: the pretrained backbone that the recipe names.
        images: each call starts a pass over the good images after the resize rule, in order, (H, W, 3) uint8
            BGR.
        n_images: number of good images.
        size: (height, width) of the images, and of the network's input.
        seed: the only source of randomness.
        progress: to report epochs or steps with.
        checkpoint: a folder for what training needs to go on after a kill; it may hold an earlier run's, of
            these or of other images and options. It's removed once the bundle is written.
        defects: annotated defects (image, mask) where the user has some; see ``Training``.
    """

    backbone: Backbone
    images: Callable[[], Iterator[Image]]
    n_images: int
    size: Size
    seed: int
    progress: Progress
    checkpoint: Path
    defects: Callable[[], Iterator[tuple[Image, NDArray[np.uint8]]]] = field(default=lambda: iter(()))


@dataclass(frozen=True)
class Scores:
    """What a scorer's part of the graph yields.

    Attributes:
        patch: (1, 1, h, w) float32, the anomaly of each position; larger is more anomalous, at least 0.
        image: (1,) float32 image score, or None for the maximum of the finished anomaly map.
    """

    patch: Var
    image: Var | None = None


class FittedScorer(Protocol):
    """What fitting yields: it lowers itself to ONNX operators and is then no longer needed."""

    facts: Mapping[str, Any]
    """JSON values for the manifest and ``edgead inspect``, for instance the bank's shape; ``warnings`` is a
    list of sentences that ``edgead fit`` shows."""

    def graph(self, maps: Mapping[str, Var], bank: BankPrecision) -> Scores:
        """Compose the scores from what ``embed`` yields, (1, C, h, w), with spox operators of opset 18."""
        ...


@runtime_checkable
class Refittable(Protocol):
    """A fitted scorer that can carry what it chose over to another precision of the same backbone.

    Optional: without it, the scorer is fitted from scratch for each precision, and forms then differ by more
    than their arithmetic.
    """

    def refit(self, training: Training) -> FittedScorer:
        """Learn the same from the same images' features, as another precision of the backbone yields them."""
        ...


class Scorer(Protocol):
    """A method's own part. The constructor takes ``Options``, stores it and does nothing else."""

    Options: ClassVar[type]
    """A frozen dataclass with a default for every field, and a field docstring for ``-o``."""

    def feature_maps(self, backbone: Backbone) -> Sequence[str]:
        """Name the backbone's feature maps that this scorer wants."""
        ...

    def embed(self, maps: Mapping[str, Var]) -> Mapping[str, Var]:
        """Compose what happens to the feature maps before anything learnt, with spox operators of opset 18.

        Written once, it serves fitting and the finished graph alike. Return ``maps`` where there's nothing.
        """
        ...

    def fit(self, training: Training) -> FittedScorer:
        """Learn from good images. Deterministic in ``training.seed``."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """A scorer that trains a network of its own first.

    What it returns takes the backbone's place: it's quantised as any backbone is, its feature maps (a
    teacher's and a student's, say, or an embedding) are what ``feature_maps``, ``embed`` and ``fit`` see, and
    its provenance is kept. So a trained method is a network, a loss and a score.
    """

    def train(self, examples: Examples) -> Backbone:
        """Train; deterministic in ``examples.seed`` on one machine. torch is imported in here, if at all."""
        ...


@runtime_checkable
class LearnsDefects(Protocol):
    """A scorer that can learn from annotated defects too, ``edgead fit --defects``; others are given none.

    Attributes:
        learns_defects: True. That it's there is what counts.
    """

    learns_defects: ClassVar[bool]


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
            settings, say.
    """

    name: str
    scorer: str
    postprocessor: str = "gaussian"
    backbone: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    final_fit: bool = True
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


# ---------------------------------------------------------------- exporters


@dataclass(frozen=True)
class Artifact:
    """What an exporter wrote.

    Attributes:
        model: file name of the model, relative to the folder.
        files: every file it wrote, relative to the folder.
        engine: the engine that runs it, as ``edgead.runtime.session.open_session`` knows it.
        engine_precision: the arithmetic that the engine may use for what isn't quantised: f32 or bf16.
    """

    model: str
    files: tuple[str, ...]
    engine: str
    engine_precision: Arithmetic = "f32"


class Exporter(Protocol):
    """Compiles the one graph for a target.

    Attributes:
        target: the name on the command line.
        precisions: the forms that the target can run, the fastest first.

    Two more are looked for: ``carries_images``, true where bundles take held-out images along, for a check on
    the device; and ``timed_here``, false where this machine's latencies say nothing about the target's, so
    that the first form that passes is taken.
    """

    target: str
    precisions: Sequence[Precision]

    def compile(self, graph: onnx.ModelProto, precision: Precision, folder: Path) -> Artifact:
        """Write the graph of this precision into ``folder``; raises ``CompileError`` where it can't."""
        ...


# ---------------------------------------------------------------- data sets

GOOD = "good"
"""What ``Sample.defect`` says of an image of a good part."""


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        image: its file.
        defect: the name of its defect, or ``good``.
        masks: files as large as the image; a pixel is defective where any of them isn't 0. A good image
            needs none; of a defective one without any, nobody knows where it's defective.
    """

    image: Path
    defect: str
    masks: tuple[Path, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the image shows a good part."""
        return self.defect == GOOD


@dataclass(frozen=True)
class Split:
    """One data set, or one category of it, as its publisher divides it.

    Attributes:
        train: good images to learn from; may be empty.
        test: labelled images to judge, the good first.
        validation: good images that the publisher sets apart, to calibrate on for instance; usually none.
        notes: what the user should know of, a line each: images left out, a division that isn't official.
    """

    train: tuple[Path, ...]
    test: tuple[Sample, ...]
    validation: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


class Layout(Protocol):
    """How a kind of data set lies in folders."""

    @property
    def refines(self) -> Sequence[str]:
        """Name the layouts that this is a stricter form of: where both recognise a folder, this counts."""
        ...

    def recognises(self, folder: Path) -> bool:
        """Tell by names alone, opening no image, whether ``folder`` is one category in this layout.

        A data set of many categories needs no more: each of them is a subfolder that is recognised.
        """
        ...

    def read(self, folder: Path) -> Split:
        """List what is in a recognised folder.

        Raises:
            edgead.errors.DatasetError: a part is missing, empty or can't be trusted.
        """
        ...


# ---------------------------------------------------------------- registration


class Register(Protocol):
    """What a hook is handed: names a factory, given as a callable or as "package.module:Name"."""

    def __call__(self, name: str, factory: str | Callable[..., Any], summary: str = "") -> None: ...


# ---------------------------------------------------------------- results


@dataclass(frozen=True)
class Region:
    """One connected area of a prediction's mask, in the frame's own pixels.

    Attributes:
        box: x, y, width, height.
        area: number of pixels.
        peak: the highest anomaly in it, in the anomaly map's units.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float


@dataclass(frozen=True)
class Prediction:
    """The verdict on one frame.

    Attributes:
        score: image score; raw, uncalibrated, at least 0.
        is_anomalous: ``score > threshold``.
        threshold: the threshold that was used.
        anomaly_map: (h, w) float32 at the model's input size, finite; the whole of it, whatever the verdict.
        mask: (h, w) bool, where the map is over the pixel threshold; all False on a frame that passes. It can
            be so on an anomalous one, too: the two thresholds are on different things.
        regions: the mask's connected areas, the highest peak first, in the frame's own pixels; none on a
            frame that passes.
    """

    score: float
    is_anomalous: bool
    threshold: float
    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    regions: tuple[Region, ...]


__all__ = [
    "GOOD",
    "PRECISIONS",
    "Arithmetic",
    "Artifact",
    "Backbone",
    "BankPrecision",
    "Examples",
    "Exporter",
    "FeatureInfo",
    "FittedScorer",
    "Image",
    "InputSpec",
    "Layout",
    "LearnsDefects",
    "Method",
    "PostProcessor",
    "Precision",
    "Prediction",
    "Progress",
    "Refittable",
    "Region",
    "Register",
    "Resize",
    "Sample",
    "Scorer",
    "Scores",
    "Size",
    "Split",
    "Training",
]
