"""Intervals and significance against brute force: images drawn one by one, everything computed anew."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgead.errors import InputError
from edgead.metrics.perfect import _ap_of_area, _f1_of_area, auroc_at_least
from edgead.metrics.pixels import PixelMetrics
from edgead.metrics.scores import Metric, auroc, image_metrics, image_samples
from edgead.metrics.uncertainty import delong, differences, resample, with_intervals
from edgead.notices import Notice, say


def test_a_draw_takes_as_many_good_and_bad_images_as_there_are():
    bad = np.arange(30) < 7
    weights = resample(bad, draws=200, seed=3)
    assert weights.shape == (200, 30)
    assert (weights[:, bad].sum(1) == 7).all() and (weights[:, ~bad].sum(1) == 23).all()
    # Each image is drawn as often as any other: once on average, with the variance of a binomial.
    assert weights.mean(0) == pytest.approx(1, abs=0.3)
    assert weights[:, ~bad].var() == pytest.approx(22 / 23, abs=0.1)
    assert np.array_equal(weights, resample(bad, draws=200, seed=3))
    assert not np.array_equal(weights, resample(bad, draws=200, seed=4))


@pytest.mark.parametrize("bad", [[True, False, False], [False, True, True]])
def test_nothing_is_drawn_from_a_single_image(bad):
    scores = [3.0, 1.0, 2.0]
    weights = resample(bad)
    assert weights.shape == (0, 3)
    metrics = with_intervals(image_metrics(scores, bad), image_samples(scores, bad, weights), bad)
    assert all(m.value is not None and m.interval is None for m in metrics.values())
    told = {say(m.no_interval) for m in metrics.values()}
    assert told == {"one good or one defective image shows no spread"}


def test_an_interval_is_the_middle_of_the_draws():
    rng = np.random.default_rng(0)
    bad = np.arange(50) < 20
    scores = rng.standard_normal(50) + bad
    weights = resample(bad, draws=400)
    metrics = with_intervals(image_metrics(scores, bad), image_samples(scores, bad, weights), bad)
    drawn = sorted(auroc(np.repeat(scores[~bad], w[~bad]), np.repeat(scores[bad], w[bad])) for w in weights)
    low, high = metrics["image_auroc"].interval
    assert (low, high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-12)
    assert sum(low <= value <= high for value in drawn) == pytest.approx(0.95 * 400, abs=1)
    assert low < metrics["image_auroc"].value < high


def test_draws_in_which_a_metric_is_undefined_do_not_count():
    metrics = {"a": Metric(0.5), "b": Metric(0.5), "c": Metric(None, Notice("no-images"))}
    some, many = np.tile([0.4, 0.6], 50), np.tile([0.4, 0.6], 50)
    some[:4], many[:10] = np.nan, np.nan
    found = with_intervals(metrics, {"a": some, "b": many, "c": some}, [True, False] * 10)
    assert [m.interval for m in found.values()] == [(0.4, 0.6), None, None]
    codes = [m.no_interval and m.no_interval.code for m in found.values()]
    assert codes == [None, "undefined-on-draws", None]


def draw(images: int, seed: int, levels: int | None = None):
    rng, found = np.random.default_rng(seed), []
    for image in range(images):
        scores = 3 + 0.5 * rng.standard_normal((48, 48)) + 0.3 * rng.standard_normal()
        mask = np.zeros((48, 48), bool)
        if image % 2:
            for _ in range(3):
                row, column = rng.integers(0, 40, 2)
                mask[row : row + rng.integers(1, 9), column : column + rng.integers(1, 9)] = True
            scores += mask * rng.uniform(0, 2.5)
        scores = np.round(scores * levels) if levels else scores
        found.append((scores.astype(np.float32), mask if image % 2 else None))
    return found


@pytest.mark.parametrize("levels, within", [(None, 0.002), (4, 1e-9)])
@pytest.mark.parametrize("memory", [64 << 20, 1 << 20])
def test_pixel_samples_are_close_to_evaluating_all_pixels_again(levels, within, memory):
    images = draw(24, 1, levels)
    pixels = PixelMetrics(memory=memory)
    for image in images:
        pixels.add(*image)
    weights = resample([mask is not None for _, mask in images], draws=12)
    found = pixels.samples(weights)
    for row, taken in enumerate(weights):
        again = PixelMetrics()
        for image in np.repeat(np.arange(24), taken):
            again.add(*images[image])
        for name, metric in again.metrics().items():
            assert found[name][row] == pytest.approx(metric.value, abs=within), name


def saturated(scores):
    """Many pixels a hair from 1, where float32 numbers lie closest, or at 1, many at 0."""
    return np.where(scores < 2.3, 0, 1 / (1 + np.exp(-4 * (scores - 1.5).astype(np.float64)))).astype(
        np.float32
    )


def clipped(scores):
    return np.minimum(scores, np.float32(4))


def mostly_zero(scores):
    return np.maximum(scores - np.float32(3), 0)


@pytest.mark.parametrize("change", [saturated, clipped, mostly_zero])
@pytest.mark.parametrize("seed", [5, 6, 7])
def test_pixel_samples_keep_apart_what_many_pixels_have(change, seed):
    pixels, exact = PixelMetrics(memory=1 << 20), PixelMetrics()
    for scores, mask in draw(24, seed):
        pixels.add(change(scores), mask)
        exact.add(change(scores), mask)
    assert exact.bits == 24
    found = pixels.samples(np.ones((1, 24), np.int64))
    for name, metric in exact.metrics().items():
        assert found[name][0] == pytest.approx(metric.value, abs=0.002), name


def test_ones_and_zeros_choose_a_part_of_the_images():
    images = draw(12, 2, levels=3)
    pixels, part = PixelMetrics(), PixelMetrics()
    for number, image in enumerate(images):
        pixels.add(*image)
        if number < 6:
            part.add(*image)
    found = pixels.samples((np.arange(12) < 6)[None].astype(np.int64))
    assert {name: value[0] for name, value in found.items()} == pytest.approx(
        {name: metric.value for name, metric in part.metrics().items()}, abs=1e-9
    )
    with pytest.raises(InputError, match="a column for each"):
        pixels.samples(np.ones((2, 11), np.int64))


def compare(a, b, bad, draws=500):
    weights = resample(bad, draws)
    return differences(
        image_metrics(a, bad),
        image_metrics(b, bad),
        image_samples(a, bad, weights),
        image_samples(b, bad, weights),
    )


def test_a_bundle_does_not_differ_from_itself():
    rng = np.random.default_rng(0)
    bad = np.arange(60) < 25
    scores = rng.standard_normal(60) + bad
    for found in (*compare(scores, scores, bad).values(), delong(scores, 2 * scores + 1, bad)):
        assert (found.value, found.interval, found.p_value, found.reason) == (0, (0, 0), 1, None)


def test_a_clear_difference_is_significant_and_has_its_sign():
    rng = np.random.default_rng(1)
    bad = np.arange(120) < 50
    noise = rng.standard_normal(120)
    better, worse = noise + 2.0 * bad, noise + 0.3 * bad
    for found in (compare(better, worse, bad)["image_auroc"], delong(better, worse, bad)):
        assert found.value > 0.1 and found.p_value < 0.01 and found.interval[0] > 0
    found = compare(worse, better, bad)["image_auroc"]
    assert found.value < -0.1 and found.p_value < 0.01 and found.interval[1] < 0


def test_a_p_value_is_twice_the_smaller_share_of_draws_on_one_side():
    rng = np.random.default_rng(4)
    bad = np.arange(40) < 15
    a, b = np.round(rng.standard_normal(40) + bad, 1), np.round(rng.standard_normal(40) + 0.5 * bad, 1)
    weights, drawn = resample(bad, 300), []
    for w in weights:
        one, two = (auroc(np.repeat(s[~bad], w[~bad]), np.repeat(s[bad], w[bad])) for s in (a, b))
        drawn.append(one - two)
    found = compare(a, b, bad, 300)["image_auroc"]
    sides = sum(d <= 0 for d in drawn), sum(d >= 0 for d in drawn)
    assert 0.02 < found.p_value < 1  # as the numbers fall, or this would test nothing
    assert found.p_value == pytest.approx(2 * (min(sides) + 1) / 301)  # the draws and the data themselves
    assert found.interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-12)


def test_where_there_is_no_difference_few_are_called_significant():
    rng, called = np.random.default_rng(2), []
    for _ in range(150):
        bad = np.arange(60) < 30
        hard = rng.standard_normal(60) + bad
        a, b = hard + rng.standard_normal(60), hard + rng.standard_normal(60)
        called.append(
            (delong(a, b, bad).p_value < 0.05, compare(a, b, bad, 200)["image_auroc"].p_value < 0.05)
        )
    share = np.mean(called, axis=0)
    assert (share < 0.12).all() and (share > 0).all()


def test_delong_by_its_definition():
    """Biometrics 44, 1988, equations 3 to 6, pair by pair."""
    rng = np.random.default_rng(3)
    bad = np.arange(40) < 15
    both = [np.round(rng.standard_normal(40) * 2 + bad * k) for k in (2, 1)]  # with ties
    theta, v10, v01 = [], [], []
    for scores in both:
        psi = np.array([[(x > y) + 0.5 * (x == y) for y in scores[~bad]] for x in scores[bad]])
        theta.append(psi.mean())
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    s = np.cov(v10) / 15 + np.cov(v01) / 25
    contrast = np.array([1, -1])
    z = (theta[0] - theta[1]) / math.sqrt(contrast @ s @ contrast)
    found = delong(*both, bad)
    assert found.value == pytest.approx(theta[0] - theta[1])
    assert found.p_value == pytest.approx(math.erfc(abs(z) / math.sqrt(2)))


def test_a_difference_that_is_undefined_says_why():
    bad = np.array([False, False])
    found = compare([1.0, 2.0], [2.0, 1.0], bad)["image_auroc"]
    assert (found.value, found.interval, found.p_value) == (None, None, None)
    assert say(found.reason) == "no bad images"
    assert say(delong([1.0, 2.0], [2.0, 1.0], bad).reason) == "no bad images"
    few = [False, False, True]
    assert compare([1.0, 2.0, 3.0], [2.0, 3.0, 1.0], few)["image_ap"].reason.code == "too-few-to-draw"
    assert "two bad images" in say(delong([1.0, 2.0, 3.0], [2.0, 3.0, 1.0], few).reason)
    with pytest.raises(InputError, match="finite"):
        delong([1.0, np.nan, 3.0], [2.0, 3.0, 1.0], few)


# ---------------------------------------------------------------- where every draw is the same


def perfect(good: int, bad: int) -> dict[str, Metric]:
    labels = np.arange(good + bad) < bad
    scores = np.where(labels, 2.0, 1.0) + np.random.default_rng(0).random(good + bad) / 2
    weights = resample(labels, 50)
    return with_intervals(image_metrics(scores, labels), image_samples(scores, labels, weights), labels)


@pytest.mark.parametrize(("good", "bad"), [(5, 5), (14, 32), (100, 20), (20, 100), (500, 500)])
def test_perfect_separation_has_an_interval_with_a_width(good: int, bad: int) -> None:
    found = perfect(good, bad)
    for metric in found.values():
        low, high = metric.interval
        assert metric.value == high == 1 and 0 < low < 1
    # Clopper and Pearson's, by the binomial's own sum: k of k with 2.5 % where the chance is the lower end.
    assert found["image_auroc"].interval[0] ** min(good, bad) == pytest.approx(0.025)
    more = perfect(4 * good, 4 * bad)
    assert all(more[name].interval[0] > metric.interval[0] for name, metric in found.items())


def hidden(rng: np.random.Generator, n: int, share: float, look: float) -> np.ndarray:
    """Scores of which a share lies where ``look`` says, the others at 1 and over it."""
    return np.where(rng.random(n) < share, look + rng.random(n), 1 + rng.random(n))


@pytest.mark.parametrize(("good", "bad"), [(10, 10), (15, 40), (40, 15)])
@pytest.mark.parametrize("kind", ["hidden defects", "odd good parts", "normal"])
def test_perfect_separation_is_rare_where_the_metric_is_under_the_interval(good, bad, kind) -> None:
    """The coverage, by simulation: test sets of parts for which a metric is just under the lower end."""
    lower = {name: metric.interval[0] for name, metric in perfect(good, bad).items()}

    def parts(rng: np.random.Generator, level: float, n_good: int, n_bad: int):
        if kind == "normal":
            return rng.standard_normal(n_good), rng.standard_normal(n_bad) + 6 * level
        if kind == "hidden defects":  # a share of the defects scores under all good parts
            return rng.random(n_good), hidden(rng, n_bad, 1 - level, -1)
        return 2 - hidden(rng, n_good, 1 - level, -1), 1 + rng.random(n_bad)

    many = 600  # times as many parts stand for all of them
    labels = np.arange(many * (good + bad)) < many * bad
    for name, limit in lower.items():
        low, high = 0.0, 1.0
        for _ in range(12):
            middle = (low + high) / 2
            of_good, of_bad = parts(np.random.default_rng(7), middle, many * good, many * bad)
            value = image_metrics(np.append(of_bad, of_good), labels)[name].value
            low, high = (middle, high) if value < limit else (low, middle)
        trials, rng = 3000, np.random.default_rng(8)
        draws = [parts(rng, low, good, bad) for _ in range(trials)]
        seen = np.mean([g.max() < b.min() for g, b in draws])
        assert seen < 0.025 + 3 * math.sqrt(0.025 / trials), (name, seen)


def test_the_worst_case_reaches_what_the_interval_allows() -> None:
    """Some defects look like good parts: AUROC is then 1 - half of their share at least, and no less."""
    rng, share = np.random.default_rng(1), 1 - 0.025 ** (1 / 12)
    seen = np.mean([rng.random(30).max() < hidden(rng, 12, share, -1).min() for _ in range(4000)])
    assert 0.015 < seen < 0.035


def test_ap_and_f1_of_perfect_separation_are_the_worst_of_their_curves() -> None:
    """Against curves drawn at random with that AUROC: none is under it, by the definitions."""
    rng = np.random.default_rng(0)
    for good, bad in ((10, 10), (40, 15), (15, 40)):
        ratio, area = good / bad, auroc_at_least(good, bad)
        recall = (np.arange(1000) + 0.5) / 1000
        for _ in range(200):
            rates = np.sort(rng.random(1000) ** rng.uniform(0.2, 30))
            if rng.random() < 0.5:
                rates = (recall > rng.random()) * rng.random()
            if 1 - rates.mean() < area:
                continue
            precision = recall / (recall + ratio * rates)
            f1 = 2 * recall / (recall + ratio * rates + 1)
            assert precision.mean() >= _ap_of_area(area, ratio) - 1e-3
            assert max(f1.max(), 2 / (2 + ratio)) >= _f1_of_area(area, ratio) - 1e-3


def test_every_draw_the_same_and_not_perfect_has_a_reason_instead() -> None:
    labels = np.arange(20) < 8
    for scores in (np.ones(20), np.where(labels, 0.0, 1.0)):
        weights = resample(labels, 50)
        found = with_intervals(image_metrics(scores, labels), image_samples(scores, labels, weights), labels)
        assert found["image_ap"].interval is None and "every draw" in say(found["image_ap"].no_interval)
    assert found["image_auroc"].interval == (0, pytest.approx(1 - 0.025 ** (1 / 8)))


def test_two_that_separate_perfectly_are_not_called_equal() -> None:
    labels = np.arange(30) < 10
    a = np.where(labels, 2.0, 1.0) + np.random.default_rng(0).random(30) / 2
    for found in (*compare(a, a[::1] ** 2, labels, 50).values(), delong(a, a**2, labels)):
        assert (found.value, found.interval, found.p_value) == (0, None, None)
        assert "every draw" in say(found.reason)
