"""Cameras by GenTL: the camera's vendor supplies a producer, a ``.cti`` file, and ``genicam`` loads it.

``genicam`` is used as it is: harvesters, which stands on it, drops incomplete images without telling their
numbers, and goes by the wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from genicam import genapi, gentl

from edgead.errors import DeviceError
from edgead.types import SeenCamera
from edgead_plugins.pixels import by_code, bytes_of
from edgead_plugins.sources.camera import CameraSource, Driver, Raw
from edgead_plugins.sources.camera_options import CameraOptions, chosen
from edgead_plugins.sources.faults import why_of
from edgead_plugins.sources.gentl_features import GentlFeatures
from edgead_plugins.sources.gentl_producer import (
    FAULTS,
    Device,
    Producers,
    files_of,
    names_of,
    node_map_of,
)

_CHUNKS = {"U3V": genapi.ChunkAdapterU3V, "GEV": genapi.ChunkAdapterGEV}


@dataclass(frozen=True)
class GentlOptions(CameraOptions):
    """Which camera of which producer, and how it's set."""

    cti: str = ""
    """The producer's file; those in the folders of GENICAM_GENTL64_PATH, if empty."""


class GenTL(CameraSource):
    """A camera by GenTL."""

    Options: ClassVar[type] = GentlOptions

    def __init__(self, options: GentlOptions | None = None) -> None:
        options = options or GentlOptions()
        super().__init__(options, "gentl")
        self._cti = options.cti

    def cameras(self) -> Sequence[SeenCamera]:
        """The devices of the producer, or of all that are installed."""
        producers = self._producers()
        try:
            return self._seen(producers.devices)
        finally:
            producers.close()

    def _connect(self) -> Driver:
        producers = self._producers()
        try:
            seen = self._seen(producers.devices)
            meant = chosen(self.options.camera, seen, "gentl")
            return GentlDriver(producers, producers.devices[seen.index(meant)])
        except BaseException:
            producers.close()
            raise

    def _producers(self) -> Producers:
        producers = Producers()
        for file in files_of(self._cti):
            producers.load(file)
        if producers.faults and not producers.devices:
            producers.close()
            raise DeviceError(f"gentl: {producers.faults[0]}; see that it's for this system, and its cameras")
        return producers

    def _seen(self, devices: Sequence[Device]) -> list[SeenCamera]:
        own = {"cti": self._cti} if self._cti else {}
        return [
            SeenCamera(
                f"{device.about.get('vendor', '')} {device.about.get('model', 'camera')}".strip(),
                {**own, "camera": name},
                device.about,
            )
            for device, name in zip(devices, names_of(devices), strict=True)
        ]


