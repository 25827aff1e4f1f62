"""Fitting: a folder of good images becomes a reference bundle.

The reference bundle holds everything that export needs and the camera doesn't: the graph in each form, and
the held-out images that thresholds and gates are read off. FP32 comes first; for INT8 the backbone is
quantised, and the scorer is fitted again on the quantised backbone's features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import onnx

import edgead
from edgead.bundle import Bundle, write_bundle
from edgead.errors import CompileError, OptionError
from edgead.manifest import InputRecord, Manifest, MethodRecord
from edgead.types import (
    PRECISIONS,
    Arithmetic,
    Backbone,
    BankPrecision,
    FittedScorer,
    Image,
    PostProcessor,
    Precision,
    Progress,
    Refittable,
    Scorer,
    Size,
)
from edgead.workbench.calibrate import calibrate
from edgead.workbench.features import opened, training_on
from edgead.workbench.frames import Frames, read_frames, split
from edgead.workbench.graph import compose
from edgead.workbench.precision import run_trial
from edgead.workbench.quantize import quantise_backbone

MAX_HELD_OUT = 500
FORM_FILES: dict[Precision, str] = {
    "fp32": "model.onnx",
    "bf16": "forms/bf16.onnx",
    "mixed": "forms/mixed.onnx",
    "int8": "forms/int8.onnx",
}


@dataclass(frozen=True)
class Recipe:
    """What to fit: resolved parts, ready to use.

    Attributes:
        method: the method's registered name; ``scorer_name`` and ``postprocessor_name`` likewise.
        backbone, scorer, postprocessor: the parts themselves.
        options: the scorer's options, as the JSON object that the manifest records.
        provenance: who registered the scorer: distribution and version.
    """

    method: str
    scorer_name: str
    postprocessor_name: str
    backbone: Backbone
    scorer: Scorer
    postprocessor: PostProcessor
    options: Mapping[str, Any]
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes:
        size: (H, W) of the model's input, or None to choose it from the images.
        seed: the only source of randomness.
        holdout: share of the good images held out for threshold and gates.
        false_positive_rate: the share of good images that may be called anomalous, 0 to 1.
        precisions: the forms to prepare; fp32 is always among them.
    """

    size: Size | None = None
    seed: int = 0
    holdout: float = 0.2
    false_positive_rate: float = 0.01
    precisions: Sequence[Precision] = PRECISIONS

    def __post_init__(self) -> None:
        if not 0 < self.holdout < 1:
            raise OptionError(f"holdout {self.holdout} must be between 0 and 1, 0.2 for instance")
        if not 0 < self.false_positive_rate < 1:
            raise OptionError(f"false-positive rate {self.false_positive_rate} must be between 0 and 1")


@dataclass(frozen=True)
class Fit:
    """What fitting yields.

    Attributes:
        bundle: the reference bundle, written.
        why: a sentence on the input size.
    """

    bundle: Bundle
    why: str


def fit(recipe: Recipe, images: Path, settings: Settings, out: Path, progress: Progress) -> Fit:
    """Fit on a folder of good images and write the reference bundle.

    Args:
        images: the folder.
        out: the bundle's path; an older bundle there is replaced, in one step, at the very end.

    Raises:
        InputError, OutputError, EngineError: see ``edgead.errors``.
    """
    with write_bundle(out) as staging:  # first, so that a path that can't be written costs no fitting
        frames, why = read_frames(images, settings.size, recipe.backbone.input.multiple, progress)
        share = min(settings.holdout, MAX_HELD_OUT / len(frames))
        training, held_out = split(frames, share, settings.seed)
        forms, lacking = fit_forms(recipe, training, settings, progress)
        for precision, (graph, _) in forms.items():
            file = staging.folder / FORM_FILES[precision]
            file.parent.mkdir(exist_ok=True)
            onnx.save(graph, file)
        good = list(held_out)
        _save_probes(good, staging.folder / "probes")
        with opened(forms["fp32"][0], "onnxruntime") as session:
            trial = run_trial(session, good, ())
        manifest = Manifest(
            edgead=edgead.__version__,
            kind="reference",
            method=MethodRecord(
                recipe.method, recipe.scorer_name, recipe.postprocessor_name, recipe.options, settings.seed
            ),
            input=InputRecord(frames.rule.size, frames.rule.mode),
            threshold=calibrate(
                trial.good.tolist(), trial.good_maxima.tolist(), settings.false_positive_rate
            ),
            target="reference",
            engine="onnxruntime",
            engine_precision="f32",
            precision="fp32",
            model=FORM_FILES["fp32"],
            reports={},
            provenance={
                "backbone": {"name": recipe.backbone.name, **recipe.backbone.provenance},
                "images": {"fitted_on": len(training), "held_out": len(held_out)},
                "scorer": dict(recipe.provenance),
            },
            facts={"forms": {p: FORM_FILES[p] for p in forms}, "lacking": lacking, **forms["fp32"][1]},
        )
        return Fit(staging.finish(manifest), why)


Form = tuple[onnx.ModelProto, Mapping[str, Any]]
"""A finished graph, and what its scorer tells about itself."""


def fit_forms(
    recipe: Recipe, training: Frames, settings: Settings, progress: Progress
) -> tuple[dict[Precision, Form], dict[Precision, str]]:
    """Fit and compose each form asked for; a backbone that can't be quantised lacks two, with the reason."""
    maps = recipe.scorer.feature_maps(recipe.backbone)
    plain = recipe.backbone.onnx(maps, training.rule.size)
    wanted: set[Precision] = {"fp32", *settings.precisions}

    def fit_on(
        graph: onnx.ModelProto, before: FittedScorer | None = None, arithmetic: Arithmetic = "f32"
    ) -> FittedScorer:
        parts = recipe.backbone, recipe.scorer
        with training_on(graph, *parts, training, settings.seed, progress, arithmetic) as offer:
            return before.refit(offer) if isinstance(before, Refittable) else recipe.scorer.fit(offer)

    def form(graph: onnx.ModelProto, fitted: FittedScorer, bank: BankPrecision) -> Form:
        size = training.rule.size
        return compose(graph, recipe.scorer, fitted, recipe.postprocessor, size, bank), fitted.facts

    fitted = fit_on(plain)
    forms: dict[Precision, Form] = {"fp32": form(plain, fitted, "fp32")}
    if "bf16" in wanted:
        forms["bf16"] = form(plain, fit_on(plain, fitted, "bf16"), "int8")
    lacking: dict[Precision, str] = {}
    quantised: tuple[Precision, ...] = ("mixed", "int8")
    for precision in (p for p in quantised if p in wanted):
        try:
            with progress(f"quantising the backbone ({precision})", None):
                graph = quantise_backbone(plain, training, keep_first_float=precision == "mixed")
        except CompileError as error:
            lacking[precision] = str(error)
            continue
        forms[precision] = form(graph, fit_on(graph, fitted), "int8")
    return forms, lacking


def _save_probes(images: Sequence[Image], folder: Path) -> None:
    folder.mkdir()
    for index, image in enumerate(images):
        (folder / f"{index:03d}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())


def options_record(options: Any) -> dict[str, Any]:
    """A frozen options dataclass as the JSON object that the manifest keeps."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(options).items()
    }
