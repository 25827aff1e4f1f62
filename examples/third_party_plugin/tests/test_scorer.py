"""What only kmeans promises."""

from __future__ import annotations

import numpy as np
import pytest
from edgead.errors import OptionError

from edgead_kmeans.scorer import KmeansOptions, group_means, k_means


def test_three_clumps_have_three_centres() -> None:
    rng = np.random.default_rng(0)
    clumps = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    points = np.concatenate([c + rng.normal(0, 0.1, (20, 2)).astype(np.float32) for c in clumps])
    groups = k_means(points, 12, 5, rng)
    means = group_means(points, groups)
    for clump in clumps:
        assert np.linalg.norm(means - clump, axis=1).min() < 0.5


@pytest.mark.parametrize("wrong", [{"centres": 0}, {"rounds": -1}])
def test_options_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        KmeansOptions(**wrong)
