"""What a demanded signature costs beside hashing, for a bundle of 20 MB, each figure from a fresh process.

``python benchmarks/trust.py [RUNS]`` prints one line for each kind of signature: the outcome, and the medians
of reading the bundle without and with trust, in milliseconds: the difference is what the signature costs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from edgead.bundle import read_bundle, write_bundle
from edgead.bundle.signing import Claim, sign_bundle
from edgead.trust.floors import Mark, raise_floor
from edgead.trust.keys import make_keys

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "v2.edgead"
MEGABYTES = 20
READER = """
import json, sys, time
from pathlib import Path
from edgead.bundle import read_bundle
from edgead.errors import BundleError
path, key, state = sys.argv[1:]
read_bundle(Path(path), demanded=False)
began = time.perf_counter()
read_bundle(Path(path), demanded=False)
plain = time.perf_counter() - began
began = time.perf_counter()
try:
    from edgead.trust import Trust
    read_bundle(Path(path), trust=Trust(key, state=state))
    told = "accepted"
except BundleError as error:
    told = type(error).__name__
print(json.dumps([told, 1e3 * plain, 1e3 * (time.perf_counter() - began)]))
"""


def make(path: Path) -> Path:
    """The golden bundle, with a file of 20 MB beside it."""
    manifest = read_bundle(GOLDEN).manifest
    with write_bundle(path) as made:
        for file in manifest.files:
            (made.folder / file.path).parent.mkdir(exist_ok=True)
            (made.folder / file.path).write_bytes((GOLDEN / file.path).read_bytes())
        (made.folder / "weights.bin").write_bytes(bytes(MEGABYTES << 20))
        made.finish(replace(manifest, probes=manifest.probes))
    return path


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name in ("qa", "other"):
            make_keys(root / f"{name}.key", root / f"{name}.pub")
        kinds = {
            name: make(root / f"{name}.edgead")
            for name in ("good", "unsigned", "foreign", "replayed", "flipped")
        }
        for name, path in kinds.items():
            if name != "unsigned":
                key = "other" if name == "foreign" else "qa"
                sign_bundle(path, root / f"{key}.key", Claim(1 if name == "replayed" else 5))
        raise_floor(root / "serials.json", Mark("", 5, "0" * 64))
        (file,) = (kinds["flipped"] / "signatures").iterdir()
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        for name, path in kinds.items():
            words = [
                sys.executable,
                "-c",
                READER,
                str(path),
                str(root / "qa.pub"),
                str(root / "serials.json"),
            ]
            told = [
                json.loads(subprocess.run(words, capture_output=True, check=True).stdout) for _ in range(runs)
            ]
            (outcome,) = {each[0] for each in told}
            plain, with_trust = (statistics.median(each[i] for each in told) for i in (1, 2))
            print(f"{name:9} {outcome:22} without {plain:6.1f} ms   with {with_trust:6.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
