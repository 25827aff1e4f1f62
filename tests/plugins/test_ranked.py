"""The ranked search in the graph, and how it's chosen, against direct distances in float64."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import spox.opset.ai.onnx.v18 as op

from edgead.notices import say
from edgead_plugins.nearest import CHUNK_ROWS, Bank
from edgead_plugins.principal import principal_axes, turned
from edgead_plugins.ranked import Ranking, lower_ranked, places_in, squares_of
from edgead_plugins.ranked_bulk import ranked_rows
from edgead_plugins.ranking import EXACT, Search, affordable, best_search, choose_search, cost
from tests.graphs import ENGINES, run

DIM = 48
GRID = (6, 9)


def low_rank(rng, rows, dim=DIM, rank=12):
    """Rows that vary in few directions, and a little in all."""
    directions = np.linalg.qr(np.random.default_rng(99).normal(size=(dim, rank)))[0].T
    return (rng.gamma(2, 1, (rows, rank)) @ directions + rng.normal(0, 0.1, (rows, dim))).astype(np.float32)


def smooth_images(rng, bank, grid, images):
    """Patches near rows of the bank; the four of a square near the same one."""
    h, w = grid
    near = bank[rng.integers(0, len(bank), (images, -(-h // 2), -(-w // 2)))]
    patches = np.repeat(np.repeat(near, 2, 1), 2, 2)[:, :h, :w]
    patches = patches + low_rank(rng, images * h * w, bank.shape[1]).reshape(images, h, w, -1) * 0.2
    return patches.reshape(images, h * w, -1).astype(np.float32)


def direct(queries, bank):
    return np.sqrt(((queries[:, None].astype(np.float64) - bank[None].astype(np.float64)) ** 2).sum(2))


def search(engine, bank, queries, ranking, precision, k=1, grid=GRID):
    def part(query):
        found = lower_ranked(Bank(bank), ranking, precision).search(query, grid, k)
        return {"distance": found.distance, "index": found.index, "query": op.identity(found.query)}

    return run(engine, part, query=queries)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize("k", [1, 3])
def test_with_every_row_a_candidate_it_is_the_exact_search(engine, side, k):
    rng = np.random.default_rng(side)
    bank, queries = low_rank(rng, 70), low_rank(rng, GRID[0] * GRID[1])
    found = search(engine, bank, queries, Ranking(side, 8, 70, 1), "fp32", k)
    distances = direct(queries, bank)
    np.testing.assert_allclose(found["distance"], np.sort(distances, axis=1)[:, :k], rtol=1e-5)
    np.testing.assert_array_equal(found["index"], np.argsort(distances, axis=1)[:, :k])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("rows", [500, CHUNK_ROWS, 2 * CHUNK_ROWS + 37])
def test_a_distance_is_that_of_the_row_named_and_never_too_small(engine, precision, rows):
    rng = np.random.default_rng(rows)
    bank = low_rank(rng, rows)
    queries = smooth_images(rng, bank, GRID, 1)[0]
    found = search(engine, bank, queries, Ranking(2, 16, 16, 8), precision, 2)
    rounded = bank.astype(np.float64)
    if precision == "int8":
        rounded = Bank(bank).quantised() * np.float64(Bank(bank).step)
    else:
        rounded = rounded - Bank(bank).mean
    distances = direct(found["query"], rounded)
    np.testing.assert_allclose(
        found["distance"], np.take_along_axis(distances, found["index"], 1), rtol=1e-4, atol=1e-4
    )
    assert (found["distance"][:, 0] >= distances.min(1) - 1e-4).all()
    assert found["index"].max() < rows  # no row that only fills up a group


def test_candidates_are_the_best_of_groups_in_the_principal_components():
    """Written out once more, with loops and in float64."""
    rng = np.random.default_rng(5)
    bank = low_rank(rng, 640)
    queries = smooth_images(rng, bank, GRID, 1)[0]
    ranking = Ranking(2, 10, 20, 16)
    found = search("onnxruntime", bank, queries, ranking, "fp32")
    mean = bank.astype(np.float64).mean(0)
    variance, axes = np.linalg.eigh(np.cov((bank - mean).T))
    axes = axes[:, np.argsort(-variance)[:10]]
    short, wanted = (bank - mean) @ axes, np.empty(len(queries))
    for y in range(0, GRID[0], 2):
        for x in range(0, GRID[1], 2):
            places = [min(y + i, 5) * GRID[1] + min(x + j, 8) for i in range(2) for j in range(2)]
            middle = (queries[places] - mean).mean(0) @ axes
            apart = ((short - middle) ** 2).sum(1)
            best = [start + apart[start : start + 16].argmin() for start in range(0, 640, 16)]
            best = sorted(best, key=lambda row: apart[row])[:20]
            for place in places:
                wanted[place] = direct(queries[[place]], bank[best]).min()
    np.testing.assert_allclose(found["distance"][:, 0], wanted, rtol=1e-4)


@pytest.mark.parametrize("side", [1, 2])
def test_numpy_finds_what_the_graph_finds(side):
    rng = np.random.default_rng(side)
    bank = low_rank(rng, 1000)
    images, ranking = smooth_images(rng, bank, GRID, 3), Ranking(side, 12, 16, 16)
    distance, index = ranked_rows(images, bank, GRID, ranking, 2)
    for number, queries in enumerate(images):
        found = search("onnxruntime", bank, queries, ranking, "fp32", 2)
        np.testing.assert_allclose(distance[number], found["distance"], rtol=1e-4)
        np.testing.assert_array_equal(index[number], found["index"])


def test_axes_are_those_of_the_covariance_and_turning_keeps_their_span():
    bank = low_rank(np.random.default_rng(3), 300)
    variance, axes = np.linalg.eigh(np.cov(bank.astype(np.float64).T))
    wanted = axes[:, np.argsort(-variance)[:5]]
    found = turned(principal_axes(bank)[:, :5])
    np.testing.assert_allclose(found.T @ found, np.eye(5), atol=1e-5)
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=1e-3)


@pytest.mark.parametrize("grid", [(4, 4), (5, 7), (1, 3), (28, 28)])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_squares_hold_every_patch_and_are_undone(grid, side):
    squares = squares_of(grid, side)
    patches = np.arange(grid[0] * grid[1])
    assert set(squares.ravel()) == set(patches)
    np.testing.assert_array_equal(squares.ravel()[places_in(squares)], patches)
    y, x = np.divmod(squares, grid[1])
    assert (np.ptp(y, axis=1) < side).all() and (np.ptp(x, axis=1) < side).all()


def test_the_share_that_is_off_is_what_the_graph_yields():
    rng = np.random.default_rng(8)
    grid = (16, 16)
    bank = low_rank(rng, 3000, dim=100, rank=24)
    images = smooth_images(rng, bank, grid, 4)
    found = best_search(bank, images, grid, bound=0.3)
    assert found.ranking is not None
    off = []
    for queries in images:
        got = search("onnxruntime", bank, queries, found.ranking, "fp32", grid=grid)["distance"][:, 0]
        off.append(got > 1.01 * direct(queries, bank).min(1))
    assert found.patches == 1024
    assert np.mean(off) == pytest.approx(found.off, abs=0.01)


def test_the_cheapest_within_the_bound_is_taken():
    rng = np.random.default_rng(9)
    grid = (16, 16)
    bank = low_rank(rng, 6000, dim=200, rank=40)
    images = smooth_images(rng, bank, grid, 4)
    images[0, :8] = bank[rng.integers(0, 6000, 8)] + 0.1  # patches that don't look like their neighbours
    possible = affordable(6000, 200, grid, 1)
    found = best_search(bank, images, grid, 0.5)
    assert found.ranking == possible[0] and 0 < found.off <= 0.5 and found.far <= 0.5 / 10
    assert [cost(6000, 200, grid, ranking) for ranking in possible] == sorted(
        cost(6000, 200, grid, ranking) for ranking in possible
    )
    exact = best_search(bank, images, grid, 0.02)
    assert exact.ranking is None and exact.why == "bound"  # too many are far


def test_where_no_ranking_keeps_the_bound_the_search_is_exact():
    """In noise of many dimensions all rows are about equally far: a few components tell nothing."""
    rng = np.random.default_rng(10)
    bank = rng.normal(size=(6000, 400)).astype(np.float32)
    images = rng.normal(size=(2, 256, 400)).astype(np.float32)
    exact = best_search(bank, images, (16, 16), 0.001)
    assert exact.facts == {"kind": "exact", "why": "bound"} and exact.notices == []
    forced = best_search(bank, images, (16, 16), 0.001, ranked=True)
    assert forced.ranking is not None and forced.off > forced.bound == 0.001
    (notice,) = forced.notices
    assert f"{forced.off:.1%} of patches" in say(notice) and "(0.1% allowed)" in say(notice)


def test_a_small_bank_is_searched_exactly():
    assert affordable(200, 384, (32, 32), 1) == []
    assert affordable(20_000, 384, (32, 32), 1)
    assert all(ranking.candidates >= 30 for ranking in affordable(20_000, 384, (32, 32), 30))


@pytest.mark.parametrize(
    ("rows", "wanted", "why"),
    [(40, "ranked", "few-rows"), (40, "auto", "few-rows"), (600, "auto", "no-gain"), (600, "exact", "asked")],
)
def test_why_a_bank_is_searched_exactly_is_told(rows, wanted, why):
    bank = np.random.default_rng(0).normal(size=(rows, 384)).astype(np.float32)
    data = SimpleNamespace(shapes={"patches": (384, 32, 32)})
    found = choose_search(bank, data, "patches", wanted, 0.01)
    assert found.ranking is None and found.facts["why"] == why
    told = [say(notice) for notice in found.notices]
    assert len(told) == (wanted == "ranked") and all("too few rows" in text for text in told)


def test_rows_of_few_values_are_not_ranked_however_many_there_are():
    bank = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    found = choose_search(bank, SimpleNamespace(shapes={"patches": (64, 32, 32)}), "patches", "ranked", 0.01)
    (notice,) = found.notices
    assert found.facts == {"kind": "exact", "why": "few-rows"} and "rows of over 64 values" in say(notice)


def test_facts_say_how_it_is_searched():
    assert EXACT.facts == {"kind": "exact", "why": "asked"}
    facts = Search(Ranking(2, 96, 32, 128), 0.01, 0.0, 0.02, 1024).facts
    assert facts["kind"] == "ranked" and facts["dimensions"] == 96 and facts["off"] == 0.01
    assert replace(EXACT, bound=0.5).facts == EXACT.facts
