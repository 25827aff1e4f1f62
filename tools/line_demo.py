"""A whole line on one machine, without hardware: a virtual camera, a PLC, a broker, the operator's page.

    python tools/line_demo.py [--out edgead-line-demo] [--rate 2] [--port 8080] [--seconds N]

``make line-demo`` runs it. It draws a product's parts, fits and exports a bundle where the folder has none
yet, writes ``line.toml`` and runs ``edgead line run`` on it until Ctrl-C. A PLC beside it, by Modbus TCP,
takes each result and acknowledges it, and its gate opens for an accept alone; where mosquitto is installed
(``apt install mosquitto``) a broker of its own is told of the verdicts too. All listen on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import cv2
from pymodbus.exceptions import ModbusException

import edgead
from edgead.demo.product import KINDS, make_defective, make_product
from edgead.files import write_file
from edgead.line.config import read_line
from edgead.line.hold import runs
from edgead.progress import make_progress

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.plugins.modbus_plc import Plc

LEARNT, PARTS = 60, 120
SEED = 0
FIRST_PART = 10_000
"""Numbers of the parts on the belt begin here: none of them was learnt from."""
A_DEFECT_IN = 8
BROKER = "mosquitto"
NO_BROKER = "no MQTT: mosquitto isn't installed (apt install mosquitto)"

LINE = """\
[line]
name = "demo"
deadline_ms = 400
hung_ms = 2000

[[camera]]
name = "top"
source = "generated"
bundle = "bundle.edgead"
options = {{ images = "parts", rate = {rate} }}

[[sink]]
kind = "modbus"
role = "verdict"
options = {{ listen = "127.0.0.1:{modbus}", stale_ms = 5000 }}
{mqtt}
[log]
images = {{ reject = "all", near = 0.3, good = "1/2" }}
keep = {{ days = 1, gigabytes = 1 }}

[page]
listen = "127.0.0.1:{port}"
"""
MQTT = """
[[sink]]
kind = "mqtt"
options = {{ url = "mqtt://127.0.0.1:{broker}/edgead/demo" }}
"""


def main() -> int:
    arguments = _arguments()
    out: Path = arguments.out
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: line and broker don't outlive this
        signal.signal(number, _interrupt)
    if (file := out / "line.toml").exists() and (process := runs(file, read_line(file))) is not None:
        told = f"a demo runs here already, as process {process}: end that first, or name another folder"
        print(told, file=sys.stderr)
        return 7
    if not (out / "bundle.edgead").exists():
        make_bundle(out)
    modbus = free_port()
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(a_broker(out))
        mqtt = MQTT.format(broker=broker) if broker else ""
        text = LINE.format(rate=arguments.rate, modbus=modbus, mqtt=mqtt, port=arguments.port)
        write_file(file, text.encode())
        print(f"the line's file: {file}")
        print(f"Modbus TCP: 127.0.0.1:{modbus}")
        print(f"MQTT: 127.0.0.1:{broker}, topic edgead/demo/#" if broker else NO_BROKER)
        print(f"the page, once the line is ready: http://127.0.0.1:{arguments.port}", flush=True)
        if (users := out / "users.toml").exists():
            print(f"another password: edgead line users add {users} engineer --role engineer", flush=True)
        stack.enter_context(Gate(modbus))
        return run_line(out, arguments.seconds)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def make_bundle(out: Path) -> None:
    """Draw parts, learn from some, and keep the others for the belt."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("photos", "parts"):
        (out / name).mkdir(exist_ok=True)
    for number in range(LEARNT):
        cv2.imwrite(str(out / "photos" / f"{number:03}.png"), make_product(SEED, number))
    for number in range(PARTS):
        image = make_product(SEED, FIRST_PART + number)
        if number % A_DEFECT_IN == A_DEFECT_IN - 1:
            kind = KINDS[number // A_DEFECT_IN % len(KINDS)]
            image, _ = make_defective(SEED, FIRST_PART + number, kind)
        cv2.imwrite(str(out / "parts" / f"{number:03}.png"), image)
    print(f"drawn: {LEARNT} good parts to learn from, {PARTS} for the belt, every {A_DEFECT_IN}th defective")
    print("fitting, for a minute or two ...", flush=True)
    start = time.monotonic()
    fitted = edgead.fit("patchcore", out / "photos", out / "fitted.edgead", folds=5, progress=make_progress())
    edgead.export(fitted.bundle, "openvino", out / "bundle.edgead", progress=make_progress())
    print(f"fitted and exported in {time.monotonic() - start:.0f} s: {out / 'bundle.edgead'}")


def run_line(out: Path, seconds: float | None) -> int:
    """Run ``edgead line run`` until it ends, Ctrl-C, or for so many seconds; returns its exit code."""
    words = [sys.executable, "-m", "edgead", "line", "run", str(out / "line.toml")]
    line = subprocess.Popen(words, start_new_session=True)  # Ctrl-C comes here, and the line ends in order
    try:
        return line.wait(seconds)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        line.send_signal(signal.SIGTERM)
        return line.wait()


class Gate(threading.Thread):
    """The PLC: polls results, acknowledges each, and counts what its gate did; says so every ten seconds."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # that the line isn't there yet is no news
        self._port = port
        self._done = threading.Event()
        self._gate: Counter[str] = Counter()

    def __enter__(self) -> Gate:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self.join(5)

    def run(self) -> None:
        """Until told to end; a line that isn't there yet, or any more, is waited for."""
        while not self._done.wait(0.5):
            with contextlib.suppress(OSError, AssertionError, ValueError, ModbusException):
                plc = Plc(self._port)
                try:
                    self._serve(plc)
                finally:
                    plc.close()

    def _serve(self, plc: Plc) -> None:
        told = time.monotonic()
        while not self._done.wait(0.02):
            seen = plc.read()
            if seen["id"] and seen["id"] == seen["id_again"] and seen["run"] == seen["run_again"]:
                self._gate["opened" if seen["decision"] == 2 else "stayed shut"] += 1
                plc.acknowledge(seen)
            if time.monotonic() - told > 10 and self._gate:
                told = time.monotonic()
                gate = ", ".join(f"{what} {count} times" for what, count in sorted(self._gate.items()))
                print(f"PLC: the gate {gate}; heartbeat {seen['heartbeat']}, lost {seen['lost']}", flush=True)


@contextlib.contextmanager
def a_broker(out: Path):  # type: ignore[no-untyped-def]
    """A broker's port, while it runs; None where mosquitto isn't installed."""
    program = shutil.which(BROKER) or shutil.which(f"/usr/sbin/{BROKER}")
    if program is None:
        yield None
        return
    port = free_port()
    config = out / "mosquitto.conf"
    write_file(config, f"listener {port} 127.0.0.1\nallow_anonymous true\n".encode())
    broker = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield port
    finally:
        broker.terminate()
        broker.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("edgead-line-demo"), help="its folder (default edgead-line-demo)"
    )
    parser.add_argument("--rate", type=float, default=2.0, help="parts a second (default 2)")
    parser.add_argument("--port", type=int, default=8080, help="the page's (default 8080)")
    parser.add_argument("--seconds", type=float, help="end by itself after so long")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
