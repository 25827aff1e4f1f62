"""Mutated models in sealed bundles: loaded and run once in a forked child each, and how each child ended.

    python -m tests.fuzz.models BUNDLE [--count 10000] [--engine onnxruntime] [--seed 0]

A model that passes edgead's own look at it is a program for the engine, so a child may break down; that is
what `edgead verify --try` has one for. But whatever an engine raises must be an error of edgead's: "other"
counts what a command would end with exit code 1 for. Bytes are flipped, cut, doubled, moved or exchanged, and
the manifest is sealed anew, as whoever means harm would. Needs fork, and Linux for the limits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import edgead
from edgead.bundle import read_bundle
from edgead.errors import EdgeadError
from edgead.runtime.engines import engine_of
from tests.fuzz.mutations import EDITS, TOKENS, edited
from tests.sealed import change_manifest

SECONDS = 20
"""Of processor time, for a child."""
MEMORY = 6 << 30
RUNS, REFUSED, OTHER = 0, 3, 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--engine")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.monotonic()
    found, others = try_mutated(arguments.bundle, arguments.count, arguments.engine, arguments.seed)
    print(f"{arguments.count} mutated models, {time.monotonic() - began:.0f} s")
    for how, many in sorted(found.items()):
        print(f"  {how}: {many}")
    for told in others[:20]:
        print(told)
    sys.exit(1 if others else 0)


def try_mutated(bundle: Path, count: int, engine: str | None, seed: int) -> tuple[Counter[str], list[str]]:
    """How the children ended, by kind, and what those raised that raised no error of edgead's."""
    rng = random.Random(seed)
    read = read_bundle(bundle)
    engine_of(read, engine)  # imported once, here; it makes its threads in the child
    frame = np.zeros((*read.manifest.input.size, 3), np.uint8)
    model = read.manifest.model
    files = [model, model[:-4] + ".bin"] if model.endswith(".xml") else [model]
    found: Counter[str] = Counter()
    others: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        copy, told = Path(folder) / "b.edgead", Path(folder) / "told"
        for number in range(count):
            shutil.copytree(bundle, copy)
            chosen = files[0] if len(files) == 1 or rng.random() < 0.8 else files[1]
            original = (bundle / chosen).read_bytes()
            content = _mutated(rng, original)
            (copy / chosen).write_bytes(content)
            change_manifest(copy, lambda manifest, c=chosen, d=content: _list(manifest, c, d))
            told.unlink(missing_ok=True)
            how = _child(copy, engine, frame, told)
            found[how] += 1
            if how == "other":
                others.append(f"{number}: {told.read_text()}")
            shutil.rmtree(copy)
    return found, others


def _mutated(rng: random.Random, content: bytes) -> bytes:
    for _ in range(rng.randint(1, 4)):
        how, token = rng.choice(EDITS), rng.choice(TOKENS)
        place, length, byte = rng.randrange(len(content) + 1), rng.randrange(1 << 16), rng.randrange(256)
        content = edited(content, content, how, place, length, byte, token)
    return content


def _list(manifest: dict[str, object], name: str, content: bytes) -> None:
    for record in manifest["files"]:  # type: ignore[attr-defined]
        if record["path"] == name:
            record |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _child(bundle: Path, engine: str | None, frame: np.ndarray, told: Path) -> str:
    child = os.fork()
    if child == 0:
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            edgead.load(bundle, engine=engine, threads=1)(frame)
            os._exit(RUNS)
        except EdgeadError:
            os._exit(REFUSED)
        except BaseException as error:
            told.write_text(json.dumps(f"{type(error).__name__}: {error}"[:500]))
            os._exit(OTHER)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return "took too long" if name in ("SIGXCPU", "SIGKILL") else f"broke the child ({name})"
    return {RUNS: "runs", REFUSED: "refused", OTHER: "other"}[os.waitstatus_to_exitcode(status)]


if __name__ == "__main__":
    main()
