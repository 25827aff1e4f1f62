"""The whole SPADE graph against the plain-numpy oracle, in both engines, its fitting and its budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import spox
from spox import Tensor

from edgead.errors import DatasetError, OptionError
from edgead.images import list_images, read_image
from edgead.notices import say
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.types import FeatureInfo, FittingData, InputSpec
from edgead.workbench.features import fitting_data, opened, training_data
from edgead.workbench.good_images import GoodImages
from edgead.workbench.graph import collected_parameters, compose
from edgead.workbench.recipe import open_backbone
from edgead_plugins.postprocessors import Gaussian
from edgead_plugins.pyramid import pyramid
from edgead_plugins.spade import Spade, SpadeOptions
from tests.graphs import ENGINES, run
from tests.plugins import spade_oracle as oracle
from tests.plugins.patchcore_oracle import anomaly_map

SHAPES = {"a": (5, 8, 12), "b": (6, 4, 6), "c": (7, 2, 3)}
SIZE = (32, 48)
N = 9


class Backbone:
    """Stands for a backbone where only its description is asked for."""

    name, input = "maps", InputSpec()
    provenance: ClassVar = {}
    feature_info: ClassVar = {
        "a": FeatureInfo(5, 4),
        "b": FeatureInfo(6, 8),
        "c": FeatureInfo(7, 16),
        "d": FeatureInfo(9, 32),
    }


def maps(seed, shift=1.0):
    rng = np.random.default_rng(seed)
    return {n: (rng.normal(size=s) + shift * rng.normal()).astype(np.float32) for n, s in SHAPES.items()}


def with_pooled(one):
    return {**one, "pooled": one["c"].mean((1, 2), keepdims=True)}


def training(n=N, seed=0, scale=1.0, shapes=SHAPES, descriptions=None):
    def progress(description, total):
        if descriptions is not None:
            descriptions.append(description)
        return silent(description, total)

    def features():
        return (with_pooled({k: np.float32(scale) * m for k, m in maps(i).items()}) for i in range(n))

    return FittingData(
        backbone=Backbone(),
        shapes={**shapes, "pooled": (shapes["c"][0], 1, 1)},
        n_images=n,
        size=SIZE,
        features=features,
        images=lambda: iter(()),
        seed=seed,
        progress=progress,
    )


def scored(engine, fitted, one, precision="fp32"):
    def part(**m):
        scores = fitted.graph(m, precision)
        return {"patch": scores.patch, "image": scores.image}

    return run(engine, part, **{name: m[None] for name, m in with_pooled(one).items()})


def expected(options, one, fitted):
    """(patch, image) by the oracle."""
    stored = [list(maps(i).values()) for i in range(N)]
    query = list(one.values())
    everyone = np.array([oracle.pooled(s) for s in stored])
    squares, _ = oracle.nearest_images(oracle.pooled(query), everyone, options.neighbors)
    image = (squares if options.squared else np.sqrt(squares)).mean()
    kept = fitted.gallery.images
    _, near = oracle.nearest_images(oracle.pooled(query), everyone[kept], options.neighbors)
    rows = fitted.gallery.positions[near] if options.gallery == "coreset" else None
    found = oracle.patch_scores(
        query, [stored[kept[i]] for i in near], options.correspondence, options.gallery == "position", rows
    )
    if options.correspondence == "layers":
        return oracle.averaged(found, SIZE, options.squared), image
    return found[None] if options.squared else np.sqrt(found[None]), image


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("correspondence", ["pyramid", "layers"])
@pytest.mark.parametrize("gallery", ["exact", "coreset", "position"])
def test_scores_equal_the_oracles(engine, gallery, correspondence, squared):
    options = SpadeOptions(
        neighbors=3, gallery=gallery, rows=10, correspondence=correspondence, squared=squared
    )
    fitted = Spade(options).fit(training())
    found = scored(engine, fitted, maps(77))
    patch, image = expected(options, maps(77), fitted)
    np.testing.assert_allclose(found["image"], [image], rtol=1e-4)
    np.testing.assert_allclose(found["patch"][0, 0], patch, rtol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("gallery", ["exact", "position"])
def test_a_gallery_of_fewer_images_has_its_own_nearest(engine, gallery):
    options = SpadeOptions(neighbors=2, gallery=gallery, gallery_mib=4500 / 2**20)
    fitted = Spade(options).fit(training())
    assert 2 < len(fitted.gallery.images) < N
    found = scored(engine, fitted, maps(77))
    patch, image = expected(options, maps(77), fitted)
    np.testing.assert_allclose(found["image"], [image], rtol=1e-4)
    np.testing.assert_allclose(found["patch"][0, 0], patch, rtol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_many_images_are_searched_in_parts(engine, monkeypatch):
    monkeypatch.setattr("edgead_plugins.pyramid.LARGEST_PRODUCT", 2 * 96 * 96)
    options = SpadeOptions(neighbors=7, gallery="exact")
    fitted = Spade(options).fit(training())
    patch, _ = expected(options, maps(5, shift=2), fitted)
    np.testing.assert_allclose(scored(engine, fitted, maps(5, shift=2))["patch"][0, 0], patch, rtol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("gallery", ["exact", "coreset", "position"])
def test_int8_is_close_to_float(engine, gallery):
    fitted = Spade(SpadeOptions(neighbors=4, gallery=gallery, rows=20)).fit(training())
    exact = scored("onnxruntime", fitted, maps(77))
    rounded = scored(engine, fitted, maps(77), "int8")
    np.testing.assert_allclose(rounded["image"], exact["image"], rtol=0.05)
    assert np.abs(rounded["patch"] - exact["patch"]).max() < 0.1 * exact["patch"].max()


def test_more_neighbours_than_images_are_as_many_as_there_are():
    fitted = Spade(SpadeOptions(neighbors=50)).fit(training())
    assert fitted.facts["gallery"]["neighbors"] == N
    options = SpadeOptions(neighbors=N)
    _, image = expected(options, maps(77), Spade(options).fit(training()))
    np.testing.assert_allclose(scored("onnxruntime", fitted, maps(77))["image"], [image], rtol=1e-4)


def test_a_training_image_is_at_no_distance_from_itself():
    fitted = Spade(SpadeOptions(neighbors=1, gallery="exact")).fit(training())
    found = scored("onnxruntime", fitted, maps(4))
    assert found["image"][0] == 0
    assert 0 <= found["patch"].min() <= found["patch"].max() < 1e-3


def held_bytes(fitted, precision):
    """Bytes of all float and int8 arrays of the scorer's own graph but single numbers."""
    from edgead.workbench.graph import arrays_of, tidy

    with collected_parameters() as parameters:
        arguments = {n: spox.argument(Tensor(np.float32, (1, *s))) for n, s in SHAPES.items()}
        arguments["pooled"] = spox.argument(Tensor(np.float32, (1, 7, 1, 1)))
        scores = fitted.graph(arguments, precision)
        inputs = {**arguments, **{n: v for n, (v, _) in parameters.items()}}
        model = tidy(spox.build(inputs, {"p": scores.patch, "i": scores.image}), arrays_of(parameters))
    from onnx import numpy_helper

    arrays = [numpy_helper.to_array(i) for i in model.graph.initializer]
    return sum(a.nbytes for a in arrays if a.dtype in (np.float32, np.int8) and a.size > 1)


