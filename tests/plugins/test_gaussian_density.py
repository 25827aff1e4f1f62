"""The density: streaming moments, its forms in both engines, INT8 and FP16's limits, alignment."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.errors import DatasetError
from edgead.progress import silent
from edgead_plugins.gaussian_density import (
    Estimation,
    densities_without_each,
    density_bytes,
    estimate_density,
    explained_by_position,
)
from edgead_plugins.whitening import whiten
from tests.graphs import ENGINES, run
from tests.plugins import padim_oracle as oracle

D, GRID = 12, (7, 5)
FORMS = {"full": None, "low-rank": 5, "diagonal": 0}


def images(n, far=0.0, seed=0, d=D, grid=GRID):
    """(n, d, positions) correlated features, as far from the origin as asked."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(grid[0] * grid[1], d, d)) / d**0.5
    noise = rng.normal(size=(n, grid[0] * grid[1], d, 1))
    return (far + (mixing @ noise)[..., 0]).transpose(0, 2, 1).astype(np.float32)


def fit(data, form="full", **more):
    passes = []

    def features():
        passes.append(1)
        return iter(data)

    density = estimate_density(
        features, data.shape[2], data.shape[1], Estimation(form, FORMS[form] or 0, **more), progress=silent
    )
    return density, len(passes)


def expected(data, query, form):
    means, covariances = oracle.gaussians(data.transpose(0, 2, 1).astype(np.float64), 0.01)
    z = query.T.astype(np.float64)
    if form == "diagonal":
        return oracle.diagonal_distances(z, means, covariances)
    return oracle.distances(z, means, covariances, FORMS[form])


def scores(engine, density, query, precision, grid=GRID):
    feature_map = query.reshape(1, len(query), *grid)
    found = run(engine, lambda x: {"patch": density.graph(x, precision)}, x=feature_map)
    return found["patch"].ravel()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_distances_equal_the_oracles(engine, form, n):
    """Fewer images than dimensions, too: the ridge keeps every covariance regular."""
    if form == "low-rank" and n <= D:
        pytest.skip("directions in which nothing varies are equals: which five are kept isn't defined")
    data, query = images(n), images(1, seed=9)[0] * 3
    found = scores(engine, fit(data, form)[0], query, "fp32")
    np.testing.assert_allclose(found, expected(data, query, form), rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_distances_of_many_images_together_equal_the_oracles(form):
    """On a grid of several chunks, of which the last is small."""
    data, queries = images(40, far=5.0, grid=(17, 16)), images(5, far=5.0, seed=9, grid=(17, 16)) * 2
    found = fit(data, form)[0].distances(queries)
    assert found.shape == (5, 17 * 16)
    for row, query in zip(found, queries, strict=True):
        np.testing.assert_allclose(row, expected(data, query, form), rtol=1e-4)


def test_many_images_take_several_products_and_give_the_moments_of_all(monkeypatch):
    data = images(50, far=30.0)
    once = fit(data)[0]
    monkeypatch.setattr("edgead_plugins.moments._BATCH", 7)
    again = fit(data)[0]
    np.testing.assert_allclose(again.mean, once.mean, rtol=1e-6)
    np.testing.assert_allclose(again.factor, once.factor, atol=2e-4)


def test_features_far_from_the_origin_do_not_cancel():
    data, query = images(50, far=300.0), images(1, far=300.0, seed=9)[0]
    found = scores("onnxruntime", fit(data)[0], query, "fp32")
    np.testing.assert_allclose(found, expected(data, query, "full"), rtol=1e-3)


@pytest.mark.parametrize("memory", [1 << 30, 4 * D * D * 17 * 16, 1])
@pytest.mark.parametrize("form", FORMS)
def test_each_folds_density_is_of_the_others_images(form, memory):
    """With room for all sums, for those of all images and a block of a fold's, and for hardly any."""
    data, query = images(46, far=5.0, grid=(17, 16)), images(1, far=5.0, seed=9, grid=(17, 16))[0] * 2
    parts = [data[:13], data[13:14], data[14:30], data[30:]]
    how = Estimation(form, FORMS[form] or 0, memory_bytes=memory)
    found = densities_without_each([lambda own=own: iter(own) for own in parts], 17 * 16, D, how)
    for own, density in enumerate(found):
        others = np.concatenate([part for number, part in enumerate(parts) if number != own])
        assert density.n_images == len(others)
        row = density.distances(query[None])[0]
        np.testing.assert_allclose(row, expected(others, query, form), rtol=1e-4)
    assert own == len(parts) - 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_features_whose_rounding_exceeds_the_ridge_have_a_density(form, scale):
    """Of the whole and of folds: what float32 loses of a covariance may be more than the ridge."""
    data = scale * images(20, d=40)
    how = Estimation(form, 5 if form == "low-rank" else 0)
    parts = [data[:5], data[5:10], data[10:]]
    folds = densities_without_each([lambda own=own: iter(own) for own in parts], GRID[0] * GRID[1], 40, how)
    whole = estimate_density(lambda: iter(data), GRID[0] * GRID[1], 40, how, progress=silent)
    with np.errstate(invalid="raise", divide="raise", over="raise"):
        for density in (whole, *folds):
            assert np.isfinite(density.distances(data)).all()
            if density.factor is not None:  # no direction has less variance than the ridge
                lengths = np.linalg.norm(density.factor, axis=2)
                assert lengths.max() <= 1.001 * density.ridge**-0.5


def test_a_covariance_that_rounding_made_irregular_is_the_nearest_regular_one():
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 9, 9)))
    variances = np.linspace(-0.5, 4, 9)
    given = ((axes * variances) @ axes.transpose(0, 2, 1)).astype(np.float32)
    factor = np.empty((3, 9, 9), np.float32)
    whiten(given, factor, 0.01, silent)
    expected = (axes / np.maximum(variances + 0.01, 0.01)) @ axes.transpose(0, 2, 1)
    np.testing.assert_allclose(factor.transpose(0, 2, 1) @ factor, expected, rtol=1e-3, atol=1e-3)


