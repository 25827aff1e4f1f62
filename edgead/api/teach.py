"""``edgead.teach``: correct a verdict on the device, and take it back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from edgead.api.arguments import AnyBundle, AnyPath, path_of
from edgead.api.notes import tell
from edgead.api.records import Taught
from edgead.api.values import flag, text
from edgead.bundle import Bundle, read_bundle, refuse_unsigned
from edgead.errors import DatasetError, FrameError, ImageError, OptionError, TeachError
from edgead.extras import explained
from edgead.files import is_folder, sha256_of
from edgead.notices import Notice
from edgead.runtime.detector import Detector

if TYPE_CHECKING:
    from edgead.device.teach import Example, Proposal, Wrong
    from edgead.resize import FrameRule
    from edgead.runtime.session import Session

Wanted: TypeAlias = "AnyPath | NDArray[Any]"
"""An image's file, a folder of images, or a frame as a detector takes it."""
CHANGED = 3
"""Changed verdicts that a message names."""


@explained("teaching")
def teach(
    bundle: AnyBundle | Detector,
    *,
    false_alarms: Wanted | Sequence[Wanted] | None = None,
    missed: Wanted | Sequence[Wanted] | None = None,
    mask: AnyPath | None = None,
    undo: int | Literal["last"] | None = None,
    reason: str = "",
    by: str = "",
    dry_run: bool = False,
    accept_changes: bool = False,
    engine: str | None = None,
) -> Taught:
    """Teach a compiled bundle that verdicts were wrong, or undo a lesson; as ``edgead teach``.

    The bundle's files stay as they are: each image becomes a lesson in its folder ``taught/``. A detector
    that is given takes it up at once, while other threads go on judging with it; other running detectors do
    with ``Detector.reload_lessons``.

    Args:
        bundle: a compiled bundle's path, ``NAME`` for ``./NAME.edgead``, what a call returned, or a
            detector.
        false_alarms: good images that were found anomalous: files, folders or frames.
        missed: defective images that passed.
        mask: of ``missed``: the mask's file, or a folder with a mask of each image's name; None for the most
            unusual places of each image.
        undo: the number of a lesson, or ``"last"`` of those that count.
        reason, by: kept with the lesson: why, and who.
        dry_run: only tell what it would cost.
        accept_changes: take it even where verdicts on other images change.
        engine: another engine than the bundle's own; a detector has its own.

    Returns:
        The lessons, and what they cost on the images that are there. Notices are logged at WARNING.

    Raises:
        edgead.errors.TeachError: the method has no bank, its rows are used up, or verdicts on other images
            would change and that wasn't accepted.
        edgead.errors.InputError: an image or mask can't be used, or the arguments don't go together.
        edgead.errors.BundleError: the bundle, or what it was taught, can't be trusted.
        edgead.errors.OutputError: a lesson can't be written.
    """
    given = [name for name, value in (("false_alarms", false_alarms), ("missed", missed), ("undo", undo))
             if value is not None]  # fmt: skip
    if len(given) != 1:
        raise OptionError(f"give one of false_alarms, missed and undo, not {' and '.join(given) or 'none'}")
    if mask is not None and missed is None:
        raise OptionError("mask is of missed defects: leave it out")
    flag("dry_run", dry_run), flag("accept_changes", accept_changes)
    text("reason", reason, "text"), text("by", by, "text")
    if isinstance(bundle, Detector) and not dry_run:
        refuse_unsigned(bundle.bundle)  # before the work, too
    proposal = _proposal(bundle, false_alarms, missed, mask, undo, engine)
    tell(notice for notice in proposal.notices if notice.code != "lesson-cost")
    done = finish(proposal, by, reason, dry_run, accept_changes)
    if isinstance(bundle, Detector) and done.lessons:
        bundle.reload_lessons()
    return done


def finish(proposal: Proposal, by: str, reason: str, dry_run: bool, accept_changes: bool) -> Taught:
    """Take a proposal, unless it's a dry run, holds nothing, or changes what nobody accepted."""
    from edgead.device.teach import take

    if dry_run or not (proposal.drafts or proposal.undoes):
        return Taught(proposal, ())
    if proposal.flips and not accept_changes:
        raise TeachError(f"{proposal.bundle.path}: {flips_notice(proposal)}")
    lessons = take(proposal, by, reason)
    tell(proposal.bundle.outdated)
    return Taught(proposal, lessons)


def flips_notice(proposal: Proposal) -> Notice:
    """Which verdicts on other images change."""
    words = {False: "good", True: "anomalous"}
    names = [f"{c.image} from {words[c.before]} to {words[c.after]}" for c in proposal.flips]
    more = f" and {len(names) - CHANGED} more" if len(names) > CHANGED else ""
    return Notice("lesson-flips", {"flips": len(names), "names": ", ".join(names[:CHANGED]) + more})


# ---------------------------------------------------------------- how


