"""The precision gate's own arithmetic: a worse form must lose."""

from __future__ import annotations

import numpy as np

from edgead.workbench.precision import defective_images, run_trial


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
    bad = defective_images(good, seed=0, count=60)
    assert len(bad) == 60 and not any(np.array_equal(b, g) for b in bad for g in good)
    clean, noisy = (run_trial(Contrast(noise), good, bad) for noise in (0.0, 60.0))
    assert clean.auroc > 0.9 > noisy.auroc
    assert len(clean.good) == len(clean.good_maxima) == 12 and len(clean.bad) == 60


def test_defects_are_the_same_for_the_same_seed():
    good = smooth_images(3)
    first, again = (defective_images(good, seed=5, count=6) for _ in range(2))
    other = defective_images(good, seed=6, count=6)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))
