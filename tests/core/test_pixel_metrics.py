"""Pixel and region metrics against scikit-learn, and against loops written from their definitions.

PRO: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129, 2021. IAP: Zhang et al., "DeSTSeg",
CVPR 2023, section 4.2.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from edgead.errors import InputError
from edgead.metrics import counting
from edgead.metrics.counting import PixelCounts, keys_of
from edgead.metrics.pixels import PixelMetrics
from edgead.notices import say

NAMES = ["pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro_30", "aupro_5", "iap", "iap_90"]


def regions(mask) -> list[list[tuple[int, int]]]:
    """8-connected components, by walking."""
    left, found = {(int(r), int(c)) for r, c in np.argwhere(mask)}, []
    while left:
        todo, region = [left.pop()], []
        while todo:
            r, c = todo.pop()
            region.append((r, c))
            near = {(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            todo += near
        found.append(region)
    return found


def naive(images) -> dict[str, float]:
    """Every metric at every distinct score, by loops."""
    images = [(m, np.zeros(m.shape, bool) if k is None else k) for m, k in images]
    scores, labels = (
        np.concatenate([m.ravel() for m, _ in images]),
        np.concatenate([k.ravel() for _, k in images]),
    )
    inside = [np.array([m[at] for at in region]) for m, k in images for region in regions(k)]
    fpr, pro, precision, recall = [0.0], [0.0], [], []
    for threshold in np.unique(scores)[::-1]:
        fpr.append((scores[~labels] >= threshold).mean())
        pro.append(np.mean([(values >= threshold).mean() for values in inside]))
        precision.append(labels[scores >= threshold].mean())
        recall.append(sum(2 * (values >= threshold).sum() > values.size for values in inside))
    p, r, _ = precision_recall_curve(labels, scores)
    steps = zip(np.diff(recall, prepend=0), precision, strict=True)
    return {
        "pixel_auroc": roc_auc_score(labels, scores),
        "pixel_ap": average_precision_score(labels, scores),
        "pixel_f1_max": max(2 * a * b / (a + b) for a, b in zip(p, r, strict=True) if a + b),
        "aupro_30": area(fpr, pro, 0.30) / 0.30,
        "aupro_5": area(fpr, pro, 0.05) / 0.05,
        "iap": sum(new * p for new, p in steps) / len(inside),
        "iap_90": next(p for p, n in zip(precision, recall, strict=True) if 10 * n >= 9 * len(inside)),
    }


def area(x, y, limit: float) -> float:
    whole = 0.0
    for x0, y0, x1, y1 in zip(x, y, x[1:], y[1:], strict=False):
        if x1 <= limit:
            whole += (x1 - x0) * (y0 + y1) / 2
        else:
            at_limit = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            return whole + (limit - x0) * (y0 + at_limit) / 2
    return whole


def measure(images, **options) -> PixelMetrics:
    pixels = PixelMetrics(**options)
    for anomaly_map, mask in images:
        pixels.add(anomaly_map, mask)
    return pixels


def values(pixels: PixelMetrics) -> dict[str, float | None]:
    return {name: metric.value for name, metric in pixels.metrics().items()}


def draw(seed: int, levels: int | None, size: int = 14, images: int = 6, lift: float = 1.0):
    """Maps with and without defects; few levels make many ties."""
    rng, found = np.random.default_rng(seed), []
    for image in range(images):
        shape = (size, size + image)
        mask = None if image % 3 == 0 else rng.random(shape) < rng.choice([0.02, 0.1, 0.4])
        anomaly_map = rng.standard_normal(shape) + (0 if mask is None else lift * mask)
        if levels:
            anomaly_map = np.round(anomaly_map * levels / 4)
        found.append((anomaly_map.astype(np.float32), mask))
    return found


def one(scores, mask):
    return np.array(scores, np.float32), np.array(mask, bool)


CASES = {
    "two or three levels": draw(0, 2),
    "some ties": draw(1, 12),
    "hardly a tie": draw(2, None),
    "the wrong way round": draw(3, None, lift=-2.0),
    "perfect": draw(4, None, lift=50.0),
    "constant": [
        (np.full((5, 5), 2.5, np.float32), np.eye(5, dtype=bool)),
        (np.full((3, 4), 2.5, np.float32), None),
    ],
    "a pixel each": [one([[2.0]], [[True]]), one([[1.0]], [[False]])],
    "a pixel each, tied": [one([[1.0]], [[True]]), one([[1.0]], [[False]])],
    "a defect over the whole image": [(m, np.ones(m.shape, bool)) for m, _ in draw(5, 9)[:2]]
    + draw(6, 9)[:1],
    "regions of a pixel": [(m, np.indices(m.shape).sum(0) % 5 == 0) for m, _ in draw(7, None, size=5)],
    "exactly half is not found": [one([[3, 3, 0, 0], [2, 2, 1, 1]], [[1, 1, 1, 1], [0, 0, 0, 0]])],
    "corners touch": [one([[9, 1, 2], [3, 8, 4], [5, 6, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, 0]])],
    "zeros of both signs": [one([[0.0, -0.0, 0.0, -1.0]], [[True, False, False, True]])],
    "tiny, huge, negative": [one([[1e-45, 3e38, -3e38, -1e-45, 0, 1]], [[1, 0, 0, 1, 0, 1]])],
    "the limit inside a tie": [one([[5] + [4] * 9 + [3] * 30], [[1] + [1] * 2 + [0] * 7 + [0] * 29 + [1]])],
}


@pytest.mark.parametrize("images", CASES.values(), ids=CASES)
def test_metrics_equal_their_oracles(images):
    pixels = measure(images)
    assert pixels.bits == 24
    assert values(pixels) == pytest.approx(naive(images), abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_metrics_equal_their_oracles_on_random_maps(seed):
    images = draw(100 + seed, [None, 3, 8, 30][seed % 4], size=5 + seed % 7, images=3 + seed % 5)
    assert values(measure(images)) == pytest.approx(naive(images), abs=1e-9)


def test_ninety_percent_of_ten_regions_are_nine():
    scores = np.zeros((3, 40), np.float32)
    scores[1, 1::4] = np.arange(20, 10, -1)
    scores[0, 0] = 12  # between the ninth region and the tenth
    scores[0, 2] = 11.5
    images = [(scores, scores * (np.indices(scores.shape)[0] == 1) > 0)]
    assert values(measure(images))["iap_90"] == pytest.approx(9 / 10) == naive(images)["iap_90"]


def undefined(images) -> set[str | None]:
    metrics = measure(images).metrics()
    assert list(metrics) == NAMES
    assert all(metric.value is None for metric in metrics.values())
    return {say(metric.reason) if metric.reason else None for metric in metrics.values()}


def test_what_is_undefined_says_why_and_is_no_number():
    scores, none, all_of_it = np.ones((4, 4), np.float32), np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert undefined([]) == {"no images"}
    assert undefined([(scores, None), (scores, none)]) == {"no bad images"}
    assert undefined([(scores, all_of_it)] * 2) == {"the masks mark every pixel"}
    pixels = PixelMetrics()
    pixels.add(scores, none, bad=True)
    assert {say(m.reason) for m in pixels.metrics().values()} == {"the masks mark no pixel"}
    assert np.isnan(pixels.samples(np.ones((3, 1), np.int64))["iap"]).all()
    pixels.add(scores, None, bad=True)
    assert {say(m.reason) for m in pixels.metrics().values()} == {"1 defective image has no mask"}


@pytest.mark.parametrize(
    "anomaly_map, mask, bad, message",
    [
        (np.full((2, 2), np.nan, np.float32), None, None, "image 1 holds values that aren't finite"),
        (np.full((2, 2), np.inf, np.float32), None, None, "image 1 holds values that aren't finite"),
        (np.ones((2, 2)), None, None, "float64"),
        (np.ones(4, np.float32), None, None, "float32 \\(H, W\\)"),
        (np.ones((0, 4), np.float32), None, None, "float32 \\(H, W\\)"),
        (np.ones((2, 2), np.float32), np.ones((2, 3), bool), None, "bool of the map's"),
        (np.ones((2, 2), np.float32), np.ones((2, 2), np.uint8), None, "uint8"),
        (np.ones((2, 2), np.float32), np.ones((2, 2), bool), False, "labelled good but"),
    ],
)
def test_what_cannot_be_added_is_refused_and_leaves_no_trace(anomaly_map, mask, bad, message):
    pixels = measure(draw(0, None)[:1])
    with pytest.raises(InputError, match=message):
        pixels.add(anomaly_map, mask, bad=bad)
    rest = draw(0, None)[1:]
    for item in rest:
        pixels.add(*item)
    assert values(pixels) == values(measure(draw(0, None)))


def test_a_map_may_be_a_view():
    whole = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    mask = np.random.default_rng(1).random((20, 20)) < 0.2
    before = whole.copy()
    cropped = measure([(whole[2:-2, ::2], mask[2:-2, ::2])])
    assert values(cropped) == values(measure([(whole[2:-2, ::2].copy(), mask[2:-2, ::2].copy())]))
    assert np.array_equal(whole, before)


def test_keys_have_the_order_of_the_scores():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 2**32, 5000, np.uint64).astype(np.uint32).view(np.float32)
    scores = np.append(scores[np.isfinite(scores)], np.float32([0.0, -0.0]))
    assert np.array_equal(
        np.unique(scores, return_inverse=True)[1], np.unique(keys_of(scores), return_inverse=True)[1]
    )


def spread(seed: int, images: int = 7):
    """Scores over 40 powers of ten and both signs: nearly every one in a page of its own."""
    rng = np.random.default_rng(seed)
    for image in range(images):
        mask = rng.random((12, 15)) < 0.5 * (image % 2)
        wide = rng.standard_normal((12, 15)) * 10.0 ** rng.integers(-20, 20, (12, 15)) + mask
        yield wide.astype(np.float32), mask


@pytest.mark.parametrize("seed", [0, 1])
def test_without_memory_for_all_scores_the_last_bits_are_left_out_and_no_more(seed):
    images = list(spread(seed))
    pixels = measure(images, memory=0)
    assert 13 <= pixels.bits < 24
    shortened = [(pixels._counts.shorten(keys_of(m)).astype(np.float64), k) for m, k in images]
    for anomaly_map, _ in images:  # in each binade as many bits as it was left
        keys = keys_of(anomaly_map)
        gap = (keys - pixels._counts.shorten(keys)).max()
        assert gap < 1 << (24 - pixels.bits)
    assert values(pixels) == pytest.approx(naive(shortened), abs=1e-9)


def test_what_most_pixels_need_keeps_all_bits():
    images = list(spread(2))
    crowd = 1.5 + np.random.default_rng(0).random((100, 100)).astype(np.float32) / 16
    pixels = measure([(crowd, None), *images], memory=0)
    assert pixels.bits < 24
    assert np.array_equal(pixels._counts.shorten(keys_of(crowd)), keys_of(crowd))


def test_counters_do_not_overflow():
    keys = keys_of(np.full(10, 1.5, np.float32))
    counts = PixelCounts(0)
    counts.add_good(keys)
    counts.add_bad(keys, np.full(10, 0.1))
    for pages in (counts._good, counts._bad):
        pages.columns[0][pages.columns[0] == 10] = 2**32 - 2  # as if so many had been added
    counts.good = counts.bad = 2**32 - 2
    counts.add_good(keys)
    counts.add_bad(keys, np.full(10, 0.1))
    (block,) = counts.blocks()
    assert (block.good[0], block.bad[0]) == (2**32 + 8, 2**32 + 8)
    assert block.overlap[0] == pytest.approx(2)


def test_wider_counters_count_the_same(monkeypatch):
    expected = values(measure(CASES["some ties"]))
    monkeypatch.setattr(counting, "_COUNTER_MAX", 200)
    assert values(measure(CASES["some ties"])) == expected


FEED = """
import re, sys
from pathlib import Path
import numpy as np
from edgead.metrics.pixels import PixelMetrics
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10
rng = np.random.default_rng(0)
mask = np.zeros((512, 512), bool)
mask[100:140, 200:260] = True
pixels = PixelMetrics(memory=64 << 20)
pixels.add(rng.random((512, 512), np.float32), mask)
before = peak()
for image in range(160):
    pixels.add(1 + rng.random((512, 512), np.float32) + mask, mask if image % 4 == 0 else None)
assert pixels.metrics()["iap"].value is not None
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_stays_within_what_was_given():
    done = subprocess.run([sys.executable, "-c", FEED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 + 40  # MiB; the maps alone are 160
