"""Image metrics against scikit-learn and against their definitions."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from edgead.errors import InputError
from edgead.metrics.scores import (
    auroc,
    best_threshold,
    image_metrics,
    image_samples,
    pixel_auroc,
    pr_curve,
    roc_curve,
)
from edgead.notices import say


def draw(seed: int, levels: int, good: int = 60, bad: int = 25):
    """Scores and labels; few levels make many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(good + bad) < bad)
    return (rng.integers(0, levels, labels.size) + labels * levels // 4) / 7, labels


CASES = {
    "many ties": draw(0, 3),
    "some ties": draw(1, 20),
    "hardly a tie": draw(2, 10**6),
    "one of each, apart": ([1.0, 2.0], [False, True]),
    "one of each, the wrong way": ([2.0, 1.0], [False, True]),
    "constant": ([3.0] * 7, [False, True] * 3 + [True]),
    "negative and zero": ([-1.0, -0.0, 0.0, 5.0, -2.0], [True, False, True, False, True]),
    "neighbouring floats": ([1.0, np.nextafter(1.0, 2), np.nextafter(1.0, 0)], [True, False, True]),
    "huge": ([1e307, -1e307, 8e307], [True, False, True]),
}


def f1_max(labels, scores) -> float:
    precision, recall, _ = precision_recall_curve(labels, scores)
    return max(2 * p * r / (p + r) for p, r in zip(precision, recall, strict=True) if p + r)


@pytest.mark.parametrize("scores, bad", CASES.values(), ids=CASES)
def test_image_metrics_equal_scikit_learns(scores, bad):
    found = {name: metric.value for name, metric in image_metrics(scores, bad).items()}
    assert found == pytest.approx(
        {
            "image_auroc": roc_auc_score(bad, scores),
            "image_ap": average_precision_score(bad, scores),
            "image_f1_max": f1_max(bad, scores),
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("scores, bad", CASES.values(), ids=CASES)
def test_f1_max_is_reached_by_what_is_over_its_threshold(scores, bad):
    threshold = best_threshold(scores, bad)
    assert f1_score(bad, np.asarray(scores) > threshold) == pytest.approx(f1_max(bad, scores), abs=1e-12)


@pytest.mark.parametrize(
    "bad, reason", [([], "no images"), ([True] * 3, "no good images"), ([False] * 3, "no bad images")]
)
def test_what_is_undefined_says_why_and_is_no_number(bad, reason):
    scores = np.arange(len(bad))
    found = image_metrics(scores, bad)
    assert set(found) == {"image_auroc", "image_ap", "image_f1_max"}
    assert all((m.value, say(m.reason), m.interval) == (None, reason, None) for m in found.values())
    assert best_threshold(scores, bad) is None
    assert roc_curve(scores, bad) is None
    assert pr_curve(scores, bad) is None


def test_a_metric_is_plain_json():
    found = image_metrics([1.0, 2.0], [False, True])
    assert json.loads(json.dumps({name: asdict(metric) for name, metric in found.items()}))["image_ap"] == {
        "value": 1.0,
        "reason": None,
        "interval": None,
        "no_interval": None,
    }


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_refused_by_its_place(wrong):
    with pytest.raises(InputError, match="score of image 1 is"):
        image_metrics([1.0, wrong, 2.0], [False, True, True])


def test_a_label_for_each_score():
    with pytest.raises(InputError, match=r"shape \(2,\) with labels of \(3,\)"):
        image_metrics([1.0, 2.0], [False, True, True])
    with pytest.raises(InputError, match="a column for each"):
        image_samples([1.0, 2.0], [False, True], np.ones((4, 3), np.int64))


@pytest.mark.parametrize("levels", [3, 1000])
def test_weights_are_images_taken_so_often(levels):
    scores, bad = draw(5, levels)
    weights = np.random.default_rng(0).integers(0, 4, (20, bad.size))
    found = image_samples(scores, bad, weights)
    for row, taken in enumerate(weights):
        repeated = image_metrics(np.repeat(scores, taken), np.repeat(bad, taken))
        for name, metric in repeated.items():
            assert found[name][row] == pytest.approx(metric.value, abs=1e-12)


@pytest.mark.parametrize("scores, bad", CASES.values(), ids=CASES)
def test_curves_pass_through_scikit_learns_points(scores, bad):
    scores, bad = np.asarray(scores), np.asarray(bad)
    roc, pr = roc_curve(scores, bad), pr_curve(scores, bad)
    fpr, tpr, _ = sklearn_roc_curve(bad, scores, drop_intermediate=False)
    assert roc.x == pytest.approx(fpr, abs=1e-12) and roc.y == pytest.approx(tpr, abs=1e-12)
    precision, recall, _ = precision_recall_curve(bad, scores)
    # Its last point, recall 0 with precision 1, is at no score.
    assert pr.x[::-1] == pytest.approx(recall[:-1], abs=1e-12)
    assert pr.y[::-1] == pytest.approx(precision[:-1], abs=1e-12)
    for point, threshold in enumerate(roc.threshold):
        assert np.mean(scores[bad] > threshold) == pytest.approx(roc.y[point], abs=1e-12)
        assert np.mean(scores[~bad] > threshold) == pytest.approx(roc.x[point], abs=1e-12)


def test_a_thinned_curve_keeps_its_ends_and_its_shape():
    scores, bad = draw(7, 10**9, good=4000, bad=3000)
    whole, thin = roc_curve(scores, bad, points=10**6), roc_curve(scores, bad, points=200)
    assert thin.x.size <= 200 < whole.x.size
    assert (thin.x[0], thin.y[0], thin.x[-1], thin.y[-1]) == (0, 0, 1, 1)
    assert np.abs(np.interp(whole.x + whole.y, thin.x + thin.y, thin.y) - whole.y).max() <= 2 / 199
    assert pr_curve(scores, bad, points=200).x[-1] == 1


@pytest.mark.parametrize("levels", [2, 5, 10_000])
def test_auroc_equals_scikit_learns(levels):
    rng = np.random.default_rng(levels)
    good, bad = rng.integers(0, levels, 300), rng.integers(levels // 4, levels + 1, 40)
    expected = roc_auc_score([0] * 300 + [1] * 40, [*good, *bad])
    assert auroc(good, bad) == pytest.approx(expected, abs=1e-12)


def test_auroc_by_its_definition():
    good, bad = [1, 2, 2], [2, 3]
    pairs = [(b > g) + 0.5 * (b == g) for g in good for b in bad]
    assert auroc(good, bad) == pytest.approx(np.mean(pairs))


def test_nothing_to_separate_is_none_and_not_a_number():
    assert auroc([], [1.0]) is None
    assert auroc([1.0], []) is None


def test_pixels():
    maps = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    masks = maps + np.random.default_rng(1).random((3, 8, 8)) > 1.2
    assert pixel_auroc(maps, masks) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12)
