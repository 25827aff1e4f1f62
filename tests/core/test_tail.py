"""The fitted tail, against laws whose rates are known and a fit by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgead.tail import FEWEST, LEAST_RATIO, MOST, fit_tail


def pareto(rng: np.random.Generator, shape: float, n: int) -> np.ndarray:
    """Generalised Pareto scores of scale 1, by the inverse of their law."""
    u = rng.uniform(size=n)
    return -np.log(u) if shape == 0 else (u**-shape - 1) / shape


def over(shape: float, score: float) -> float:
    return math.exp(-score) if shape == 0 else max(1 + shape * score, 0) ** (-1 / shape)


@pytest.mark.parametrize(("shape", "low", "high"), [(-0.2, 0.3, 1.0), (0.0, 0.75, 1.3), (0.2, 0.9, 1.9)])
def test_the_mean_rate_beyond_the_largest_is_near_the_one_meant(shape, low, high):
    """Exact for the exponential law; for lighter and heavier ones within a factor that shrinks with n."""
    rng, n, found = np.random.default_rng(7), 100, []
    for _ in range(250):
        if tail := fit_tail(pareto(rng, shape, n)):
            found.append([over(shape, tail.score(ratio)) * (n + 1) / ratio for ratio in (0.2, 0.5)])
    assert len(found) > 190
    for mean in np.mean(found, 0):
        assert low < mean < high


def test_the_posterior_is_near_the_likelihood_where_there_is_much_data():
    genpareto = pytest.importorskip("scipy.stats").genpareto
    scores = np.sort(pareto(np.random.default_rng(4), 0.2, 100_000))
    tail = fit_tail(scores)
    excesses = scores[-tail.exceedances :] - tail.start
    shape, _, scale = genpareto.fit(excesses, floc=0)
    assert tail.exceedances == MOST
    assert abs(tail.weights @ tail.shapes - shape) < 0.1  # the prior draws it to 0
    assert abs(tail.weights @ tail.scales * tail.unit / scale - 1) < 0.1
    level = tail.largest + scale
    wanted = genpareto.sf(level - tail.start, shape, 0, scale) / genpareto.sf(
        tail.largest - tail.start, shape, 0, scale
    )
    assert tail.ratio(level) == pytest.approx(wanted, rel=0.2)


def test_the_posterior_is_the_product_of_prior_and_likelihood():
    """Ten exceedances, point by point, in plain Python."""
    scores = np.concatenate([np.zeros(FEWEST), [0.0], np.geomspace(0.1, 4, FEWEST)])
    tail = fit_tail(scores)
    excesses = [score / tail.unit for score in np.geomspace(0.1, 4, FEWEST)]
    assert (tail.start, tail.largest, tail.exceedances) == (0, 4, FEWEST)
    logs = []
    for shape, scale in zip(tail.shapes.tolist(), tail.scales.tolist(), strict=True):
        density = -FEWEST * math.log(scale) - shape**2 / (2 * 0.2**2)
        density -= sum((1 + 1 / shape) * math.log(1 + shape * each / scale) for each in excesses)
        logs.append(density)
    wanted = np.exp(np.array(logs) - max(logs))
    np.testing.assert_allclose(tail.weights, wanted / wanted.sum(), rtol=1e-8)


@pytest.mark.parametrize("ratio", [0.999, 0.5, LEAST_RATIO, 1e-4])
def test_score_and_ratio_are_each_other_s_inverse(ratio):
    tail = fit_tail(np.random.default_rng(0).gamma(9, size=60))
    assert tail.score(ratio) > tail.largest
    assert tail.ratio(tail.score(ratio)) == pytest.approx(ratio, rel=1e-9)
    assert tail.ratio(tail.largest) == tail.ratio(-1e9) == 1


def test_it_grows_with_the_scores_and_not_with_their_order():
    scores = np.random.default_rng(1).exponential(size=80)
    tail, other = fit_tail(scores), fit_tail(1000 * scores[::-1] - 5)
    assert other.score(0.3) == pytest.approx(1000 * tail.score(0.3) - 5, rel=1e-9)


def test_what_has_a_gap_in_its_tail_is_refused_or_fitted_beyond_the_gap():
    rng = np.random.default_rng(5)
    low = rng.normal(size=190)
    assert fit_tail(np.concatenate([low, rng.normal(30, 1, 7)])) is None
    many = fit_tail(np.concatenate([low, rng.normal(30, 1, 60)]))
    assert many is not None and many.start > 20


@pytest.mark.parametrize(
    "scores",
    [
        [],
        [1.0],
        list(range(19)),
        [0.0] * 500,
        [0.0] * 450 + [1.0] * 50,
        [1e308, -1e308] * 50,
        [0.0, 1e-320] * 50,
    ],
)
def test_what_supports_no_tail(scores):
    assert fit_tail(np.array(scores, np.float64)) is None


def test_scores_near_the_largest_number_give_no_nan():
    tail = fit_tail(np.random.default_rng(0).exponential(size=100) * 1e307)
    assert tail.score(1e-9) > tail.largest
    assert 0 <= tail.ratio(1.7e308) < 1