class GentlDriver:
    """An open device."""

    def __init__(self, producers: Producers, device: Device) -> None:
        self._producers = producers
        self._closers: list[Callable[[], Any]] = []
        self._current: Any = None
        self._chunk = ""
        self._attached = False
        try:
            self._device: Any = device.info.create_device()
            self._device.open(gentl.DEVICE_ACCESS_FLAGS_LIST.DEVICE_ACCESS_EXCLUSIVE)
        except FAULTS as error:
            why = why_of(error)
            raise DeviceError(
                f"gentl: the camera can't be opened ({why}); see that nobody else uses it"
            ) from None
        self._closers.append(self._device.close)
        try:
            self._nodes, self._port = node_map_of(self._device)
        except BaseException:
            self._device.close()
            raise
        self.features = GentlFeatures(self._nodes)

    def start(self, buffers: int, encoder: str) -> None:
        try:
            self._start(buffers)
            self._chunk = encoder
            if encoder:
                make = _CHUNKS.get(str(self._device.tl_type), genapi.ChunkAdapterGeneric)
                self._chunks = make(self._nodes)
        except (*FAULTS, IndexError, AttributeError) as error:
            why = why_of(error)
            raise DeviceError(f"gentl: the camera can't be started ({why}); see its manual") from None

    def _start(self, buffers: int) -> None:
        stream = self._stream = self._device.create_data_stream()
        stream.open(self._device.data_stream_ids[0])
        self._closers.append(stream.close)
        self._news = gentl.EventManagerNewBuffer(
            stream.register_event(gentl.EVENT_TYPE_LIST.EVENT_NEW_BUFFER)
        )
        self._closers.append(self._news.unregister_event)
        defined = stream.defines_payload_size()
        size = int(stream.payload_size) if defined else self.features.number("PayloadSize")
        with suppress(*FAULTS):  # some don't say
            buffers = max(buffers, int(stream.buffer_announce_min))
        self._memory = [bytes(size) for _ in range(buffers)]
        announced = [
            stream.announce_buffer(gentl.BufferToken(each, i)) for i, each in enumerate(self._memory)
        ]
        self._closers += [partial(stream.revoke_buffer, each) for each in announced]
        for each in announced:
            stream.queue_buffer(each)
        self._closers.append(
            lambda: stream.flush_buffer_queue(gentl.ACQ_QUEUE_TYPE_LIST.ACQ_QUEUE_ALL_DISCARD)
        )
        if self.features.has("TLParamsLocked"):
            self.features.set("TLParamsLocked", "1")
            self._closers.append(lambda: self.features.set("TLParamsLocked", "0"))
        stream.start_acquisition(gentl.ACQ_START_FLAGS_LIST.ACQ_START_FLAGS_DEFAULT, -1)
        self._closers.append(lambda: stream.stop_acquisition(gentl.ACQ_STOP_FLAGS_LIST.ACQ_STOP_FLAGS_KILL))
        self._closers.append(lambda: self.features.run("AcquisitionStop"))
        self.features.run("AcquisitionStart")

    def take(self, timeout: float) -> Raw | None:
        try:
            if self._current is not None:
                self._let_go()
            self._news.update_event_data(max(1, round(1000 * timeout)))
            self._current = self._news.buffer
            return self._raw(self._current)
        except gentl.TimeoutException:
            return None
        except FAULTS as error:
            why = why_of(error)
            raise DeviceError(f"gentl: the camera is gone ({why}); see its cable and power") from None

    def check(self) -> None:
        try:
            self._device.remote_port.read(0, 4)
        except (
            gentl.InvalidAddressException,
            gentl.InvalidParameterException,
            gentl.NotImplementedException,
        ):
            return  # it answers
        except FAULTS as error:
            why = why_of(error)
            raise DeviceError(f"gentl: the camera doesn't answer ({why}); see its cable and power") from None

    def close(self) -> None:
        self._current = None
        while self._closers:
            with suppress(*FAULTS, DeviceError):
                self._closers.pop()()
        self._producers.close()

    def _let_go(self) -> None:
        if self._attached:
            self._chunks.detach_buffer()
            self._attached = False
        buffer, self._current = self._current, None
        self._stream.queue_buffer(buffer)

    def _raw(self, buffer: Any) -> Raw:
        raw = Raw(frame_id=_known(lambda: buffer.frame_id), camera_ns=_known(lambda: buffer.timestamp_ns))
        if not buffer.is_complete():
            got, size = _known(lambda: buffer.size_filled), _known(lambda: buffer.size)
            problem = f"the image is incomplete, {got} of {size} bytes came; see the camera's network"
            return replace(raw, problem=problem)
        if self._chunk:
            raw = replace(raw, **self._encoder(buffer))
        if raw.problem is not None:
            return raw
        try:
            return replace(raw, **_image_of(buffer))
        except FAULTS as error:
            return replace(raw, problem=f"the producer doesn't say what the buffer holds ({why_of(error)})")

    def _encoder(self, buffer: Any) -> dict[str, Any]:
        """The encoder's count of an image's chunk data, or why it isn't there."""
        try:
            if isinstance(self._chunks, genapi.ChunkAdapterGeneric):
                self._chunks.attach_buffer(buffer.raw_buffer, buffer.chunk_data_info_list)
            else:
                self._chunks.attach_buffer(buffer.raw_buffer, int(buffer.size_filled))
            self._attached = True
            return {"encoder": self.features.number(self._chunk)}
        except (*FAULTS, DeviceError) as error:
            return {"problem": f"{self._chunk} isn't in its chunk data ({why_of(error)})"}


def _known(tell: Any) -> int | None:
    """What a producer says of a buffer, or None where it doesn't."""
    try:
        return int(tell())
    except FAULTS:
        return None


def _image_of(buffer: Any) -> dict[str, Any]:
    """A buffer's image: of several parts the first whose format is read."""
    data = np.frombuffer(buffer.raw_buffer, np.uint8)
    parts = list(buffer.parts)
    for part in parts:
        if by_code(code := int(part.data_format)) is None:
            continue
        start, width, height = int(part.data_offset), int(part.width), int(part.height)
        padding = _known(lambda part=part: part.x_padding) or 0
        end = start + int(part.data_size)
        return {"data": data[start:end], "code": code, "width": width, "height": height, "padding": padding}
    if parts:
        return {"problem": f"none of the buffer's {len(parts)} parts has a pixel format that is read"}
    code, width, height = int(buffer.pixel_format), int(buffer.width), int(buffer.height)
    padding = _known(lambda: buffer.padding_x) or 0
    start = _known(lambda: buffer.image_offset) or 0
    end = _known(lambda: buffer.size_filled) or data.size
    pixel_format = by_code(code)
    if pixel_format is not None and _has_chunks(buffer):  # which lie behind it
        end = min(end, start + bytes_of(pixel_format, width, height, padding))
    return {"data": data[start:end], "code": code, "width": width, "height": height, "padding": padding}


def _has_chunks(buffer: Any) -> bool:
    try:
        return bool(buffer.is_containing_chunk_data())
    except FAULTS:
        return bool(_known(lambda: buffer.num_chunks))


__all__ = ["GenTL", "GentlDriver", "GentlOptions"]
