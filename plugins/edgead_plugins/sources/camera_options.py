"""What can be said of any GenICam camera, and which of those that are there is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from edgead.errors import DeviceError, OptionError, cut
from edgead.options import Range, check_options
from edgead.types import SeenCamera
from edgead_plugins.pixels import FORMATS, by_name

Side = Annotated[int, Range(1, 1 << 20)]
Offset = Annotated[int, Range(0, 1 << 20)]
_NAMED = 8


@dataclass(frozen=True)
class CameraOptions:
    """Which camera, and how it's set before it's opened. What isn't given stays as the camera has it."""

    camera: str = ""
    """Its serial number, id, name of its own or address; the only one that there is, if empty."""
    pixel_format: str = ""
    """Mono8, Mono12p, BayerRG8 and the like; one that the camera offers and that is read."""
    width: Side | None = None
    """Pixels of a row."""
    height: Side | None = None
    """Rows."""
    offset_x: Offset | None = None
    """Pixels of the sensor left of the image."""
    offset_y: Offset | None = None
    """Rows of the sensor above the image."""
    exposure_us: Annotated[float, Range(0, 100_000_000, open_low=True)] | None = None
    """Exposure time in microseconds; its automatic is switched off."""
    gain: Annotated[float, Range(-1_000_000, 1_000_000)] | None = None
    """Gain in the camera's own unit, mostly dB; its automatic is switched off."""
    trigger: Literal["hardware", "software", "free"] | None = None
    """hardware: by wire, see trigger_source. software: the source triggers it, rate times a second. free: it
    takes pictures by itself."""
    trigger_source: str = "Line1"
    """The camera's name of the trigger's input, with hardware."""
    trigger_activation: Literal["RisingEdge", "FallingEdge", "AnyEdge", "LevelHigh", "LevelLow"] = (
        "RisingEdge"
    )
    """What of the signal is the trigger, with hardware."""
    rate: Annotated[float, Range(0.001, 1_000_000)] | None = None
    """Images a second with free, triggers a second with software, 10 there if not given."""
    features: tuple[str, ...] = ()
    """Any other features of the camera, NAME=VALUE each; set in this order, before all others."""
    encoder: str = ""
    """The feature of an image's chunk data that holds the encoder's count."""
    depth: Annotated[int, Range(9, 16)] | None = None
    """Bits that the camera fills of a format of 16, as Mono16 is; other formats say it themselves."""
    buffers: Annotated[int, Range(2, 4096)] = 16
    """Images that may wait until they're read; what is more is lost, and shows as a gap in the count."""

    def __post_init__(self) -> None:
        check_options(self)
        if self.pixel_format and by_name(self.pixel_format) is None:
            raise OptionError(
                f"option 'pixel_format' takes a format that is read, not '{cut(self.pixel_format, 60)}': "
                f"{', '.join(each.name for each in FORMATS)}"
            )
        for text in self.features:
            if "=" not in text:
                raise OptionError(f"option 'features' takes NAME=VALUE each, not '{cut(text, 60)}'")


def chosen(wanted: str, seen: Sequence[SeenCamera], source: str) -> SeenCamera:
    """The one camera that is meant.

    Raises:
        DeviceError: none is, or several; names those that are there.
    """
    fitting = [each for each in seen if not wanted or wanted in (each.name, *each.about.values())]
    if len(fitting) == 1:
        return fitting[0]
    names = [f"{each.options.get('camera', '')} ({each.name})" for each in (fitting or seen)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    listed = ", ".join(names[:_NAMED]) + more
    if not seen:
        raise DeviceError(f"{source}: no camera is there; see its cable and power, and `edgead line cameras`")
    if not fitting:
        raise DeviceError(f"{source}: no camera '{cut(wanted, 60)}' is there: choose one of {listed}")
    which = (
        f"'{cut(wanted, 60)}' are {len(fitting)} cameras" if wanted else f"{len(fitting)} cameras are there"
    )
    raise DeviceError(f"{source}: {which}: say which as camera: {listed}")


__all__ = ["CameraOptions", "chosen"]
