"""The options of fitting, which ``fit`` and ``export --images`` share, and what both say of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgead.cli.arguments import count_of
from edgead.cli.sizes_found import sizes_found_record

if TYPE_CHECKING:
    from edgead.bundle import Bundle
    from edgead.manifest import Manifest, ThresholdRecord
    from edgead.notices import Notice

F = TypeVar("F", bound=Callable[..., Any])


def parse_size(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Read HEIGHTxWIDTH, or one number for both; a click callback."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})(?:[xX,](\d{1,5}))?", text.strip())
    if not match:
        raise click.BadParameter(f"'{text}' isn't HEIGHTxWIDTH, 256x640 for instance")
    height, width = match.group(1), match.group(2) or match.group(1)
    return int(height), int(width)


def depth_option(function: F) -> F:
    """Add ``--depth``, which all that read image files take."""
    return click.option(
        "--depth",
        metavar="BITS",
        type=click.IntRange(9, 16),
        help="Significant bits of 16-bit images, 12 for a 12-bit camera's (default 16, or what was learned).",
    )(function)


def backbone_options(function: F) -> F:
    """Add ``--backbone`` and ``--weights``."""
    backbone = click.option(
        "--backbone", metavar="NAME", help="Backbone instead of the method's own; see `edgead backbones`."
    )
    weights = click.option(
        "--weights", metavar="FILE", type=click.Path(path_type=Path), help="The backbone's weights file."
    )
    return backbone(weights(function))


def fit_options(function: F) -> F:
    """Add the options of fitting, under the names that ``edgead.fit`` has for them."""
    options = (
        backbone_options,
        click.option(
            "--size",
            metavar="HxW",
            callback=parse_size,
            help="Input height and width, stretched to (default: chosen from the images).",
        ),
        click.option(
            "--windows",
            is_flag=True,
            help="Judge a frame that is larger than the input in overlapping windows of --size (default "
            "512x512, less for smaller images), unsqueezed; its score is the maximum of its map.",
        ),
        click.option(
            "--scale",
            metavar="FACTOR",
            type=float,
            default=1.0,
            help="Shrink frames by this first, for --windows (default 1).",
        ),
        click.option(
            "--smallest-defect",
            metavar="SIZE",
            help="Choose the input by the smallest defect that must be found: 12px of the images, or 0.3mm.",
        ),
        click.option(
            "--mm-per-pixel",
            metavar="MM",
            type=float,
            help="Millimetres that a pixel of the images shows, to give and tell sizes of defects in.",
        ),
        depth_option,
        click.option(
            "--preset",
            metavar="NAME",
            help="The method's settings for one purpose, quick or paper where it has them.",
        ),
        click.option(
            "-o",
            "--option",
            "options",
            metavar="KEY=VALUE",
            multiple=True,
            help="An option of the method; see `edgead methods NAME`.",
        ),
        click.option(
            "--roi",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Learn and judge only inside of this region of interest: a mask image, not 0 inside, or a "
            ".json of polygons.",
        ),
        click.option(
            "--defects",
            metavar="DIR",
            multiple=True,
            type=click.Path(path_type=Path),
            help="Annotated defects to learn from, DIR/images and DIR/masks; for methods that can.",
        ),
        click.option(
            "--seed",
            metavar="N",
            type=count_of(0),
            default=0,
            help="Source of all randomness (default 0).",
        ),
        click.option(
            "--holdout",
            metavar="SHARE",
            type=float,
            default=0.2,
            help="Share of images held out for threshold and gates (default 0.2).",
        ),
        click.option(
            "--group",
            metavar="PATTERN|LEVEL",
            help="Which images show one part and are held out together: a regular expression with one "
            "group, searched for in the file name, or parent or grandparent, a folder's name (default: near "
            "copies; none: each image is a part of its own).",
        ),
        click.option(
            "--image-score",
            metavar="WHICH",
            default="auto",
            help="Which number of the map judges an image: paper, maximum, top (the mean of its highest 1 %) "
            "or another share, 0.03 say (default auto: the method's own, unless synthetic defects clearly "
            "speak for another).",
        ),
        click.option(
            "--folds",
            metavar="N",
            type=count_of(0),
            default=10,
            help="Fits that judge, in turn, good images that they haven't learned, for the threshold "
            "(default 10); 0: the held-out images alone, as for methods that train a network.",
        ),
        click.option(
            "--final-fit/--no-final-fit",
            default=None,
            help="Fit once more with the held-out images in (default: as the method prefers).",
        ),
        click.option(
            "--device",
            metavar="NAME",
            default="auto",
            help="Where a network is trained, by methods that train one: auto (default: the first GPU, else "
            "the CPU), cpu, cuda, cuda:1, mps.",
        ),
        click.option(
            "--amp",
            type=click.Choice(["auto", "off", "bf16", "fp16"]),
            default="auto",
            help="Arithmetic of training: bf16, fp16, off for FP32, or auto (default: the GPU's own, on a "
            "CPU off).",
        ),
        click.option(
            "--micro-batch",
            metavar="N",
            type=count_of(1),
            help="Images that go through the network at a time, where a training step needs too much memory.",
        ),
        click.option(
            "--workers",
            metavar="N",
            type=count_of(0),
            help="Processes that make synthetic images ahead of the training (default: by the cores).",
        ),
        click.option(
            "--fpr",
            "false_positive_rate",
            metavar="RATE",
            type=float,
            default=0.01,
            help="Share of good images that may be flagged (default 0.01).",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def describe_fit(bundle: Bundle, why: Notice) -> list[str]:
    """Say in a few lines what was fitted."""
    from edgead.notices import say

    manifest = bundle.manifest
    counts = manifest.provenance["images"]
    threshold = manifest.threshold
    reference = manifest.reference
    assert reference is not None, "fit writes reference bundles"
    depth = manifest.input.depth
    return [
        f"{bundle.path}: {manifest.method.name} fitted on {counts['fitted_on']} good images"
        f"{f' and {n} defects' if (n := counts.get('defects')) else ''}, {_whence(manifest)}",
        say(why),
        *_image_score(manifest),
        *(say(notice) for notice in windows_notices(manifest)),
        *([] if manifest.roi is None else [f"region of interest: {say(manifest.roi.notice())}"]),
        *([f"16-bit images are read as {depth} bits, here and on the camera"] if depth > 8 else []),
        f"threshold {threshold.score:.4g} for a false-positive rate of {threshold.false_positive_rate:.2%}: "
        f"{say(threshold.notice())}",
        *(f"no {form} form: {say(reason)}" for form, reason in reference.lacking.items()),
        *(f"note: {say(notice)}" for notice in (*manifest.notices, *manifest.size_doubts)),
    ]


def _whence(manifest: Manifest) -> str:
    """What the threshold rests on."""
    assert manifest.reference is not None and manifest.held_out is not None, "fit writes reference bundles"
    if folds := manifest.held_out.folds:
        return f"threshold from all of them, each judged by that one of {folds} fits that hasn't learned it"
    whence = "of them, held out of a first fit" if manifest.reference.calibration_forms else "more"
    return f"threshold from {manifest.held_out.n_images} {whence}"


def windows_notices(manifest: Manifest) -> list[Notice]:
    """How frames are judged in windows, where they are."""
    from edgead.notices import Notice

    if (own := manifest.windows) is None:
        return []
    height, width = manifest.input.size
    values = {"height": height, "width": width, "margin": own.margin, "scale": own.scale}
    return [Notice("in-windows" if own.scale == 1 else "in-scaled-windows", values)]


def _image_score(manifest: Manifest) -> list[str]:
    """Which image score judges, and why."""
    from edgead.manifest import ComposedMethod
    from edgead.notices import say

    chosen = manifest.method.image_score if isinstance(manifest.method, ComposedMethod) else None
    return [] if chosen is None else [", ".join(say(notice) for notice in chosen.notices())]


def threshold_record(threshold: ThresholdRecord) -> dict[str, Any]:
    """A threshold's figures, with the sentence on them, as a JSON object."""
    from edgead.notices import say

    return {**dataclasses.asdict(threshold), "note": say(threshold.notice())}


