"""The precision gate's own arithmetic: a worse form must lose."""

from __future__ import annotations

import numpy as np

from edgead.workbench.precision import (
    DEFECTS,
    FEW_DEFECTS,
    PrecisionGate,
    Trial,
    compare,
    defective_images,
    run_trial,
)


class Contrast:
    """A session that scores an image by its largest local change, blurred by noise of the given size."""

    def __init__(self, noise):
        self.noise, self.rng = noise, np.random.default_rng(0)

    def map(self, images):
        for image in images:
            grey = image[0].astype(np.float32).mean(2)
            change = np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
            score = change.max() + self.rng.normal(0, self.noise)
            yield {"score": np.float32([score]), "anomaly_map": change[None, None]}


def smooth_images(n):
    y, x = np.mgrid[:64, :64] / 64
    return [np.repeat((100 + 60 * np.sin(x * 3 + i) * y)[..., None], 3, 2).astype(np.uint8) for i in range(n)]


def test_noise_in_the_scores_costs_separation():
    good = smooth_images(12)
    bad = list(defective_images(good, seed=0, count=60))
    assert len(bad) == 60 and not any(np.array_equal(b, g) for b in bad for g in good)
    clean, noisy = (run_trial(Contrast(noise), good, bad) for noise in (0.0, 60.0))
    assert clean.auroc > 0.9 > noisy.auroc
    assert len(clean.good) == len(clean.good_maxima) == 12 and len(clean.bad) == 60


def test_defects_are_the_same_for_the_same_seed():
    good = smooth_images(3)
    first, again = (list(defective_images(good, seed=5, count=6)) for _ in range(2))
    other = list(defective_images(good, seed=6, count=6))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))


# ---------------------------------------------------------------- judging


def trial(good, bad):
    good, bad = np.asarray(good, np.float64), np.asarray(bad, np.float64)
    return Trial(good, good, bad, bad)


RNG = np.random.default_rng(0)
FP32 = trial(RNG.normal(0, 1, 50), RNG.normal(2, 1, 240))


def noisy(size, seed=1):
    rng = np.random.default_rng(seed)
    return trial(FP32.good + rng.normal(0, size, 50), FP32.bad + rng.normal(0, size, 240))


def test_scaled_and_shifted_scores_lose_nothing():
    result = compare(trial(3 * FP32.good + 7, 3 * FP32.bad + 7), FP32, 0.005, 0)
    assert result.expected_loss < 1e-9 and result.measured_loss == 0 and result.passed


def test_the_expected_loss_is_what_such_noise_costs():
    """Normal scores 2 apart: AUROC is Phi(2 / sqrt(2)); noise of 0.5 makes it Phi(2 / sqrt(2 * 1.25))."""
    from statistics import NormalDist

    phi = NormalDist().cdf
    expected = phi(2 / 2**0.5) - phi(2 / 2.5**0.5)
    found = [compare(noisy(0.5, seed), FP32, 0.005, seed).expected_loss for seed in range(10)]
    assert abs(np.mean(found) - expected) < 0.006


def test_more_noise_more_loss_and_too_much_is_refused():
    small, large = compare(noisy(0.02), FP32, 0.005, 0), compare(noisy(1.0), FP32, 0.005, 0)
    assert small.passed and small.expected_loss < 0.001
    assert not large.passed and large.expected_loss > 0.03


def test_saturated_scores_are_refused_though_they_are_not_noise():
    saturated = trial(FP32.good, np.minimum(FP32.bad, 0.5))
    result = compare(saturated, FP32, 0.005, 0)
    assert result.measured_loss > 0.02 and not result.passed


def test_a_form_that_turns_the_order_round_is_refused():
    assert not compare(trial(-FP32.good, -FP32.bad), FP32, 0.005, 0).passed


def test_few_images_do_not_make_an_exact_form_fail():
    few = trial(FP32.good[:4], FP32.bad)
    shaken = trial(few.good + RNG.normal(0, 0.01, 4), few.bad + RNG.normal(0, 0.01, 240))
    assert compare(shaken, few, 0.005, 0).passed


def test_large_errors_on_clear_defects_alone_lose_nothing():
    """Rounding errors that grow with the score: the defects that they touch are far from any good image."""
    rng = np.random.default_rng(3)
    clear = trial(FP32.good, np.concatenate([FP32.bad[:120], rng.normal(60, 5, 120)]))
    shaken = trial(clear.good, clear.bad + rng.normal(0, 1, 240) * (clear.bad > 30) * 5)
    result = compare(shaken, clear, 0.005, 0)
    assert result.passed and result.measured_loss == 0
    everywhere = trial(clear.good + rng.normal(0, 1, 50), clear.bad + rng.normal(0, 1, 240))
    assert not compare(everywhere, clear, 0.005, 0).passed


def test_a_curve_is_no_noise():
    """A form whose scores bend keeps their order, and the order is all that counts."""
    bent = trial(np.sqrt(FP32.good + 9), np.sqrt(FP32.bad + 9))
    result = compare(bent, FP32, 0.005, 0)
    assert result.passed and result.expected_loss < 0.002


# ---------------------------------------------------------------- how many defects


class Told:
    """A session whose score of an image is looked up by the image's number."""

    def __init__(self, scores):
        self.scores, self.seen = scores, []

    def map(self, images):
        for image in images:
            number = int(image[0, 0, 0, 0]) + 256 * int(image[0, 0, 0, 1])
            self.seen.append(number)
            yield {"score": np.float32([self.scores[number]]), "anomaly_map": np.zeros((1, 1, 1, 1))}


NUMBERED = [np.array([[[n % 256, n // 256, 0]]], np.uint8) for n in range(50 + DEFECTS)]
TRUTH = np.concatenate([FP32.good, FP32.bad])


def gate(form_scores):
    fp32, form = Told(TRUTH), Told(form_scores)
    judged = PrecisionGate(fp32, NUMBERED[:50], iter(NUMBERED[50:]), 0.005, 0)
    judged.judge(fp32)
    return *judged.judge(form), fp32, form


def test_a_clear_form_is_judged_by_a_third_of_the_defects():
    for scores, passes in ((TRUTH * 2 + 1, True), (-TRUTH, False)):
        trial, found, fp32, form = gate(scores)
        assert found.passed == passes and found.clear and found.defects == len(trial.bad) == FEW_DEFECTS
        assert len(fp32.seen) == len(form.seen) == 50 + FEW_DEFECTS


def test_a_doubtful_form_is_judged_by_all_and_no_image_is_run_twice():
    noise = np.random.default_rng(2).normal(0, 1, len(TRUTH))
    few = {}
    for size in np.arange(0.05, 1.0, 0.05):
        trial, found, fp32, form = gate(TRUTH + size * noise)
        assert sorted(form.seen) == list(range(50 + found.defects)) and len(trial.bad) == found.defects
        whole = compare(Trial(trial.good, trial.good, trial.bad, trial.bad), _first(found.defects), 0.005, 0)
        assert found == whole
        few[size] = found.defects == FEW_DEFECTS
        if not few[size]:
            assert sorted(fp32.seen) == list(range(50 + DEFECTS))
    assert set(few.values()) == {True, False}, few
    assert few[0.05], "a form that loses nothing is clear"


def _first(count):
    as_run = np.float32(TRUTH).astype(np.float64)
    return trial(as_run[:50], as_run[50 : 50 + count])
