"""What the page is told when it's started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgead.bundle import Bundle, read_bundle
from edgead.line.channel import Message
from edgead.line.identity import identity_of
from edgead.slots import Slots
from edgead.trust import device_trust


@dataclass(frozen=True)
class Seen:
    """A bundle, whatever is installed beside it later.

    Attributes:
        folder: its own.
        identity: what it is, with its thresholds and lessons; see ``edgead.line.identity``.
    """

    folder: Path
    identity: str


@dataclass(frozen=True)
class CameraSetup:
    """A camera, as the line's file describes it.

    Attributes:
        name: its name.
        bundle: the bundle's folder, or a folder of slots.
        product: whose thresholds hold, or None.
        engine: another engine than the bundle's own, or None.
        device: the engine's name of a device.
    """

    name: str
    bundle: Path
    product: str | None
    engine: str | None
    device: str

    def folder(self) -> Path:
        """The folder of the bundle that judges now, or will from the next reload."""
        slots = Slots.of(self.bundle / "current") or Slots.of(self.bundle)
        current = None if slots is None else slots.current()
        return self.bundle if current is None else current.path

    def read(self) -> Bundle:
        """That bundle, its big files unread.

        Raises:
            BundleError: as ``read_bundle``.
        """
        return read_bundle(self.folder(), verify=False, demanded=False)

    def seen(self) -> Seen:
        """Which bundle that is; raises as ``read``."""
        folder = self.folder()
        return Seen(folder, identity_of(read_bundle(folder, verify=False, demanded=False)))


@dataclass(frozen=True)
class Setup:
    """All of it; paths are absolute.

    Attributes:
        line: the line's name.
        address: host and port.
        users, certificate, key: files; the last two are None where browsers come by plain HTTP.
        hosts: what a request's Host may be.
        is_secure: whether browsers come by HTTPS.
        behind_tls_proxy: whether a proxy says where requests are from.
        clients: browsers that may watch at once.
        deadline_ms: from a trigger to its verdict.
        keys: public keys that bundles must be signed by.
        cameras: by name.
        record: the folder of the line's record, or None where it keeps none.
    """

    line: str
    address: tuple[str, int]
    users: Path
    certificate: Path | None
    key: Path | None
    hosts: tuple[str, ...]
    is_secure: bool
    behind_tls_proxy: bool
    clients: int
    deadline_ms: float
    keys: tuple[str, ...]
    cameras: dict[str, CameraSetup]
    record: Path | None

    @staticmethod
    def of(message: Message) -> Setup:
        """From the process's first message."""
        cameras = [CameraSetup(**{**each, "bundle": Path(each["bundle"])}) for each in message["cameras"]]
        host, port = message["address"]
        return Setup(
            message["line"],
            (str(host), int(port)),
            Path(message["users"]),
            _path(message["certificate"]),
            _path(message["key"]),
            tuple(message["hosts"]),
            bool(message["is_secure"]),
            bool(message["behind_tls_proxy"]),
            int(message["clients"]),
            float(message["deadline_ms"]),
            tuple(message["keys"]),
            {camera.name: camera for camera in cameras},
            _path(message["record"]),
        )

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self.address
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{shown}:{port}/"

    @property
    def wants_signatures(self) -> bool:
        """Whether bundles must be signed, so that none can be changed here."""
        return bool(self.keys) or device_trust() is not None


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


__all__ = ["CameraSetup", "Seen", "Setup"]
