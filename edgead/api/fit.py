"""``edgead.fit``: good images in, a reference bundle out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from edgead.api import values
from edgead.api.arguments import AnyPath, Options, as_size, option_words, optional, paths
from edgead.api.notes import tell
from edgead.api.records import Fit
from edgead.bundle import MANIFEST
from edgead.bundle_names import fitted_name
from edgead.errors import OptionError, UnknownNameError
from edgead.extras import explained
from edgead.files import is_file, is_folder
from edgead.image_score import parse as parse_image_score
from edgead.names import shown
from edgead.progress import silent

if TYPE_CHECKING:
    from edgead.image_score import ImageScore
    from edgead.types import Progress
    from edgead.workbench.recipe import Recipe


Arithmetic = Literal["auto", "off", "bf16", "fp16"]
"""See ``edgead.types.Compute``."""


@explained("fitting")
def fit(
    method: str,
    images: AnyPath | Iterable[AnyPath],
    out: AnyPath | None = None,
    *,
    backbone: str | None = None,
    weights: AnyPath | None = None,
    size: int | Sequence[int] | None = None,
    preset: str | None = None,
    options: Options = (),
    defects: AnyPath | Iterable[AnyPath] = (),
    seed: int = 0,
    holdout: float = 0.2,
    false_positive_rate: float = 0.01,
    final_fit: bool | None = None,
    depth: int | None = None,
    group: str | None = None,
    image_score: str | float = "auto",
    folds: int = 10,
    windows: bool = False,
    scale: float = 1.0,
    roi: AnyPath | None = None,
    smallest_defect: float | str | None = None,
    mm_per_pixel: float | None = None,
    device: str = "auto",
    amp: str = "auto",
    micro_batch: int | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Fit:
    """Fit a method on good images and write the reference bundle; as ``edgead fit``.

    Example:
        >>> fitted = edgead.fit("patchcore", "photos/good", options={"coreset_ratio": 0.05})  # doctest: +SKIP

    Args:
        method: a registered method; ``edgead methods`` lists them.
        images: a folder of good images, a data set of which the training images are meant, or several of
            these or files.
        out: the bundle; ``./METHOD.edgead`` by default. An older bundle there is replaced at the very end.
        backbone: another than the method's own; ``edgead backbones`` lists them.
        weights: the backbone's weights file.
        size: (height, width) of the model's input in pixels, or one number for both; None to choose it from
            the images.
        preset: the method's settings for one purpose, ``"quick"`` or ``"paper"`` where it has them.
        options: the method's own, as a mapping or as ``key=value`` words; ``edgead methods NAME`` lists them.
        defects: folders of annotated defects, ``images`` and ``masks`` in each, for methods that learn from
            them.
        seed: the only source of randomness, at least 0.
        holdout: share of the images, 0 to 1, held out for the threshold and the gates.
        false_positive_rate: share of good images, 0 to 1, that may be flagged.
        final_fit: whether to fit once more with the held-out images in; None: as the method prefers.
        depth: significant bits of 16-bit images, 9 to 16.
        group: which images show one part and are held out together: a regular expression with one group for
            the file's name, or ``"parent"`` or ``"grandparent"``; None to look for near copies, ``"none"``
            where each image counts all the same.
        image_score: which number of the anomaly map judges an image: ``"paper"``, ``"maximum"``, ``"top"``
            for the mean of its highest 1 %, or another share, over 0 to 1; ``"auto"`` for the method's own,
            unless synthetic defects clearly speak for another.
        folds: fits that judge, in turn, good images that they haven't learned, for the threshold; 0: the
            held-out images alone, as for methods that train a network.
        windows: whether a frame that is larger than the input is judged in overlapping windows of ``size``
            (512 a side by default, less for smaller images) rather than squeezed; a frame's score is the
            maximum of its map.
        scale: frames are shrunk by this first, 1 or more, where they are judged in windows.
        roi: a region of interest, outside of which nothing is learned and nothing judged: a mask image of the
            images' shape, inside where it isn't 0, or a ``.json`` of polygons; docs/region.md says how.
        smallest_defect: the size of the smallest defect that must be found, in place of ``size``: pixels of
            the images, or ``"12px"`` or ``"0.3mm"``; the input is chosen large enough to show it.
        mm_per_pixel: millimetres that a pixel of the images shows, to give and tell sizes of defects in.
        device: where a network is trained, by methods that train one: ``"auto"`` (the first GPU, else the
            CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        amp: the arithmetic of that: ``"bf16"``, ``"fp16"``, ``"off"`` for FP32, or ``"auto"``: the GPU's
            own, on a CPU FP32.
        micro_batch: images that go through the network at a time, where a step's whole batch is too much for
            the memory; docs/training.md says with which methods nothing changes.
        workers: processes that make synthetic images ahead of the training; None: by the cores.
        progress: reports long work; ``edgead.progress.bar`` is a bar on a terminal.

    Returns:
        The bundle, and what to know of it. Its notices are logged at WARNING, too.

    Raises:
        edgead.errors.InputError: images, options or names can't be used.
        edgead.errors.MissingDependencyError: the extra ``fit``, or ``train``, isn't installed.
        edgead.errors.OutputError: the bundle can't be written.
        edgead.errors.PluginError, edgead.errors.TrainingError: see ``edgead.errors``.
    """
    from edgead.types import Compute
    from edgead.workbench.fit import Settings
    from edgead.workbench.fit import fit as fit_recipe

    values.path("out", out)
    values.path("weights", weights)
    values.path("roi", roi)
    values.called("progress", progress)
    pitch = values.maybe_number("mm_per_pixel", mm_per_pixel)
    settings = Settings(
        size=as_size(size),
        seed=values.whole("seed", seed, 0),
        holdout=values.number("holdout", holdout),
        false_positive_rate=values.number("false_positive_rate", false_positive_rate),
        final_fit=values.maybe_flag("final_fit", final_fit),
        depth=values.maybe_whole("depth", depth),
        group=values.maybe_text("group", group, "a regular expression, 'parent' or 'grandparent'"),
        folds=values.whole("folds", folds, 0),
        windows=bool(values.maybe_flag("windows", windows)),
        scale=values.number("scale", scale),
        roi=optional(roi),
        smallest_defect=_in_pixels(smallest_defect, pitch),
        mm_per_pixel=pitch,
        compute=Compute(
            device=values.text("device", device, "a device's name, 'cuda' for instance"),
            amp=_arithmetic(values.text("amp", amp, "auto, off, bf16 or fp16")),
            micro_batch=None if micro_batch is None else values.whole("micro_batch", micro_batch, 1),
            workers=None if workers is None else values.whole("workers", workers, 0),
        ),
    )
    recipe = _resolve(
        values.text("method", method, "a method's name, 'patchcore' for instance"),
        values.maybe_text("backbone", backbone, "a backbone's name"),
        optional(weights),
        option_words(options),
        values.maybe_text("preset", preset, "a preset's name"),
        None if image_score == "auto" else parse_image_score(str(image_score)),
    )
    given = paths("images", images)
    place = fitted_name(method) if out is None else Path(out)
    replaced = is_file(place / MANIFEST)
    learned = given[0] if len(given) == 1 else given
    done = fit_recipe(recipe, learned, settings, place, progress, paths("defects", defects))
    made = Fit(done.bundle, done.why, replaced)
    tell(made.notices)
    return made


def _arithmetic(asked: str) -> Arithmetic:
    for known in get_args(Arithmetic):
        if asked == known:
            found: Arithmetic = known
            return found
    raise OptionError(f"amp {shown(asked)}: there's {', '.join(get_args(Arithmetic))}")


def _in_pixels(asked: float | str | None, mm_per_pixel: float | None) -> float | None:
    from edgead.workbench.size_choice import in_pixels

    if asked is None:
        return None
    number = asked if isinstance(asked, str) else values.number("smallest_defect", asked)
    return in_pixels(number, mm_per_pixel)


def _resolve(
    method: str,
    backbone: str | None,
    weights: Path | None,
    options: list[str],
    preset: str | None,
    image_score: ImageScore | None,
) -> Recipe:
    from edgead.workbench.recipe import resolve

    try:
        return resolve(method, backbone, weights, options, preset, image_score)
    except UnknownNameError as error:
        if error.kind == "method" and is_folder(Path(method)):
            raise OptionError(
                f"{shown(method)} is a folder: METHOD comes first, then the folder of good images"
            ) from None
        raise


__all__ = ["fit"]
