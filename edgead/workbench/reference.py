"""Writing a reference bundle: everything that export needs and the camera doesn't.

Each form's graph, that of the calibration forms, and the held-out images with their figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx

from edgead import sbom
from edgead.bundle import Bundle, Staging
from edgead.device.calibrate import calibrate
from edgead.held_out import HeldOut, write_held_out
from edgead.manifest import (
    DEFAULT,
    ComposedMethod,
    InputRecord,
    Manifest,
    ReferenceRecord,
    SizesFoundRecord,
    TeachingRecord,
    ThresholdRecord,
    WindowsRecord,
)
from edgead.notices import Notice
from edgead.roi import write_roi
from edgead.runtime.exact import ExactSession
from edgead.sampling import spread
from edgead.teaching import EMBEDDING, PATCH, write_matrices
from edgead.types import Backbone, Image, Precision
from edgead.version import __version__
from edgead.workbench.forms import FittedForms
from edgead.workbench.given import MAX_HELD_OUT, Given
from edgead.workbench.judging import Judged
from edgead.workbench.probes import CARRIED, FOLDER, records
from edgead.workbench.recipe import Recipe
from edgead.workbench.standouts import held_out_notices
from edgead.workbench.teachable import Teachable

FORM_FILES: dict[Precision, str] = {
    "fp32": "model.onnx",
    "bf16": "forms/bf16.onnx",
    "mixed": "forms/mixed.onnx",
    "int8": "forms/int8.onnx",
}
MOST_PROBES = MAX_HELD_OUT
"""Images that the gates judge, windows where frames are judged in them."""
CALIBRATION_FILES: dict[Precision, str] = {p: f"calibration/{p}.onnx" for p in FORM_FILES}


@dataclass(frozen=True)
class Learned:
    """What was fitted, its graphs in the bundle's folder already.

    Attributes:
        backbone: the one in the graphs.
        forms: those that ship.
        calibration_forms: empty where the forms that ship are those.
        judged: what fits made of images that they haven't learned.
        lacking: why there's none of a form that was asked for.
        n_images: how many good images the forms that ship have learnt from.
    """

    backbone: Backbone
    forms: FittedForms
    calibration_forms: tuple[Precision, ...]
    judged: Judged
    lacking: Mapping[Precision, Notice]
    n_images: int

    @property
    def judging_file(self) -> str:
        """FP32's graph that hasn't learned the held-out images."""
        return (CALIBRATION_FILES if self.calibration_forms else FORM_FILES)["fp32"]


def saver(folder: Path, files: Mapping[Precision, str]) -> Callable[[Precision, onnx.ModelProto], None]:
    """What saves a form's graph under its name in the folder."""

    def save(precision: Precision, graph: onnx.ModelProto) -> None:
        file = folder / files[precision]
        file.parent.mkdir(exist_ok=True)
        onnx.save(graph, file)

    return save


def threshold_of(given: Given, judged: Judged) -> ThresholdRecord:
    """The threshold that ships, read off what judged good images that it hadn't learned."""
    unseen, rate = judged.unseen, given.settings.false_positive_rate
    scores, maxima = unseen.good[:, 0].tolist(), unseen.maxima.tolist()
    return calibrate(scores, maxima, rate, unseen.groups, bool(given.grouping.by))


