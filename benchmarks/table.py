"""One table of all that's compared: edgead beside others, the search, the forms, and starting.

    python benchmarks/table.py [DATASET_DIR...] [--weights resnet18.safetensors] [--out edgead-bench]
        [--peers PYTHON|none] [--part PART]... [--longest 300]

``make bench`` runs it. Every part is a process of its own (``side_by_side.py``, ``nearest.py``, ``forms.py``,
``startup.py``); one that fails, or that lacks its peers, weights or images, is in the table with the reason.
Written are ``table.md`` and ``table.json``, with ratios taken within this run and their spread, the
processor's class, and everybody's versions. ``compare_tables.py`` holds one against another.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from held import CLASSES
from rows import Row, markdown, missing, read_rows

import edgead
from edgead.machine import installed
from edgead.processor import cpu

HERE = Path(__file__).parent
FORMAT = 1
PARTS = ("side_by_side", "nearest", "forms", "startup")
METHODS = ("patchcore", "padim", "spade")
OWN = ("openvino", "onnxruntime", "numpy", "opencv-python-headless")
PEERS = ("anomalib", "torch", "timm", "faiss-cpu", "openvino")
VERSIONS = (
    "import json, sys\nfrom importlib.metadata import version\nfound = {}\nfor name in sys.argv[1:]:\n"
    "    try: found[name] = version(name)\n    except Exception: pass\nprint(json.dumps(found))"
)


def main() -> int:
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        for part in arguments.part or PARTS:
            print(f"--- {part} ...", file=sys.stderr, flush=True)
            rows += _part(part, arguments, Path(folder))
    peers = Path(arguments.peers or ".venv-peers/bin/python")
    table = document(rows, machine(load, os.getloadavg()[0]), versions(peers))
    (arguments.out / "table.json").write_text(json.dumps(table, indent=1) + "\n")
    text = "\n".join(lines(table))
    (arguments.out / "table.md").write_text(text + "\n")
    print(text)
    print(f"\nwritten: {arguments.out}/table.md, {arguments.out}/table.json", file=sys.stderr)
    return 0 if any(not row.why for row in rows) else 1


# ---------------------------------------------------------------- the table


def document(rows: Sequence[Row], on: Mapping[str, Any], of: Mapping[str, Any]) -> dict[str, Any]:
    """The table as JSON."""
    return {
        "format": FORMAT,
        "edgead": edgead.__version__,
        "machine": dict(on),
        "versions": dict(of),
        "rows": [row.record() for row in rows],
    }


def machine(load_before: float, load_after: float) -> dict[str, Any]:
    """What it ran on, and how busy that was: another's work widens the spread."""
    processor = cpu()
    return {
        "processor": processor.kind,
        "model": processor.model,
        "threads": processor.threads,
        "load": [round(load_before, 1), round(load_after, 1)],
    }


def versions(peers: Path) -> dict[str, str]:
    """Everybody's, by package; the peers' own with ``peers`` before the name."""
    found = {name: version for name in OWN if (version := installed(name))}
    if peers.is_file():
        words = [str(peers), "-c", VERSIONS, *PEERS]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found |= {f"peers' {name}": version for name, version in json.loads(done.stdout).items()}
    return found


def lines(table: Mapping[str, Any]) -> list[str]:
    """The table in Markdown."""
    on, rows = table["machine"], read_rows(table["rows"])
    before, after = on["load"]
    where = f"{on['processor']} ({on['model']}, {on['threads']} threads; load {before} before, {after} after)"
    of = ", ".join(f"{name} {version}" for name, version in table["versions"].items())
    told = [f"edgead {table['edgead']} on {where}; {of}"]
    for part in dict.fromkeys(row.part for row in rows):
        told += ["", f"**{part}**", "", *markdown([row for row in rows if row.part == part])]
    return told


# ---------------------------------------------------------------- the parts


def _part(part: str, arguments: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """A part's rows; whatever it lacks, there's one at least."""
    data, weights = arguments.data, arguments.weights
    if part == "side_by_side":
        if not data or weights is None:
            yield missing(
                part, "all", 'it takes images and weights: make bench DATA="FOLDER ..." WEIGHTS=FILE'
            )
            return
        for place in data:
            peers = ["--peers", arguments.peers] if arguments.peers else []
            longest = ["--longest", str(arguments.longest)]
            yield from _run(
                part, place.name, [str(place), "--weights", str(weights), *longest, *peers], folder
            )
    elif part == "nearest":
        yield from _run(part, "all", [], folder)
    elif not data:
        yield missing(part, "all", 'it takes images: make bench DATA="FOLDER ..."')
    elif part == "forms":
        made = [_fitted(method, arguments, folder) for method in METHODS]
        yield from (missing(part, f"{cpu().kind}: {method}", why)
                    for method, why in zip(METHODS, made, strict=True) if isinstance(why, str))  # fmt: skip
        if bundles := [str(bundle) for bundle in made if isinstance(bundle, Path)]:
            held = [word for name in CLASSES for word in ("--held-to", name)]
            yield from _run(part, "all", [*bundles, *held], folder)
    else:
        bundle = _fitted(METHODS[0], arguments, folder)
        if isinstance(bundle, str):
            yield missing(part, "all", bundle)
            return
        out = folder / "int8.edgead"
        words = [
            "export",
            str(bundle),
            "--target",
            "openvino",
            "--precision",
            "int8",
            "--out",
            str(out),
            "-q",
        ]
        if why := _edgead(words):
            yield missing(part, "all", why)
        else:
            yield from _run(part, "all", [str(out)], folder)


def _fitted(method: str, arguments: argparse.Namespace, folder: Path) -> Path | str:
    """A fitted bundle of the first images, made once; or why there's none."""
    out = folder / f"{method}.edgead"
    if out.exists():
        return out
    backbone = ["--backbone", "resnet18", "--weights", str(arguments.weights)] if arguments.weights else []
    good = arguments.data[0] / "train" / "good"
    words = ["fit", method, str(good), *backbone, "--size", "256x256", "--out", str(out), "-q"]
    return _edgead(words) or out


def _edgead(words: Sequence[str]) -> str:
    """Run the command line; returns why it failed, or nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "edgead", *words], capture_output=True, text=True, check=False
    )
    return _last(done) if done.returncode else ""


def _run(part: str, name: str, words: Sequence[str], folder: Path) -> list[Row]:
    """Run a part's program and take its rows."""
    file = folder / "rows.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"{part}.py"), *words, "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not file.exists():
        return [missing(part, name, _last(done))]
    return read_rows(json.loads(file.read_text()))


def _last(done: subprocess.CompletedProcess[str]) -> str:
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return said[-1][:300] if said else f"exit code {done.returncode}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", type=Path, help="data sets in MVTec's layout")
    parser.add_argument("--weights", type=Path, help="ResNet-18's, .safetensors; else the default backbone")
    parser.add_argument("--out", type=Path, default=Path("edgead-bench"))
    parser.add_argument("--peers", help="their interpreter, instead of making .venv-peers; none for no peers")
    parser.add_argument("--longest", type=int, default=300, help="picks of anomalib's coreset that are timed")
    parser.add_argument("--part", action="append", choices=PARTS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