@pytest.mark.parametrize("gallery", ["exact", "coreset", "position"])
@pytest.mark.parametrize("budget", [4000, 4500, 9000, 10_007])
def test_the_budget_is_obeyed_to_the_byte(gallery, budget):
    options = SpadeOptions(gallery=gallery, rows=96, neighbors=2, gallery_mib=budget / 2**20)
    fitted = Spade(options).fit(training())
    assert fitted.bytes("int8") <= budget
    if gallery != "position":  # which needs no norms, and two matrices to enlarge its maps with
        assert held_bytes(fitted, "int8") == fitted.bytes("int8")
        assert held_bytes(fitted, "fp32") == fitted.bytes("fp32")
    rows, images = fitted.facts["gallery"]["rows_per_image"], fitted.facts["gallery"]["images"]
    more = {"rows": rows + 1} if gallery == "coreset" else {}
    if more and rows < 96:  # one row more of each image would be over it
        larger = Spade(dataclasses.replace(options, gallery_mib=None, **more)).fit(training())
        assert larger.bytes("int8") > budget
    assert images == N or gallery != "coreset"


def test_a_budget_for_nothing_is_refused_before_any_image():
    for gallery in ("exact", "coreset"):
        with pytest.raises(OptionError, match="at least"):
            Spade(SpadeOptions(gallery=gallery, gallery_mib=300 / 2**20)).fit(training())


def test_a_gallery_too_large_for_a_file_is_refused_and_bytes_are_told_first():
    large = {"a": (64, 64, 64), "b": (128, 32, 32), "c": (256, 16, 16)}
    with pytest.raises(OptionError, match="GiB"):
        Spade(SpadeOptions(gallery="exact")).fit(training(n=2000, shapes=large))
    said = []
    fitted = Spade(SpadeOptions(gallery="exact")).fit(training(descriptions=said))
    assert "MiB" in said[0]
    (notice,) = fitted.notices
    assert notice.values["gallery"] == "exact" and notice.values["fp32_mib"] == fitted.bytes("fp32") / 2**20
    assert "MiB" in say(notice) and "{" not in say(notice)
    assert not Spade().fit(training()).notices


def test_refitting_keeps_images_and_positions_and_takes_the_new_features():
    for options in (SpadeOptions(rows=5), SpadeOptions(gallery="exact", gallery_mib=4500 / 2**20)):
        fitted = Spade(options).fit(training())
        doubled = fitted.refit(training(scale=2.0))
        np.testing.assert_array_equal(doubled.pooled, 2 * fitted.pooled)
        for name, rows in fitted.gallery.rows.items():
            np.testing.assert_array_equal(doubled.gallery.rows[name], 2 * rows)


