"""GigE Vision and USB3 Vision cameras by the library aravis: no software of the camera's vendor is needed."""

from __future__ import annotations

import ctypes as c
import ipaddress
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np

from edgead.errors import DeviceError
from edgead.options import Range
from edgead.types import SeenCamera
from edgead_plugins.sources.aravis_library import LOST, Aravis, library
from edgead_plugins.sources.camera import CameraSource, Driver, Raw
from edgead_plugins.sources.camera_options import CameraOptions, chosen

_SUCCESS = 0
_NUMBERLESS = (1 << 64) - 1
_PROBLEMS = {
    2: "not all of the image's packets came in time",
    3: "packets of the image are missing",
    4: "a packet of the image has a wrong number",
    5: "the image doesn't go into the camera's stated size",
    8: "the camera sends what the library can't read",
}
"""By the status of a buffer, where its numbers are an image's."""

_KINDS = {
    **dict.fromkeys(("Integer", "IntReg", "MaskedIntReg", "IntSwissKnife", "IntConverter"), "integer"),
    **dict.fromkeys(("Float", "FloatReg", "SwissKnife", "Converter"), "float"),
    "Boolean": "boolean",
}
"""By the class of a feature's node, how it's read and written; all others as texts."""


@dataclass(frozen=True)
class AravisOptions(CameraOptions):
    """Which camera, how it's set, and what is waited for."""

    packet_ms: Annotated[float, Range(0.1, 10_000)] = 20.0
    """How long a packet is waited for before it's asked for again (GigE)."""
    frame_ms: Annotated[float, Range(1, 10_000)] = 100.0
    """How long an image with missing packets is waited for, and with it all that come after it (GigE)."""


class AravisCamera(CameraSource):
    """A camera by aravis."""

    Options: ClassVar[type] = AravisOptions

    def __init__(self, options: AravisOptions | None = None) -> None:
        self._own = options or AravisOptions()
        super().__init__(self._own, "aravis")

    def cameras(self) -> Sequence[SeenCamera]:
        """Those that answer on USB and on all networks that this machine is in."""
        arv = library()
        arv.call("update_device_list")
        return [_seen(arv, number) for number in range(arv.call("get_n_devices"))]

    def _connect(self) -> Driver:
        wanted = self.options.camera
        if _is_address(wanted):  # it need not be looked for, and one behind a router couldn't be found
            try:
                return AravisDriver(wanted, self._own)
            except DeviceError as error:
                there = ", ".join(each.about.get("address", each.name) for each in self.cameras()) or "none"
                raise DeviceError(f"{error}; cameras that answer: {there}") from None
        return AravisDriver(chosen(wanted, self.cameras(), "aravis").about["id"], self._own)


class AravisFeatures:
    """A camera's features."""

    def __init__(self, arv: Aravis, camera: int) -> None:
        self._arv, self._camera = arv, camera
        self._device = arv.call("camera_get_device", camera)

    def has(self, name: str) -> bool:
        with suppress(DeviceError):
            return bool(self._do(name, "camera_is_feature_available", name.encode()))
        return False

    def get(self, name: str) -> str:
        kind = self._kind(name)
        found = self._do(name, f"camera_get_{kind}", name.encode())
        if kind == "boolean":
            return "true" if found else "false"
        if isinstance(found, bytes):
            return found.decode("utf-8", "replace")
        return "" if found is None else f"{found:.10g}" if kind == "float" else str(found)

    def set(self, name: str, value: str) -> None:
        kind = self._kind(name)
        made: Any = value.encode()
        try:
            if kind == "integer":
                made = int(value, 0)
            elif kind == "float":
                made = float(value)
            elif kind == "boolean":
                made = {"true": 1, "1": 1, "false": 0, "0": 0}[value.lower()]
        except (ValueError, KeyError):
            raise DeviceError(f"aravis: the camera's {name} takes {kind}, not {value[:60]}") from None
        self._do(f"{name} = {value}", f"camera_set_{kind}", name.encode(), made)

    def choices(self, name: str) -> Sequence[str]:
        if not self.has(name):
            return []
        what = f"the camera refuses {name}"
        call = "camera_dup_available_enumerations_as_strings"
        return self._arv.texts(what, call, self._camera, name.encode())

    def run(self, name: str) -> None:
        self._do(name, "camera_execute_command", name.encode())

    def _kind(self, name: str) -> str:
        """Which of the library's calls a feature needs: integer, float, boolean or string."""
        kind = self._arv.kind(self._node(name)).removeprefix("ArvGc").removesuffix("Node")
        return _KINDS.get(kind, "string")

    def _node(self, name: str) -> int:
        node = self._arv.call("device_get_feature", self._device, name.encode())
        if not node:
            raise DeviceError(f"aravis: the camera has no feature {name[:60]}; see its manual")
        return int(node)

    def _do(self, what: str, call: str, *arguments: Any) -> Any:
        return self._arv.tried(f"the camera refuses {what}", call, self._camera, *arguments)


