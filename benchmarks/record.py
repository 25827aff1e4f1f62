"""How fast a line's record takes verdicts, and what they take on the disk.

    python benchmarks/record.py [--rows 1000000] [--batch 100] [--folder DIR]

Rows are committed in batches, as the recorder does, each on the disk (synchronous = FULL) before the next.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from edgead.line.record import RecordReader, RecordWriter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        measure(Path(folder), args.rows, args.batch)


def measure(folder: Path, rows: int, batch: int) -> None:
    rng, took = random.Random(0), []
    writer = RecordWriter(folder)
    began = time.perf_counter()
    for first in range(1, rows + 1, batch):
        at = time.perf_counter()
        for trigger in range(first, min(first + batch, rows + 1)):
            writer.verdict(_verdict(trigger, rng), trigger * 50_000_000)
        writer.commit()
        took.append(time.perf_counter() - at)
    seconds = time.perf_counter() - began
    took.sort()
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{rows} rows in {seconds:.1f} s: {rows / seconds:.0f} rows a second, {size / 1e6:.0f} MB")
    p50, p99, most = (1e3 * took[min(int(share * len(took)), len(took) - 1)] for share in (0.5, 0.99, 1))
    print(f"a batch of {batch}: p50 {p50:.1f}, p99 {p99:.1f}, most {most:.1f} ms")
    with RecordReader(folder) as reader:
        for name, ask in (
            ("the newest 100", lambda: reader.verdicts(100)),
            ("100 rejects of a camera", lambda: reader.verdicts(100, decision="reject", camera="top")),
            ("the last 1000 scores", lambda: reader.scores("top")),
            ("counts by why, of all", lambda: reader.counts()),
        ):
            at = time.perf_counter()
            ask()
            print(f"{name}: {1e3 * (time.perf_counter() - at):.1f} ms")


def _verdict(trigger: int, rng: random.Random) -> dict[str, object]:
    score = rng.random()
    at = trigger * 50_000_000
    return {
        "run": "0123456789abcdef", "trigger": trigger, "part": str(trigger), "camera": "top",
        "decision": "reject" if score > 0.98 else "accept", "why": "score", "score": score, "threshold": 0.98,
        "regions": [{"box": [1, 2, 3, 4], "area": 12, "peak": score}] if score > 0.98 else [],
        "bundle": "b" * 64, "encoder": trigger, "frame_id": trigger,
        "times": {"trigger": at, "grab": at + 1, "judged": at + 2, "sent": at + 3},
    }  # fmt: skip


if __name__ == "__main__":
    main()
