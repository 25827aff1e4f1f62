"""The paper's own localisation: the gradient of MKD's image score, which takes a backward pass and so torch.

For the workbench: ``GradientDetector`` stands where ``edgead.evaluation.evaluate`` takes a detector, and

    python -m edgead_plugins.mkd.localisation BUNDLE DATASET

prints both maps' metrics side by side. BUNDLE is one that ``edgead fit mkd`` wrote.

The paper smooths the gradients' absolute values with a Gaussian and opens the result. An opening of each
binary map, as the authors' code counts pixels, is the opening of the grey map: thresholds and openings
commute. Guided backpropagation (Springenberg et al., arXiv 1412.6806) is that code's setting for MVTec;
SmoothGrad is Smilkov et al., arXiv 1706.03825.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle, read_bundle
from edgead.errors import ImageError, OptionError
from edgead.images import as_bgr, read_image
from edgead.manifest import DEFAULT, ComposedMethod
from edgead.runtime.detector import Detector
from edgead.types import Image, Prediction
from edgead.window_rule import WindowRule, rule_of
from edgead.workbench.graph_bytes import load_graph
from edgead_plugins.backbones import graphs
from edgead_plugins.backbones.graphs import onnx
from edgead_plugins.mkd.network import disagreement
from edgead_plugins.mkd.options import CLONER, SOURCE, MKDOptions
from edgead_plugins.training.onnx_module import OnnxModule
from edgead_plugins.training.pytorch import torch

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Localisation:
    """How gradients become a map.

    Attributes:
        attribution: guided backpropagation, through the cloner's ReLUs alone as in the authors' code, the
            plain gradient, or SmoothGrad.
        samples, noise: of SmoothGrad. As in the authors' code, and unlike the SmoothGrad paper, the noise's
            *variance* is what a deviation of ``noise`` over the image's range would be squared: with pixels
            from 0 to 1 the deviation is (noise / range)^2, 0.0025 for an image from black to white.
        clip: the quantile of an image's map above which values are cut off.
        rescale: bring each image's map to 0..1, as the authors' code does. A good image then has a map as
            strong as a defective one's: without it, maps of different images can be compared.
        sigma: of the Gaussian, in pixels.
        opening: size of the elliptic opening, in pixels; 1 for none.
        seed: of the noise.
    """

    attribution: Literal["guided", "gradient", "smooth"] = "guided"
    samples: int = 50
    noise: float = 0.05
    clip: float = 0.99
    rescale: bool = True
    sigma: float = 4.0
    opening: int = 3
    seed: int = 0


class GradientDetector:
    """A fitted MKD bundle whose anomaly maps are gradients; image scores and threshold are the bundle's.

    Args:
        bundle: what ``edgead fit mkd`` wrote.
        settings: see ``Localisation``.

    Attributes:
        bundle, product, threshold, rule: as a ``Detector``'s.

    Raises:
        BundleError: the bundle can't be trusted.
        OptionError: it isn't MKD's, or not the reference bundle.
    """

    def __init__(self, bundle: Bundle | Path, settings: Localisation | None = None) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        self.settings = settings or Localisation()
        manifest = self.bundle.manifest
        method = manifest.method
        if not isinstance(method, ComposedMethod) or method.scorer != "mkd" or manifest.kind != "reference":
            raise OptionError(
                f"{self.bundle.path}: gradients are for the bundle that `edgead fit mkd` wrote, not for "
                f"{manifest.kind} {manifest.method.name}"
            )
        self.product, self.threshold = DEFAULT, manifest.threshold.score
        self.rule = rule_of(self.bundle)
        if isinstance(self.rule, WindowRule):
            raise OptionError(
                f"{self.bundle.path.name} judges frames in windows, of which no gradients are taken: fit one "
                "without"
            )
        options = manifest.method.options
        if options["image_score"] != "whole":
            raise OptionError(
                f"{self.bundle.path}: gradients are those of the paper's image score: fit with -o "
                "image_score=whole"
            )
        self._weights = MKDOptions(weighted=options["weighted"], weight=options["weight"]).weights
        model = _maps_alone(load_graph(self.bundle.read(manifest.model), str(self.bundle.path)))
        self._network = OnnxModule(manifest.method.name, model).eval()
        self._relus = _relus_of_the_cloner(model)
        self._pixels = next(n.output[0] for n in model.graph.node if n.op_type == "Cast")

    def read_image(self, path: Path) -> Image:
        """Read an image file at the bundle's depth; see ``Detector.read_image``."""
        depth = self.bundle.manifest.input.depth
        return read_image(path, depth if depth > 8 else None)

    def read_ahead(self, paths: Iterable[Path]) -> Generator[Image | ImageError, None, None]:
        """Read image files, an image's error in its place; see ``Detector.read_ahead``."""
        for path in paths:
            try:
                yield self.read_image(path)
            except ImageError as error:
                yield error

    def depth_notice(self) -> None:
        """Nothing: what's asked about is the detector's to ask."""

    size_notice = depth_notice

    def map(self, frames: Iterable[NDArray[Any]], *, held: bool = False) -> Iterator[Prediction]:
        """Judge frames one by one, held or not; see ``Detector.map``. Masks and regions stay empty."""
        for frame in frames:
            score, anomaly_map = self.localise(self.rule.apply(as_bgr(frame)))
            nowhere = np.zeros(anomaly_map.shape, bool)
            yield Prediction(score, score > self.threshold, self.threshold, anomaly_map, nowhere, ())

    def localise(self, image: Image) -> tuple[float, Floats]:
        """Image score and map (H, W) of one image (H, W, 3) uint8 BGR after the resize rule."""
        return self.score(image), finish(self.gradient(image), self.settings)

    def score(self, image: Image) -> float:
        """The image score, as the exported graph's."""
        with torch.no_grad():
            return float(self._score(self._network(torch.from_numpy(image[None])))[0])

    def gradient(self, image: Image) -> Floats:
        """(H, W) float32: the sum over channels of the score's absolute gradient, a grey level its unit."""
        settings, given = self.settings, torch.from_numpy(image[None])
        if settings.attribution != "smooth":
            return self._gradient(given, np.zeros((1, 1, 1, 1), np.float32))
        rng = np.random.default_rng(settings.seed)
        total = np.zeros(image.shape[:2], np.float32)
        for _ in range(settings.samples):
            drawn = rng.normal(0, smooth_deviation(image, settings.noise), (1, *image.shape))
            total += self._gradient(given, drawn.astype(np.float32))
        return total / np.float32(settings.samples)

    def _gradient(self, image: torch.Tensor, noise: Floats) -> Floats:
        leaf: list[torch.Tensor] = []

        def start(pixels: torch.Tensor) -> torch.Tensor:
            leaf.append((pixels + torch.from_numpy(noise)).requires_grad_())
            return leaf[0]

        after: dict[str, Any] = {self._pixels: start}
        if self.settings.attribution == "guided":
            after |= dict.fromkeys(self._relus, _OnlyRising.apply)
        with torch.enable_grad():
            (found,) = torch.autograd.grad(self._score(self._network(image, after)).sum(), leaf)
        return cast(Floats, found[0].abs().sum(2).numpy())

    def _score(self, maps: Mapping[str, torch.Tensor]) -> torch.Tensor:
        numbers = range(1, len(maps) // 2 + 1)
        each = [disagreement(maps[f"{SOURCE}{n}"], maps[f"{CLONER}{n}"], self._weights) for n in numbers]
        return torch.stack(each).sum(0)


def smooth_deviation(image: Image, noise: float) -> float:
    """SmoothGrad's deviation in grey levels; see ``Localisation``."""
    span = max(float(np.ptp(image)), 1.0) / 255
    return 255 * (noise / span) ** 2


def finish(gradient: Floats, settings: Localisation) -> Floats:
    """Clip, smooth and open a map (H, W), and bring it to 0..1 where that's asked for."""
    found = np.minimum(gradient, np.quantile(gradient, settings.clip)).astype(np.float32)
    if settings.rescale:
        found = (found - found.min()) / max(float(np.ptp(found)), 1e-30)
    if settings.sigma:
        radius = round(4 * settings.sigma)
        found = cv2.GaussianBlur(
            found, (2 * radius + 1,) * 2, settings.sigma, borderType=cv2.BORDER_REFLECT_101
        )
    if settings.opening > 1:
        element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (settings.opening,) * 2)
        found = cv2.morphologyEx(found, cv2.MORPH_OPEN, element)
    return np.asarray(found, np.float32)


