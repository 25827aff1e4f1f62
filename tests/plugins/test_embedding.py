"""Patch embeddings in both engines against the plain-numpy oracle."""

from __future__ import annotations

import numpy as np
import pytest

from edgead_plugins.embedding import adaptive_bins, concatenated, pooled
from tests.graphs import ENGINES, run
from tests.plugins import patchcore_oracle as oracle

RNG = np.random.default_rng(0)
FINE, COARSE = RNG.normal(size=(6, 8, 10)), RNG.normal(size=(10, 4, 5))


def rows(embedding):
    return embedding[0].reshape(embedding.shape[1], -1).T


def run_part(engine, part, fine=FINE, coarse=COARSE):
    inputs = {"fine": fine[None].astype(np.float32), "coarse": coarse[None].astype(np.float32)}
    return rows(run(engine, lambda fine, coarse: {"e": part([fine, coarse])}, **inputs)["e"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("patch_size", [1, 2, 3, 5])
def test_concatenation(engine, patch_size):
    found = run_part(engine, lambda maps: concatenated(maps, patch_size))
    np.testing.assert_allclose(found, oracle.embed_concatenated([FINE, COARSE], patch_size), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("patch_size", [1, 3])
@pytest.mark.parametrize(
    "width", [1, 4, 7, 12, 16]
)  # under, between and over the channel counts; coprime too
def test_the_papers_pooling(engine, patch_size, width):
    found = run_part(engine, lambda maps: pooled(maps, patch_size, width))
    np.testing.assert_allclose(found, oracle.embed_pooled([FINE, COARSE], patch_size, width), atol=1e-5)


def test_the_papers_pooling_of_wide_resnet_widths():
    """512 and 1024 channels to 1024: the first half has 9-tap averages that count the centre twice."""
    fine, coarse = RNG.normal(size=(512, 4, 4)), RNG.normal(size=(1024, 2, 2))
    found = run_part("onnxruntime", lambda maps: pooled(maps, 3, 1024), fine, coarse)
    np.testing.assert_allclose(found, oracle.embed_pooled([fine, coarse], 3, 1024), atol=1e-5)
    average = oracle.neighbourhoods(fine, 3).mean(1)
    np.testing.assert_allclose(found[:, :512].T.reshape(512, 4, 4), (9 * average + fine) / 10, atol=1e-5)


def test_bins_average():
    bins = adaptive_bins(7, 3)
    np.testing.assert_allclose(bins.sum(1), 1)
    np.testing.assert_allclose(bins[1], [0, 0, 1 / 3, 1 / 3, 1 / 3, 0, 0])
