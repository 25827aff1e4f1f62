"""Checks of a line's source: what it keeps whatever is there, and what its images are like, if any come."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from edgead.errors import DeviceError
from edgead.testing.check import Skipped, require
from edgead.testing.made import OPTIONS, Made, closes_at_any_time, raised_by, require_one_line
from edgead.testing.protocols import require_members
from edgead.types import Discovers, Grab, SeenCamera, Source

IMAGES = 4
"""How many are looked at."""
SECONDS = 5.0
"""How long they're waited for."""


def has_every_member(made: Made) -> None:
    """it has every member of a source"""
    require_members(made.factory, Source)


def opens_or_says_why_not(made: Made) -> None:
    """``open`` opens it, or raises a ``DeviceError`` of one line; ``read`` raises one where it isn't open"""
    source = made.one()
    require_one_line(raised_by(lambda: source.read(0.01)), DeviceError, "reading before open")
    error = raised_by(source.open)
    if error is not None:
        require_one_line(error, DeviceError, "open, where there's nothing,")
    source.close()
    require_one_line(raised_by(lambda: source.read(0.01)), DeviceError, "reading after close")


def waits_no_longer_than_told(made: Made) -> None:
    """``read`` comes back within its timeout, with a ``Grab`` or None"""
    source = made.opened()
    try:
        for timeout in (0.0, 0.05):
            found: list[Any] = []
            error = raised_by(lambda timeout=timeout, found=found: found.append(source.read(timeout)))  # type: ignore[misc]
            require(error is None, f"read({timeout}) raises {error!r}: return None where nothing came")
            kind = type(found[0]).__name__
            require(found[0] is None or isinstance(found[0], Grab), f"read returns {kind}: a Grab, or None")
    finally:
        source.close()


def gives_frames(made: Made) -> None:
    """a ``Grab`` holds an image of a frame's shape and type, or a line on why not; its numbers are ints"""
    for grab in _grabs(made):
        if grab.image is None:
            require(isinstance(grab.problem, str) and grab.problem, "a Grab without an image says no problem")
            require("\n" not in str(grab.problem), f"the problem has several lines: {grab.problem!r}")
        else:
            require(isinstance(grab.image, np.ndarray), f"the image is a {type(grab.image).__name__}")
            shape, dtype = grab.image.shape, grab.image.dtype.name
            colour = len(shape) == 3 and shape[2] == 3 and dtype == "uint8"
            mono = len(shape) == 2 and dtype in ("uint8", "uint16")
            require(
                (colour or mono) and grab.image.size,
                f"the image is {dtype} {shape}: give (H, W, 3) uint8 BGR, (H, W) uint8 or (H, W) uint16",
            )
        for name, number in (
            ("frame_id", grab.frame_id),
            ("camera_ns", grab.camera_ns),
            ("encoder", grab.encoder),
        ):
            require(
                number is None or type(number) is int,
                f"{name} is {number!r}: give an int, or None for unknown",
            )
        kind = None if grab.image is None else grab.image.dtype.name
        deep = type(grab.depth) is int and 9 <= grab.depth <= 16 and kind == "uint16"
        require(grab.depth is None or deep, f"depth is {grab.depth!r}, the image {kind}: 9 to 16 of a uint16")


def counts_its_triggers(made: Made) -> None:
    """frame ids count up, one for each trigger; where it counts, it counts every one"""
    grabs = _grabs(made)
    numbers = [grab.frame_id for grab in grabs if grab.frame_id is not None]
    if not numbers:
        raise Skipped("it doesn't count its triggers, so that a lost image is seen by nobody")
    require(len(numbers) == len(grabs), f"it counts some triggers and not others: {numbers}")
    ups = all(after > before for before, after in itertools.pairwise(numbers))
    require(ups, f"its frame ids don't count up: {numbers}")


def opens_again(made: Made) -> None:
    """after ``close`` it can be opened again, and gives images again"""
    source = made.opened()
    try:
        first = _wait(source, 1)
        source.close()
        error = raised_by(source.open)
        require(error is None, f"it can't be opened again: {error!r}")
        require(not first or _wait(source, 1), "opened again, it gives no image")
    finally:
        source.close()


def names_its_cameras(made: Made) -> None:
    """where it looks for cameras, each is a ``SeenCamera`` of one line, whose options are the source's"""
    source = made.one()
    if not isinstance(source, Discovers):
        return
    found: list[Any] = []
    error = raised_by(lambda: found.extend(source.cameras()))
    if error is not None:
        require_one_line(error, DeviceError, "cameras, where it can't look,")
    for camera in found:
        require(isinstance(camera, SeenCamera), f"cameras gives a {type(camera).__name__}: give a SeenCamera")
        require(camera.name and "\n" not in camera.name, f"a camera's name is {camera.name!r}: give one line")
        error = raised_by(lambda camera=camera: made.options(**camera.options))  # type: ignore[misc]
        require(error is None, f"a camera's options aren't the source's: {error}")


def _grabs(made: Made) -> list[Grab]:
    source = made.opened()
    try:
        found = _wait(source, IMAGES)
    finally:
        source.close()
    if not found:
        raise Skipped(
            f"it gave no image in {SECONDS:g} s: trigger it meanwhile, or give options: -o KEY=VALUE"
        )
    return found


def _wait(source: Source, count: int) -> list[Grab]:
    found: list[Grab] = []
    until = time.monotonic() + SECONDS
    while len(found) < count and time.monotonic() < until:
        if (grab := source.read(0.05)) is not None:
            found.append(grab)
    return found


CHECKS = (
    has_every_member,
    *OPTIONS,
    opens_or_says_why_not,
    closes_at_any_time,
    waits_no_longer_than_told,
    gives_frames,
    counts_its_triggers,
    opens_again,
    names_its_cameras,
)