def write_reference(
    staging: Staging,
    recipe: Recipe,
    given: Given,
    learned: Learned,
    threshold: ThresholdRecord,
    sizes: SizesFoundRecord | None,
) -> Bundle:
    """Write what belongs to the threshold, and finish the bundle."""
    folder, settings, forms = staging.folder, given.settings, learned.forms
    held_out = given.to_judge(given.held_out)
    if len(held_out) > MOST_PROBES:
        held_out = held_out.subset(spread(len(held_out), MOST_PROBES))
    good = list(held_out)
    probes = _save_probes(good, folder)
    unseen, choice = learned.judged.unseen, learned.judged.choice
    rule, grouping = given.reading.images.rule, given.grouping
    scores = unseen.good[:, 0]
    figures = HeldOut(
        scores=scores.astype(np.float32),
        maxima=unseen.maxima.astype(np.float32),
        groups=unseen.groups or (),
        moments=forms.moments,
        folds=unseen.folds,
        defects=unseen.bad[:, 0].astype(np.float32),
        areas=unseen.areas.astype(np.float32),
    )
    judged_on = given.reading.images if unseen.folds else given.held_out
    (folder / sbom.FILE).write_bytes(sbom.sbom([str(recipe.provenance["distribution"])]))
    return staging.finish(
        Manifest(
            edgead=__version__,
            kind="reference",
            method=ComposedMethod(
                recipe.method,
                recipe.scorer_name,
                recipe.postprocessor_name,
                recipe.options,
                settings.seed,
                image_score=choice.record(),
            ),
            input=InputRecord(given.input_size, rule.mode, depth=given.reading.depth),
            thresholds={DEFAULT: threshold},
            target="reference",
            engine="onnxruntime",
            engine_precision="f32",
            precision="fp32",
            model=FORM_FILES["fp32"],
            reports={},
            provenance={
                "backbone": {"name": learned.backbone.name, **learned.backbone.provenance},
                "images": {
                    "fitted_on": learned.n_images,
                    "held_out": len(given.held_out),
                    **({"parts": grouping.count} if not grouping.is_plain else {}),
                    **({"group": grouping.by} if grouping.by else {}),
                    **({"defects": len(given.annotated)} if given.annotated else {}),
                },
                "scorer": dict(recipe.provenance),
            },
            facts=forms.facts,
            reference=ReferenceRecord(
                forms={p: FORM_FILES[p] for p in forms.precisions},
                calibration_forms={p: CALIBRATION_FILES[p] for p in learned.calibration_forms},
                lacking=learned.lacking,
                probe_groups=given.groups_of(held_out, given.groups) or (),
            ),
            held_out=write_held_out(folder, figures),
            roi=write_roi(folder, rule),
            teaching=_teaching(forms.teachable, folder),
            windows=_windows(given),
            sizes_found=sizes,
            probes=records(ExactSession(folder / FORM_FILES["fp32"]), folder, probes[:CARRIED]),
            notices=(
                *given.notices,
                *held_out_notices(judged_on.paths, scores, given.reading.images.paths),
                *forms.notices,
                *([] if sizes else [Notice("sizes-unmeasured")]),
            ),
        )
    )


def _windows(given: Given) -> WindowsRecord | None:
    """How frames are judged in windows, where they are."""
    if given.pieces is None or given.edges is None:
        return None
    edges, scale = given.edges, given.pieces.rule.scale
    areas = {key.path: key.frame[0] * key.frame[1] for key in given.pieces.keys}
    usual = round(float(np.median(list(areas.values()))) * scale**2)
    return WindowsRecord(edges.margin, scale, edges.distances, edges.changes, usual)


def _teaching(teachable: Teachable | None, folder: Path) -> TeachingRecord | None:
    """What the camera needs to be taught, written into the folder."""
    if teachable is None:
        return None
    return TeachingRecord(
        embedding=EMBEDDING,
        patch=PATCH,
        grid=teachable.grid,
        dim=teachable.dim,
        own_score="weighted-patch" if teachable.weighted else "map-maximum",
        file=write_matrices(folder, teachable.vertical, teachable.horizontal),
    )


def _save_probes(images: Iterable[Image], folder: Path) -> list[str]:
    """Write the held-out images as the model sees them; returns their names in the bundle."""
    (folder / FOLDER).mkdir()
    names = []
    for index, image in enumerate(images):
        names.append(f"{FOLDER}/{index:03d}.png")
        grey = bool((image == image[..., :1]).all())  # one channel takes a third, and reads back as three
        file = folder / names[-1]
        file.write_bytes(cv2.imencode(".png", image[..., 0] if grey else image)[1].tobytes())
    return names


__all__ = ["CALIBRATION_FILES", "FORM_FILES", "Learned", "saver", "threshold_of", "write_reference"]