def test_a_fold_that_has_all_images_leaves_nothing_to_learn():
    parts = [lambda: iter(images(3)), lambda: iter(())]
    with pytest.raises(DatasetError, match="at least one good image"):
        next(densities_without_each(parts, GRID[0] * GRID[1], D))


@pytest.mark.parametrize("form", FORMS)
def test_little_memory_means_more_passes_and_the_same_density(form):
    data = images(20, d=8, grid=(20, 20))
    once, passes = fit(data, form)
    assert passes == 1
    again, passes = fit(data, form, memory_bytes=1)
    assert passes == (1 if form == "diagonal" else 4)
    for a, b in ((once.mean, again.mean), (once.variance, again.variance), (once.factor, again.factor)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", ["full", "low-rank"])
def test_int8_factors_are_close_to_float(engine, form):
    data, query = images(60), images(1, seed=9)[0] * 2
    density = fit(data, form)[0]
    found, exact = scores(engine, density, query, "int8"), expected(data, query, form)
    assert np.median(np.abs(found / exact - 1)) < 0.03
    np.testing.assert_allclose(found, exact, rtol=0.12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_nothing_overflows_however_far_off(engine, precision):
    density = fit(images(10))[0]
    wild = np.full((D, GRID[0] * GRID[1]), 1e6, np.float32)
    found = scores(engine, density, wild, precision)
    assert np.isfinite(found).all()
    assert found.min() > scores(engine, density, images(1, seed=9)[0], precision).max()


def test_everything_fits_fp16():
    """Factors as FP16 holds them, and the graph's arithmetic in FP16: a distance of 1,000 is no overflow."""
    density = fit(images(5))[0]  # fewer images than dimensions: the largest factors there are
    factor = (density.factor / np.float32(16)).astype(np.float16)
    assert np.isfinite(factor).all()
    z = np.full((GRID[0] * GRID[1], D, 1), 30, np.float16)
    whitened = factor @ z
    exact = np.sqrt(((density.factor.astype(np.float64) @ z) ** 2).sum((1, 2)))
    assert exact.max() > 500
    found = np.sqrt((whitened**2).sum((1, 2), dtype=np.float16)).astype(np.float64) * 16
    np.testing.assert_allclose(found, exact, rtol=0.02)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_bytes_are_those_of_the_graphs_arrays(form, precision):
    import spox
    from spox import Tensor

    from edgead.workbench.graph import collected_parameters

    density = fit(images(6), form)[0]
    with collected_parameters() as parameters:
        density.graph(spox.argument(Tensor(np.float32, (1, D, *GRID))), precision)
        held = sum(array.nbytes for _, array in parameters.values())
    assert density.bytes(precision) == held
    assert density_bytes(35, D, 0 if density.factor is None else density.factor.shape[1], precision) == held


def test_factors_of_many_dimensions_are_the_inverse_covariances_roots():
    data = images(90, d=57, grid=(2, 2))
    density = fit(data)[0]
    _, covariances = oracle.gaussians(data.transpose(0, 2, 1).astype(np.float64), 0.01)
    products = density.factor.transpose(0, 2, 1).astype(np.float64) @ density.factor
    np.testing.assert_allclose(products @ covariances, np.broadcast_to(np.eye(57), (4, 57, 57)), atol=2e-3)


def test_no_image_is_an_error():
    with pytest.raises(DatasetError, match="image"):
        fit(images(1)[:0])


def test_position_explains_fixtured_parts_and_neither_surfaces_nor_strewn_ones():
    rng = np.random.default_rng(0)
    part = np.kron(rng.normal(size=(4, 4, 4)), np.ones((1, 8, 8)))  # (channels, 32, 32)
    noise = rng.normal(0, 0.2, (20, 4, 32, 32))

    def share(data):
        flat = data.reshape(len(data), 4, -1).astype(np.float32)
        return explained_by_position(fit(flat, "diagonal")[0], (32, 32))

    assert share(part + noise) > 0.9
    assert share(noise) < 0.02
    strewn = [np.roll(part, rng.integers(-5, 6, 2), (1, 2)) for _ in range(20)]
    assert 0.12 < share(strewn + noise) < 0.6
