"""What a manifest is made of: the frozen records of format 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgead.conformal import CONFIDENCE, FEWEST_FOR_TAIL, images_needed
from edgead.image_score import ImageScore
from edgead.manifest.strict import ADDED
from edgead.notices import Notice
from edgead.tail import LEAST_RATIO
from edgead.types import Precision, Resize, Size

MAX_IMAGES, LEAST_RATE = 1_000_000_000, 1e-9
"""Beyond these a threshold's figures are no work of edgead's, and its arithmetic isn't done."""
Rule = Literal[
    "split-conformal",
    "interpolated",
    "generalised-pareto",
    "largest-of-learned",
    "recall",
    "cost",
    "given",
]
"""What a threshold is, and so what its rates rest on; see ``ThresholdRecord``."""
CALIBRATED: tuple[Rule, ...] = ("split-conformal", "interpolated", "generalised-pareto")
"""The rules that state rates."""
DEFAULT = "default"
"""The product of a bundle for one, and of a frame of which nobody says what it shows."""


ChosenBy = Literal["user", "preset", "postprocessor", "method", "synthetic-defects", "windows"]
"""Who or what chose an image score."""


@dataclass(frozen=True)
class ImageScoreRecord:
    """Which number the graph's ``score`` is; see ``edgead.image_score``.

    Attributes:
        rule, share: as ``edgead.image_score.ImageScore`` has them.
        chosen: by the user, a preset, a post-processor that has no other, the method, on synthetic defects,
            or since frames are judged in windows.
        separations: by rule, of all that came into question: AUROC of good images that the judging fit hadn't
            learned against synthetic defects on them, 0 to 1, sizes of defects weighing alike.
    """

    rule: Literal["paper", "maximum", "top-share"]
    share: float
    chosen: ChosenBy
    separations: Mapping[str, float] = field(default_factory=dict)

    @property
    def image_score(self) -> ImageScore:
        """The rule itself."""
        return ImageScore(self.rule, self.share)

    def notices(self) -> tuple[Notice, Notice]:
        """Which it is, and why, for ``edgead.notices.say``."""
        ranked = sorted(self.separations.items(), key=lambda each: -each[1])
        names = ", ".join(f"{rule} {auroc:.3f}" for rule, auroc in ranked)
        return (
            Notice(f"image-score-{self.rule}", {"share": self.share}),
            Notice(f"image-score-by-{self.chosen}", {"names": names}),
        )


@dataclass(frozen=True)
class ComposedMethod:
    """A method that edgead composed of parts, with every option spelt out.

    Attributes:
        name, scorer, postprocessor: registered names.
        options: the scorer's.
        seed: of all randomness.
        image_score: None where an older edgead, or a post-processor without a choice, took the paper's.
    """

    name: str
    scorer: str
    postprocessor: str
    options: Mapping[str, Any]
    seed: int
    kind: Literal["composed"] = "composed"
    image_score: ImageScoreRecord | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True)
class WrappedMethod:
    """A graph that came whole, from another program: it has edgead's input and outputs, and no parts.

    Attributes:
        name: what the user calls it.
        source: the file that it came from, without its folder.
        sha256: of that file, lower-case hex.
        options: how it was wrapped: preprocessing, the outputs' names.
        seed: of the synthetic defects that judged it.
    """

    name: str
    source: str
    sha256: str
    options: Mapping[str, Any]
    seed: int
    kind: Literal["wrapped"] = "wrapped"


MethodRecord = ComposedMethod | WrappedMethod
"""How a bundle's graph came to be."""


def parts_of(method: MethodRecord) -> str:
    """What a method's graph is made of, in a few words."""
    if isinstance(method, WrappedMethod):
        return f"wrapped from {method.source}"
    return f"scorer {method.scorer}, post-processor {method.postprocessor}"


@dataclass(frozen=True)
class InputRecord:
    """How a frame becomes the graph's input; ``edgead.resize.ResizeRule(size, resize)``.

    Attributes:
        depth: significant bits of the 16-bit images that were learned, 9 to 16, and so of all those judged; 8
            where none had 16 bits, which leaves a frame's depth open.
    """

    size: Size
    resize: Resize
    channel_order: Literal["bgr"] = "bgr"
    depth: int = 8