def fit_record(bundle: Bundle, why: Notice) -> dict[str, Any]:
    """Say the same as one JSON object."""
    from edgead.manifest import ComposedMethod
    from edgead.notices import say

    manifest, reference, held_out = bundle.manifest, bundle.manifest.reference, bundle.manifest.held_out
    assert reference is not None and held_out is not None, "fit writes reference bundles"
    chosen = manifest.method.image_score if isinstance(manifest.method, ComposedMethod) else None
    return {
        "bundle": str(bundle.path),
        "method": manifest.method.name,
        "images": dict(manifest.provenance["images"]),
        "input": {
            "size": list(manifest.input.size),
            "depth": manifest.input.depth,
            "why": say(why),
            "choice": why.record(),
        },
        "windows": None if manifest.windows is None else dataclasses.asdict(manifest.windows),
        "threshold": threshold_record(manifest.threshold),
        "judged": {"images": manifest.threshold.n_images, "folds": held_out.folds},
        "image_score": None if chosen is None else dataclasses.asdict(chosen),
        "roi": None if manifest.roi is None else dataclasses.asdict(manifest.roi),
        "lacking": {form: reason.record() for form, reason in reference.lacking.items()},
        "sizes_found": sizes_found_record(manifest),
        "notices": [notice.record() for notice in (*manifest.notices, *manifest.size_doubts)],
    }


__all__ = [
    "backbone_options",
    "depth_option",
    "describe_fit",
    "fit_options",
    "fit_record",
    "parse_size",
    "threshold_record",
    "windows_notices",
]
