"""A GenTL producer, a camera vendor's file, as ``genicam`` loads it: which devices it has, and a device's
description of its features."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from genicam import genapi, gentl

from edgead.errors import DeviceError
from edgead.names import shown
from edgead_plugins.sources.faults import why_of

PATHS = "GENICAM_GENTL64_PATH"
"""The variable of the environment that names the folders of installed producers."""
LOOK_MS = 1000
"""How long interfaces and devices may take to answer."""
MOST_XML = 64 << 20
"""Bytes of a description, unzipped."""
FAULTS = (gentl.GenericException, genapi.GenericException, RuntimeError)
"""What the two packages raise."""


@dataclass(frozen=True, eq=False)
class Device:
    """A device of a producer's.

    Attributes:
        info: what makes it.
        about: what's known of it, text by name.
    """

    info: Any
    about: dict[str, str]


@dataclass
class Producers:
    """Producers that are open, all of their interfaces, and their devices. ``close`` lets go of them."""

    devices: list[Device] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _open: list[Any] = field(default_factory=list)

    def load(self, file: Path) -> None:
        """Open a producer and look for its devices; a fault is kept, for others may still be of use."""
        try:
            producer = self._opened(gentl.GenTLProducer.create_producer(), str(file))
            system = self._opened(producer.create_system())
            system.update_interface_info_list(LOOK_MS)
            for info in system.interface_info_list:
                with suppress(gentl.ResourceInUseException, gentl.AccessDeniedException):
                    interface = self._opened(info.create_interface())
                    interface.update_device_info_list(LOOK_MS)
                    self.devices += [Device(each, _about(each)) for each in interface.device_info_list]
        except FAULTS as error:
            self.faults.append(f"{shown(file)}: {why_of(error)}")

    def close(self) -> None:
        """Close interfaces, systems and producers, in this order."""
        self.devices.clear()
        while self._open:
            with suppress(*FAULTS):
                self._open.pop().close()

    def _opened(self, module: Any, *arguments: Any) -> Any:
        module.open(*arguments)
        self._open.append(module)
        return module


class Port(genapi.AbstractPort):  # type: ignore[misc]
    """A device's registers, as its features are read and written."""

    def __init__(self, port: Any) -> None:
        super().__init__()
        self._port = port

    def get_access_mode(self) -> Any:
        return genapi.EAccessMode.RW

    def read(self, address: int, length: int) -> Any:
        return self._port.read(address, length)[1]

    def write(self, address: int, value: Any) -> None:
        self._port.write(address, value)


def files_of(cti: str) -> list[Path]:
    """The producers that are meant: one file, or all that are installed.

    Raises:
        DeviceError: there's none.
    """
    if cti:
        if not Path(cti).is_file():
            raise DeviceError(
                f"gentl: {shown(Path(cti))} isn't there; give cti, the file of the camera's vendor"
            )
        return [Path(cti).absolute()]
    folders = [Path(folder) for folder in os.environ.get(PATHS, "").split(os.pathsep) if folder]
    found = sorted(file for folder in folders for file in folder.glob("*.cti"))
    if not found:
        raise DeviceError(
            f"gentl: no producer is installed, {PATHS} names none: install the camera vendor's software, or "
            "give cti, its file"
        )
    return found


def node_map_of(device: Any) -> tuple[Any, Port]:
    """The features of an open device, from its own description, and the port that they go through.

    Raises:
        DeviceError: it has no description that can be read.
    """
    port = device.remote_port
    try:
        text = _description(port)
        node_map = genapi.NodeMap()
        node_map.load_xml_from_string(text)
        through = Port(port)
        node_map.connect(through, port.name)
    except (*FAULTS, OSError, ValueError, zipfile.BadZipFile, IndexError) as error:
        why = why_of(error)
        raise DeviceError(
            f"gentl: the camera's description can't be read ({why}); see its firmware"
        ) from None
    return node_map, through


def _description(port: Any) -> str:
    url = str(port.url_info_list[0].url)
    scheme, _, rest = url.partition(":")
    if scheme.lower() == "local":
        _, address, size = rest.split("?")[0].lstrip("/").split(";")
        data = bytes(port.read(int(address, 16), min(int(size, 16), MOST_XML))[1])
    elif scheme.lower() == "file":
        with Path(unquote(urlsplit(url).path)).open("rb") as file:
            data = file.read(MOST_XML)
    else:  # never from a network
        raise ValueError(f"it lies at {url[:100]}")
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(archive.namelist()[0]) as packed:
            data = packed.read(MOST_XML)
    return data.rstrip(b"\0").decode("utf-8-sig")


def _about(info: Any) -> dict[str, str]:
    """What a producer says of a device; one that says nothing raises."""
    tellers: dict[str, Callable[[], Any]] = {
        "serial": lambda: info.serial_number,
        "id": lambda: info.id_,
        "own_name": lambda: info.user_defined_name,
        "vendor": lambda: info.vendor,
        "model": lambda: info.model,
        "transport": lambda: info.tl_type,
    }
    return dict(_told(tellers.items()))


def _told(tellers: Any) -> Iterator[tuple[str, str]]:
    for name, tell in tellers:
        with suppress(*FAULTS):
            if value := tell():
                yield name, str(value)


def names_of(devices: Sequence[Device]) -> list[str]:
    """What to choose each device by: its serial number, its id where that isn't its alone."""
    serials = [device.about.get("serial", "") for device in devices]
    return [
        serial if serial and serials.count(serial) == 1 else device.about.get("id", "")
        for serial, device in zip(serials, devices, strict=True)
    ]


__all__ = ["FAULTS", "PATHS", "Device", "Port", "Producers", "files_of", "names_of", "node_map_of"]
