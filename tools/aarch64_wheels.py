"""Has every runtime dependency a wheel for Linux on aarch64 and the Pythons of JetPack 6 and 7? pip asks.

    python tools/aarch64_wheels.py

The requirements are those of pyproject.toml: the core, and each engine's extra. Nothing is installed. Exits
with 1 where a JetPack lacks the core or has no engine at all; an engine that one of them lacks is only said.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
ENGINES = ("onnx", "openvino")


@dataclass(frozen=True)
class JetPack:
    """What a release of NVIDIA's system for Jetsons brings along."""

    name: str
    python: str
    glibc: int

    @property
    def tags(self) -> list[str]:
        """Wheel platforms that it can install, the newest first."""
        return [f"manylinux_2_{n}_aarch64" for n in range(self.glibc, 16, -1)] + ["manylinux2014_aarch64"]


JETPACKS = (JetPack("JetPack 6", "3.10", 35), JetPack("JetPack 7", "3.12", 39))  # Ubuntu 22.04 and 24.04


def resolve(requirements: Sequence[str], jetpack: JetPack) -> list[str] | str:
    """Return the wheels that pip would install, dependencies included, or its reason why it can't."""
    abi = f"cp{jetpack.python.replace('.', '')}"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed",
                 "--no-cache-dir", "--disable-pip-version-check", "--only-binary=:all:", "--target", folder,
                 "--report", str(report), "--python-version", jetpack.python, "--implementation", "cp",
                 "--abi", abi, "--abi", "abi3", "--abi", "none"]  # fmt: skip
        words += [word for tag in jetpack.tags for word in ("--platform", tag)]
        done = subprocess.run([*words, *requirements], capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
            return (lines or ["pip fails"])[-1].removeprefix("ERROR: ")
        found = json.loads(report.read_text())["install"]
    return sorted(each["download_info"]["url"].rsplit("/", 1)[-1] for each in found)


def main() -> int:
    """Print a line for each requirement's wheel."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        from pip._vendor import tomli as tomllib
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    good = True
    for jetpack in JETPACKS:
        print(f"{jetpack.name}: Python {jetpack.python}, glibc 2.{jetpack.glibc}, aarch64")
        core = resolve(project["dependencies"], jetpack)
        engines = {name: resolve(project["optional-dependencies"][name], jetpack) for name in ENGINES}
        for name, found in {"core": core, **engines}.items():
            lines = [found] if isinstance(found, str) else found
            print(f"  {name}: {'NO: ' if isinstance(found, str) else ''}" + "\n    ".join(lines), flush=True)
        good &= not isinstance(core, str) and any(not isinstance(found, str) for found in engines.values())
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
