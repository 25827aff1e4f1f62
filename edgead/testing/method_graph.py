"""Checks of a fitted method's FP32 graph: its outputs on each engine, on frames good and bad."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import EdgeadError, MissingDependencyError
from edgead.plugins import registry
from edgead.testing.check import CheckFailed, Skipped, require
from edgead.testing.material import defective_image, good_image, hostile_frames
from edgead.testing.running import (
    ENGINES,
    RANDOM,
    apart,
    installed_engines,
    opened,
    operators,
    require_agreement,
)
from edgead.testing.workshop import Workshop
from edgead.types import InBulk, InNumpy, Scores


def declared_outputs(workshop: Workshop) -> None:
    """each engine yields a float32 map of the image's size and one float32 score"""
    graph = workshop.graph()
    image = good_image(500, workshop.size)
    for engine in installed_engines():
        with opened(graph, engine) as session:
            outputs = session(image[None])
        for name, shape in (("anomaly_map", (1, 1, *image.shape[:2])), ("score", (1,))):
            found = outputs[name]
            require(
                found.shape == shape and found.dtype == np.float32,
                f"{ENGINES[engine]} yields '{name}' as {found.dtype} {found.shape}, not float32 {shape}",
            )


def finite_on_hostile_frames(workshop: Workshop) -> None:
    """dark, bright, tiny, strip-shaped and single-channel frames get finite scores and maps, none negative"""
    from edgead.images import as_bgr
    from edgead.resize import ResizeRule

    graph, rule = workshop.graph(), ResizeRule(workshop.size)
    for engine in installed_engines():
        with opened(graph, engine) as session:
            for what, frame in hostile_frames().items():
                outputs = session(rule.apply(as_bgr(frame))[None])
                score, anomaly_map = float(outputs["score"][0]), outputs["anomaly_map"]
                wrong = int((~np.isfinite(anomaly_map)).sum())
                require(
                    np.isfinite(score) and not wrong,
                    f"a frame that is {what} gets score {score} and {wrong} of {anomaly_map.size} map values "
                    f"that aren't finite ({ENGINES[engine]}): look for a division by zero, a root or a "
                    "logarithm of something negative",
                )
                require(
                    anomaly_map.min() >= -1e-3 * abs(anomaly_map).max(),
                    f"a frame that is {what} gets map values down to {anomaly_map.min():.3g}: an anomaly is "
                    "at least 0",
                )


def keeps_nothing_between_frames(workshop: Workshop) -> None:
    """a frame gets the same prediction whatever was judged before it"""
    graph = workshop.graph()
    size = workshop.size
    frame, other = good_image(500, size), defective_image(500, size)
    for engine in installed_engines():
        with opened(graph, engine) as session:
            first = session(frame[None])
            session(other[None])
            second = session(frame[None])
        for name in first:
            if apart(first[name], second[name]) <= 1e-6:
                continue
            random = [kind for kind in operators(graph) if kind in RANDOM]
            cause = (
                f"the graph draws random numbers ({', '.join(random)})" if random else "the graph has a state"
            )
            raise CheckFailed(
                f"the same frame's '{name}' was {_told(first[name])}, then {_told(second[name])} after "
                f"another frame ({ENGINES[engine]}): {cause}; a detector keeps nothing between frames"
            )


def larger_is_more_anomalous(workshop: Workshop) -> None:
    """parts with a defect that nobody overlooks score higher than good ones"""
    from edgead.metrics.scores import auroc

    graph, size = workshop.graph(), workshop.size
    if workshop.wishes.folder is not None:
        raise Skipped("the images are yours, and the kit's defects are drawn on its own")
    with opened(graph, installed_engines()[0]) as session:
        good, bad = (
            np.array([float(session(draw(i, size)[None])["score"][0]) for i in range(900, 912)])
            for draw in (good_image, defective_image)
        )
    value = auroc(good, bad)
    require(
        value is not None and value >= 0.75,
        f"good parts score {np.median(good):.4g}, parts with an obvious defect {np.median(bad):.4g} (AUROC "
        f"{value}): larger must mean more anomalous",
    )


def numpy_agrees(workshop: Workshop) -> None:
    """the graph yields the scores that the scorer's own ``in_numpy`` and ``in_bulk`` calculate"""
    from edgead.testing.parts import run_part

    workshop.graph()
    fitted = workshop.fit()
    scorer = fitted.scorer
    if not isinstance(scorer, InNumpy | InBulk):
        raise Skipped("its fitted scorer has neither in_numpy(maps) nor in_bulk(images), which are optional")
    patch, image = scorer.in_bulk(fitted.maps) if isinstance(scorer, InBulk) else (None, None)
    for i, maps in enumerate(fitted.maps):
        found = run_part(
            lambda **given: _named(fitted.scorer.graph(given, "fp32")),
            {name: array[None] for name, array in maps.items()},
        )
        if isinstance(scorer, InNumpy):
            _require_agreeing("in_numpy", "patch", scorer.in_numpy(maps), found["patch"][0, 0])
        if patch is None:
            continue
        require(("image" in found) == (image is not None), "in_bulk() and graph(): one has no image score")
        _require_agreeing("in_bulk", "patch", patch[i], found["patch"][0, 0])
        if image is not None:
            _require_agreeing("in_bulk", "image", image[i : i + 1], found["image"])


def _require_agreeing(method: str, what: str, own: NDArray[Any], found: NDArray[Any]) -> None:
    off = apart(found, np.asarray(own))
    require(
        off <= 1e-3,
        f"{method}() and graph() are {off:.2%} of the largest {what} score apart: one of them is wrong",
    )


def engines_agree(workshop: Workshop) -> None:
    """ONNX Runtime and OpenVINO yield the same maps and scores in FP32"""
    size = workshop.size
    require_agreement(workshop.graph(), [good_image(500, size), defective_image(1, size)])


def compiles_for_every_target(workshop: Workshop) -> None:
    """every target whose engine is installed compiles its FP32 form, with the reference's numbers"""
    from edgead.runtime.engines import open_session
    from edgead.runtime.proof import TOLERANCE

    graph, image = workshop.graph(), defective_image(1, workshop.size)[None]
    with opened(graph, "onnxruntime") as session:
        reference = session(image)
    for target in registry().names("exporters"):
        try:
            folder = workshop.folder / target
            folder.mkdir()
            artifact = registry().get("exporters", target)().compile(graph, "fp32", folder)
            outputs = open_session(folder / artifact.model, artifact.engine)(image)
        except MissingDependencyError:
            continue
        except EdgeadError as error:
            raise CheckFailed(
                f"target {target}: {error}; operators: {', '.join(operators(graph))}"
            ) from error
        for name in reference:
            off = apart(outputs[name], reference[name])
            require(off <= TOLERANCE["fp32"], f"target {target}: '{name}' is {off:.2%} off the reference")


def _named(scores: Scores) -> dict[str, Any]:
    return {"patch": scores.patch} if scores.image is None else {"patch": scores.patch, "image": scores.image}


def _told(array: NDArray[Any]) -> str:
    return f"{float(array.max()):.6g}"


__all__ = [
    "compiles_for_every_target",
    "declared_outputs",
    "engines_agree",
    "finite_on_hostile_frames",
    "keeps_nothing_between_frames",
    "larger_is_more_anomalous",
    "numpy_agrees",
]
