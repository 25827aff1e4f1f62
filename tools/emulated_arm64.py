"""The runtime on an emulated arm64 Debian: its tests, and golden bundles with the verdicts of this machine.

    sudo python tools/emulated_arm64.py FOLDER [--python .venv/bin/python]

needs debootstrap and qemu-user-static (Debian's packages), root for chroot, about 1 GB in FOLDER and three
minutes, most of them the first time. The arm64 system's packages are unpacked, not installed: Python needs no
more, and nothing of the installation has to be emulated. Not part of the tests; nothing outside FOLDER is
changed, but for the kernel's list of interpreters, where qemu is entered if it isn't yet.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SUITE = "bookworm"
SYSTEM_PYTHON = "3.11"
GLIBC = 36
MIRROR = "http://deb.debian.org/debian"
PACKAGES = ("numpy", "opencv-python-headless", "pluggy", "click", "onnxruntime", "pytest")
TESTS = (
    "tests/core/test_manifest.py",
    "tests/core/test_bundle.py",
    "tests/core/test_resize.py",
    "tests/core/test_images.py",
    "tests/core/test_providers.py",
)
"""The runtime's tests that need nothing of the workbench."""
LARGEST_DIFFERENCE = {"fp32": 1e-3, "int8": 1e-2}
"""Scores and maps, relative. ONNX Runtime's fused INT8 kernels round some values one step apart on arm64 and
on x86; with its optimiser off both yield the same to the last bit."""
BINFMT = Path("/proc/sys/fs/binfmt_misc")
ENTRY = (
    rb":qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
    rb"/usr/bin/qemu-aarch64-static:F"
)
"""An ELF file for arm64 is run by qemu; F: opened now, so that a chroot needn't hold it."""

MAKE_BUNDLES = """
import sys, tempfile
from pathlib import Path
import cv2
from tests.bundles import bad_image, good_image, make_compiled, make_reference
out = Path(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    reference = make_reference(Path(folder), size=(64, 64), precisions=("fp32", "int8"), final_fit=False)
    for target, form in (("onnx", "fp32"), ("onnx", "int8"), ("jetson", "int8")):
        make_compiled(reference, target, form, out / f"patchcore-{target}-{form}.edgead")
(out / "images").mkdir(exist_ok=True)
for name, make in (("good", good_image), ("bad", bad_image)):
    for i in range(10):
        cv2.imwrite(str(out / "images" / f"{name}{i}.png"), make(500 + i if name == "good" else i))
"""

JUDGE = """
import json, platform, sys
from pathlib import Path
import edgead
from edgead.images import read_image
root = Path(sys.argv[1])
found = {}
for path in sorted([*root.glob("*.edgead"), *Path("tests/golden").glob("*.edgead")]):
    detector = edgead.load(path, engine="onnxruntime", threads=1)
    probes = sorted(path.glob("probes/*.png"))[:2]
    for file in [*probes, *(sorted((root / "images").glob("*.png")) if path.parent == root else ())]:
        p = detector(read_image(file))
        found[f"{path.name} {file.name}"] = [p.score, bool(p.is_anomalous), float(p.anomaly_map.max())]
print(json.dumps({"machine": platform.machine(), "python": platform.python_version(), "found": found}))
"""


def main() -> int:
    """Set up what is missing, compare, run the tests; 0 if all is well, 1 if not, 2 if it can't be tried."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--python", default=sys.executable, help="has edgead[all] and pytest, for this machine"
    )
    words = parser.parse_args()
    lacking = [name for name in ("debootstrap", "qemu-aarch64-static", "dpkg-deb") if not shutil.which(name)]
    if lacking or os.geteuid() != 0:
        print(f"can't be tried: {'lacks ' + ', '.join(lacking) if lacking else 'needs root, for chroot'}")
        return 2
    folder = words.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    enter_qemu()
    root = folder / "root"
    unpack_system(folder, root)
    make_devices(root / "dev")
    unpack_packages(folder, root / "opt/site")
    bundles = folder / "bundles"
    if not bundles.is_dir():
        bundles.mkdir()
        run([words.python, "-c", MAKE_BUNDLES, str(bundles)], cwd=REPOSITORY)
    copy_repository(root / "opt/edgead", bundles)
    here = json.loads(run([words.python, "-c", JUDGE, str(bundles)], cwd=REPOSITORY))
    there = json.loads(run(inside(root, "-c", JUDGE, "bundles")))
    good = compare(here, there)
    print("the runtime's tests on arm64:", flush=True)
    tests = inside(
        root, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not real and not verify", *TESTS
    )
    return 0 if subprocess.run(tests, check=False).returncode == 0 and good else 1


def enter_qemu() -> None:
    """Tell the kernel that qemu runs arm64's programs."""
    if not (BINFMT / "register").exists():
        run(["mount", "-t", "binfmt_misc", "none", str(BINFMT)])
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_bytes(ENTRY)