class AravisDriver:
    """An open camera.

    Args:
        name: an id or address.
    """

    def __init__(self, name: str, options: AravisOptions) -> None:
        self._arv, self._options = library(), options
        self._camera: int | None = None
        self._stream: int | None = None
        self._held: int | None = None
        self._parser: int | None = None
        self._chunk = ""
        self._started = False
        self._lost = threading.Event()
        self._handler = LOST(lambda *_: self._lost.set())
        what = f"camera {name} can't be opened; see its cable, and that nobody else uses it"
        self._camera = self._arv.tried(what, "camera_new", name.encode())
        if not self._camera:
            raise DeviceError(f"aravis: {what}")
        self._device = self._arv.call("camera_get_device", self._camera)
        self._connection = self._arv.on_lost(self._device, self._handler)
        self.features = AravisFeatures(self._arv, self._camera)

    def start(self, buffers: int, encoder: str) -> None:
        arv, what = self._arv, "the camera can't be started"
        size = arv.tried(what, "camera_get_payload", self._camera)
        self._stream = arv.tried(what, "camera_create_stream", self._camera, None, None)
        if not self._stream:
            raise DeviceError(f"aravis: {what}; see that nobody else uses it")
        if arv.kind(self._stream) == "ArvGvStream":
            arv.set_number(self._stream, "packet-timeout", round(1000 * self._options.packet_ms))
            arv.set_number(self._stream, "frame-retention", round(1000 * self._options.frame_ms))
        for _ in range(buffers):
            self._hand(arv.call("buffer_new_allocate", size))
        if encoder:
            self._chunk, self._parser = encoder, arv.call("camera_create_chunk_parser", self._camera)
        arv.tried(what, "camera_start_acquisition", self._camera)
        self._started = True

    def take(self, timeout: float) -> Raw | None:
        self._let_go()
        self.check()
        self._held = self._arv.call("stream_timeout_pop_buffer", self._stream, round(1e6 * timeout))
        return None if self._held is None else self._raw(self._held)

    def check(self) -> None:  # asking a camera that's gone would take seconds
        if self._lost.is_set():
            raise DeviceError(
                "aravis: the camera is gone, or somebody else has taken it; see its cable and power"
            )

    def close(self) -> None:
        arv = self._arv
        if self._camera is None:
            return
        self._let_go()
        if self._started and not self._lost.is_set():
            with suppress(DeviceError):
                arv.tried("", "camera_stop_acquisition", self._camera)
        arv.disconnect(self._device, self._connection)
        for each in (self._parser, self._stream, self._camera):
            if each is not None:
                arv.unref(each)
        self._parser = self._stream = self._camera = None

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._hand(held)

    def _hand(self, buffer: int) -> None:
        """Give the library a buffer, without the numbers of what it held: where an image's first packet is
        lost, the library leaves them as they are."""
        self._arv.call("buffer_set_frame_id", buffer, _NUMBERLESS)
        self._arv.call("buffer_set_timestamp", buffer, 0)
        self._arv.call("stream_push_buffer", self._stream, buffer)

    def _raw(self, buffer: int) -> Raw:
        arv = self._arv
        status = arv.call("buffer_get_status", buffer)
        if status != _SUCCESS and status not in _PROBLEMS:
            return Raw(problem=f"the library gave an image up (status {status})")
        number = int(arv.call("buffer_get_frame_id", buffer))
        raw = Raw(
            frame_id=None if number == _NUMBERLESS else number,
            camera_ns=int(arv.call("buffer_get_timestamp", buffer)) or None,
        )
        if status != _SUCCESS:
            return replace(raw, problem=f"{_PROBLEMS[status]}; see the camera's network")
        if self._parser is not None:
            call, name = "chunk_parser_get_integer_value", self._chunk.encode()
            try:
                raw = replace(raw, encoder=int(arv.tried(self._chunk, call, self._parser, buffer, name)))
            except DeviceError as error:
                return replace(raw, problem=f"its chunk data can't be read: {error}")
        size, across, below = c.c_size_t(), c.c_int(), c.c_int()
        at = arv.call("buffer_get_image_data", buffer, c.byref(size))
        arv.call("buffer_get_image_padding", buffer, c.byref(across), c.byref(below))
        data = np.ctypeslib.as_array((c.c_uint8 * size.value).from_address(at)) if at else b""
        return replace(
            raw,
            data=data,
            code=int(arv.call("buffer_get_image_pixel_format", buffer)),
            width=int(arv.call("buffer_get_image_width", buffer)),
            height=int(arv.call("buffer_get_image_height", buffer)),
            padding=across.value,
        )


def _seen(arv: Aravis, number: int) -> SeenCamera:
    calls = {"serial": "serial_nbr"} | {
        each: each for each in ("id", "vendor", "model", "address", "protocol")
    }
    found = {name: arv.call(f"get_device_{call}", number) for name, call in calls.items()}
    about = {name: text.decode("utf-8", "replace") for name, text in found.items() if text}
    name = " ".join(filter(None, (about.get("vendor"), about.get("model")))) or "a camera"
    return SeenCamera(name, {"camera": about.get("serial") or about.get("id", "")}, about)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


__all__ = ["AravisCamera", "AravisDriver", "AravisFeatures", "AravisOptions"]