@dataclass(frozen=True)
class WindowsRecord:
    """A frame is judged in overlapping windows of the graph's input size; see ``edgead.windows``.

    The thresholds are whole frames': a frame's score is the largest value of its map.

    Attributes:
        margin: pixels of a window, from those of its edges that aren't the frame's, that a neighbour judges.
        scale: pixels of the frame that a window's pixel stands for along each side, 1 or more.
        distances: pixels from a window's edge, ascending, at which ``changes`` was measured.
        changes: how much a map's value there depends on where the window lies, as a share of the highest
            values of good images: 99 % of the pixels at this distance or further change by less.
        pixels: of a usual good image; 0 in bundles that older versions wrote.
    """

    margin: int
    scale: float
    distances: tuple[int, ...] = ()
    changes: tuple[float, ...] = ()
    pixels: int = field(default=0, metadata=ADDED)

    @property
    def change(self) -> float | None:
        """``changes`` at the margin; None where it wasn't measured there."""
        return dict(zip(self.distances, self.changes, strict=True)).get(self.margin)


@dataclass(frozen=True)
class ThresholdRecord:
    """The calibrated thresholds of one product and what they rest on.

    Attributes:
        score: a larger image score is anomalous.
        pixel: a larger value of the anomaly map is anomalous.
        rule: how ``score`` was found. ``split-conformal``: one of the held-out scores, see
            ``edgead.conformal``; ``interpolated``: between two of them; ``generalised-pareto``: beyond the
            largest, see ``edgead.tail``; ``largest-of-learned``: the largest score of images whose parts are
            learned too; ``recall``: finds an asked share of given defects; ``cost``: costs least with given
            defects; ``given``: somebody set them.
        false_positive_rate: the rate aimed at, 0 to 1; where the rule aims at none, the last that was.
        n_images: held-out good images that they were calibrated on.
        counted: what counts once each: every image, the different parts that near copies of one another show,
            or the groups that the user named.
        n_counted: how many of these there are.
        expected_rate: the false-positive rate to expect, 0 to 1, averaged over held-out sets of this size.
        upper_rate: the rate is below this with 95 % confidence; with 95 % or more unless the rule is
            ``split-conformal``; 1 where nothing is known.
        smallest_area: pixels of the anomaly map; smaller areas over the pixel threshold are left out of mask
            and regions.
    """

    score: float
    pixel: float
    rule: Rule
    false_positive_rate: float
    n_images: int
    counted: Literal["images", "parts", "groups"]
    n_counted: int
    expected_rate: float
    upper_rate: float
    smallest_area: int = field(default=0, metadata=ADDED)

    @property
    def is_aimed(self) -> bool:
        """Whether ``false_positive_rate`` is what the rule aims at."""
        return self.rule in (*CALIBRATED, "largest-of-learned")

    def how(self) -> Notice:
        """How they were calculated, for ``edgead.notices.say``."""
        grouped = self.rule in CALIBRATED and self.counted != "images"
        return Notice(f"rule-{self.rule}{'-largest' if grouped else ''}")

    def notice(self) -> Notice:
        """How far the thresholds can be trusted, for ``edgead.notices.say``."""
        if self.rule == "largest-of-learned" or (not self.is_aimed and self.upper_rate >= 1):
            kind = "all-over" if self.expected_rate >= 1 and not self.is_aimed else self.rule
            return Notice(f"rate-{kind}", {"images": self.n_images} if kind == "all-over" else {})
        values: dict[str, Any] = {
            "expected": self.expected_rate,
            "upper": self.upper_rate,
            "confidence": CONFIDENCE,
            "rate": self.false_positive_rate,
            "images": self.n_images,
            "counted": self.n_counted,
        }
        kept = self.expected_rate <= self.false_positive_rate * (1 + 1e-9)
        if self.rule in ("interpolated", "generalised-pareto") and kept:
            where = "between" if self.rule == "interpolated" else "of-tail"
            return Notice(f"rate-{where}-{self.counted}", values)
        if not self.is_aimed or kept:
            return Notice(f"rate-of-{self.counted}", values)
        values["needed"] = needed = images_needed(self.false_positive_rate)
        if self.n_counted >= needed:  # enough, but for those that count as over any threshold
            return Notice(f"rate-apart-{self.counted}", values)
        values["fewer"] = fewer = max(images_needed(self.false_positive_rate, LEAST_RATIO), FEWEST_FOR_TAIL)
        return Notice(f"rate-of-few-{self.counted}{'-or-tail' if fewer < needed else ''}", values)


