"""The nearest rows of a bank for many queries: exact, whether by the whole product or by a part of it."""

from __future__ import annotations

import numpy as np
import pytest

from edgead_plugins import bulk_search
from edgead_plugins.bulk_search import nearest_rows

DIM = 300
KINDS = ("low rank", "full rank", "clustered", "far from the origin", "the same row again", "constant")


def material(kind: str, rows: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(len(kind))
    rank = 20 if kind == "low rank" else DIM
    both = rng.standard_normal((rows + queries, rank)) @ rng.standard_normal((rank, DIM))
    if kind == "clustered":
        both = 9 * rng.standard_normal((9, DIM))[rng.integers(9, size=len(both))] + 0.03 * both
    if kind == "far from the origin":
        both += 300.0
    if kind == "the same row again":
        both[:rows] = np.tile(both[: rows // 4], (4, 1))[:rows]
        both[rows:] = both[: len(both) - rows]
    if kind == "constant":
        both[:] = 0.25
    both = both.astype(np.float32)
    return both[:rows], both[rows:]


@pytest.mark.parametrize("few", [1, 10**9], ids=["pruned", "whole product"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_row_is_the_naive_searchs(monkeypatch, kind, few) -> None:
    monkeypatch.setattr(bulk_search, "PRUNED_ROWS", few)
    bank, queries = material(kind, 700, 301)
    distance, index = nearest_rows(queries, bank)
    apart = bank.astype(np.float64)[None] - queries.astype(np.float64)[:, None]
    wanted = np.sqrt((apart**2).sum(2))
    # The whole product ranks in float32, so of rows that are nearly as far it may take the other.
    slack = {"rtol": 1e-4, "atol": 1e-5 * np.abs(bank - bank.mean(0)).max() + 1e-6}
    np.testing.assert_allclose(distance[:, 0], wanted.min(1), **slack)
    np.testing.assert_allclose(wanted[np.arange(len(queries)), index[:, 0]], wanted.min(1), **slack)


def test_fewer_dimensions_measure_fewer_rows(monkeypatch) -> None:
    measured = []
    squares = bulk_search._squares

    def counted(x: np.ndarray) -> np.ndarray:
        measured.append(x.shape)
        return squares(x)

    bank, queries = material("low rank", 700, 301)
    monkeypatch.setattr(bulk_search, "PRUNED_ROWS", 1)
    monkeypatch.setattr(bulk_search, "_squares", counted)
    nearest_rows(queries, bank)
    assert sum(n for n, dim in measured if dim == DIM) < 0.1 * 700 * 301
