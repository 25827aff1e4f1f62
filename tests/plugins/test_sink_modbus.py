"""The Modbus sink, read by pymodbus as docs/line.md has its registers."""

from __future__ import annotations

import importlib.util
import math
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgead.errors import OptionError, OutputError
from edgead.line.check import check_line
from edgead.line.config import line_of
from edgead_plugins.sinks.modbus import Modbus, ModbusOptions
from tests.plugins.sink_support import REGION, RUN, accept, reject, until

pytest.importorskip("pymodbus", reason="pymodbus, the PLC of these tests, isn't installed")
from tests.plugins.modbus_plc import PAGE, ROWS, Plc

ROOT = Path(__file__).parents[2]
LISTEN = "127.0.0.1:0"


def port_of(sink: Modbus) -> int:
    return int(sink._where.rpartition(":")[2])


@pytest.fixture
def sink() -> Iterator[Modbus]:
    made = Modbus(ModbusOptions(listen=LISTEN, cameras=("side", "top")))
    made.open()
    made.beat(True)
    yield made
    made.close()


@pytest.fixture
def plc(sink: Modbus) -> Iterator[Plc]:
    made = Plc(port_of(sink))
    yield made
    made.close()


def raw(sink: Modbus) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port_of(sink)), timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def asked(end: socket.socket, pdu: bytes, number: int = 7, unit: int = 1) -> bytes:
    end.sendall(struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu)
    return answered(end)


def answered(end: socket.socket) -> bytes:
    """An answer's function and what belongs to it; empty where the other end is closed."""
    head = exactly(end, 7)
    return exactly(end, struct.unpack(">HHHB", head)[2] - 1) if head else b""


