"""Checks of a post-processor, on patch scores that are made up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.extras import install
from edgead.plugins import registry
from edgead.registry import Entry
from edgead.testing.check import Skipped, require
from edgead.testing.parts import run_part
from edgead.testing.protocols import require_members
from edgead.testing.running import AGREEMENT, ENGINES, apart, installed_engines
from edgead.types import PostProcessor, Scores, Size

CASES: tuple[tuple[Size, Size], ...] = (((8, 8), (64, 64)), ((4, 20), (32, 160)), ((1, 1), (32, 32)))
"""(h, w) of the patch scores, (H, W) of the image."""


def has_every_member(entry: Entry) -> None:
    """it has every member of a post-processor"""
    require_members(registry().get("postprocessors", entry.name)(), PostProcessor)


def declared_outputs(entry: Entry) -> None:
    """it yields a float32 map of the image's size and one float32 score, for squares, strips and one patch"""
    for shape, size in CASES:
        for engine in installed_engines():
            outputs = _run(entry, _noise(shape), size, engine)
            for name, expected in (("anomaly_map", (1, 1, *size)), ("score", (1,))):
                found = outputs[name]
                require(
                    found.shape == expected and found.dtype == np.float32,
                    f"'{name}' is {found.dtype} {found.shape} for {shape} patches, not float32 {expected}",
                )


def finite_for_any_score(entry: Entry) -> None:
    """patch scores that are all 0, all the same or very large yield finite numbers"""
    shape, size = CASES[0]
    for what, value in (("0", 0.0), ("1", 1.0), ("1e6", 1e6)):
        for engine in installed_engines():
            outputs = _run(entry, np.full(shape, value, np.float32), size, engine)
            for name, found in outputs.items():
                require(
                    np.isfinite(found).all(),
                    f"'{name}' isn't finite where all patch scores are {what} ({ENGINES[engine]})",
                )


def a_peak_stays_in_its_place(entry: Entry) -> None:
    """one anomalous patch makes the map's maximum where that patch lies in the image"""
    shape, size = CASES[1]
    for row, column in ((1, 3), (2, 16)):
        patch = np.zeros(shape, np.float32)
        patch[row, column] = 1
        found = _run(entry, patch, size, installed_engines()[0])["anomaly_map"][0, 0]
        y, x = np.unravel_index(int(found.argmax()), found.shape)
        at = (int(y * shape[0] // size[0]), int(x * shape[1] // size[1]))
        require(
            at == (row, column),
            f"patch ({row}, {column}) of {shape} is anomalous, and the map's maximum lies over patch {at}",
        )


def more_is_more(entry: Entry) -> None:
    """twice the patch scores yield no lower score"""
    shape, size = CASES[0]
    once, twice = (
        float(_run(entry, _noise(shape) * f, size, installed_engines()[0])["score"][0])
        for f in (np.float32(1), np.float32(2))
    )
    require(twice >= once, f"patch scores twice as high lower the score from {once:.4g} to {twice:.4g}")


def engines_agree(entry: Entry) -> None:
    """ONNX Runtime and OpenVINO yield the same"""
    engines = installed_engines()
    if len(engines) < 2:
        raise Skipped(f"one engine is installed; for both: {install('all')}")
    for shape, size in CASES:
        one, other = (_run(entry, _noise(shape), size, engine) for engine in engines)
        for name in one:
            off = apart(one[name], other[name])
            require(off <= AGREEMENT, f"the engines are {off:.2%} of the largest value apart in '{name}'")


def _run(entry: Entry, patch: NDArray[np.float32], size: Size, engine: str) -> dict[str, NDArray[Any]]:
    postprocessor = registry().get("postprocessors", entry.name)()
    shape: Size = (patch.shape[0], patch.shape[1])

    def part(patch: Any) -> dict[str, Any]:
        anomaly_map, score = postprocessor.graph(Scores(patch), shape, size)
        return {"anomaly_map": anomaly_map, "score": score}

    return run_part(part, {"patch": patch[None, None]}, engine)


def _noise(shape: Size) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, np.float32)


CHECKS = (
    has_every_member,
    declared_outputs,
    finite_for_any_score,
    a_peak_stays_in_its_place,
    more_is_more,
    engines_agree,
)
