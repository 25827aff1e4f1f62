"""A Modbus TCP server as a line's sink: a PLC reads results, acknowledges them, and tells of triggers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from edgead.errors import OptionError, OutputError, one_line
from edgead.options import Range, check_options
from edgead.types import Health, Role, Verdict
from edgead_plugins.sinks.addresses import host_and_port, listening, networks
from edgead_plugins.sinks.interlock import Interlock
from edgead_plugins.sinks.modbus_server import ModbusServer


@dataclass(frozen=True)
class ModbusOptions:
    """Where to listen, to whom, and how long a result is shown."""

    listen: str = "127.0.0.1:502"
    """HOST:PORT. Modbus has no passwords: listen where only the PLC is, and name it in allow."""
    allow: tuple[str, ...] = ()
    """Addresses or networks that may connect; everybody if empty."""
    clients: Annotated[int, Range(1, 64)] = 4
    """How many may be connected; one more is closed at once."""
    idle_seconds: Annotated[float, Range(0.1, 86_400)] = 30.0
    """A client that asks nothing for so long is closed."""
    stale_ms: Annotated[float, Range(1, 600_000)] = 1000.0
    """A result that isn't acknowledged so long after its judgement is taken away. Shorter than a part's way
    from the camera to the gate."""
    silent_ms: Annotated[float, Range(10, 600_000)] = 1000.0
    """Without the line's beat for so long it isn't ready. Longer than beat_ms."""
    cameras: tuple[str, ...] = ()
    """Names of cameras that the register camera numbers, from 1."""

    def __post_init__(self) -> None:
        check_options(self)
        host_and_port("listen", self.listen)
        networks("allow", self.allow)
        if len(set(self.cameras)) != len(self.cameras):
            raise OptionError("option 'cameras' names one twice: keep one")


class Modbus:
    """The server. The line isn't delayed by who reads it, nor by who doesn't."""

    Options: ClassVar[type] = ModbusOptions
    roles: ClassVar[tuple[Role, ...]] = ("verdict", "inform")

    def __init__(self, options: ModbusOptions | None = None) -> None:
        self.options = own = options or ModbusOptions()
        self._networks = networks("allow", own.allow)
        self._interlock = Interlock(own.cameras, own.stale_ms / 1e3, own.silent_ms / 1e3)
        self._server: ModbusServer | None = None
        self._where = own.listen

    def on_trigger(self, told: Callable[[str | None], None]) -> None:
        """Whom to tell of the PLC's triggers."""
        self._interlock.on_trigger(told)

    def open(self) -> None:
        """Listen; nothing is shown, and nothing is ready."""
        self.close()
        own = self.options
        try:
            listener = listening(*host_and_port("listen", own.listen))
        except PermissionError as error:
            raise OutputError(
                f"modbus: {own.listen}: a port under 1024 takes a right (CAP_NET_BIND_SERVICE): give it, or "
                "choose another port"
            ) from error
        except OSError as error:
            raise OutputError(
                f"modbus: can't listen on {own.listen} ({one_line(error, 'message')}); is another program "
                "there, or isn't this address the machine's?"
            ) from error
        host, port = listener.getsockname()[:2]
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._interlock.reset()
        self._server = ModbusServer(listener, self._interlock, own.clients, own.idle_seconds, self._networks)

    def send(self, verdict: Verdict) -> None:
        """Have a verdict shown once those before it are acknowledged."""
        self._opened()
        self._interlock.put(verdict)

    def beat(self, ready: bool) -> None:
        """Count the heartbeat up; where the line isn't ready no accept is shown."""
        self._opened()
        self._interlock.beat(ready)

    def health(self) -> Health:
        """Where it listens; not well while results are lost that nobody has acknowledged."""
        server, counts = self._server, dict(self._interlock.counts)
        if server is None:
            return Health(False, "not open", counts)
        counts |= {**server.counts, "clients": server.clients}
        if self._interlock.missing:
            why = "results were lost that nobody had acknowledged in time: does the PLC read and acknowledge?"
            return Health(False, f"{self._where}: {why}", counts)
        if refused := server.refused:
            return Health(False, f"{self._where}: {refused}", counts)
        return Health(True, f"listens on {self._where}, Modbus TCP", counts)

    def close(self) -> None:
        """Nothing is shown any more; every client is closed."""
        server, self._server = self._server, None
        self._interlock.reset()
        if server is not None:
            server.close()

    def _opened(self) -> None:
        if self._server is None or not self._server.alive:
            raise OutputError(f"modbus: {self.options.listen} isn't open; open it first")


__all__ = ["Modbus", "ModbusOptions"]
