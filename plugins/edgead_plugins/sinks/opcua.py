"""An OPC UA server as a line's sink: results as events and variables, readiness, and a heartbeat."""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from edgead.errors import OptionError, OutputError, one_line
from edgead.extras import explained
from edgead.options import Range, check_options
from edgead.types import Health, Role, Verdict
from edgead_plugins.sinks.addresses import host_and_port, listening
from edgead_plugins.sinks.secrets import LOOPBACK, check_secret, secret

if TYPE_CHECKING:
    from asyncua import Server

    from edgead_plugins.sinks.opcua_types import AddressSpace

T = TypeVar("T")
START = 120.0
"""Seconds that the server may take to make its nodes."""
CALL = 0.5
"""Seconds that it may take over a verdict or a beat."""
LOOK = 0.05
"""Seconds between two looks whether a result is stale or the line silent."""


@dataclass(frozen=True)
class OpcuaOptions:
    """Where to listen, and who may read."""

    listen: str = "127.0.0.1:4840"
    """HOST:PORT."""
    name: str = "VisionSystem"
    """The vision system's name."""
    certificate: str = ""
    """The server's certificate, PEM or DER. With it every channel is encrypted, and no other is taken."""
    private_key: str = ""
    """Its key, PEM, without a passphrase."""
    application_uri: str = "urn:edgead:line"
    """What the server is called; the certificate names the same."""
    user: str = ""
    """Who may connect, with the password; everybody if empty."""
    password_file: str = ""
    """A file with the password in its first line."""
    password_env: str = ""
    """Or an environment variable that holds it."""
    in_the_clear: bool = False
    """Whether other machines may send the password without a certificate: everybody on the way reads it."""
    clients: Annotated[int, Range(1, 1000)] = 10
    """How many may be connected."""
    stale_ms: Annotated[float, Range(1, 600_000)] = 1000.0
    """A result is shown for so long; its event is told at once, or not at all."""
    silent_ms: Annotated[float, Range(10, 600_000)] = 1000.0
    """Without the line's beat for so long it isn't ready. Longer than beat_ms."""

    def __post_init__(self) -> None:
        check_options(self)
        host, _ = host_and_port("listen", self.listen)
        if bool(self.certificate) != bool(self.private_key):
            raise OptionError("options 'certificate' and 'private_key' belong together: give both, or none")
        safe = bool(self.certificate) or host in LOOPBACK or self.in_the_clear
        check_secret(
            self.user, self.password_file, self.password_env, safe, "give certificate and private_key"
        )
        if self.user and not (self.password_file or self.password_env):
            raise OptionError("option 'user' has no password: give password_file or password_env")
        if not self.name.isprintable() or not 0 < len(self.name) <= 100:
            raise OptionError("option 'name' takes 1 to 100 printable characters: choose others")


