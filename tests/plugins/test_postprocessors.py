"""The anomaly map in both engines against up-sampling and convolution written out."""

from __future__ import annotations

import numpy as np
import pytest
import spox.opset.ai.onnx.v18 as op

from edgead.types import Scores
from edgead_plugins.postprocessors import Gaussian, bilinear_matrix, gaussian_matrix
from tests.graphs import ENGINES, run
from tests.plugins import patchcore_oracle as oracle


def finish(engine, patch, size, image=None):
    def part(patch):
        scores = Scores(patch, None if image is None else op.const(np.float32([image])))
        anomaly_map, score = Gaussian().graph(scores, patch.unwrap_tensor().shape[2:], size)
        return {"map": anomaly_map, "score": score}

    return run(engine, part, patch=patch[None, None].astype(np.float32))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("shape", "size"), [((8, 8), (64, 64)), ((20, 8), (80, 32)), ((3, 5), (47, 61))])
def test_map_equals_resize_and_blur(engine, shape, size):
    patch = np.random.default_rng(0).gamma(2, 1, shape)
    found = finish(engine, patch, size)
    expected = oracle.anomaly_map(patch, size)
    np.testing.assert_allclose(found["map"][0, 0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["score"], [expected.max()], rtol=1e-5)


def test_the_scorers_own_image_score_is_kept():
    found = finish("onnxruntime", np.ones((4, 4)), (32, 32), image=7.5)
    assert found["score"] == [7.5]
    np.testing.assert_allclose(found["map"], 1, rtol=1e-6)


def test_matrices_preserve_a_constant_at_any_size():
    for n_in, n_out in [(1, 1), (1, 9), (5, 5), (7, 3), (3, 40)]:
        np.testing.assert_allclose(bilinear_matrix(n_in, n_out).sum(1), 1)
    for n in (1, 2, 5, 40):  # the kernel is longer than most of these
        np.testing.assert_allclose(gaussian_matrix(n, 4.0, 33).sum(1), 1)
