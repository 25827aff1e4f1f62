"""Run as a script: fit, export and run with every way out of the process closed and listened at.

Imported before anything else, it makes any attempt to resolve a name, open an internet socket or start a
telemetry sender fail loudly and be counted. Prints one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

attempts: list[str] = []


def listen(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook sees sockets made by C code through Python's module too, and can't be removed."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        attempts.append(f"{event} {arguments[1:] if event == 'socket.connect' else arguments}")
        raise OSError("no network in this test")
    if event == "socket.__new__" and arguments[1:2] and int(arguments[1]) in (2, 10):  # AF_INET, AF_INET6
        attempts.append(f"{event} {arguments[1:]}")
        raise OSError("no network in this test")


sys.addaudithook(listen)


def main(folder: Path, provoke: bool) -> None:
    import edgead
    from tests.bundles import bad_image, make_compiled, make_reference

    reference = make_reference(folder, n=6, precisions=("int8",))
    for target in ("openvino", "onnx"):
        made = make_compiled(reference, target, "int8", folder / f"{target}.edgead")
        edgead.load(made.bundle.path)(bad_image(1))
    if provoke:  # the test's own test: what nncf would send if nothing stopped it
        sys.modules.pop("openvino_telemetry", None)
        import time

        import openvino_telemetry

        telemetry = openvino_telemetry.Telemetry(
            app_name="x", app_version="1", tid="G-X", backend="ga4", enable_opt_in_dialog=False
        )
        telemetry.consent = True
        telemetry.send_event("x", "y", "z", force_send=True)
        time.sleep(2)
        with contextlib.suppress(Exception):
            telemetry.force_shutdown(1.0)
    loaded = sorted(
        m for m in sys.modules if m.startswith("openvino_telemetry") and sys.modules[m] is not None
    )
    print(json.dumps({"attempts": attempts, "telemetry": loaded}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--provoke" in sys.argv)
