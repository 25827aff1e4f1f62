"""``edgead.calibrate``: new thresholds for a compiled bundle, without fitting or exporting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgead.api import values
from edgead.api.arguments import AnyBundle, AnyPath, check_folders, optional, path_of, paths
from edgead.api.notes import tell
from edgead.api.records import Calibrated
from edgead.bundle import Bundle, Note, add_revision, read_bundle, refuse_unsigned
from edgead.bundle import restore as restore_revision
from edgead.errors import OptionError
from edgead.extras import explained
from edgead.manifest import DEFAULT
from edgead.progress import silent
from edgead.runtime.detector import Detector
from edgead.runtime.engine_options import EngineOptions

if TYPE_CHECKING:
    from edgead.device.choosing import Aim
    from edgead.types import Progress

DEFECT_SHARE = 0.01
"""Share of parts that are taken for defective where nobody says."""


@explained("calibrating")
def calibrate(
    bundle: AnyBundle,
    *,
    good: AnyPath | Iterable[AnyPath] = (),
    defects: AnyPath | Iterable[AnyPath] = (),
    false_positive_rate: float | None = None,
    recall: float | None = None,
    cost: str | Sequence[float] | None = None,
    threshold: float | None = None,
    product: str | None = None,
    kinds: Iterable[str] = (),
    defect_share: float | None = None,
    pixel_regions: float | None = None,
    smallest_area: int | None = None,
    group: str | None = None,
    keep_held_out: bool = False,
    by: str | None = None,
    why: str = "",
    dry_run: bool = False,
    plot: AnyPath | None = None,
    undo: bool = False,
    restore: int | None = None,
    device: str = "auto",
    engine: str | None = None,
    threads: int | None = None,
    depth: int | None = None,
    progress: Progress = silent,
) -> Calibrated:
    """Set a compiled bundle's thresholds anew, as a revision beside its manifest; as ``edgead calibrate``.

    Nothing is fitted or exported, and the workbench isn't needed: it runs on the camera. The bundle's own
    files stay as they are, and the thresholds before can be had back.

    Example:
        >>> edgead.calibrate(made, good="line/good", defects="line/rejects", recall=0.9)  # doctest: +SKIP

    Args:
        bundle: what ``edgead.export`` returned, a bundle's path, or ``NAME`` for ``./NAME.edgead``.
        good: folders of good images that the model hasn't learned; by default the bundle's own scores of
            images that were held out when it was fitted.
        defects: folders of defects, a subfolder a kind; one image is enough.
        false_positive_rate: share of good images, 0 to 1, that may be flagged; by default the rate that was
            aimed at last.
        recall: share of the defects, over 0 up to 1, that must be found: the highest threshold that does.
        cost: of a missed defect and of a false alarm, ``(100, 1)`` or ``"100:1"``: the least expected cost.
        threshold: the image score itself; the pixel threshold stays.
        product: whose thresholds, a plain name; ``default`` if not given.
        kinds: of defects that alone choose the threshold: the others tell what it does to kinds unseen.
        defect_share: share of parts, 0 to 1, that are defective, for ``cost``; 0.01 if not given.
        pixel_regions: false regions a good frame, 0 to 1, that the pixel threshold is set on.
        smallest_area: of a region, in pixels of the anomaly map, which is the model's input; for
            ``pixel_regions``, 4 if not given, and kept: smaller ones are left out of masks and regions.
        group: which good images show one part, as ``edgead.fit`` takes it; None to look for near copies.
        keep_held_out: add the good images to the held-out ones instead of replacing them.
        by: who does it; by default the name that this process's user logs in with.
        why: the reason, a line.
        dry_run: calculate and tell, and write nothing.
        plot: a picture to write, escapes against false alarms: ``.svg``, ``.png`` or ``.jpg``.
        undo: put the thresholds before the last change in force again, by a new revision; with nothing else
            but ``by`` and ``why``.
        restore: the same with a revision's number, 0 for the thresholds as exported.
        device, engine, threads, depth: as ``edgead.load`` takes them, for images.
        progress: reports long work; ``edgead.progress.bar`` is a bar on a terminal.

    Returns:
        The bundle as it is now, and what was found. What's doubtful is logged at WARNING, too.

    Raises:
        edgead.errors.BundleError: the bundle isn't there or can't be trusted.
        edgead.errors.InputError: images, values or names can't be used, or the bundle is none that was
            exported.
        edgead.errors.ParityError: this machine would give other verdicts at the new threshold; nothing is
            written.
        edgead.errors.EngineError: the engine isn't there, or fails.
        edgead.errors.OutputError: the revision can't be written.
    """
    note = Note(values.maybe_text("by", by, "a name") or "", values.text("why", why, "a line of text"))
    dry_run = values.flag("dry_run", dry_run)
    values.path("plot", plot)
    values.called("progress", progress)
    given: Mapping[str, Any] = {
        "good": good,
        "defects": defects,
        "false_positive_rate": false_positive_rate,
        "recall": recall,
        "cost": cost,
        "threshold": threshold,
        "product": product,
        "kinds": kinds,
        "defect_share": defect_share,
        "pixel_regions": pixel_regions,
        "smallest_area": smallest_area,
        "group": group,
        "keep_held_out": keep_held_out or None,
        "plot": plot,
    }
    given = {name: value for name, value in given.items() if value is not None and not _is_none(value)}
    if values.flag("undo", undo) or restore is not None:
        return _restore(
            path_of(bundle), given, note, undo, values.maybe_whole("restore", restore, 0), dry_run
        )
    _check_words(given)
    from edgead.device.calibration import Material, calibrate_bundle
    from edgead.device.figure import check_suffix, write_figure
    from edgead.device.recalibrate import SMALLEST_AREA, Wanted

    picture = optional(plot)
    if picture is not None:
        check_suffix(picture)
        check_folders(picture)
    material = Material(
        tuple(paths("good", good)),
        tuple(paths("defects", defects)),
        values.maybe_text("group", group, "a regular expression, 'parent' or 'grandparent'"),
        values.flag("keep_held_out", keep_held_out),
    )
    wanted = Wanted(
        rate=values.maybe_number("false_positive_rate", false_positive_rate),
        aim=_aim(recall, cost, defect_share),
        threshold=values.maybe_number("threshold", threshold),
        product=values.maybe_text("product", product, "a product's name") or DEFAULT,
        kinds=tuple(values.text("kind", kind, "a kind's name") for kind in kinds),
        pixel_regions=values.maybe_number("pixel_regions", pixel_regions),
        smallest_area=values.maybe_whole("smallest_area", smallest_area, 1) or SMALLEST_AREA,
    )
    options = EngineOptions(device=device, threads=threads)

    def open_detector(read: Bundle) -> Detector:
        of = wanted.product if wanted.product in read.manifest.thresholds else None
        return Detector(read, options, engine=engine, depth=depth, product=of)

    before = read_bundle(path_of(bundle))
    if not dry_run:
        refuse_unsigned(before)
    done = calibrate_bundle(before, wanted, material, open_detector, progress)
    if picture is not None:
        title = f"{before.path.name}, product {wanted.product}"
        marks = {"so far": done.found.before.score, "new": done.found.after.score}
        write_figure(picture, title, done.good.scores, done.good.groups, done.defects, marks)
    found = done.found
    if not dry_run:
        found = replace(found, notices=(*found.notices, *before.outdated))
    tell(found.notices)
    if dry_run:
        return Calibrated(before, wanted.product, found, None)
    note = Note(note.by, note.why, {**done.source, "options": _plain(given)})
    now = add_revision(before, {wanted.product: found.after}, note)
    return Calibrated(now, wanted.product, found, now.revision)


def _restore(
    path: Path, given: Mapping[str, Any], note: Note, undo: bool, number: int | None, dry_run: bool
) -> Calibrated:
    if undo and number is not None:
        raise OptionError("undo and restore exclude each other: give one of them")
    if given or dry_run:
        name = next(iter(given), "dry_run")
        raise OptionError(
            f"{name} is for new thresholds, and undo or restore brings old ones back: leave it out"
        )
    now = restore_revision(read_bundle(path), note, number)
    tell(now.outdated)
    return Calibrated(now, DEFAULT, None, now.revision)


def _check_words(given: Mapping[str, Any]) -> None:
    """Words that mean nothing without another one."""
    for name, needed in (
        ("group", ("good",)),
        ("keep_held_out", ("good",)),
        ("pixel_regions", ("good",)),
        ("smallest_area", ("pixel_regions",)),
        ("kinds", ("defects",)),
        ("recall", ("defects",)),
        ("cost", ("defects",)),
        ("defect_share", ("cost",)),
    ):
        if name in given and not any(each in given for each in needed):
            raise OptionError(f"{name} takes {needed[0]} too: give it, or leave both out")


def _aim(recall: Any, cost: Any, defect_share: Any) -> Aim | None:
    from edgead.device.choosing import Cost, Recall

    if recall is not None and cost is not None:
        raise OptionError("rate, recall, cost and threshold exclude each other: give one of them")
    if recall is not None:
        return Recall(values.number("recall", recall))
    if cost is None:
        return None
    miss, alarm = _two(cost)
    share = DEFECT_SHARE if defect_share is None else values.number("defect_share", defect_share)
    return Cost(miss, alarm, share)


def _two(cost: Any) -> tuple[float, float]:
    parts = re.split(r"\s*:\s*", cost.strip()) if isinstance(cost, str) else cost
    try:
        miss, alarm = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise OptionError(
            f"cost {cost!r} must be that of a missed defect and that of a false alarm, 100:1 for instance"
        ) from None
    return miss, alarm


def _is_none(value: Any) -> bool:
    """Whether an iterable of words or paths is empty; paths and texts are one."""
    return isinstance(value, list | tuple | set | frozenset) and not value


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a revision keeps of the call's words: not the paths, which ``source`` tells of."""
    kept = {name: value for name, value in given.items() if name not in ("good", "defects", "plot")}
    return {
        name: value if isinstance(value, str | bool) else list(value) if _is_many(value) else float(value)
        for name, value in kept.items()
    }


def _is_many(value: Any) -> bool:
    return isinstance(value, Iterable)


__all__ = ["DEFECT_SHARE", "calibrate"]