@dataclass(frozen=True)
class HeldOutRecord:
    """The held-out good images' figures; ``edgead.held_out`` reads the file.

    Attributes:
        n_images: how many images.
        groups: each image's group, an equal number for images that count once together, -1 where the group
            was learned too, and -2 of an image unlike all others, which is over any threshold; empty where
            each image counts.
        file: little-endian float32: the image scores, the maxima of their anomaly maps, and for each map in
            ``channels``, by name, the mean and the variance of each channel. None where an older edgead wrote
            the bundle.
        channels: the number of channels of each map of embedded features, by the map's name.
        folds: fits that judged the images in turn, each those that it hadn't learned; 0 for one fit and
            images held out of it.
        n_defects: how many synthetic defects follow in the file: their image scores, and the share of the
            image that each takes.
    """

    n_images: int
    groups: tuple[int, ...] = ()
    file: str | None = None
    channels: Mapping[str, int] = field(default_factory=dict)
    folds: int = field(default=0, metadata=ADDED)
    n_defects: int = field(default=0, metadata=ADDED)


@dataclass(frozen=True)
class ReferenceRecord:
    """What only a reference bundle has, for export.

    Attributes:
        forms: the graph's file of each form that ships.
        calibration_forms: of each form fitted without the held-out images, which judge it; empty where the
            forms that ship are those.
        lacking: why there's none of a form that was asked for.
        probe_groups: the groups of the images in ``probes/``, as ``HeldOutRecord.groups``; empty where each
            counts.
    """

    forms: Mapping[Precision, str]
    calibration_forms: Mapping[Precision, str] = field(default_factory=dict)
    lacking: Mapping[Precision, Notice] = field(default_factory=dict)
    probe_groups: tuple[int, ...] = field(default=(), metadata=ADDED)


@dataclass(frozen=True)
class ProbeRecord:
    """An image that the bundle carries, and what its graph makes of it in exact arithmetic.

    Attributes:
        file: a PNG of the model's input size; one of the bundle's files.
        change: what is done to the image first; see ``edgead.runtime.proof.CHANGES``.
        score: the image score.
        peaks: the anomaly map's maximum in each of 4 x 4 equal parts, row by row.
    """

    file: str
    change: Literal["none", "inverted", "dark", "turned"]
    score: float
    peaks: tuple[float, ...]


@dataclass(frozen=True)
class TeachingRecord:
    """What it takes to teach a bundle on the device; see ``edgead.runtime.lessons``.

    Attributes:
        embedding: name of the graph's tensor of patch embeddings, (h * w, dim) float32.
        patch: name of the tensor of patch scores, (1, 1, h, w) float32: Euclidean distances to the nearest
            row of the memory bank.
        grid: (h, w).
        dim: values of an embedding.
        own_score: what the paper's image score is: the highest patch score times a weight of at most 1, or
            the finished map's maximum.
        file: little-endian float32: ``vertical`` (H, h), then ``horizontal`` (W, w), row by row; the anomaly
            map is ``vertical @ patch @ horizontal.T``.
    """

    embedding: str
    patch: str
    grid: Size
    dim: int
    own_score: Literal["weighted-patch", "map-maximum"]
    file: str


@dataclass(frozen=True)
class RoiRecord:
    """The region of interest: what lies outside wasn't learned and isn't judged; see ``edgead.roi``.

    Attributes:
        file: a PNG of one channel, 255 inside and 0 outside; one of the bundle's files.
        height, width: its size in pixels, that of the frames that it was drawn on; frames of its aspect are
            judged.
        share: how much of it is inside, over 0 to 1.
        fill: BGR, 0 to 255 each, that everything outside is painted in before a model sees it.
    """

    file: str
    height: int
    width: int
    share: float
    fill: tuple[int, int, int]

    def notice(self) -> Notice:
        """Where it lies and what the rest is painted in, for ``edgead.notices.say``."""
        blue, green, red = self.fill
        fill = f"#{red:02x}{green:02x}{blue:02x}"
        values = {"share": self.share, "height": self.height, "width": self.width, "fill": fill}
        return Notice("roi-inside", values)


@dataclass(frozen=True)
class FileRecord:
    """One file of the bundle: its plain relative path, size in bytes and SHA-256 in lower-case hex."""

    path: str
    bytes: int
    sha256: str


__all__ = [
    "CALIBRATED",
    "DEFAULT",
    "LEAST_RATE",
    "MAX_IMAGES",
    "ChosenBy",
    "ComposedMethod",
    "FileRecord",
    "HeldOutRecord",
    "ImageScoreRecord",
    "InputRecord",
    "MethodRecord",
    "ProbeRecord",
    "ReferenceRecord",
    "RoiRecord",
    "Rule",
    "TeachingRecord",
    "ThresholdRecord",
    "WindowsRecord",
    "WrappedMethod",
    "parts_of",
]
