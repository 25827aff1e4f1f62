"""The exact search against direct distances in float64, in both engines."""

from __future__ import annotations

import numpy as np
import pytest
import spox.opset.ai.onnx.v18 as op

from edgead_plugins.nearest import CHUNK_ROWS, GROUP_ROWS, GROUPED_ROWS, Bank
from tests.graphs import ENGINES, run


def search(engine, bank, queries, precision, k):
    def part(query):
        found = Bank(bank).lower(precision).search(query, k)
        return {"distance": found.distance, "index": found.index, "query": op.identity(found.query)}

    return run(engine, part, query=queries)


def direct(queries, bank):
    return np.sqrt(((queries[:, None].astype(np.float64) - bank[None].astype(np.float64)) ** 2).sum(2))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "rows",
    [1, 5, 4 * CHUNK_ROWS, 4 * CHUNK_ROWS + 1, GROUPED_ROWS + 3 * GROUP_ROWS, GROUPED_ROWS + GROUP_ROWS + 5],
)
@pytest.mark.parametrize("k", [1, 3, 9])
def test_float_search_equals_direct_distances(engine, rows, k):
    rng = np.random.default_rng(rows)
    bank = rng.gamma(2, 1, (rows, 24)).astype(np.float32)
    queries = rng.gamma(2, 1, (20, 24)).astype(np.float32)
    k = min(k, rows)
    found = search(engine, bank, queries, "fp32", k)
    expected = np.sort(direct(queries, bank), axis=1)[:, :k]
    np.testing.assert_allclose(found["distance"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(direct(queries, bank), found["index"], 1), expected, rtol=1e-5
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_close_neighbours_far_from_the_origin_do_not_cancel(engine):
    """Vectors of norm 40,000 whose distances are near 1: |q|^2 - 2 q.b + |b|^2 in float32 would be noise."""
    rng = np.random.default_rng(0)
    centre = np.full(16, 1e4, np.float32)
    bank = centre + rng.normal(size=(200, 16)).astype(np.float32)
    queries = bank[:50] + rng.normal(0, 0.01, (50, 16)).astype(np.float32)
    found = search(engine, bank, queries, "fp32", 1)
    expected = direct(queries, bank).min(1, keepdims=True)
    np.testing.assert_allclose(found["distance"], expected, rtol=0.02, atol=2e-3)
    assert (found["index"][:, 0] == np.arange(50)).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rows", [300, 4 * CHUNK_ROWS + 37])
def test_int8_search_is_exact_for_the_rounded_values(engine, rows):
    rng = np.random.default_rng(1)
    bank = rng.gamma(2, 1, (rows, 32)).astype(np.float32)
    queries = rng.gamma(2, 1.5, (40, 32)).astype(np.float32)  # some beyond the bank's range: they clip
    step, mean = Bank(bank).step, bank.astype(np.float64).mean(0).astype(np.float32)
    rounded_bank = np.clip(np.rint((bank - mean) / step), -127, 127) * np.float64(step)
    rounded = (np.clip(np.rint((queries - mean + 128 * step) / step), 0, 255) - 128) * np.float64(step)
    found = search(engine, bank, queries, "int8", 2)
    expected = np.sort(direct(rounded, rounded_bank), axis=1)[:, :2]
    np.testing.assert_allclose(found["distance"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["query"], rounded, atol=float(step) * 1e-3)


def test_int8_is_close_to_float():
    rng = np.random.default_rng(2)
    bank = rng.gamma(2, 1, (500, 64)).astype(np.float32)
    queries = rng.gamma(2, 1, (100, 64)).astype(np.float32)
    exact = direct(queries, bank).min(1, keepdims=True)
    found = search("onnxruntime", bank, queries, "int8", 1)["distance"]
    assert np.abs(found / exact - 1).max() < 0.02


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_bank_of_equal_rows(precision):
    bank = np.full((7, 8), 3.0, np.float32)
    found = search("onnxruntime", bank, bank[:2], precision, 1)
    np.testing.assert_array_equal(found["distance"], 0)
