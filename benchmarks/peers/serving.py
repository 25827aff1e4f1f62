"""The runners' side of the conversation: times what it's told to, when it's told to.

``benchmarks/side_by_side.py`` starts one process for each competitor, each in its own environment, and lets
them take turns. Needs numpy alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Frame = np.ndarray
"""(H, W, 3) uint8 BGR, as a camera gives it."""


def own_stdout() -> Any:
    """Keep standard output for the conversation; whatever libraries print goes to standard error."""
    mine = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return mine


def serve(work: Path, score: Callable[[Frame], float], facts: Mapping[str, Any], out: Any) -> None:
    """Answer ``{"frames": N}`` with milliseconds, ``{"judge": true}`` with the test images' scores.

    Args:
        work: the folder with ``train.npy`` and ``test.npy``.
        score: from a frame to its anomaly score, everything included.
        facts: what to tell about this competitor.
        out: from ``own_stdout``.
    """
    frames = np.load(work / "train.npy", mmap_mode="r")
    for i in range(5):
        score(np.ascontiguousarray(frames[i % len(frames)]))
    print(json.dumps({"ready": dict(facts)}), file=out)
    shown = 0
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("judge"):
            answer: Any = {"scores": [score(np.ascontiguousarray(f)) for f in np.load(work / "test.npy")]}
        else:
            times = []
            score(np.ascontiguousarray(frames[shown % len(frames)]))  # not counted: it warms the caches
            for _ in range(asked["frames"]):
                frame = np.ascontiguousarray(frames[shown % len(frames)])
                shown += 1
                start = time.perf_counter()
                score(frame)
                times.append((time.perf_counter() - start) * 1e3)
            answer = {"ms": times, "peak_bytes": peak_bytes()}
        print(json.dumps(answer), file=out)


def peak_bytes() -> int:
    """This process's peak resident memory."""
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(match.group(1)) * 1024 if match else 0
