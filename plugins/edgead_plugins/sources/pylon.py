"""Basler cameras by pypylon, which brings the vendor's own drivers along."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from pypylon import genicam, pylon

from edgead.errors import DeviceError, one_line
from edgead.types import SeenCamera
from edgead_plugins.sources.camera import CameraSource, Driver, Raw
from edgead_plugins.sources.camera_options import CameraOptions, chosen
from edgead_plugins.sources.faults import why_of

_NUMBERLESS = (1 << 64) - 1
"""What the library says where a buffer has no number."""
_TICKS = ("GevTimestampTickFrequency", "BslTimestampTickFrequency")
_FAULTS = (genicam.GenericException, RuntimeError)


@dataclass(frozen=True)
class PylonOptions(CameraOptions):
    """Which camera, and how it's set."""

    device_class: str = ""
    """The one of the library's drivers that is asked: BaslerGigE, BaslerUsb and the like; all if empty."""


class PylonCamera(CameraSource):
    """A camera by pypylon."""

    Options: ClassVar[type] = PylonOptions

    def __init__(self, options: PylonOptions | None = None) -> None:
        options = options or PylonOptions()
        super().__init__(options, "pylon")
        self._class = options.device_class

    def cameras(self) -> Sequence[SeenCamera]:
        """Those that answer, by any of the library's drivers."""
        return [_seen(info) for info in self._infos()]

    def _connect(self) -> Driver:
        infos = self._infos()
        seen = [_seen(info) for info in infos]
        return PylonDriver(infos[seen.index(chosen(self.options.camera, seen, "pylon"))])

    def _infos(self) -> list[Any]:
        try:
            factory = pylon.TlFactory.GetInstance()
            if not self._class:
                return list(factory.EnumerateDevices())
            driver = factory.CreateTl(self._class)
            return [] if driver is None else list(driver.EnumerateDevices())
        except _FAULTS as error:
            raise DeviceError(f"pylon: can't look for cameras ({why_of(error)}); see its drivers") from None


class PylonFeatures:
    """A camera's features."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    def has(self, name: str) -> bool:
        try:
            return bool(genicam.IsAvailable(self._nodes.GetNode(name)))
        except _FAULTS:
            return False

    def get(self, name: str) -> str:
        return str(self._done(name, lambda: self._nodes.GetNode(name).ToString()))

    def set(self, name: str, value: str) -> None:
        self._done(f"{name} = {value}", lambda: self._nodes.GetNode(name).FromString(value))

    def choices(self, name: str) -> Sequence[str]:
        found = (
            self._done(name, lambda: self._nodes.GetNode(name).GetSettableValues()) if self.has(name) else ()
        )
        return [str(each) for each in found]

    def run(self, name: str) -> None:
        self._done(name, lambda: self._nodes.GetNode(name).Execute())

    def _done(self, what: str, do: Any) -> Any:
        try:
            return do()
        except (*_FAULTS, AttributeError) as error:  # it's a feature of another kind
            raise DeviceError(f"pylon: the camera refuses {what} ({why_of(error)}); see its manual") from None


class PylonDriver:
    """An open camera."""

    def __init__(self, info: Any) -> None:
        self._held: Any = None
        self._chunk = ""
        try:
            self._camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateDevice(info))
            self._camera.Open()
        except _FAULTS as error:
            raise DeviceError(
                f"pylon: the camera can't be opened ({why_of(error)}); see that nobody else uses it"
            ) from None
        self.features = PylonFeatures(self._camera.GetNodeMap())
        self._ticks = self._frequency()

    def start(self, buffers: int, encoder: str) -> None:
        self._chunk = encoder
        try:
            self._camera.MaxNumBuffer.SetValue(buffers)
            self._camera.StartGrabbing(pylon.GrabStrategy_OneByOne)
        except _FAULTS as error:
            raise DeviceError(
                f"pylon: the camera can't be started ({why_of(error)}); see its manual"
            ) from None

    def take(self, timeout: float) -> Raw | None:
        self._let_go()
        try:
            result = self._camera.RetrieveResult(round(1000 * timeout), pylon.TimeoutHandling_Return)
            if not result.IsValid():
                return None
            self._held = result
            return self._raw(result)
        except _FAULTS as error:
            raise DeviceError(
                f"pylon: the camera is gone ({why_of(error)}); see its cable and power"
            ) from None

    def check(self) -> None:
        try:
            if not self._camera.IsCameraDeviceRemoved():
                return
        except _FAULTS as error:
            raise DeviceError(
                f"pylon: the camera is gone ({why_of(error)}); see its cable and power"
            ) from None
        raise DeviceError("pylon: the camera is gone; see its cable and power")

    def close(self) -> None:
        self._let_go()
        for end in (self._camera.StopGrabbing, self._camera.Close, self._camera.DestroyDevice):
            with suppress(*_FAULTS):
                end()

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            with suppress(*_FAULTS):
                held.Release()

    def _raw(self, result: Any) -> Raw:
        number, ticks = int(result.GetBlockID()), int(result.GetTimeStamp())
        frame_id = None if number == _NUMBERLESS else number
        camera_ns = ticks * 1_000_000_000 // self._ticks if ticks else None
        if not result.GrabSucceeded():
            why = one_line(str(result.GetErrorDescription()), "message", 200)
            problem = f"the image can't be used ({why}); see the camera's network"
            return Raw(frame_id=frame_id, camera_ns=camera_ns, problem=problem)
        encoder = None
        if self._chunk:
            try:
                encoder = int(result.GetChunkDataNodeMap().GetNode(self._chunk).GetValue())
            except (*_FAULTS, AttributeError, TypeError, ValueError) as error:
                problem = f"{self._chunk} isn't in its chunk data ({why_of(error)})"
                return Raw(frame_id=frame_id, camera_ns=camera_ns, problem=problem)
        return Raw(
            result.GetImageMemoryView(),
            int(result.GetPixelType()),
            int(result.GetWidth()),
            int(result.GetHeight()),
            int(result.GetPaddingX()),
            frame_id,
            camera_ns,
            encoder,
        )

    def _frequency(self) -> int:
        """The camera's ticks a second; ns where it doesn't say."""
        for name in _TICKS:
            if self.features.has(name):
                with suppress(DeviceError, ValueError):
                    return max(1, int(self.features.get(name)))
        return 1_000_000_000


def _seen(info: Any) -> SeenCamera:
    keys = {"serial": "SerialNumber", "id": "FullName", "own_name": "UserDefinedName", "vendor": "VendorName",
            "model": "ModelName", "address": "IpAddress", "transport": "DeviceClass"}  # fmt: skip
    about = {}
    for name, key in keys.items():
        with suppress(*_FAULTS):
            known, value = info.GetPropertyValue(key)
            if known and value:
                about[name] = str(value)
    name = f"{about.get('vendor', '')} {about.get('model', 'camera')}".strip()
    return SeenCamera(name, {"camera": about.get("serial") or about.get("id", "")}, about)


__all__ = ["PylonCamera", "PylonDriver", "PylonFeatures", "PylonOptions"]
