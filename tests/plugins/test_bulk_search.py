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


def test_the_bound_is_one_where_rounding_hides_what_is_across_the_axes() -> None:
    """Rows that are hardly across the axes, and queries wholly: q.b is the product of the lengths across."""
    rng = np.random.default_rng(1)
    turn, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
    rows = np.zeros((2000, DIM))
    rows[:, :64] = rng.standard_normal((2000, 64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[:, 64] = 6e-4
    queries = np.eye(1, DIM, 64).repeat(5, 0)
    axes = turn[:64].T.astype(np.float32)  # those of the first 64 columns, before the turn
    x, y = ((each @ turn).astype(np.float32) for each in (queries, rows))
    short = [bulk_search._shortened(z, bulk_search._squares(z), axes, np.ones(len(z))) for z in (x, y)]
    bound = short[0][:, :-1].astype(np.float64) @ short[1][:, :-1].T.astype(np.float64)
    assert (bound >= x.astype(np.float64) @ y.T.astype(np.float64) - 1e-6).all()


def test_a_large_bank_is_searched_in_blocks_of_few_queries(monkeypatch) -> None:
    bank, queries = material("low rank", 700, 301)
    monkeypatch.setattr(bulk_search, "PRUNED_ROWS", 1)
    wanted = nearest_rows(queries, bank)
    sizes = []
    shortened = bulk_search._shortened
    monkeypatch.setattr(bulk_search, "_BOUNDS", 700 * 9 + 5)
    monkeypatch.setattr(
        bulk_search, "_shortened", lambda x, *more: sizes.append(len(x)) or shortened(x, *more)
    )
    found = nearest_rows(queries, bank)
    assert sorted(sizes)[-2:] == [9, 700] and sum(sizes) == 700 + 301
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)


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
