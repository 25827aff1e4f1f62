"""The whole PaDiM graph against the plain-numpy oracle, in both engines, and its fitting."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import spox.opset.ai.onnx.v18 as op

from edgead.errors import OptionError
from edgead.images import list_images, read_image
from edgead.notices import say
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.types import FeatureInfo, FittingData, InputSpec
from edgead.workbench.features import fitting_data, opened, training_data
from edgead.workbench.good_images import GoodImages
from edgead.workbench.graph import compose
from edgead.workbench.recipe import open_backbone
from edgead_plugins.channel_selection import nearest_matrix, select_channels
from edgead_plugins.padim import PaDiM, PaDiMOptions, alignment_notices, default_dimensions
from edgead_plugins.postprocessors import Gaussian
from tests.graphs import ENGINES, run
from tests.plugins import padim_oracle as oracle
from tests.plugins.patchcore_oracle import anomaly_map

SHAPES = {"a": (6, 8, 6), "b": (10, 4, 3), "c": (7, 2, 3)}


class Backbone:
    """Stands for a backbone where only its description is asked for."""

    name, input = "maps", InputSpec()
    provenance: ClassVar = {}
    feature_info: ClassVar = {
        "stem": FeatureInfo(3, 2),
        "a": FeatureInfo(6, 4),
        "b": FeatureInfo(10, 8),
        "c": FeatureInfo(7, 16),
        "d": FeatureInfo(9, 32),
    }


def maps(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_chosen_channels_embed_as_the_whole_maps_do(upsampling):
    selection = select_channels(SHAPES, 11, 3, upsampling)
    whole, chosen = maps(1), selection.chosen(maps(1))
    assert {name: len(array) for name, array in chosen.items()} == {
        name: len(index) for name, index in selection.indices.items()
    }
    np.testing.assert_array_equal(selection.embed(chosen), selection.embed(whole))


def training(n=9, seed=0, shapes=SHAPES, descriptions=None):
    def progress(description, total):
        if descriptions is not None:
            descriptions.append(description)
        return silent(description, total)

    return FittingData(
        backbone=Backbone(),
        shapes=shapes,
        n_images=n,
        size=(32, 24),
        features=lambda: (maps(i) for i in range(n)),
        images=lambda: iter(()),
        seed=seed,
        progress=progress,
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", ["full", "low-rank", "diagonal"])
def test_scores_equal_the_oracles(engine, form):
    fitted = PaDiM(PaDiMOptions(dimensions=11, form=form)).fit(training())
    channels = [fitted.selection.indices[name] for name in SHAPES]
    assert sum(len(c) for c in channels) == 11

    def embed(seed):
        return oracle.embed([maps(seed)[name] for name in SHAPES], channels)

    means, covariances = oracle.gaussians(np.stack([embed(i) for i in range(9)]), 0.01)
    expected = {
        "full": lambda z: oracle.distances(z, means, covariances),
        "low-rank": lambda z: oracle.distances(z, means, covariances, 5),
        "diagonal": lambda z: oracle.diagonal_distances(z, means, covariances),
    }[form](embed(77))
    query = {name: m[None] for name, m in maps(77).items()}
    found = run(engine, lambda **m: {"patch": fitted.graph(m, "fp32").patch}, **query)
    np.testing.assert_allclose(found["patch"].reshape(-1), expected, rtol=1e-4)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("engine", ENGINES)
def test_fitting_and_graph_embed_alike(engine, upsampling):
    selection = select_channels(SHAPES, 9, 3, upsampling)
    one = maps(1)
    found = run(
        engine, lambda **m: {"x": selection.graph(m, "n")}, **{name: m[None] for name, m in one.items()}
    )
    np.testing.assert_allclose(found["x"].reshape(9, -1), selection.embed(one), rtol=1e-5, atol=1e-6)


def test_nearest_copies_cells():
    np.testing.assert_array_equal(nearest_matrix(3, 6) @ [1.0, 2.0, 3.0], [1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(nearest_matrix(2, 3) @ [1.0, 2.0], [1, 2, 2])


def test_the_seed_chooses_the_channels_and_the_facts_list_them():
    first, again, other = (PaDiM(PaDiMOptions(dimensions=8)).fit(training(seed=s)) for s in (1, 1, 2))
    assert first.facts["channels"] == again.facts["channels"] != other.facts["channels"]
    listed = first.facts["channels"]
    assert sum(map(len, listed.values())) == 8
    assert all(0 <= i < SHAPES[name][0] for name, index in listed.items() for i in index)


def test_default_dimensions_lie_on_the_papers_line():
    assert [default_dimensions(c) for c in (60, 200, 448, 1792)] == [60, 100, 100, 550]
    assert 100 < default_dimensions(1000) < 550


def test_default_layers_are_those_of_stride_4_8_and_16():
    assert list(PaDiM().feature_maps(Backbone())) == ["a", "b", "c"]
    assert list(PaDiM(PaDiMOptions(layers=("c",))).feature_maps(Backbone())) == ["c"]


def test_bytes_are_told_before_the_first_image():
    said = []
    PaDiM(PaDiMOptions(dimensions=8)).fit(training(descriptions=said))
    assert "MiB" in said[0]


def test_a_graph_that_cannot_be_stored_is_refused_before_any_image():
    wide = {"a": (256, 64, 64), "b": (512, 32, 32), "c": (1024, 16, 16)}
    with pytest.raises(OptionError, match="rank=") as error:
        PaDiM().fit(training(n=0, shapes=wide))  # no image: it would be a DatasetError if it got that far
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [{"dimensions": 0}, {"ridge": 0.0}, {"rank": 0}, {"rank": 5}, {"memory_mib": 0}],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        PaDiMOptions(**wrong)


def test_more_dimensions_than_channels_are_refused():
    with pytest.raises(OptionError, match="23 channels"):
        PaDiM(PaDiMOptions(dimensions=24)).fit(training())
    with pytest.raises(OptionError, match="rank=9"):
        PaDiM(PaDiMOptions(dimensions=8, form="low-rank", rank=9)).fit(training())


def test_only_parts_that_move_are_warned_of():
    assert not alignment_notices(0.05)
    assert not alignment_notices(0.8)
    (notice,) = alignment_notices(0.3)
    assert notice.code == "padim-unaligned" and notice.values["explained"] == 0.3 and "30%" in say(notice)


@pytest.mark.parametrize(
    ("data", "moves"),
    [("kolektor_sdd", False), ("magnetic_tile", False), ("cookie", True), ("mvtec_transistor_reduced", True),
     ("mvtec_hazelnut_reduced", True)],
)  # fmt: skip
def test_the_warning_is_right_on_real_data(data, moves, shared_data: Path, resnet18_weights: Path):
    backbone, scorer = open_backbone("resnet18", resnet18_weights), PaDiM(PaDiMOptions(form="diagonal"))
    files = list_images(shared_data / data / "train" / "good")[:40]
    frames = GoodImages(tuple(files), ResizeRule((256, 256)))
    plain = backbone.onnx(scorer.feature_maps(backbone), (256, 256))
    with fitting_data(plain, scorer, training_data(backbone, frames, 0, silent, Path())) as offer:
        assert bool(scorer.fit(offer).notices) == moves


def test_real_images_equal_the_oracle(shared_data: Path, resnet18_weights: Path):
    """The FP32 graph on real images and weights; the oracle gets its feature maps from ONNX Runtime."""
    size = (128, 96)
    rule, layers = ResizeRule(size), ["layer1", "layer2", "layer3"]
    files = list_images(shared_data / "magnetic_tile" / "train" / "good")
    tests = list_images(shared_data / "magnetic_tile" / "test" / "blowhole")[:8]
    backbone, scorer = open_backbone("resnet18", resnet18_weights), PaDiM(PaDiMOptions(dimensions=40))
    plain = backbone.onnx(layers, size)
    data = training_data(backbone, GoodImages(tuple(files[:30]), rule), 0, silent, Path())
    with fitting_data(plain, scorer, data) as offer:
        fitted = scorer.fit(offer)
    channels = [fitted.selection.indices[name] for name in layers]
    graph = compose(plain, scorer, fitted, Gaussian(), size, "fp32").model
    with opened(plain, "onnxruntime") as features:

        def embedding(file):
            outputs = features(rule.apply(read_image(file))[None])
            return oracle.embed([outputs[name][0] for name in layers], channels)

        moments = oracle.gaussians(np.stack([embedding(f) for f in files[:30]]), 0.01)
        expected = [
            anomaly_map(oracle.distances(embedding(f), *moments).reshape(32, 24), size) for f in tests
        ]
    for engine in ENGINES:
        with opened(graph, engine) as session:
            for file, wanted in zip(tests, expected, strict=True):
                found = session(rule.apply(read_image(file))[None])
                np.testing.assert_allclose(found["anomaly_map"][0, 0], wanted, rtol=1e-3)
                np.testing.assert_allclose(found["score"], [wanted.max()], rtol=1e-3)


def looked_at(images):
    """Maps of 3 x 3 channels from an image (64, 48): means of squares of pixels, mixed."""
    rng = np.random.default_rng(8)
    mixing = {name: rng.normal(0, 1, (channels, 3)) for name, channels in (("a", 6), ("b", 10))}
    for image in images:
        means = {
            name: image.reshape(64 // side, side, 48 // side, side, 3).mean((1, 3)) / 20
            for name, side in (("a", 4), ("b", 8))
        }
        yield {n: np.einsum("dc,hwc->dhw", mixing[n], m).astype(np.float32) for n, m in means.items()}


def test_the_draw_of_channels_that_tells_synthetic_defects_best_is_taken():
    """Each draw's separation by the oracle's Gaussians, position by position, and pairs counted."""
    from edgead_plugins.separation import trial_of
    from tests.bundles import good_image

    images = [good_image(i, (64, 48)) for i in range(10)]
    shapes = {"a": (6, 16, 12), "b": (10, 8, 6)}
    data = dataclasses.replace(
        training(10, seed=4, shapes=shapes),
        size=(64, 48),
        images=lambda: iter(images),
        embed=looked_at,
        features=lambda: looked_at(images),
    )
    fitted = PaDiM(PaDiMOptions(dimensions=5, draws=3)).fit(data)
    trial = trial_of(images, 4)
    found = []
    for seed in (4, [4, 1], [4, 2]):
        chosen = np.sort(np.random.default_rng(seed).choice(16, 5, replace=False))
        channels = [chosen[chosen < 6], chosen[chosen >= 6] - 6]
        good, bad = (
            np.array([oracle.embed([m["a"], m["b"]], channels) for m in looked_at(some)])
            for some in (trial.good, trial.bad)
        )
        scores = {"good": np.zeros(10), "bad": np.zeros(len(bad))}
        for part in range(4):
            means, covariances = oracle.gaussians(good[np.arange(10) % 4 != part], 0.01)
            for name, some, whose in (("good", good, np.arange(10)), ("bad", bad, trial.base)):
                for i in np.flatnonzero(whose % 4 == part):
                    highest = np.sort(oracle.distances(some[i], means, covariances))[-2:]  # 1 % of 192
                    scores[name][i] = highest.mean()
        each = []
        for least, most in ((0, 0.005), (0.005, 0.03), (0.03, 1)):
            b = scores["bad"][(trial.areas > least) & (trial.areas <= most)]
            if len(b):
                each.append(0.5 + 0.5 * np.sign(b[:, None] - scores["good"][None]).mean())
        found.append(np.mean(each))
    assert fitted.facts["draws"] == pytest.approx(found, abs=0.003)
    best = [4, [4, 1], [4, 2]][int(np.argmax(found))]
    wanted = select_channels(shapes, 5, best, "nearest").indices
    assert fitted.facts["channels"] == {name: index.tolist() for name, index in wanted.items()}
    alone = PaDiM(PaDiMOptions(dimensions=5)).fit(data).facts
    assert "draws" not in alone
    first = select_channels(shapes, 5, 4, "nearest").indices
    assert alone["channels"] == {name: index.tolist() for name, index in first.items()}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_image_score_is_the_mean_of_the_highest_hundredth(engine):
    """PaDiM's own, through the post-processor that its method names."""
    from edgead.image_score import TOP_SHARE
    from edgead_plugins.methods import PADIM

    assert PADIM().image_score == TOP_SHARE
    rng = np.random.default_rng(2)
    images = [{"a": rng.normal(size=(6, 20, 15)).astype(np.float32)} for _ in range(9)]
    data = dataclasses.replace(training(9, shapes={"a": (6, 20, 15)}), features=lambda: iter(images))
    fitted = PaDiM(PaDiMOptions(dimensions=5)).fit(data)
    given = np.random.default_rng(3).normal(size=(1, 6, 20, 15)).astype(np.float32)
    finish = Gaussian().with_image_score(TOP_SHARE)

    def part(a):
        scores = fitted.graph({"a": a}, "fp32")
        _, score = finish.graph(scores, (20, 15), (80, 60))
        return {"patch": op.identity(scores.patch), "score": op.identity(score)}

    outputs = run(engine, part, a=given)
    wanted = np.sort(outputs["patch"].ravel())[-3:].mean()  # 1 % of 300
    assert outputs["score"][0] == pytest.approx(wanted, rel=1e-5)
