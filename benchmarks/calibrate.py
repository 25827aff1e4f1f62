"""What calibrating with a few defects of one kind does to the others, on real images, and how long it takes.

    python benchmarks/calibrate.py BUNDLE DATASET [--defects 5] [--recall 0.9] [--images 200]

BUNDLE is a compiled one, fitted on DATASET's train/good; DATASET has ``test/good`` and ``test/DEFECT``. Half
of its good test images calibrate, with so many defects of one kind, each kind in turn; the others judge: the
kind's other defects, the other kinds' and the other good images. The time is that of ``edgead calibrate`` as
a process of its own, on ``--images`` good images of DATASET, training images among them, and the defects.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import edgead
from edgead import machine
from edgead.device.trade_off import Found
from edgead.images import list_images


def main() -> None:
    """Print the figures."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("bundle", type=Path)
    words.add_argument("dataset", type=Path)
    words.add_argument("--defects", type=int, default=5)
    words.add_argument("--recall", type=float, default=0.9)
    words.add_argument("--images", type=int, default=200)
    given = words.parse_args()
    processor = machine.cpu()
    print(f"{processor.model} ({processor.kind}), {processor.threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        bundle = shutil.copytree(given.bundle, Path(folder) / "part.edgead")
        effect(bundle, given.dataset, given.defects, given.recall, Path(folder))
        duration(bundle, given.dataset, given.images, given.defects, Path(folder))


def effect(bundle: Path, dataset: Path, few: int, recall: float, scratch: Path) -> None:
    """Each kind in turn chooses the threshold."""
    test = dataset / "test"
    kinds = {path.name: list_images(path) for path in sorted(test.iterdir()) if path.name != "good"}
    good = list_images(test / "good")
    links(scratch / "good", good[::2])
    detector = edgead.load(bundle)
    scores = {kind: score(detector, paths) for kind, paths in kinds.items()}
    others_good = score(detector, good[1::2])
    print(f"{few} defects of a kind, recall {recall:g}, {len(good[::2])} good images; the rest judges")
    print("kind that chooses | threshold | this kind's others | other kinds | false alarms | expected, under")
    for kind, paths in kinds.items():
        links(scratch / "defects" / kind, paths[:few])
        done = edgead.calibrate(
            bundle, good=scratch / "good", defects=scratch / "defects", recall=recall, dry_run=True
        )
        shutil.rmtree(scratch / "defects")
        own = scores[kind][few:]
        other = np.concatenate([np.empty(0), *(s for name, s in scores.items() if name != kind)])
        record = done.found.after
        told = [share(each, done.threshold) for each in (own, other, others_good)]
        rates = f"{record.expected_rate:.1%}, {record.upper_rate:.1%}"
        print(" | ".join([kind, f"{done.threshold:.4g}", *told, rates]))
    told = [share(each, detector.threshold) for each in (np.concatenate(list(scores.values())), others_good)]
    print(f"at the exported threshold {detector.threshold:.4g}: all kinds {told[0]}, false alarms {told[1]}")


def duration(bundle: Path, dataset: Path, count: int, few: int, scratch: Path) -> None:
    """Three runs of the command, from start to end."""
    images = [*list_images(dataset / "test" / "good"), *list_images(dataset / "train" / "good")][:count]
    links(scratch / "all", images)
    kind = next(path for path in sorted((dataset / "test").iterdir()) if path.name != "good")
    links(scratch / "few" / kind.name, list_images(kind)[:few])
    command = [sys.executable, "-m", "edgead", "calibrate", str(bundle), "--good", str(scratch / "all")]
    command += ["--defects", str(scratch / "few"), "--recall", "0.9", "--pixel-regions", "0.05"]
    taken = []
    for _ in range(3):
        began, used = time.perf_counter(), children()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        taken.append((time.perf_counter() - began, children() - used))
    told = ", ".join(f"{wall:.1f} s ({cpu:.1f} s of processor time)" for wall, cpu in taken)
    print(f"edgead calibrate with {len(images)} good images and {few} defects, maps kept: {told}")


def children() -> float:
    """Processor time of ended child processes, in seconds."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def links(folder: Path, paths: list[Path]) -> None:
    folder.mkdir(parents=True)
    for index, path in enumerate(paths):
        (folder / f"{index:04d}{path.suffix}").symlink_to(path.resolve())


def score(detector: edgead.Detector, paths: list[Path]) -> np.ndarray:
    return np.array([p.score for p in detector.map(detector.read_image(path) for path in paths)])


def share(scores: np.ndarray, threshold: float) -> str:
    found = Found(int((scores > threshold).sum()), len(scores)) if len(scores) else None
    return "-" if found is None else f"{found.count} of {found.total} ({found.share:.0%})"


if __name__ == "__main__":
    main()
