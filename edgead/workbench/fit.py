"""Fitting: a folder of good images becomes a reference bundle.

Held-out images are what thresholds and gates are read off, and a model that has learnt from them can't tell.
So everything is fitted twice: the *calibration forms* without the held-out images, and, in the *final fit*,
the forms that ship, from all good images. More good images only lower a good image's score, so the
threshold's false-positive rate stays an upper estimate. Without a final fit, for methods that train for
long, the calibration forms are the ones that ship.

The reference bundle holds everything that export needs and the camera doesn't: each form's graph, both
times, and the held-out images.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import onnx

import edgead
from edgead.bundle import Bundle, write_bundle
from edgead.errors import OptionError
from edgead.manifest import InputRecord, Manifest, MethodRecord
from edgead.notices import Notice
from edgead.runtime.exact import ExactSession
from edgead.runtime.session import open_session
from edgead.types import PRECISIONS, Image, Precision, Progress, Size
from edgead.workbench.annotated import read_defects
from edgead.workbench.calibrate import LEARNED, calibrate
from edgead.workbench.forms import Recipe, backbone_forms, check_takes_defects, fit_forms, trained
from edgead.workbench.frames import Frames, read_good, split
from edgead.workbench.groups import Grouping, group
from edgead.workbench.precision import run_trial
from edgead.workbench.probes import CARRIED, FOLDER, records
from edgead.workbench.standouts import find_standouts, held_out_notices
from edgead.workbench.steps import logged

log = logging.getLogger(__name__)

MAX_HELD_OUT = 500
FORM_FILES: dict[Precision, str] = {
    "fp32": "model.onnx",
    "bf16": "forms/bf16.onnx",
    "mixed": "forms/mixed.onnx",
    "int8": "forms/int8.onnx",
}
CALIBRATION_FILES: dict[Precision, str] = {p: f"calibration/{p}.onnx" for p in FORM_FILES}


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes:
        size: (H, W) of the model's input, or None to choose it from the images.
        seed: the only source of randomness.
        holdout: share of the good images held out for threshold and gates.
        false_positive_rate: the share of good images that may be called anomalous, 0 to 1.
        precisions: the forms to prepare; fp32 is always among them.
        final_fit: whether the forms that ship learn from the held-out images too; None: as the method
            prefers.
        depth: significant bits of 16-bit images, 9 to 16; None where there are none, or 16 is obvious.
        group: which images show one part and are held out together: ``parent`` or ``grandparent``, a folder's
            name, or a regular expression with one group, searched for in the file's name; None: near copies.
    """

    size: Size | None = None
    seed: int = 0
    holdout: float = 0.2
    false_positive_rate: float = 0.01
    precisions: Sequence[Precision] = PRECISIONS
    final_fit: bool | None = None
    depth: int | None = None
    group: str | None = None

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


