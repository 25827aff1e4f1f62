"""Proof that this machine gives the numbers that a bundle was gated with.

Processors and engines round, saturate and fuse differently, so what was proven where the bundle was exported
isn't proven here. A bundle carries a few images and what its graph makes of them in exact arithmetic. The
first detector on a processor, engine version or device runs them, well under a second, and refuses where a
verdict would differ; what passed is remembered beside the compiled graphs.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.cache import Entry, remembered
from edgead.carried import carried_image
from edgead.errors import ParityError
from edgead.manifest import ProbeRecord, ThresholdRecord
from edgead.notices import count
from edgead.processor import cpu
from edgead.runtime.session import Outputs, Session
from edgead.types import Image, Precision

TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.04, "mixed": 0.04, "bf16": 0.04}
"""Largest relative difference of a score allowed."""
MAP_TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.06, "mixed": 0.06, "bf16": 0.06}
"""Largest relative difference of a map's pixel allowed."""

CHANGES: Mapping[str, Callable[[Image], Image]] = {
    "none": lambda image: image,
    "inverted": lambda image: np.ascontiguousarray(255 - image),
    "dark": lambda image: np.ascontiguousarray(image // 8),
    "turned": lambda image: np.ascontiguousarray(image[::-1, ::-1]),
}
"""What makes more probes of one image, in whole numbers, so the same everywhere."""
PARTS = 4
"""A map is compared by its maximum in each of so many rows and columns of equal parts."""
ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ORT_DISABLE_AMX")
"""Environment variables that change which kernels an engine chooses."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parity:
    """How far a session is from exact arithmetic, over all probes.

    Attributes:
        score: largest relative difference of the image score: of the exact one, or of the threshold where
            that is larger, since of an image that the bank knows by heart nothing is left but rounding.
        map: largest relative difference of a map's pixel, likewise.
        flips: probes whose verdict changes and isn't within the tolerance of the threshold anyway.
        probes: number of probe images.
        tolerance, map_tolerance: what ``score`` and ``map`` may not exceed.
    """

    score: float
    map: float
    flips: int
    probes: int
    tolerance: float
    map_tolerance: float

    @property
    def passed(self) -> bool:
        """Both differences within their tolerances, and no verdict flipped."""
        return self.score <= self.tolerance and self.map <= self.map_tolerance and not self.flips

    def __str__(self) -> str:
        return (
            f"score {self.score:.2%}, map {self.map:.2%} off exact arithmetic on "
            f"{count(self.probes, 'image')}, {self.tolerance:.2%} and {self.map_tolerance:.2%} allowed, "
            f"{count(self.flips, 'verdict')} flipped"
        )


def compare(
    pairs: Iterable[tuple[float, NDArray[Any], float, NDArray[Any]]],
    threshold: float,
    pixel_threshold: float,
    form: Precision,
) -> Parity:
    """Compare scores and maps.

    Args:
        pairs: score and map of a session, and the exact ones, for each image; maps of any shape.
        threshold, pixel_threshold: the form's own.
    """
    tolerance = TOLERANCE[form]
    score = largest = 0.0
    flips = count = 0
    for a, map_a, b, map_b in pairs:
        score = max(score, _relative(abs(a - b), max(abs(b), threshold)))
        scale = max(float(np.abs(map_b).max()), pixel_threshold)
        largest = max(largest, _relative(float(np.abs(map_a - map_b).max()), scale))
        near = abs(b - threshold) <= tolerance * abs(threshold)
        flips += (a > threshold) != (b > threshold) and not near
        count += 1
    return Parity(score, largest, flips, count, tolerance, MAP_TOLERANCE[form])


def _relative(difference: float, scale: float) -> float:
    """NaN anywhere counts as infinitely far apart."""
    if not (np.isfinite(difference) and np.isfinite(scale)):
        return float("inf")
    return difference / max(scale, 1e-6)


def record(
    file: str, change: str, image: Image, exact: Callable[[NDArray[np.uint8]], Outputs]
) -> ProbeRecord:
    """What exact arithmetic makes of a changed image, (H, W, 3) uint8 before the change."""
    outputs = exact(CHANGES[change](image)[None])
    peaks = tuple(float(peak) for peak in peaks_of(outputs["anomaly_map"]))
    return ProbeRecord(file, change, float(outputs["score"][0]), peaks)  # type: ignore[arg-type]


def replay(bundle: Bundle, session: Session, limits: ThresholdRecord | None = None) -> Parity:
    """Run the bundle's probes, of which there must be some, and compare with what it says of them.

    Args:
        limits: the thresholds that hold; the bundle's own where None.
    """
    manifest = bundle.manifest
    limits = limits or manifest.threshold
    return replay_probes(bundle, manifest.probes, session, limits, manifest.precision)


def replay_probes(
    bundle: Bundle,
    probes: Sequence[ProbeRecord],
    session: Session,
    limits: ThresholdRecord,
    form: Precision,
) -> Parity:
    """Run probes and compare with what they say.

    Args:
        bundle: has the probes' images.
        limits: the form's thresholds.
    """
    images: dict[str, Image] = {}

    def pairs() -> Iterable[tuple[float, NDArray[Any], float, NDArray[Any]]]:
        for probe in probes:
            if probe.file not in images:
                images[probe.file] = carried_image(bundle, probe.file)
            outputs = session(CHANGES[probe.change](images[probe.file])[None])
            exact = np.array(probe.peaks)
            yield float(outputs["score"][0]), peaks_of(outputs["anomaly_map"]), probe.score, exact

    return compare(pairs(), limits.score, limits.pixel, form)


def prove(
    bundle: Bundle, session: Session, runs_on: str, limits: ThresholdRecord, outputs: Sequence[str] = ()
) -> None:
    """Replay the bundle's probes, unless they passed here before; nothing where it carries none.

    Args:
        runs_on: engine and device.
        limits: the thresholds that hold.
        outputs: names of the tensors that the session gives beside the graph's own: it's compiled for them.

    Raises:
        ParityError: this machine gives other numbers, or another verdict.
    """
    if not bundle.manifest.probes:
        _log.info("%s carries no probes: what it does here isn't proven", bundle.path)
        return
    entry = _entry(bundle, session, runs_on, limits, outputs)
    if entry.read() is not None:
        _log.debug("%s was proven here before (%s)", bundle.path, entry)
        return
    found = replay(bundle, session, limits)
    if not found.passed:
        raise ParityError(f"{bundle.path}: {told(found, runs_on)}")
    _log.info("%s: proven on %s: %s", bundle.path, runs_on, found)
    entry.write(json.dumps({"runs_on": runs_on, **asdict(found)}, indent=2).encode())


def told(found: Parity, runs_on: str) -> str:
    """What a missed proof means and what to do, in one line."""
    return (
        f"{runs_on} gives other numbers here ({cpu().model}) than the bundle was exported with ({found}); "
        "export it again on this machine, name another --engine or --device, or export with --precision fp32"
    )


def peaks_of(anomaly_map: NDArray[Any]) -> NDArray[np.float64]:
    """(PARTS * PARTS,) maxima of a map (1, 1, H, W); a side smaller than PARTS repeats its last row."""
    plane = anomaly_map[0, 0].astype(np.float64)
    rows = [plane[part] for part in _cut(plane.shape[0])]
    return np.array([row[:, part].max() for row in rows for part in _cut(plane.shape[1])])


def _cut(length: int) -> list[slice]:
    starts = [min(i * length // PARTS, length - 1) for i in range(PARTS)]
    return [slice(a, max(b, a + 1)) for a, b in zip(starts, [*starts[1:], length], strict=True)]


def _entry(
    bundle: Bundle, session: Session, runs_on: str, limits: ThresholdRecord, outputs: Sequence[str]
) -> Entry:
    """Where the proof is remembered."""
    manifest = bundle.manifest
    return remembered(
        "proven",
        [
            *sorted(f"{file.path} {file.sha256}" for file in manifest.files),
            json.dumps([asdict(probe) for probe in manifest.probes]),
            *map(repr, (manifest.precision, manifest.engine_precision, limits.score, limits.pixel)),
            *(session.engine, session.version, cv2.__version__, runs_on, cpu().identity, *outputs),
            *(f"{name}={os.environ.get(name, '')}" for name in ISA_VARIABLES),
        ],
    )


__all__ = [
    "CHANGES",
    "MAP_TOLERANCE",
    "TOLERANCE",
    "Parity",
    "compare",
    "peaks_of",
    "prove",
    "record",
    "replay",
    "replay_probes",
    "told",
]
