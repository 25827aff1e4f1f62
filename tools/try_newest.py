"""Try the newest engines, whatever bounds pyproject.toml sets, in a fresh environment by their tests.

    python tools/try_newest.py [--package NAME]... [--pre] [--keep FOLDER] [-- PYTEST WORDS]

edgead is installed as pyproject.toml says, then the packages are brought to the newest versions that the
index has and that agree with each other, whatever edgead's bounds. Printed are the versions before and after,
those that the others hold back, and what the tests say. Where they pass, a bound may be raised; where they
don't, the bound has done its work: exit code 1. Needs a package index; meant for a weekly job, see
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "onnxruntime",
    "openvino",
    "nncf",
    "onnx",
    "spox",
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
)
TESTS = (
    *("test_session", "test_runtime_options", "test_providers", "test_parity", "test_proof", "test_exported"),
    *("test_fit_export", "test_quantize", "test_integer_weights", "test_telemetry", "test_no_network"),
    *("test_imagefile", "test_images", "test_detector", "test_concurrency"),
)
VERSIONS = "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]))"


def main() -> int:
    arguments = _arguments()
    packages = arguments.package or PACKAGES
    with tempfile.TemporaryDirectory(prefix="edgead-newest-") as temporary:
        folder = (arguments.keep or Path(temporary)).absolute()
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-e", f"{ROOT}[dev]"], check=True)
        before = _versions(python, packages)
        newest = [*pip, "--upgrade", *(["--pre"] if arguments.pre else []), *packages]
        subprocess.run(newest, check=True)  # pip says which bounds that breaks
        after = _versions(python, packages)
        left = _left(python, arguments.pre)
        print("| package | by pyproject.toml | tried | held back by the others |\n| --- | --- | --- | --- |")
        for name, old, new in zip(packages, before, after, strict=True):
            print(f"| {name} | {old} | {new if new != old else 'the same'} | {left.get(name, '-')} |")
        if after == before:
            print("\nno version is newer than what pyproject.toml takes, so no bound was tried")
        sys.stdout.flush()  # before what pytest prints
        tests = arguments.tests or [*(f"tests/core/{name}.py" for name in TESTS), "tests/exporters"]
        code = subprocess.run(
            [python, "-m", "pytest", "-q", "-m", "not torch and not fresh", *tests], cwd=ROOT
        )
    print("the engines' tests pass" if code.returncode == 0 else "the engines' tests fail: keep the bounds")
    return int(code.returncode != 0)


def _versions(python: Path, packages: tuple[str, ...] | list[str]) -> list[str]:
    words = [python, "-c", VERSIONS, *packages]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def _left(python: Path, pre: bool) -> dict[str, str]:
    """Of the packages that aren't the index's newest all the same, its version."""
    words = [python, "-m", "pip", "list", "--outdated", "--format", "json", *(["--pre"] if pre else [])]
    found = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {each["name"]: each["latest_version"] for each in json.loads(found)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--package", action="append", help="this one alone; may be given again")
    parser.add_argument("--pre", action="store_true", help="take versions before their release, too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the environment here, and keep it")
    parser.add_argument("tests", nargs="*", help="what pytest runs instead of the engines' tests")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