def unpack_system(folder: Path, root: Path) -> None:
    """Fetch Debian's packages for arm64 and unpack them."""
    if (root / f"usr/bin/python{SYSTEM_PYTHON}").exists():
        return
    fetched = folder / "debootstrap"
    include = "--include=python3,libstdc++6,libgomp1"
    run(
        [
            "debootstrap",
            "--foreign",
            "--arch=arm64",
            "--variant=minbase",
            include,
            SUITE,
            str(fetched),
            MIRROR,
        ]
    )
    root.mkdir(exist_ok=True)
    for package in sorted((fetched / "var/cache/apt/archives").glob("*.deb")):
        run(["dpkg-deb", "-x", str(package), str(root)])


def make_devices(folder: Path) -> None:
    """The two devices that the tests open."""
    folder.mkdir(exist_ok=True)
    for name, minor in (("null", 3), ("urandom", 9)):
        if not (folder / name).exists():
            os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            (folder / name).chmod(0o666)


def unpack_packages(folder: Path, site: Path) -> None:
    """Fetch the wheels for arm64 and unpack them: that's all that an installer would do with them."""
    if site.is_dir():
        return
    wheels = folder / "wheels"
    tags = [f"--platform=manylinux_2_{glibc}_aarch64" for glibc in range(GLIBC, 16, -1)]
    version = SYSTEM_PYTHON.replace(".", "")
    run([sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", f"--python-version={version}",
         "--implementation=cp", f"--abi=cp{version}", "--abi=abi3", "--abi=none", *tags, "-d", str(wheels),
         *PACKAGES])  # fmt: skip
    for wheel in sorted(wheels.glob("*.whl")):
        zipfile.ZipFile(wheel).extractall(site)


def copy_repository(target: Path, bundles: Path) -> None:
    """The sources as they are now, and the bundles."""
    shutil.rmtree(target, ignore_errors=True)
    for name in ("edgead", "tests"):
        shutil.copytree(REPOSITORY / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(REPOSITORY / "pyproject.toml", target / "pyproject.toml")
    shutil.copytree(bundles, target / "bundles")


def inside(root: Path, *words: str) -> list[str]:
    """A command line of Python's inside the arm64 system, in the repository's copy."""
    (root / "tmp").mkdir(exist_ok=True)
    packages = root / f"usr/local/lib/python{SYSTEM_PYTHON}/dist-packages"
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "here.pth").write_text("/opt/site\n/opt/edgead\n")  # known to a test's own processes, too
    return ["chroot", str(root), "/usr/bin/env", "-C", "/opt/edgead", "PYTHONDONTWRITEBYTECODE=1",
            "HOME=/tmp", "/usr/bin/python3", *words]  # fmt: skip


def compare(here: dict[str, object], there: dict[str, object]) -> bool:
    """Print how far the two are apart; verdicts must be the same, scores and maps almost."""
    ours, theirs = here["found"], there["found"]
    assert isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys()
    print(f"{here['machine']}, Python {here['python']} / {there['machine']}, Python {there['python']}")
    good = True
    for bundle in sorted({name.partition(" ")[0] for name in ours}):
        names = [name for name in ours if name.startswith(f"{bundle} ")]
        apart = max(abs(ours[n][i] - theirs[n][i]) / max(abs(ours[n][i]), 1.0) for n in names for i in (0, 2))
        flips = sum(ours[n][1] != theirs[n][1] for n in names)
        anomalous = sum(ours[n][1] for n in names)
        allowed = LARGEST_DIFFERENCE["int8" if "int8" in bundle else "fp32"]
        print(f"{bundle}: {len(names)} images ({anomalous} anomalous), {flips} verdicts differ, "
              f"scores and maps within {apart:.1e} ({allowed:.0e} allowed)")  # fmt: skip
        good &= not flips and apart <= allowed
    return good


def run(words: Sequence[str], cwd: Path | None = None) -> str:
    """Run a command; its last line of output, or an end with its words where it fails."""
    path = {"PYTHONPATH": str(cwd)} if cwd else {}
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{words[0]} fails ({done.returncode}): {done.stderr.strip()[-600:]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


if __name__ == "__main__":
    raise SystemExit(main())