def _proposal(
    bundle: AnyBundle | Detector,
    false_alarms: Any,
    missed: Any,
    mask: AnyPath | None,
    undo: int | Literal["last"] | None,
    engine: str | None,
) -> Proposal:
    from edgead.device.teach import propose, propose_undo

    if isinstance(bundle, Detector):
        if engine is not None:
            raise OptionError("a detector has its engine already: leave engine out")
        session, found, threshold = (
            bundle.teaching_session(),
            read_bundle(bundle.bundle.path, trust=bundle.bundle.trust),
            bundle.threshold,
        )
    else:
        found = read_bundle(path_of(bundle))
        session, threshold = open_for_teaching(found, engine), found.manifest.threshold.score
    if undo is not None:
        if undo != "last" and type(undo) is not int:
            raise OptionError(f"undo {undo!r} must be a lesson's number, or 'last'")
        return propose_undo(found, session, threshold, None if undo == "last" else undo)
    kind: Wrong = "missed" if missed is not None else "false-alarm"
    return propose(
        found, session, threshold, kind, examples(found, missed if missed is not None else false_alarms, mask)
    )


def open_for_teaching(bundle: Bundle, engine: str | None = None) -> Session:
    """Compile a bundle's graph with the tensors that teaching takes, and prove it here.

    Raises:
        TeachError: its method has no bank.
        EngineError, ParityError: as a detector's constructor.
    """
    from edgead.runtime.engine_options import EngineOptions
    from edgead.runtime.engines import engine_of, open_session
    from edgead.runtime.model_bytes import model_of
    from edgead.runtime.proof import prove
    from edgead.runtime.warming import warm_up
    from edgead.teaching import required

    record, manifest = required(bundle), bundle.manifest
    outputs = record.embedding, record.patch
    options = EngineOptions(precision=manifest.engine_precision, outputs=outputs)
    session = open_session(model_of(bundle), engine_of(bundle, engine), options)
    warm_up(session, manifest.input.size, bundle.path, not manifest.probes)
    prove(bundle, session, session.runs_on, manifest.threshold, outputs)
    return session


def examples(bundle: Bundle, wanted: Wanted | Sequence[Wanted], mask: AnyPath | None) -> list[Example]:
    """Read images, and their masks where there are some, and bring them to the model's size.

    Raises:
        InputError: one can't be used, a mask is missing or marks nothing, or there's none at all.
    """
    from edgead.device.teach import Example
    from edgead.folders import list_images
    from edgead.images import as_bgr, read_image
    from edgead.window_rule import rule_of

    several = isinstance(wanted, Iterable) and not isinstance(wanted, str | np.ndarray)
    found: list[Any] = []
    for each in cast("Iterable[Wanted]", wanted) if several else (cast("Wanted", wanted),):
        if isinstance(each, np.ndarray):
            found.append(each)
        elif isinstance(each, str | os.PathLike):
            path = Path(each)
            found += list_images(path) if is_folder(path) else [path]
        else:
            raise OptionError(f"{type(each).__name__} is no image: give a file, a folder or a frame")
    if not found:
        raise DatasetError("no images to teach: give some")
    rule = rule_of(bundle)
    learned = bundle.manifest.input.depth
    depth = learned if learned > 8 else None
    masks = _masks(Path(mask), found) if mask is not None else {}
    made = []
    for each in found:
        if isinstance(each, Path):
            frame, name, digest = read_image(each, depth), each.name, sha256_of(each)
        else:
            frame = as_bgr(each, "bgr") if depth is None else as_bgr(each, "bgr", depth)
            name, digest = "", hashlib.sha256(np.ascontiguousarray(each).tobytes()).hexdigest()
        try:
            rule.check(frame.shape)
        except FrameError as error:  # of another aspect than the region of interest
            raise FrameError(f"{name}: {error}" if name else str(error)) from None
        marked = None
        if mask is not None:
            marked = _read_mask(masks[each], rule, frame.shape[:2])
        made.append(Example(name, digest, rule.apply(frame), marked))
    return made


def _masks(mask: Path, images: Sequence[Any]) -> dict[Any, Path]:
    """Each image's mask: the one file for one image, or by name in a folder."""
    from edgead.masks.matching import MaskNames, grouped

    if any(not isinstance(image, Path) for image in images):
        raise OptionError("mask goes with images' files, not with frames: write the frame to a file first")
    if not is_folder(mask):
        if len(images) > 1:
            raise OptionError(f"{mask} is one mask for {len(images)} images: give a folder of masks by name")
        return {images[0]: mask}
    names = MaskNames(grouped(sorted(file for file in mask.iterdir() if file.is_file())))
    found = {}
    for image in images:
        files = names.find(image.stem)
        if not files:
            raise DatasetError(
                f"{mask}: no mask for {image.name}; name it {image.stem}.png or {image.stem}_mask.png"
            )
        found[image] = files[0]
    return found


def _read_mask(file: Path, rule: FrameRule, shape: tuple[int, int]) -> NDArray[np.bool_]:
    from edgead.masks.marks import read_mask

    marked = read_mask((file,), rule, shape)
    if not marked.any():
        raise ImageError(f"{file}: marks nothing; mark the defect with any value but 0")
    inside = rule.inside(shape)
    if inside is not None and not (marked := marked & inside).any():
        raise ImageError(
            f"{file}: marks nothing inside of the bundle's region of interest, so it isn't judged"
        )
    return marked


__all__ = ["examples", "finish", "flips_notice", "open_for_teaching", "teach"]
