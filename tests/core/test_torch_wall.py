"""The wall: what the runtime loads, and that fitting works where torch can't be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKBENCH = (
    "torch",
    "timm",
    "nncf",
    "onnx",
    "spox",
    "sklearn",
    "scipy",
    "edgead.workbench",
    "edgead.evaluation",
)


def run(code: str) -> str:
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_loading_and_running_a_bundle_loads_only_the_runtime(compiled):
    for target, other in (("openvino", "onnxruntime"), ("onnx", "openvino")):
        path = str(compiled(target).bundle.path)
        loaded = json.loads(run(
            "import edgead, sys, json, numpy as np\n"
            f"edgead.load({path!r})(np.zeros((90, 60), np.uint8))\n"
            "print(json.dumps(sorted(sys.modules)))"
        ))  # fmt: skip
        for package in (*WORKBENCH, other, "edgead_plugins", "edgead_exporters", "openvino_telemetry.main"):
            assert package not in loaded, f"{target}: {package} was imported"


def test_importing_edgead_loads_nothing_else():
    loaded = json.loads(run("import edgead, sys, json; print(json.dumps(sorted(sys.modules)))"))
    assert not {"numpy", "cv2", "openvino", "onnxruntime", "pluggy", "click", *WORKBENCH} & set(loaded)


def test_patchcore_fits_where_torch_cannot_be_imported(tmp_path):
    out = run(
        "import sys\n"
        "class Without:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def __getattr__(self, name): return getattr(self.finder, name)\n"
        "    def find_spec(self, name, *rest):\n"
        "        hidden = name.partition('.')[0] in ('torch', 'torchvision', 'timm')\n"
        "        return None if hidden else self.finder.find_spec(name, *rest)\n"
        "sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]\n"
        "try:\n"
        "    import torch\n"
        "except ImportError:\n"
        "    pass\n"
        "else:\n"
        "    raise SystemExit('the wall has a hole')\n"
        "from pathlib import Path\n"
        "from tests.bundles import make_reference\n"
        f"bundle = make_reference(Path({str(tmp_path)!r}), n=4)\n"
        "print(bundle.manifest.kind, 'torch' in sys.modules)"
    )
    assert out == "reference False"