class _OnlyRising(torch.autograd.Function):  # type: ignore[misc]
    """Guided backpropagation after a ReLU: nothing happens forward, and no negative gradient goes back."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.clamp_min(0)


def _relus_of_the_cloner(model: onnx.ModelProto) -> list[str]:
    """The outputs of the ReLUs that the cloner's maps depend on; the source has its own."""
    producer = {name: node for node in model.graph.node for name in node.output}
    left = [value.name for value in model.graph.output if value.name.startswith(CLONER)]
    seen: set[str] = set()
    while left:
        name = left.pop()
        if name in producer and name not in seen:
            seen.add(name)
            left += producer[name].input
    return [n.output[0] for n in model.graph.node if n.op_type == "Relu" and n.output[0] in seen]


def _maps_alone(model: onnx.ModelProto) -> onnx.ModelProto:
    """Cut the finished graph back to source's and cloner's maps: what the value term subtracts."""
    scored = graphs.cut(model, ["score"])
    producer = {name: node for node in scored.graph.node for name in node.output}
    squares = [n for n in scored.graph.node if n.op_type == "Mul" and n.input[0] == n.input[1]]
    pairs = [producer[n.input[0]] for n in squares if n.input[0] in producer]
    names = {}
    for number, node in enumerate((n for n in pairs if n.op_type == "Sub"), 1):
        names[f"{SOURCE}{number}"], names[f"{CLONER}{number}"] = node.input
    if not names:
        raise OptionError("the bundle's graph has no source and cloner to compare: fit it again")
    return graphs.cut(model, names)


