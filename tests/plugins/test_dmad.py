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
    Making,
    Patches,
    build_memory,
    centre_samples,
    fused,
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
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ("count", "reading"), [(1, "nearest"), (1, "taper"), (3, "attention"), (9, "taper"), (3, "nearest")]
)
def test_knowledge_is_the_formulas(engine, count, reading, signed):
    bank, query = patches(40).rows, patches(20, seed=1).rows

    def part(query):
        lowered = Bank(bank).lower("fp32")
        return {"k": knowledge(lowered, query, lowered.search(query, count).index, reading, signed)}

    found = run(engine, part, query=query)["k"]
    wanted = oracle.knowledge(query, bank, count, reading, signed=signed)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_knowledge_is_that_of_the_rounded_rows(engine):
    bank, query = patches(40).rows, patches(20, seed=1).rows

    def part(query):
        lowered = Bank(bank).lower("int8")
        nearest = lowered.search(query).index
        return {"k": knowledge(lowered, query, nearest, "nearest"), "i": op.identity(nearest)}

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


def test_tapered_knowledge_doesnt_jump_where_the_nearest_row_changes():
    """Along a line past many rows: steps of the knowledge against the steps taken, at each reading."""
    bank = patches(400).rows.astype(float)
    start, end = patches(2, seed=9).rows.astype(float)
    line = np.linspace(0, 1, 4000)[:, None] * (end - start) + start
    step = np.linalg.norm(line[1] - line[0])

    def jump(said):
        return np.linalg.norm(np.diff(said, axis=0), axis=1).max() / step

    assert jump(oracle.knowledge(line, bank, 1, "nearest")) > 100
    assert jump(oracle.knowledge(line, bank, 3, "attention")) > 100
    assert jump(oracle.knowledge(line, bank, 9, "taper")) < 40

    def part(query):
        lowered = Bank(bank.astype(np.float32)).lower("fp32")
        return {"k": knowledge(lowered, query, lowered.search(query, 9).index, "taper")}

    assert jump(run("onnxruntime", part, query=line.astype(np.float32))["k"]) < 40


def test_centre_samples_lie_around_the_mean_of_all_defects():
    observed = Patches(patches(30).rows, np.repeat([0, 1, 2], [5, 5, 20]))
    drawn = centre_samples(observed, 2000, 0.015, seed=0)
    assert drawn.rows.shape == (2000, DIM) and set(drawn.image) == {-1}
    np.testing.assert_allclose(drawn.rows.mean(0), observed.rows.astype(float).mean(0), atol=0.003)
    np.testing.assert_allclose(drawn.rows.std(0), 0.015, rtol=0.1)
    assert len(centre_samples(observed, None, 0.015, seed=0)) == 30  # as many as were observed
    assert len(centre_samples(observed, 0, 0.015, seed=0)) == 0


def test_fused_features_are_mixtures_of_normal_and_foreign_ones():
    rows, foreign = patches(300).rows, patches(50, 20.0, seed=4).rows
    found = fused(rows, foreign, seed=1).astype(float)
    shares = []
    for mixed, normal in zip(found, rows, strict=True):
        along = foreign.astype(float) - normal
        share = (along * (mixed - normal)).sum(1) / (along**2).sum(1)
        off = np.linalg.norm(normal + share[:, None] * along - mixed, axis=1)
        assert off.min() < 1e-4  # on the line from the normal patch to one of the foreign ones
        shares.append(share[off.argmin()])
    assert 0.2 <= min(shares) < 0.25 and 0.95 < max(shares) <= 1


def making(centre_count=None):
    return Making(np.eye(DIM, dtype=np.float32), 0.5, centre_count, 0.1, 0)


NOTHING = np.empty((0, DIM), np.float32)


def test_the_abnormal_bank_is_the_union():
    normal, observed = patches(10), Patches(patches(6, 5).rows, np.array([0, 0, 0, 1, 1, 1]))
    foreign = patches(7, 9.0, seed=3).rows
    whole = build_memory(normal, observed, foreign, making())
    assert whole.parts == (6, 6, 7) and whole.abnormal.rows.shape == (19, DIM)
    assert np.array_equal(whole.abnormal.rows[:6], observed.rows)
    assert np.array_equal(whole.abnormal.rows[12:], foreign)
    assert whole.abnormal.image.tolist() == [0] * 3 + [1] * 3 + [-1] * 13
    alone = build_memory(normal, Patches(NOTHING, np.empty(0, int)), foreign, making())
    assert alone.parts == (0, 0, 10)
    assert np.array_equal(alone.abnormal.rows, fused(normal.rows, foreign, 0))
    without = build_memory(normal, observed, NOTHING, making(4))
    assert without.parts == (6, 4, 10)
    noisy = pseudo_anomalous(normal.rows, np.eye(DIM, dtype=np.float32), 0.5, 0)
    assert np.array_equal(without.abnormal.rows[10:], noisy)


def fitted(reading="taper", neighbours=1):
    normal, abnormal = patches(30), patches(25, 1.0, seed=2)
    memory = build_memory(normal, abnormal, NOTHING, making(2))
    rng = np.random.default_rng(5)
    weights = rng.normal(0, 0.3, (3 * DIM, 16)).astype(np.float32)
    bias, last = rng.normal(0, 0.3, (2, 16)).astype(np.float32)
    options = DMADOptions(neighbors=neighbours)
    coreset = FittedPatchCore(normal.rows, GRID, PatchCoreOptions(), 100, np.arange(30))
    head = Head(weights, bias, last, 0.4)
    return FittedDMAD(memory, coreset, making(2), head, reading, GRID, options)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reading", ["taper", "attention", "nearest"])
@pytest.mark.parametrize("neighbours", [1, 3])
def test_scores_are_the_formulas(engine, reading, neighbours):
    it = fitted(reading, neighbours)
    maps = RNG.gamma(2, 1, (1, DIM, *GRID)).astype(np.float32)

    def part(patches):
        scores = it.graph({"patches": patches}, "fp32")
        return {"patch": scores.patch, "image": scores.image}

    found = run(engine, part, patches=maps)
    query = maps[0].reshape(DIM, -1).T.astype(float)
    count = 1 if reading == "nearest" else neighbours
    said = [
        oracle.knowledge(query, bank.rows, count, reading) for bank in (it.memory.normal, it.memory.abnormal)
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
    small = FittedDMAD(it.memory, it.coreset, it.making, it.head, "taper", (1, 2), it.options)
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