def exactly(end: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        try:
            more = end.recv(count - len(got))
        except ConnectionError:
            more = b""
        if not more:
            return b""
        got += more
    return got


# ---------------------------------------------------------------- the documented map


def test_the_pages_tables_are_the_codes() -> None:
    spec = importlib.util.spec_from_file_location("sink_tables", ROOT / "tools" / "sink_tables.py")
    assert spec is not None and spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    page = PAGE.read_text("utf-8")
    assert tables.written(page) == page, "run: python tools/sink_tables.py"


def test_a_result_is_where_the_page_says(sink: Modbus, plc: Plc) -> None:
    verdict = accept(70_001, "4711", regions=(REGION,), encoder=-5)
    sink.send(verdict)
    seen = plc.read()
    run, times = int(RUN[:8], 16), verdict.times
    assert (seen["run"], seen["id"], seen["run_again"], seen["id_again"]) == (run, 70_001, run, 70_001)
    assert (seen["version"], seen["status"], seen["waiting"], seen["heartbeat"]) == (1, 0b111, 1, 1)
    assert (seen["decision"], seen["why"], seen["score"], seen["threshold"]) == (2, 1, 1.25, 2.5)
    assert (seen["part"], seen["part_name"], seen["camera"], seen["camera_name"]) == (4711, "4711", 2, "top")
    assert (seen["regions"], seen["encoder"], seen["trigger_ns"]) == (1, -5, times.trigger)
    assert (seen["grab_ms"], seen["judged_ms"]) == (10.0, 25.0) and seen["sent_ms"] >= 30


def test_what_isnt_known_is_said_so(sink: Modbus, plc: Plc) -> None:
    sink.send(reject(1, "ä" * 40, camera="another"))
    seen = plc.read()
    assert (seen["decision"], seen["why"], seen["status"]) == (1, 2, 0b011)
    unknown = [seen[name] for name in ("score", "threshold", "grab_ms", "judged_ms")]
    assert all(map(math.isnan, unknown)) and seen["encoder"] == -(1 << 63)
    assert (seen["part"], seen["part_name"], seen["camera"]) == (0xFFFFFFFF, "ä" * 16, 0)


@pytest.mark.parametrize("score", [1e300, -1e300, float("inf"), 1e-300])
def test_a_score_that_no_float32_holds_is_still_a_result(sink: Modbus, plc: Plc, score: float) -> None:
    sink.send(accept(1, score=score))
    assert plc.read()["score"] == (0.0 if score == 1e-300 else math.copysign(math.inf, score))


def test_bits_are_those_of_the_status(sink: Modbus, plc: Plc) -> None:
    sink.send(accept(1))
    for read in (plc.client.read_coils, plc.client.read_discrete_inputs):
        assert read(0, count=4).bits[:4] == [True, True, True, False]
        assert read(2, count=1).bits[0] is True and read(15, count=2).isError()


# ---------------------------------------------------------------- acknowledging


def test_results_come_one_after_the_other_as_they_are_acknowledged(sink: Modbus, plc: Plc) -> None:
    for number in (1, 2, 3):
        sink.send(accept(number) if number == 2 else reject(number))
    for number in (1, 2, 3):
        seen = plc.read()
        assert plc.read()["id"] == seen["id"] == number, "shown until it's acknowledged"
        plc.acknowledge(seen)
        plc.acknowledge(seen)  # and again: that does nothing
    seen = plc.read()
    assert (seen["id"], seen["decision"], seen["status"], seen["waiting"], seen["lost"]) == (0, 0, 1, 0, 0)
    assert sink.health().ok and sink.health().counts["acknowledged"] == 3


def test_another_runs_acknowledgement_takes_nothing(sink: Modbus, plc: Plc) -> None:
    sink.send(accept(1))
    plc.acknowledge({"run": 1, "id": 1})
    plc.acknowledge({"run": plc.read()["run"], "id": 2})
    assert plc.read()["id"] == 1 and sink.health().counts["acknowledged_others"] == 2


def test_registers_written_one_by_one_acknowledge_with_the_last(sink: Modbus, plc: Plc) -> None:
    sink.send(accept(1))
    for place, word in enumerate(struct.unpack(">4H", struct.pack(">II", plc.read()["run"], 1))):
        assert plc.read()["id"] == 1
        assert not plc.client.write_register(ROWS["ack_run"].at + place, word).isError()
    assert plc.read()["id"] == 0


def test_one_request_acknowledges_and_reads_the_next(sink: Modbus, plc: Plc) -> None:
    sink.send(reject(1))
    sink.send(accept(2))
    words = list(struct.unpack(">4H", struct.pack(">II", int(RUN[:8], 16), 1)))
    answer = plc.client.readwrite_registers(read_address=10, read_count=3, write_address=100, values=words)
    assert answer.registers == [0, 2, 2]


def test_one_that_reads_what_is_not_there_acknowledges_nothing(sink: Modbus, plc: Plc) -> None:
    sink.send(reject(1))
    words = list(struct.unpack(">4H", struct.pack(">II", int(RUN[:8], 16), 1)))
    answer = plc.client.readwrite_registers(read_address=64, read_count=3, write_address=100, values=words)
    assert answer.isError() and answer.exception_code == 2
    assert plc.client.readwrite_registers(
        read_address=10, read_count=2, write_address=104, values=[0]
    ).registers == [0, 1], "it's shown as before"


def test_of_too_many_the_oldest_goes_and_that_is_said(sink: Modbus, plc: Plc) -> None:
    for number in range(1, 12):
        sink.send(reject(number))
    seen = plc.read()
    assert (seen["id"], seen["waiting"], seen["lost"], seen["status"] >> 3) == (4, 8, 3, 1)
    health = sink.health()
    assert not health.ok and "lost" in health.detail and health.counts["overflowed"] == 3
    plc.acknowledge(seen)
    assert plc.read()["status"] >> 3 == 0 and sink.health().ok


def test_nothing_stale_is_shown(plc: Plc) -> None:
    sink = Modbus(ModbusOptions(listen=LISTEN, stale_ms=150))
    sink.open()
    sink.beat(True)
    other = Plc(port_of(sink))
    old = accept(1)
    sink.send(accept(2))
    time.sleep(0.16)
    sink.send(old)  # it was on its way for too long
    seen = other.read()
    assert (seen["id"], seen["decision"], seen["lost"]) == (0, 0, 2)
    assert sink.health().counts["stale"] == 2
    other.close()
    sink.close()


# ---------------------------------------------------------------- the fail-safe level


def test_without_readiness_no_accept_is_shown(sink: Modbus, plc: Plc) -> None:
    for number in (1, 3):
        sink.send(accept(number))
        sink.send(reject(number + 1))
    sink.beat(False)
    seen = plc.read()
    assert (seen["id"], seen["decision"], seen["status"], seen["waiting"]) == (2, 1, 0b1010, 2)
    sink.send(accept(5))
    sink.beat(True)
    assert plc.read()["waiting"] == 2 and sink.health().counts["withheld"] == 3


def test_where_the_beat_stops_no_accept_is_shown() -> None:
    sink = Modbus(ModbusOptions(listen=LISTEN, silent_ms=50))
    sink.open()
    sink.send(accept(1))
    plc = Plc(port_of(sink))
    assert plc.read()["id"] == 0 and plc.read()["status"] & 1 == 0, "before the first beat"
    sink.beat(True)
    sink.send(accept(2))
    time.sleep(0.06)
    seen = plc.read()
    assert (seen["id"], seen["status"] & 0b111) == (0, 0)
    plc.close()
    sink.close()


def test_a_new_opening_shows_nothing_of_before(sink: Modbus) -> None:
    sink.send(accept(1))
    sink.close()
    sink.open()
    plc = Plc(port_of(sink))
    seen = plc.read()
    assert (seen["id"], seen["status"], seen["heartbeat"], seen["trigger_taken"]) == (0, 0, 0, 0)
    plc.close()


def test_a_connection_ends_with_the_sink(sink: Modbus) -> None:
    with raw(sink) as end:
        assert asked(end, bytes([3, 0, 0, 0, 1]))
        sink.close()
        assert end.recv(1) == b""
    with pytest.raises(OSError):
        raw(sink)


# ---------------------------------------------------------------- triggers


@pytest.fixture
def told(sink: Modbus) -> list[str | None]:
    found: list[str | None] = []
    sink.on_trigger(found.append)
    return found


def test_each_next_number_is_one_trigger(plc: Plc, told: list[str | None]) -> None:
    assert plc.trigger(1, 500) and plc.trigger(2, 501)
    assert plc.trigger(2, 501), "repeated, since its answer was lost"
    assert plc.trigger(3, 0xFFFFFFFF)
    assert told == ["500", "501", None] and plc.read()["trigger_taken"] == 3


def test_another_number_than_the_next_is_refused_and_counted(plc: Plc, told: list[str | None]) -> None:
    for number in (2, 65535, 9):
        assert not plc.trigger(number, 1)
    seen = plc.read()
    assert (told, seen["trigger_taken"], seen["triggers_refused"]) == ([], 0, 3)
    assert plc.trigger(1, 1) and told == ["1"]


def test_the_numbers_go_round(sink: Modbus, plc: Plc, told: list[str | None]) -> None:
    sink._interlock._taken = 65534
    assert plc.trigger(65535, 1) and plc.trigger(0, 2) and plc.trigger(1, 3)
    assert told == ["1", "2", "3"]


# ---------------------------------------------------------------- the protocol, and who speaks it


@pytest.mark.parametrize(
    ("pdu", "why"),
    [
        ([3, 0, 0, 0, 0], 3), ([3, 0, 0, 0, 126], 3), ([3, 0, 0], 3), ([3], 3), ([3, 0, 64, 0, 1], 2),
        ([3, 0, 60, 0, 10], 2), ([4, 255, 255, 0, 125], 2), ([1, 0, 0, 8, 0], 3), ([6, 0, 0, 0, 1], 2),
        ([6, 0, 107, 0, 1], 2), ([16, 0, 100, 0, 2, 4, 1, 1, 1], 3), ([16, 0, 100, 0, 2, 2, 1, 1, 1, 1], 3),
        ([16, 0, 106, 0, 2, 4, 0, 1, 0, 1], 2), ([16, 0, 100, 0, 0, 0], 3), ([5, 0, 0, 255, 0], 1),
        ([43, 14, 1, 0], 1), ([0, 1], 1), ([23, 0, 0, 0, 1], 3), ([16, 0, 106, 0, 1, 2, 0, 9], 3),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_as_the_protocol_has_it(sink: Modbus, pdu: list[int], why: int) -> None:
    with raw(sink) as end:
        assert asked(end, bytes(pdu)) == bytes([pdu[0] | 0x80, why])
        assert asked(end, bytes([3, 0, 0, 0, 1])) == bytes([3, 2, 0, 1]), "and the next is answered"


def test_requests_that_come_at_once_or_in_pieces_are_each_answered(sink: Modbus) -> None:
    one = struct.pack(">HHHB", 1, 0, 6, 1) + bytes([3, 0, 0, 0, 1])
    with raw(sink) as end:
        end.sendall(one * 50)
        assert [answered(end) for _ in range(50)] == [bytes([3, 2, 0, 1])] * 50
        for byte in one:
            end.sendall(bytes([byte]))
        assert answered(end) == bytes([3, 2, 0, 1])


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\0\1\0\0\0\0\1", b"\0\1\0\0\0\1\1", b"\0\1\0\0\1\0\1" + b"x" * 255]
)
def test_who_speaks_no_modbus_is_closed(sink: Modbus, data: bytes) -> None:
    with raw(sink) as end:
        end.sendall(data)
        assert exactly(end, 1) == b""
    assert until(lambda: sink.health().counts.get("clients_misspoken")) == 1


def test_so_many_clients_and_no_more() -> None:
    sink = Modbus(ModbusOptions(listen=LISTEN, clients=2))
    sink.open()
    ends = [raw(sink) for _ in range(2)]
    assert all(asked(end, bytes([3, 0, 0, 0, 1])) for end in ends)
    with raw(sink) as third:
        assert exactly(third, 1) == b""
    assert asked(ends[0], bytes([3, 0, 0, 0, 1])), "the others are still there"
    health = until(lambda: None if sink.health().ok else sink.health())
    assert "as many as clients says" in health.detail and health.counts["clients_refused"] == 1
    ends[0].close()
    until(lambda: sink.health().counts["clients"] == 1)
    with raw(sink) as fourth:
        assert asked(fourth, bytes([3, 0, 0, 0, 1]))
    ends[1].close()
    sink.close()


@pytest.mark.parametrize(("allow", "answered_it"), [("127.0.0.0/8", True), ("10.1.2.3", False)])
def test_only_who_is_allowed_is_answered(allow: str, answered_it: bool) -> None:
    sink = Modbus(ModbusOptions(listen=LISTEN, allow=(allow,)))
    sink.open()
    with raw(sink) as end:
        try:
            answer = asked(end, bytes([3, 0, 0, 0, 1]))
        except ConnectionError:
            answer = b""
        assert bool(answer) is answered_it
    sink.close()


def test_who_says_nothing_is_closed_and_half_a_request_is_nothing() -> None:
    sink = Modbus(ModbusOptions(listen=LISTEN, idle_seconds=0.2))
    sink.open()
    with raw(sink) as end:
        end.sendall(b"\0\1\0\0")
        assert exactly(end, 1) == b""
    assert sink.health().counts["clients_idle"] == 1
    sink.close()


def test_who_reads_no_answers_is_closed_and_delays_nobody(sink: Modbus, plc: Plc) -> None:
    many = (struct.pack(">HHHB", 1, 0, 6, 1) + bytes([3, 0, 0, 0, 64])) * 500
    with raw(sink) as end:
        end.setblocking(False)

        def closed() -> bool:
            try:
                end.send(many)
            except BlockingIOError:
                time.sleep(0.001)
            except ConnectionError:
                return True
            sink.send(reject(1))
            assert plc.read()["id"] == 1
            return sink.health().counts.get("clients_not_reading", 0) > 0

        until(closed, 60)


def test_check_says_where_it_listens(tmp_path: Path) -> None:
    document = {
        "camera": [{"name": "top", "source": "generated", "bundle": "none"}],
        "sink": [{"kind": "modbus", "options": {"listen": LISTEN}}],
    }
    found = check_line(line_of(document, "a test", tmp_path), {"top": tmp_path / "none"}, 0.1)
    (sink,) = [each for each in found if each.kind == "sink"]
    assert sink.ready
    assert [notice.code for notice in sink.notices] == [
        "line-check-role",
        "line-check-tells",
        "line-check-where",
    ]
    assert "listens on 127.0.0.1:" in str(sink.notices[-1])


def test_where_it_cannot_listen_is_said(sink: Modbus) -> None:
    with pytest.raises(OutputError, match="is another program there"):
        Modbus(ModbusOptions(listen=f"127.0.0.1:{port_of(sink)}")).open()
    with pytest.raises(OutputError, match="can't listen on 192\\.0\\.2\\.1"):
        Modbus(ModbusOptions(listen="192.0.2.1:1502")).open()


@pytest.mark.parametrize(
    ("option", "given"),
    [("listen", "502"), ("listen", ":502"), ("listen", "a:b"), ("listen", "a:70000"), ("listen", "a\n:1"),
     ("allow", ("plc",)), ("allow", ("10.0.0.1/8",)), ("cameras", ("a", "a")), ("clients", 0)],
)  # fmt: skip
def test_an_option_that_means_nothing_is_refused(option: str, given: Any) -> None:
    with pytest.raises(OptionError, match=option):
        ModbusOptions(**{option: given})


def test_it_listens_on_the_loopback_unless_told_otherwise() -> None:
    assert ModbusOptions().listen.startswith("127.0.0.1:")
