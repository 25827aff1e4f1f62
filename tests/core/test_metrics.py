"""AUROC against scikit-learn and against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from edgead.evaluation.metrics import auroc, pixel_auroc


@pytest.mark.parametrize("levels", [2, 5, 10_000])  # few levels: many ties
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