def test_the_coreset_depends_on_the_seed_alone():
    first, again, other = (Spade(SpadeOptions(rows=5)).fit(training(seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.gallery.positions, again.gallery.positions)
    assert not np.array_equal(first.gallery.positions, other.gallery.positions)


def test_maps_that_do_not_nest_are_refused():
    with pytest.raises(OptionError, match="multiples"):
        pyramid({"a": (4, 9, 8), "b": (4, 4, 4)}, "spade")


def test_default_layers_are_those_of_stride_4_8_and_16_and_what_is_pooled():
    assert list(Spade().feature_maps(Backbone())) == ["d", "a", "b", "c"]
    assert list(Spade(SpadeOptions(pooled="compared")).feature_maps(Backbone())) == ["a", "b", "c"]
    assert list(Spade(SpadeOptions(layers=("b", "a"))).feature_maps(Backbone())) == ["d", "b", "a"]
    assert list(Spade(SpadeOptions(layers=("a", "d"))).feature_maps(Backbone())) == ["a", "d"]


class Ended(Backbone):
    """A network that was cut after stride 16, with its maps listed the other way round."""

    feature_info: ClassVar = {name: Backbone.feature_info[name] for name in "cba"}


@pytest.mark.parametrize(
    ("backbone", "options", "compared", "pooled"),
    [
        (Backbone, {}, "abc", "d"),  # the paper's last layer, where there is one
        (Backbone, {"pooled": "compared"}, "abc", "c"),
        (Backbone, {"layers": ("b", "a")}, "ba", "d"),
        (Backbone, {"layers": ("b", "a"), "pooled": "compared"}, "ba", "a"),
        (Backbone, {"layers": ("a", "d")}, "ad", "d"),
        (Ended, {}, "abc", "c"),
        (Ended, {"layers": ("c", "a")}, "ca", "c"),
    ],
)
def test_the_deepest_map_is_pooled(backbone, options, compared, pooled):
    rng = np.random.default_rng(0)
    shapes = {**SHAPES, "d": (9, 1, 2)}
    scorer = Spade(SpadeOptions(**options))
    given = {
        name: rng.normal(size=(1, *shapes[name])).astype(np.float32)
        for name in scorer.feature_maps(backbone())
    }
    found = run("onnxruntime", lambda **maps: scorer.embed(maps), **given)
    assert list(found) == [*compared, "pooled"]
    wanted = given[pooled].mean((2, 3), keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(found["pooled"], wanted, rtol=1e-5, atol=1e-6)
    for name in compared:
        np.testing.assert_array_equal(found[name], given[name])


def test_no_image_is_an_error():
    with pytest.raises(DatasetError):
        Spade().fit(training(n=0))


@pytest.mark.parametrize("wrong", [{"neighbors": 0}, {"rows": 0}, {"gallery_mib": 0.0}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        SpadeOptions(**wrong)


def test_real_images_equal_the_oracle(shared_data: Path, resnet18_weights: Path):
    """The FP32 graph on real images and weights; the oracle gets its feature maps from ONNX Runtime."""
    size, layers = (96, 64), ["layer1", "layer2", "layer3"]
    rule, options = ResizeRule(size), SpadeOptions(neighbors=4, gallery="exact")
    files = list_images(shared_data / "magnetic_tile" / "train" / "good")[:10]
    tests = list_images(shared_data / "magnetic_tile" / "test" / "blowhole")[:4]
    backbone, scorer = open_backbone("resnet18", resnet18_weights), Spade(options)
    plain = backbone.onnx(layers, size)
    data = training_data(backbone, GoodImages(tuple(files), rule), 0, silent, Path())
    with fitting_data(plain, scorer, data) as offer:
        fitted = scorer.fit(offer)
    graph = compose(plain, scorer, fitted, Gaussian(), size, "fp32").model
    with opened(plain, "onnxruntime") as features:

        def maps_of(file):
            outputs = features(rule.apply(read_image(file))[None])
            return [outputs[name][0].astype(np.float64) for name in layers]

        stored = [maps_of(f) for f in files]
        expected = []
        for file in tests:
            query = maps_of(file)
            squares, near = oracle.nearest_images(
                oracle.pooled(query), [oracle.pooled(s) for s in stored], options.neighbors
            )
            found = oracle.patch_scores(query, [stored[i] for i in near], "pyramid", False)[None]
            expected.append((squares.mean(), anomaly_map(found, size)))
    for engine in ENGINES:
        with opened(graph, engine) as session:
            for file, (score, wanted) in zip(tests, expected, strict=True):
                found = session(rule.apply(read_image(file))[None])
                np.testing.assert_allclose(found["score"], [score], rtol=1e-3)
                np.testing.assert_allclose(found["anomaly_map"][0, 0], wanted, rtol=1e-3)