def fit(
    recipe: Recipe,
    images: Path | Sequence[Path],
    settings: Settings,
    out: Path,
    progress: Progress,
    defects: Sequence[Path] = (),
) -> Fit:
    """Fit on good images and write the reference bundle.

    Args:
        images: their folder, a data set of which the training images are meant, the files, or several of
            these.
        out: the bundle's path; an older bundle there is replaced, in one step, at the very end.
        defects: folders of annotated defects, for methods that learn from them; see ``find_defects``.

    Raises:
        InputError, OutputError, EngineError: see ``edgead.errors``.
    """
    progress = logged(progress, log)
    if defects:
        check_takes_defects(recipe)
    with write_bundle(out) as staging:  # first, so that a path that can't be written costs no fitting
        multiple = recipe.backbone.input.multiple
        reading = read_good(images, settings.size, multiple, progress, settings.depth)
        frames = reading.frames
        doubts: list[Notice] = []
        annotated = read_defects(defects, frames.rule, progress, depth=settings.depth, tell=doubts.append)
        share = min(settings.holdout, MAX_HELD_OUT / len(frames))
        grouping = group(frames, settings.group, progress)
        training, held_out = split(frames, share, settings.seed, grouping.labels)
        held_out = _at_most(held_out, MAX_HELD_OUT)
        groups = _groups_of(held_out, frames, grouping)
        odd = find_standouts(frames, grouping.labels, recipe.backbone, settings.seed, progress)
        counts = len(frames), frames.rule.size, len(held_out)
        log.info("%s on %d images of %s, %d of them held out: %s", recipe.method, *counts, recipe.options)
        again = recipe.final_fit if settings.final_fit is None else settings.final_fit
        checkpoint = _checkpoint(out)
        ready = trained(recipe, training, settings.seed, checkpoint / "first", progress, annotated)
        backbones, lacking = backbone_forms(ready, training, settings.precisions, progress)
        judged_files = CALIBRATION_FILES if again else FORM_FILES
        save = _saver(staging.folder, judged_files)
        judged = forms = fit_forms(
            ready, backbones, training, settings.seed, progress, save, annotated, checkpoint / "first"
        )
        if again:
            final = _naming("final fit", progress)
            ready = trained(recipe, frames, settings.seed, checkpoint / "final", final, annotated)
            if ready is not recipe:  # a network of its own, so it's quantised on its own
                backbones, lacking = backbone_forms(ready, frames, settings.precisions, final)
            save = _saver(staging.folder, FORM_FILES)
            forms = fit_forms(
                ready, backbones, frames, settings.seed, final, save, annotated, checkpoint / "final"
            )
        good = list(held_out)
        probes = _save_probes(good, staging.folder)
        trial = run_trial(open_session(staging.folder / judged_files["fp32"], "onnxruntime"), good, ())
        manifest = Manifest(
            edgead=edgead.__version__,
            kind="reference",
            method=MethodRecord(
                recipe.method, recipe.scorer_name, recipe.postprocessor_name, recipe.options, settings.seed
            ),
            input=InputRecord(frames.rule.size, frames.rule.mode, depth=reading.depth),
            threshold=calibrate(
                trial.good.tolist(),
                trial.good_maxima.tolist(),
                settings.false_positive_rate,
                groups,
                grouping.by,
            ),
            target="reference",
            engine="onnxruntime",
            engine_precision="f32",
            precision="fp32",
            model=FORM_FILES["fp32"],
            reports={},
            provenance={
                "backbone": {"name": ready.backbone.name, **ready.backbone.provenance},
                "images": {
                    "fitted_on": len(frames if again else training),
                    "held_out": len(held_out),
                    **({"parts": grouping.count} if not grouping.is_plain else {}),
                    **({"group": grouping.by} if grouping.by else {}),
                    **({"defects": len(annotated)} if annotated else {}),
                },
                "scorer": dict(recipe.provenance),
            },
            facts={
                "forms": {p: FORM_FILES[p] for p in forms},
                "calibration_forms": {p: CALIBRATION_FILES[p] for p in judged} if again else {},
                "lacking": lacking,
                **({"held_out_groups": groups} if groups else {}),
                **forms["fp32"],
            },
            probes=records(
                ExactSession(staging.folder / FORM_FILES["fp32"]), staging.folder, probes[:CARRIED]
            ),
            notices=(
                *reading.notices,
                *doubts,
                *grouping.notices,
                *odd,
                *held_out_notices(held_out.paths, trial.good, frames.paths),
                *_told_by_plugin(forms["fp32"]),
            ),
        )
        bundle = staging.finish(manifest)
        shutil.rmtree(checkpoint, ignore_errors=True)
        return Fit(bundle, reading.why)


def _told_by_plugin(facts: Mapping[str, Any]) -> list[Notice]:
    return [Notice("plugin", {"text": str(text)}) for text in facts.get("warnings", ())]


def _at_most(frames: Frames, limit: int) -> Frames:
    """As many of the frames, spread over all: one group can be larger than what is worth scoring."""
    return frames.subset(sorted({i * len(frames) // limit for i in range(limit)}))


def _groups_of(held_out: Frames, frames: Frames, grouping: Grouping) -> list[int] | None:
    """The held-out images' groups, or None where each is its own."""
    if grouping.is_plain:
        return None
    if grouping.count == 1:
        return [LEARNED] * len(held_out)
    labels = dict(zip(frames.paths, grouping.labels.tolist(), strict=True))
    return [labels[path] for path in held_out.paths]


def _checkpoint(out: Path) -> Path:
    """Where a training leaves what it needs to go on after a kill: beside the bundle."""
    return out.with_name(f"{out.name}.checkpoint")


def _saver(folder: Path, files: Mapping[Precision, str]) -> Callable[[Precision, onnx.ModelProto], None]:
    def save(precision: Precision, graph: onnx.ModelProto) -> None:
        file = folder / files[precision]
        file.parent.mkdir(exist_ok=True)
        onnx.save(graph, file)

    return save


def _naming(prefix: str, progress: Progress) -> Progress:
    """Progress whose descriptions say which part of the work they belong to."""

    @contextmanager
    def named(description: str, total: int | None) -> Iterator[Any]:
        with progress(f"{prefix}: {description}", total) as advance:
            yield advance

    return named


def _save_probes(images: Sequence[Image], folder: Path) -> list[str]:
    """Write the held-out images as the model sees them; returns their names in the bundle."""
    (folder / FOLDER).mkdir()
    names = [f"{FOLDER}/{index:03d}.png" for index in range(len(images))]
    for name, image in zip(names, images, strict=True):
        grey = bool((image == image[..., :1]).all())  # one channel takes a third, and reads back as three
        (folder / name).write_bytes(cv2.imencode(".png", image[..., 0] if grey else image)[1].tobytes())
    return names


def options_record(options: Any) -> dict[str, Any]:
    """A frozen options dataclass as the JSON object that the manifest keeps."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(options).items()
    }
