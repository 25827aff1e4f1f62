"""A script for ``listener``: fit, export and run; prints the telemetry modules that were loaded."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path


def main(folder: Path, provoke: bool) -> None:
    import edgead
    from tests.bundles import bad_image, make_compiled, make_reference

    reference = make_reference(folder, n=6, precisions=("int8",))
    for target in ("openvino", "onnx"):
        made = make_compiled(reference, target, "int8", folder / f"{target}.edgead")
        edgead.load(made.bundle.path)(bad_image(1))
    if provoke:
        send_telemetry()
    loaded = sorted(
        m for m in sys.modules if m.startswith("openvino_telemetry") and sys.modules[m] is not None
    )
    print(json.dumps(loaded))


def send_telemetry() -> None:
    """What nncf would do if nothing stopped it, in the process of its own that the package starts."""
    sys.modules.pop("openvino_telemetry", None)
    import openvino_telemetry

    telemetry = openvino_telemetry.Telemetry(
        app_name="x", app_version="1", tid="G-X", backend="ga4", enable_opt_in_dialog=False
    )
    telemetry.consent = True
    telemetry.send_event("x", "y", "z", force_send=True)
    time.sleep(5)
    with contextlib.suppress(Exception):
        telemetry.force_shutdown(1.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--provoke" in sys.argv)
