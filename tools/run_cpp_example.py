"""Build examples/cpp and compare its scores with Python's: run by the tests where there's a compiler.

python tools/run_cpp_example.py BUNDLE IMAGE... [--onnxruntime FOLDER] [--build FOLDER]

Where cmake finds OpenCV the program reads the images itself, else it's given raw pixels.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import edgead
from edgead.images import read_image

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/cpp"
LARGEST_DIFFERENCE = 1e-4


def missing() -> str | None:
    """What keeps the example from being built here, or None."""
    lacking = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    if lacking:
        return f"no {' and no '.join(lacking)} here"
    headers = ("/usr/include/nlohmann/json.hpp", "/usr/local/include/nlohmann/json.hpp")
    if not any(Path(p).exists() for p in headers) and find_spec("nlohmann_json") is None:
        return "no nlohmann-json3-dev and no Python package nlohmann-json here"
    return None


def build(folder: Path, onnxruntime: Path | None = None) -> Path:
    """Build with the openvino wheel of this Python; returns the program."""
    words = ["cmake", "-S", str(EXAMPLE), "-B", str(folder), f"-DPython3_EXECUTABLE={sys.executable}"]
    if onnxruntime is not None:
        words.append(f"-DONNXRUNTIME={onnxruntime.resolve()}")
    for step in (words, ["cmake", "--build", str(folder)]):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{step[:2]} fails: {(done.stderr or done.stdout).strip()[-800:]}")
    return folder / "judge"


def reads_images(folder: Path) -> bool:
    """Whether what was built here has OpenCV."""
    cache = (folder / "CMakeCache.txt").read_text().splitlines()
    return not next(line for line in cache if line.startswith("OpenCV_DIR:")).endswith("NOTFOUND")


def differences(program: Path, bundle: Path, images: Sequence[Path], raw: bool = True) -> list[float]:
    """How far C++'s scores are from Python's, relative to a score of at least 1; verdicts must be equal.

    Args:
        raw: C++ is given the model's input as raw pixels, else the image files.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = list(map(str, images))
        if raw:
            to_raw = [sys.executable, str(EXAMPLE / "to_raw.py"), str(bundle), folder, *files]
            subprocess.run(to_raw, check=True)
            files = [str(Path(folder) / f"{index:04d}.raw") for index in range(len(images))]
        done = subprocess.run([str(program), str(bundle), *files], capture_output=True, text=True, check=True)
    detector = edgead.load(bundle)
    apart = []
    for line, image in zip(done.stdout.splitlines(), images, strict=True):
        _, score, verdict = line.split("\t")
        prediction = detector(read_image(image))
        apart.append(abs(float(score) - prediction.score) / max(prediction.score, 1.0))
        if (verdict == "anomalous") != prediction.is_anomalous:
            raise SystemExit(f"{image}: C++ says {verdict} at {score}, Python {prediction.score}")
        print(f"{image.parent.name}/{image.name}\tC++ {score}\tPython {prediction.score:.9g}\t{verdict}")
    return apart


def main() -> int:
    """Print each image's two scores; 0 if they agree to 1e-4, 1 if not, 2 if it can't be tried."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--onnxruntime", type=Path, help="folder with ONNX Runtime's include/ and lib/")
    parser.add_argument("--build", type=Path, help="build here and keep it")
    words = parser.parse_args()
    if (reason := missing()) is not None:
        print(f"can't be tried: {reason}")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        folder = words.build or Path(scratch)
        program = build(folder, words.onnxruntime)
        raw = not reads_images(folder)
        apart = differences(program, words.bundle, words.images, raw)
    how = "as raw pixels" if raw else "read by OpenCV"
    print(f"{len(apart)} images, {how}, largest relative difference {max(apart):.1e}")
    return int(max(apart) > LARGEST_DIFFERENCE)


if __name__ == "__main__":
    raise SystemExit(main())