class Opcua:
    """The server, in a thread with a loop of its own. Clients read and subscribe; nothing can be written."""

    Options: ClassVar[type] = OpcuaOptions
    roles: ClassVar[tuple[Role, ...]] = ("inform", "verdict")

    def __init__(self, options: OpcuaOptions | None = None) -> None:
        self.options = own = options or OpcuaOptions()
        self._stale, self._silent = own.stale_ms / 1e3, own.silent_ms / 1e3
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: Server | None = None
        self._space: AddressSpace | None = None
        self._looking: Future[None] | None = None
        self._counts: Counter[str] = Counter()
        self._ready, self._beaten, self._beats, self._until = False, 0.0, 0, 0.0
        self._where = f"opc.tcp://{own.listen}/edgead"

    def open(self) -> None:
        """Make the nodes, which takes seconds, and listen; nothing is shown, and nothing is ready."""
        self.close()
        with explained("the sink opcua"):
            import asyncua
        self._try_address()
        logging.getLogger(asyncua.__name__).setLevel(logging.CRITICAL)  # what matters is raised
        self._ready, self._beaten, self._until = False, 0.0, 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="edgead-opcua", daemon=True)
        self._thread.start()
        try:
            self._call(self._start(), START)
        except OutputError:
            self.close()
            raise
        self._looking = asyncio.run_coroutine_threadsafe(self._look(), self._loop)

    def send(self, verdict: Verdict) -> None:
        """Tell the event, and show the result."""
        self._opened()
        self._call(self._put(verdict), CALL)

    def beat(self, ready: bool) -> None:
        """Count the heartbeat up; where the line isn't ready no result is shown."""
        self._opened()
        self._call(self._beat(ready), CALL)

    def health(self) -> Health:
        """Where it listens, and how many are connected."""
        counts, server = dict(self._counts), self._server
        if server is None or server.bserver is None:
            return Health(False, "not open", counts)
        counts["clients"] = len(server.bserver.clients)
        return Health(True, f"listens on {self._where}", counts)

    def close(self) -> None:
        """Stop the server; what was shown goes with it."""
        loop, self._loop = self._loop, None
        server, self._server = self._server, None
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if loop is None:
            return
        if server is not None:
            stopping = asyncio.run_coroutine_threadsafe(_stop(server), loop)
            try:
                stopping.result(3.0)
            except Exception:  # it goes with its thread
                stopping.cancel()
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join(1.0)
            if not self._thread.is_alive():
                loop.close()
            self._thread = None

    # ------------------------------------------------------------ from the line's thread

    def _opened(self) -> None:
        if self._server is None:
            raise OutputError(f"opcua: {self.options.listen} isn't open; open it first")

    def _call(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        if self._loop is None:
            work.close()
            raise OutputError(f"opcua: {self.options.listen} isn't open; open it first")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except OutputError:
            raise
        except FutureTimeout as error:
            future.cancel()
            why = f"the server took over {seconds:g} s; it's opened anew"
            raise OutputError(f"opcua: {self._where}: {why}") from error
        except Exception as error:
            raise OutputError(f"opcua: {self._where}: {one_line(error)}; check its options") from error

    def _try_address(self) -> None:
        """Say at once that nobody can listen there, before nodes are made for seconds."""
        try:
            listening(*host_and_port("listen", self.options.listen)).close()
        except OSError as error:
            raise self._cannot_listen(error) from error

    def _cannot_listen(self, error: OSError) -> OutputError:
        return OutputError(
            f"opcua: can't listen on {self.options.listen} ({one_line(error, 'message')}); is another "
            "program there, or isn't this address the machine's?"
        )

    # ------------------------------------------------------------ in the server's loop

    async def _start(self) -> None:
        from asyncua import Server, ua
        from asyncua.common.connection import TransportLimits

        from edgead_plugins.sinks.opcua_types import AddressSpace

        own = self.options
        server = Server(user_manager=_Users(own.user, self._password()))
        await server.init()
        await server.set_application_uri(own.application_uri)
        server.set_server_name("edgead")
        server.set_endpoint(f"opc.tcp://{own.listen}/edgead")
        server.allow_remote_admin(False)
        server.set_identity_tokens([ua.UserNameIdentityToken] if own.user else [ua.AnonymousIdentityToken])
        server.limits = TransportLimits(65535, 65535, 16, 1 << 20)
        server.iserver.max_connections = own.clients
        server.iserver.max_subscriptions = 10 * own.clients
        server.iserver.max_monitored_item_queue_size = 1000
        kinds = ua.SecurityPolicyType
        policies = [kinds.NoSecurity]
        if own.certificate:
            policies = [kinds.Basic256Sha256_SignAndEncrypt, kinds.Aes256Sha256RsaPss_SignAndEncrypt]
            await server.load_certificate(own.certificate)
            await server.load_private_key(own.private_key)
        server.set_security_policy(policies)
        space = AddressSpace(server)
        await space.build(own.name)
        try:
            await server.start()
        except OSError as error:
            raise self._cannot_listen(error) from error
        assert server.bserver is not None
        host, port = server.bserver.hostname, server.bserver.port
        self._where = f"opc.tcp://{host}:{port}/edgead"
        self._server, self._space = server, space

    def _password(self) -> str:
        own = self.options
        try:
            return secret(own.password_file, own.password_env) or ""
        except OSError as error:
            raise OutputError(
                f"opcua: no password ({one_line(error, 'message')}); check its options"
            ) from error

    async def _put(self, verdict: Verdict) -> None:
        assert self._space is not None
        now, times = time.monotonic(), verdict.times
        since = now if times.judged is None else times.judged / 1e9
        if verdict.decision == "accept" and not self._is_ready(now):
            self._counts["withheld"] += 1
        elif now - since > self._stale:
            self._counts["stale"] += 1
        else:
            self._until = since + self._stale
            await self._space.show(verdict)
            await self._space.tell(verdict)
            self._counts["verdicts"] += 1

    async def _beat(self, ready: bool) -> None:
        from asyncua import ua

        assert self._space is not None
        self._beaten, self._beats = time.monotonic(), (self._beats + 1) & 0xFFFFFFFF
        await self._be(ready)
        await self._space.write("Heartbeat", ua.Variant(self._beats, ua.VariantType.UInt32))

    async def _be(self, ready: bool) -> None:
        assert self._space is not None
        if ready != self._ready:
            self._ready = ready
            await self._space.ready(ready)
            if not ready:
                self._until = 0.0
                await self._space.show(None)

    async def _look(self) -> None:
        """Take away what is stale, and the readiness where the line is silent."""
        assert self._space is not None
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            if self._ready and not self._is_ready(now):
                await self._be(False)
            if self._until and now > self._until:
                self._until = 0.0
                await self._space.show(None)

    def _is_ready(self, now: float) -> bool:
        return self._ready and now - self._beaten <= self._silent


async def _stop(server: Server) -> None:
    """Stop a server, and what its clients have left going."""
    await server.stop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _Users:
    """Who may connect: nobody may change anything."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> Any:
        from asyncua.crypto.permission_rules import User, UserRole

        if self._user:
            given = (username or "", password or "")
            pairs = zip(given, (self._user, self._password), strict=True)
            if not all([hmac.compare_digest(one.encode(), other.encode()) for one, other in pairs]):
                return None
        return User(role=UserRole.User)


__all__ = ["CALL", "LOOK", "START", "Opcua", "OpcuaOptions"]
