"""The options of fitting, which ``fit`` and ``export --images`` share, and the fitting itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgead.bundle import Bundle
    from edgead.types import Progress

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class FitWords:
    """What the user typed about fitting."""

    backbone: str | None
    weights: Path | None
    size: tuple[int, int] | None
    preset: str | None
    option: tuple[str, ...]
    defects: tuple[Path, ...]
    seed: int
    holdout: float
    fpr: float
    final_fit: bool | None


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


def fit_options(function: F) -> F:
    """Add the options of ``FitWords``."""
    options = (
        click.option(
            "--backbone", metavar="NAME", help="Backbone instead of the method's own; see `edgead backbones`."
        ),
        click.option(
            "--weights", metavar="FILE", type=click.Path(path_type=Path), help="The backbone's weights file."
        ),
        click.option(
            "--size",
            metavar="HxW",
            callback=parse_size,
            help="Input height and width, stretched to (default: chosen from the images).",
        ),
        click.option(
            "--preset",
            metavar="NAME",
            help="The method's settings for one purpose, quick or paper where it has them.",
        ),
        click.option(
            "-o",
            "--option",
            metavar="KEY=VALUE",
            multiple=True,
            help="An option of the method; see `edgead methods NAME`.",
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
            type=click.IntRange(0),
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
            "--final-fit/--no-final-fit",
            default=None,
            help="Fit once more with the held-out images in (default: as the method prefers).",
        ),
        click.option(
            "--fpr",
            metavar="RATE",
            type=float,
            default=0.01,
            help="Share of good images that may be flagged (default 0.01).",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def run_fit(
    method: str, folders: Sequence[Path], out: Path, words: FitWords, progress: Progress
) -> tuple[Bundle, str]:
    """Fit and write the reference bundle; returns it with a sentence on the input size.

    Args:
        folders: of good images; one model learns from them all.
    """
    from edgead.workbench.fit import Settings, fit
    from edgead.workbench.recipe import resolve

    settings = Settings(
        size=words.size,
        seed=words.seed,
        holdout=words.holdout,
        false_positive_rate=words.fpr,
        final_fit=words.final_fit,
    )
    recipe = resolve(method, words.backbone, words.weights, words.option, words.preset)
    images = folders[0] if len(folders) == 1 else _all_images(folders)
    done = fit(recipe, images, settings, out, progress, words.defects)
    return done.bundle, done.why


def _all_images(folders: Sequence[Path]) -> list[Path]:
    """The images of several folders; a folder given twice would count twice."""
    from edgead.errors import DatasetError
    from edgead.images import list_images

    known: set[Path] = set()
    for folder in folders:
        if folder.resolve() in known:
            raise DatasetError(f"{folder}: given twice; give each folder of good images once")
        known.add(folder.resolve())
    return [image for folder in folders for image in list_images(folder)]


def describe_fit(bundle: Bundle, why: str) -> list[str]:
    """Say in a few lines what was fitted."""
    manifest = bundle.manifest
    counts = manifest.provenance["images"]
    threshold = manifest.threshold
    again = manifest.facts["calibration_forms"]
    return [
        f"{bundle.path}: {manifest.method.name} fitted on {counts['fitted_on']} good images"
        f"{f' and {n} defects' if (n := counts.get('defects')) else ''}, threshold from "
        f"{counts['held_out']} {'of them, held out of a first fit' if again else 'more'}",
        why,
        f"threshold {threshold.score:.4g} for a false-positive rate of {threshold.false_positive_rate:.2%}: "
        f"{threshold.note}",
        *(f"no {form} form: {reason}" for form, reason in manifest.facts["lacking"].items()),
        *(f"warning: {text}" for text in manifest.facts.get("warnings", ())),
    ]


__all__ = ["FitWords", "describe_fit", "fit_options", "parse_size", "run_fit"]
