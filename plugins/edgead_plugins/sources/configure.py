"""A GenICam camera set as its options say, by the names of the Standard Features Naming Convention.

What a camera silently makes another value of is refused: its pictures would be others than was meant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from edgead.errors import DeviceError, cut
from edgead_plugins.pixels import PixelFormat, by_name
from edgead_plugins.sources.camera_options import CameraOptions

SOFTWARE_RATE = 10.0
"""Triggers a second where nothing else is said."""
_OFF = 0.1
"""Share that an exposure, gain or rate may be off, as cameras round them."""
_EXPOSURE = ("ExposureTime", "ExposureTimeAbs")
_GAIN = ("Gain", "GainRaw")
_RATE = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs")


class Features(Protocol):
    """A camera's features, by name. A driver has it; all methods raise DeviceError where it's gone."""

    def has(self, name: str) -> bool:
        """Whether it can be used now."""
        ...

    def get(self, name: str) -> str:
        """Its value, as text."""
        ...

    def set(self, name: str, value: str) -> None:
        """Give it a value, as text; DeviceError says why it's refused."""
        ...

    def choices(self, name: str) -> Sequence[str]:
        """The values that an enumeration can have now."""
        ...

    def run(self, name: str) -> None:
        """Execute a command."""
        ...


def configure(features: Features, options: CameraOptions, who: str) -> PixelFormat:
    """Set a camera, and return the format of its pixels.

    Raises:
        DeviceError: it hasn't a feature that is to be set, refuses its value or makes another one of it, or
            its pixel format isn't read.
    """
    for text in options.features:
        name, _, value = text.partition("=")
        _set(features, [name.strip()], value.strip(), who)
    pixel_format = _pixel_format(features, options.pixel_format, who)
    _region(features, options, who)
    if options.exposure_us is not None:
        _see_to(features, "ExposureAuto", "Off")
        _set(features, _EXPOSURE, float(options.exposure_us), who)
    if options.gain is not None:
        _see_to(features, "GainAuto", "Off")
        _set(features, _GAIN, float(options.gain), who)
    if options.trigger is not None:
        _trigger(features, options, who)
    if options.rate is not None and options.trigger != "software":
        _see_to(features, "AcquisitionFrameRateEnable", "true")
        _set(features, _RATE, float(options.rate), who)
    _see_to(features, "AcquisitionMode", "Continuous")
    if options.encoder:
        _see_to(features, "ChunkModeActive", "true")
    return pixel_format


def _pixel_format(features: Features, wanted: str, who: str) -> PixelFormat:
    """Set the format and return it, or the one that is set already."""
    offered = features.choices("PixelFormat")
    read = ", ".join(name for name in offered if by_name(name)) or "none"
    if wanted:
        names = [name for name in offered if by_name(name) == by_name(wanted)]
        if not names:
            raise DeviceError(f"{who}: it doesn't offer the pixel format {wanted}; choose one of {read}")
        features.set("PixelFormat", names[0])
    name = features.get("PixelFormat")
    pixel_format = by_name(name)
    if pixel_format is None:
        raise DeviceError(
            f"{who}: its pixel format is {name}, which isn't read: give pixel_format, one of {read}"
        )
    return pixel_format


def _region(features: Features, options: CameraOptions, who: str) -> None:
    """Sizes before offsets, which are at 0 meanwhile: else neither might go in."""
    if options.width is not None or options.height is not None:
        for name, side in (("OffsetX", options.width), ("OffsetY", options.height)):
            if side is not None:
                _see_to(features, name, "0")
    sides = (("Width", options.width), ("Height", options.height))
    for name, value in (*sides, ("OffsetX", options.offset_x), ("OffsetY", options.offset_y)):
        if value is not None:
            _set(features, [name], value, who)


def _see_to(features: Features, name: str, value: str) -> None:
    """Give a feature a value where the camera has it and it's another: it may be there to be read alone."""
    if features.has(name) and not _alike(features.get(name), value):
        features.set(name, value)


def _trigger(features: Features, options: CameraOptions, who: str) -> None:
    """One trigger for each image, and no other one."""
    if not features.has("TriggerMode"):
        if options.trigger == "free":
            return
        raise DeviceError(f"{who}: it can't be triggered, it has no TriggerMode: leave trigger out")
    if features.has("TriggerSelector"):
        for each in features.choices("TriggerSelector"):
            _see_to(features, "TriggerSelector", each)
            _see_to(features, "TriggerMode", "Off")
        if "FrameStart" in features.choices("TriggerSelector"):
            _see_to(features, "TriggerSelector", "FrameStart")
    if options.trigger == "free":
        _set(features, ["TriggerMode"], "Off", who)
        return
    source = "Software" if options.trigger == "software" else options.trigger_source
    if source not in (sources := features.choices("TriggerSource")):
        offered = ", ".join(sources) or "none"
        raise DeviceError(f"{who}: it can't be triggered by {cut(source, 60)}: it offers {offered}")
    _set(features, ["TriggerSource"], source, who)
    if options.trigger == "hardware" and features.has("TriggerActivation"):
        _set(features, ["TriggerActivation"], options.trigger_activation, who)
    _set(features, ["TriggerMode"], "On", who)


def _set(features: Features, names: Sequence[str], value: str | float, who: str) -> None:
    """Set the first of these features that is there, and see that it has the value then."""
    name = next((name for name in names if features.has(name)), None)
    if name is None:
        raise DeviceError(f"{who}: it has no {' or '.join(names)} that can be set now: leave it as it is")
    if isinstance(value, float) and name.endswith("Raw"):
        value = round(value)
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    features.set(name, text)
    if "Software" in name:
        return
    became = features.get(name)
    if not _alike(became, value):
        raise DeviceError(
            f"{who}: it made {cut(became, 60)} of {cut(name, 60)} {cut(text, 60)}: give a value that it takes"
        )


def _alike(became: str, value: str | float) -> bool:
    """Whether a camera has taken a value: texts as they are, whole numbers exactly, others nearly."""
    truths = {"true": 1.0, "1": 1.0, "on": 1.0, "yes": 1.0, "false": 0.0, "0": 0.0, "off": 0.0, "no": 0.0}
    if became.strip().lower() == str(value).strip().lower():
        return True
    try:
        found = truths[became.lower()] if became.lower() in truths else float(became)
        wanted = truths[str(value).lower()] if str(value).lower() in truths else float(value)
    except ValueError:
        try:
            return int(str(value), 0) == int(became, 0)
        except ValueError:
            return False
    if isinstance(value, int):
        return found == wanted
    return math.isclose(found, wanted, rel_tol=_OFF, abs_tol=1e-6)


__all__ = ["SOFTWARE_RATE", "Features", "configure"]