def main(arguments: list[str]) -> int:
    """Compare the exported map with the paper's gradients on a labelled data set."""
    from edgead.datasets import open_dataset
    from edgead.evaluation.evaluate import evaluate
    from edgead.runtime.detector import load

    if len(arguments) != 2:
        print("usage: python -m edgead_plugins.mkd.localisation BUNDLE DATASET")
        return 2
    bundle, folder = Path(arguments[0]), Path(arguments[1])
    samples = open_dataset(folder).test
    kinds: dict[str, Localisation] = {
        f"{kind}, {'0 to 1 in each image' if rescale else 'unscaled'}": Localisation(kind, rescale=rescale)
        for kind in cast(tuple[Literal["guided", "gradient"], ...], ("guided", "gradient"))
        for rescale in (True, False)
    }
    names = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro_30")
    rows = []
    for name, detector in [
        ("mkd-forward", load(bundle)),
        *((k, cast(Detector, GradientDetector(bundle, s))) for k, s in kinds.items()),
    ]:
        found = evaluate(detector, samples, draws=0)
        values = [found.metrics[metric].value for metric in names]
        rows.append((name, *("-" if v is None else f"{100 * v:.1f}" for v in values)))
    for name, *cells in [("map", *names), *rows]:
        print(f"{name:32}" + "".join(f"{cell:>13}" for cell in cells))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))


__all__ = ["GradientDetector", "Localisation", "finish", "main", "smooth_deviation"]
