"""Pixel and region metrics over thousands of maps: time and peak memory, ours against a naive evaluation.

    python benchmarks/metrics.py [--maps 5000] [--size 512] [--naive-maps 40]

The maps are made as they're needed, seeded: smooth noise as of a 64 x 64 feature map, every tenth image with
one to three defects. Each side runs in a process of its own; the making of the maps is not in the time.

Naive is what evaluation scripts do: keep all maps, scikit-learn for AUROC, AP and F1, 200 thresholds with a
loop over regions for PRO, all pixels compared anew for each region for IAP. It's run on --naive-maps maps and
EXTRAPOLATED in proportion to their number, which favours it: sorting and IAP grow faster than that.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np


def maps(count: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    rng = np.random.default_rng(0)
    for image in range(count):
        coarse = 2 + 0.4 * rng.standard_normal((64, 64), np.float32) + 0.1 * rng.standard_normal()
        anomaly_map = np.abs(
            cv2.resize(coarse.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
        )
        mask = None
        if image % 10 == 0:
            mask = np.zeros((size, size), np.uint8)
            for _ in range(rng.integers(1, 4)):
                centre = [int(x) for x in rng.integers(size // 10, size - size // 10, 2)]
                axes = [int(x) for x in rng.integers(max(1, size // 100), size // 12 + 2, 2)]
                cv2.ellipse(mask, centre, axes, int(rng.integers(0, 180)), 0, 360, 1, -1)
            anomaly_map = anomaly_map + cv2.blur(mask.astype(np.float32), (9, 9)) * np.float32(
                rng.uniform(0.3, 3)
            )
            mask = mask > 0
        yield anomaly_map, mask


def ours(arguments: argparse.Namespace) -> dict:
    from edgead.metrics.pixels import PixelMetrics
    from edgead.metrics.uncertainty import resample, with_intervals

    pixels, spent, bad = PixelMetrics(), 0.0, []
    for anomaly_map, mask in maps(arguments.maps, arguments.size):
        start = time.perf_counter()
        pixels.add(anomaly_map, mask)
        spent += time.perf_counter() - start
        bad.append(mask is not None)
    start = time.perf_counter()
    metrics = pixels.metrics()
    finished = time.perf_counter()
    metrics = with_intervals(metrics, pixels.samples(resample(bad)), bad)
    return {
        "maps": arguments.maps,
        "add": spent,
        "metrics": finished - start,
        "intervals": time.perf_counter() - finished,
        "peak": peak(),
        "bits": pixels.bits,
        "values": {name: (m.value, m.interval) for name, m in metrics.items()},
    }


def naive(arguments: argparse.Namespace) -> dict:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    kept = list(maps(arguments.naive_maps, arguments.size))
    start = time.perf_counter()
    scores = np.stack([m for m, _ in kept])
    masks = np.stack([np.zeros(m.shape, bool) if k is None else k for m, k in kept])
    values = {
        "pixel_auroc": roc_auc_score(masks.ravel(), scores.ravel()),
        "pixel_ap": average_precision_score(masks.ravel(), scores.ravel()),
    }
    precision, recall, _ = precision_recall_curve(masks.ravel(), scores.ravel())
    values["pixel_f1_max"] = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    regions = []
    for number, mask in enumerate(masks):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [scores[number][labels == label] for label in range(1, count)]
    fpr, pro = [], []
    for threshold in np.linspace(scores.max(), scores.min(), 200):
        predicted = scores >= threshold
        fpr.append((predicted & ~masks).sum() / (~masks).sum())
        pro.append(np.mean([(region >= threshold).mean() for region in regions]))
    grid = np.linspace(0, 0.3, 1000)
    values["aupro_30"] = np.trapezoid(np.interp(grid, fpr, pro), grid) / 0.3
    own = sorted((np.sort(region)[region.size - 1 - region.size // 2] for region in regions), reverse=True)
    precisions = [(masks & (scores >= threshold)).sum() / (scores >= threshold).sum() for threshold in own]
    values["iap"] = np.mean(precisions)
    spent = time.perf_counter() - start
    return {
        "maps": arguments.naive_maps,
        "time": spent,
        "peak": peak(),
        "values": {k: float(v) for k, v in values.items()},
    }


def peak() -> int:
    """Peak resident memory of this process in bytes."""
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=int, default=5000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--naive-maps", type=int, default=40)
    parser.add_argument("--worker", choices=["ours", "naive"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps({"ours": ours, "naive": naive}[arguments.worker](arguments)))
        return
    sides = {}
    for worker in ("naive", "ours"):
        command = [sys.executable, __file__, "--worker", worker, *sys.argv[1:]]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        sides[worker] = json.loads(done.stdout)
    report(arguments, sides["ours"], sides["naive"])


def report(arguments: argparse.Namespace, ours: dict, naive: dict) -> None:
    times, size = arguments.maps / naive["maps"], f"{arguments.size} x {arguments.size}"
    spent = ours["add"] + ours["metrics"]
    rows = [
        ("ours, 7 metrics", spent, ours["peak"]),
        ("  of it counting, as maps come", ours["add"], None),
        ("  of it metrics, at the end", ours["metrics"], None),
        ("ours, intervals by 1,000 draws", ours["intervals"], None),
        (f"naive, 5 metrics, {naive['maps']} maps", naive["time"], naive["peak"]),
        ("naive, all maps (extrapolated)", naive["time"] * times, naive["peak"] * times),
    ]
    print(f"{arguments.maps:,} maps of {size}, {naive['maps']} for the naive side\n")
    print(f"{'':32s} |       time | peak memory")
    for name, seconds, memory in rows:
        print(f"{name:32s} | {seconds:8.1f} s | {'' if memory is None else f'{memory / 2**30:7.2f} GiB'}")
    print(f"\nnaive / ours: {naive['time'] * times / spent:.0f} times as long (extrapolated)")
    print(f"scores are told apart to {ours['bits']} of 24 bits\n")
    for name, (value, interval) in ours["values"].items():
        print(f"{name:13s} {value:.6f}  95 % {interval[0]:.4f} to {interval[1]:.4f}")


if __name__ == "__main__":
    main()
