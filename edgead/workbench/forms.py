"""The forms of one fit: the backbone in each precision, and the scorer fitted on each one's features."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from edgead.errors import CompileError, ManifestError, PluginError, one_line
from edgead.held_out import Moments, moments_of
from edgead.manifest.strict import UNNAMED, check_plain
from edgead.notices import Notice
from edgead.processor import cpu
from edgead.types import (
    Arithmetic,
    BankPrecision,
    Features,
    FittedScorer,
    FittingData,
    GivesNotices,
    Image,
    KeepsNodesInFloat,
    LearningData,
    Precision,
    Refittable,
    Trainable,
    TrainingData,
)
from edgead.workbench.features import fitting_data
from edgead.workbench.graph import compose
from edgead.workbench.judging import Judged
from edgead.workbench.quantize import calibration_indices, quantise_backbone
from edgead.workbench.recipe import Recipe
from edgead.workbench.teachable import Teachable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittedForms:
    """What fitting every form yields beside the graphs.

    Attributes:
        precisions: the forms, FP32 first.
        facts: what FP32's scorer tells about itself, JSON.
        notices: what it has to say to the bundle's user.
        moments: of the features of the images that ``measured`` named; see ``edgead.held_out``.
        judged: what ``judge`` made of it.
        teachable: what teaching needs to know of the graphs; None where the method has no bank.
    """

    precisions: tuple[Precision, ...]
    facts: Mapping[str, Any]
    notices: tuple[Notice, ...] = ()
    moments: Mapping[str, Moments] = field(default_factory=dict)
    judged: Judged | None = None
    teachable: Teachable | None = None


def trained(recipe: Recipe, data: TrainingData) -> Recipe:
    """The recipe with the network that its scorer trains, where it trains one, as the backbone."""
    if not isinstance(recipe.scorer, Trainable):
        return recipe
    return dataclasses.replace(recipe, backbone=recipe.scorer.train(data))


def backbone_forms(
    recipe: Recipe, data: LearningData, precisions: Sequence[Precision]
) -> tuple[dict[Precision, onnx.ModelProto], dict[Precision, Notice]]:
    """The backbone in each precision asked for, FP32 first, calibrated on the images where it's quantised.

    Returns:
        The graphs, and for each form that this backbone can't have, the reason.
    """
    plain = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), data.size)
    graphs: dict[Precision, onnx.ModelProto] = {"fp32": plain}
    if "bf16" in precisions:
        graphs["bf16"] = plain
    lacking: dict[Precision, Notice] = {}
    floats = recipe.backbone.float_nodes if isinstance(recipe.backbone, KeepsNodesInFloat) else ()
    quantised: tuple[Precision, ...] = ("mixed", "int8")
    asked = [precision for precision in quantised if precision in precisions]
    sample = _sample(data) if asked else []
    for precision in asked:
        try:
            with data.progress(f"quantising the backbone ({precision})", None):
                graphs[precision] = quantise_backbone(plain, sample, precision == "mixed", floats)
        except CompileError as error:
            lacking[precision] = Notice("no-form", {"reason": str(error)})
    return graphs, lacking


def _sample(data: LearningData) -> list[Image]:
    """The images that activation ranges are read off."""
    wanted = set(calibration_indices(data.n_images))
    return [image for index, image in enumerate(data.images()) if index in wanted]


def fit_forms(
    recipe: Recipe,
    backbones: Mapping[Precision, onnx.ModelProto],
    data: LearningData,
    save: Callable[[Precision, onnx.ModelProto], None],
    measured: Iterable[Image] = (),
    judge: Callable[[FittedScorer, FittingData], Judged] | None = None,
    known: Callable[[], Iterator[Features]] | None = None,
) -> FittedForms:
    """Fit and compose each form; where the scorer can, all forms keep what FP32 chose.

    Args:
        save: is given each form's graph, one at a time: some take hundreds of megabytes.
        measured: images of the model's size whose features in FP32 are measured.
        judge: is given FP32's scorer before anything is composed; what it says of the post-processor holds.
        known: FP32's features, where they are there already.
    """
    data = dataclasses.replace(data, backbone=recipe.backbone)  # the trained one, where one was
    chosen: FittedScorer | None = None
    fitted: FittedScorer | None = None
    found: FittedForms | None = None
    teachable: Teachable | None = None
    shares = "bf16" in backbones and cpu().lacks_bf16
    for precision, backbone in backbones.items():
        arithmetic: Arithmetic = "bf16" if precision == "bf16" else "f32"
        bank: BankPrecision = "fp32" if precision == "fp32" else "int8"
        if precision == "bf16" and fitted is not None and shares:
            log.info("this processor has no BF16 unit: the bf16 form's bank is of FP32's features")
        else:
            fitted = None  # before there are two: some take hundreds of megabytes
            with fitting_data(backbone, recipe.scorer, data, arithmetic) as offer:
                if found is None and known is not None:
                    offer = dataclasses.replace(offer, features=known)
                fitted = chosen.refit(offer) if isinstance(chosen, Refittable) else recipe.scorer.fit(offer)
                if found is None:
                    facts, notices = _told(recipe, fitted)
                    judged = None if judge is None else judge(fitted, offer)
                    recipe = recipe if judged is None else judged.recipe
                    moments = moments_of(offer.embed(measured))
                    found = FittedForms(tuple(backbones), facts, notices, moments, judged)
        if chosen is None and isinstance(fitted, Refittable):
            chosen = fitted
        made = compose(backbone, recipe.scorer, fitted, recipe.postprocessor, data.size, bank)
        teachable = made.teachable
        if not shares:  # before the graph is written: both may take hundreds of megabytes
            fitted = None
        save(precision, made.model)
        del made
    assert found is not None, "there's always FP32"
    return dataclasses.replace(found, teachable=teachable)


def _told(recipe: Recipe, fitted: FittedScorer) -> tuple[Mapping[str, Any], tuple[Notice, ...]]:
    """The scorer's facts and notices, checked at once: a bundle that can't be written would show at the end.

    Raises:
        PluginError: they aren't what a bundle can hold.
    """
    facts = fitted.facts
    own = fitted.notices if isinstance(fitted, GivesNotices) else ()
    said = facts.get("warnings", ()) if isinstance(facts, Mapping) else ()
    wrong = next(_faults(facts, own, said), None)
    if wrong:
        who = f"{recipe.provenance.get('distribution', '?')} {recipe.provenance.get('version', '')}".strip()
        raise PluginError(f"{who}: scorer '{recipe.scorer_name}': {wrong}")
    return facts, (*own, *(Notice("plugin", {"text": text}) for text in said))


def _faults(facts: Any, notices: Any, said: Any) -> Iterator[str]:
    if not isinstance(facts, Mapping):
        yield f"its facts are {type(facts).__name__}, give a mapping of JSON values"
        return
    if not isinstance(notices, list | tuple) or not all(isinstance(n, Notice) for n in notices):
        yield "its notices must be a tuple of edgead.notices.Notice"
        return
    if not isinstance(said, list | tuple) or not all(isinstance(text, str) for text in said):
        yield "its facts' warnings must be a list of sentences"
        return
    for what, value in (("facts", dict(facts)), ("notices", [dataclasses.asdict(n) for n in notices])):
        try:
            check_plain(json.loads(json.dumps(value, allow_nan=False)), what, UNNAMED)
        except (TypeError, ValueError, RecursionError, ManifestError) as error:
            yield f"its {what} can't be kept as JSON ({one_line(error, 'message')}): give plain values"
    if not all(isinstance(n.code, str) and isinstance(n.sentence, str) for n in notices):
        yield "a notice's code and sentence must be text"
