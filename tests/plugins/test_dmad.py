"""DMAD without torch: memory, knowledge and scores in the graph, against formulas in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import spox.opset.ai.onnx.v18 as op

from edgead.errors import OptionError
from edgead.options import parse_options
from edgead_plugins.dmad import DMAD, DMADOptions
from edgead_plugins.dmad.fitted import FittedDMAD, Head
from edgead_plugins.dmad.knowledge import knowledge
from edgead_plugins.dmad.memory import (
    Patches,
    build_memory,
    centre_samples,
    noise_factor,
    pseudo_anomalous,
)
from edgead_plugins.nearest import Bank
from edgead_plugins.patchcore import FittedPatchCore, PatchCoreOptions
from tests.graphs import ENGINES, run
from tests.plugins import dmad_oracle as oracle

RNG = np.random.default_rng(0)
DIM, GRID = 12, (4, 5)


def patches(n, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return Patches((rng.gamma(2, 1, (n, DIM)) + offset).astype(np.float32), np.arange(n) // 3)


def rounded(bank):
    centred = bank - bank.mean(0)
    one, other = centred[:, 0::2], centred[:, 1::2]  # neighbours of one sign fit 16 bits together
    pair = np.where(one * other > 0, np.abs(one + other), np.maximum(np.abs(one), np.abs(other))).max()
    step = max(np.abs(centred).max() / 127, pair / 127)
    return np.rint((bank - bank.mean(0)) / step) * step + bank.mean(0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("count", "attention"), [(1, False), (1, True), (3, True)])
def test_knowledge_is_the_formulas(engine, count, attention):
    bank, query = patches(40).rows, patches(20, seed=1).rows

    def part(query):
        lowered = Bank(bank).lower("fp32")
        return {"k": knowledge(lowered, query, lowered.search(query, count).index, attention)}

    found = run(engine, part, query=query)["k"]
    np.testing.assert_allclose(found, oracle.knowledge(query, bank, count, attention), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_knowledge_is_that_of_the_rounded_rows(engine):
    bank, query = patches(40).rows, patches(20, seed=1).rows

    def part(query):
        lowered = Bank(bank).lower("int8")
        nearest = lowered.search(query).index
        return {"k": knowledge(lowered, query, nearest, False), "i": op.identity(nearest)}

    found = run(engine, part, query=query)
    rows = rounded(bank.astype(float))[found["i"][:, 0]]
    np.testing.assert_allclose(found["k"], np.abs(query - rows), rtol=1e-4, atol=1e-4)
    exact = oracle.knowledge(query, bank)
    assert np.median(np.abs(found["k"] - exact)) < 0.05


def test_pseudo_anomalous_features_vary_as_normal_ones_do():
    rows = patches(20000).rows
    rows[:, 1] = rows[:, 0] + 0.1 * rows[:, 1]
    factor = noise_factor(rows)
    noise = pseudo_anomalous(rows, factor, 0.5, seed=3) - rows
    np.testing.assert_allclose(np.cov(noise.T), np.cov(rows.T) / 4, atol=0.02)
    assert np.abs(noise.mean(0)).max() < 0.05
    assert np.array_equal(pseudo_anomalous(rows, factor, 0.5, 3), pseudo_anomalous(rows, factor, 0.5, 3))
    assert not np.array_equal(pseudo_anomalous(rows, factor, 0.5, 3), pseudo_anomalous(rows, factor, 0.5, 4))
    still = noise_factor(np.ones((50, DIM), np.float32))  # nothing varies
    assert np.isfinite(still).all() and np.abs(still).max() < 1e-5


def test_centre_samples_lie_around_each_defects_mean():
    observed = Patches(patches(30).rows, np.repeat([0, 1, 2], [5, 5, 20]))
    drawn = centre_samples(observed, 2000, 0.1, seed=0)
    assert drawn.rows.shape == (6000, DIM) and drawn.image.tolist() == [0] * 2000 + [1] * 2000 + [2] * 2000
    for n in range(3):
        mine = drawn.rows[drawn.image == n]
        np.testing.assert_allclose(mine.mean(0), observed.rows[observed.image == n].mean(0), atol=0.02)
        np.testing.assert_allclose(mine.std(0), 0.1, rtol=0.1)


def test_the_abnormal_bank_is_the_union():
    normal, observed = patches(10), Patches(patches(6, 5).rows, np.array([0, 0, 0, 1, 1, 1]))
    words = {"noise": 0.5, "centre_std": 0.1, "seed": 0}
    factor = np.eye(DIM, dtype=np.float32)
    whole = build_memory(normal, observed, factor, centre_count=4, **words)
    assert whole.parts == (6, 8, 10) and whole.abnormal.rows.shape == (24, DIM)
    assert np.array_equal(whole.abnormal.rows[:6], observed.rows)
    assert whole.abnormal.image.tolist() == [0] * 3 + [1] * 3 + [0] * 4 + [1] * 4 + [-1] * 10
    alone = build_memory(
        normal, Patches(np.empty((0, DIM), np.float32), np.empty(0, int)), factor, centre_count=4, **words
    )
    assert alone.parts == (0, 0, 10)


def fitted(attention=True, neighbours=1):
    normal, abnormal = patches(30), patches(25, 1.0, seed=2)
    memory = build_memory(
        normal, abnormal, np.eye(DIM, dtype=np.float32), noise=0.5, centre_count=2, centre_std=0.1, seed=0
    )
    rng = np.random.default_rng(5)
    weights = rng.normal(0, 0.3, (3 * DIM, 16)).astype(np.float32)
    bias, last = rng.normal(0, 0.3, (2, 16)).astype(np.float32)
    options = DMADOptions(neighbors=neighbours)
    coreset = FittedPatchCore(normal.rows, GRID, PatchCoreOptions(), 100, np.arange(30))
    head = Head(weights, bias, last, 0.4)
    return FittedDMAD(memory, coreset, np.eye(DIM, dtype=np.float32), head, attention, GRID, options, 0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("neighbours", [1, 2])
def test_scores_are_the_formulas(engine, attention, neighbours):
    it = fitted(attention, neighbours)
    maps = RNG.gamma(2, 1, (1, DIM, *GRID)).astype(np.float32)

    def part(patches):
        scores = it.graph({"patches": patches}, "fp32")
        return {"patch": scores.patch, "image": scores.image}

    found = run(engine, part, patches=maps)
    query = maps[0].reshape(DIM, -1).T.astype(float)
    count = neighbours if attention else 1
    said = [
        oracle.knowledge(query, bank.rows, count, attention)
        for bank in (it.memory.normal, it.memory.abnormal)
    ]
    hidden = np.concatenate([query, *said], axis=1) @ it.head.weights.astype(float) + it.head.bias
    psi = np.where(hidden > 0, hidden, 0.2 * hidden) @ it.head.last
    wanted = np.maximum(0, 0.4 - psi)
    assert (wanted > 0).any()
    np.testing.assert_allclose(found["patch"], wanted.reshape(1, 1, *GRID), rtol=1e-3, atol=1e-4)
    assert found["image"].shape == (1,)
    assert found["image"][0] == pytest.approx(oracle.image_score(wanted), rel=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_int8_form_is_close(engine):
    it = fitted()
    maps = RNG.gamma(2, 1, (1, DIM, *GRID)).astype(np.float32)
    both = [
        run(engine, lambda patches, p=p: {"s": it.graph({"patches": patches}, p).patch}, patches=maps)["s"]
        for p in ("fp32", "int8")
    ]
    assert not np.array_equal(*both)
    assert np.median(np.abs(both[0] - both[1])) < 0.05 * both[0].max()


def test_a_grid_of_fewer_than_five_patches():
    it = fitted()
    small = FittedDMAD(it.memory, it.coreset, it.factor, it.head, True, (1, 2), it.options, 0)
    maps = RNG.gamma(2, 1, (1, DIM, 1, 2)).astype(np.float32)

    def part(patches):
        return {"i": op.identity(small.graph({"patches": patches}, "fp32").image)}

    found = run("onnxruntime", part, patches=maps)
    assert found["i"].shape == (1,)


@pytest.mark.parametrize(
    "word", ["coreset_ratio=0", "hidden=0", "noise=0", "batch_size=1", "steps=0", "neighbors=0"]
)
def test_options_out_of_range_are_refused(word):
    name, _, value = word.partition("=")
    with pytest.raises(OptionError, match=rf"option '{name}' takes .*, not {value}\b"):
        parse_options(DMADOptions, [word])


def test_the_scorer_says_that_it_learns_from_defects():
    from edgead.types import LearnsDefects
    from edgead_plugins.patchcore import PatchCore

    assert isinstance(DMAD(), LearnsDefects) and not isinstance(PatchCore(), LearnsDefects)
