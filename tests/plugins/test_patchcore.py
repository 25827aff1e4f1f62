"""The whole PatchCore graph against the plain-numpy oracle, in both engines, and its fitting."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edgead.errors import OptionError
from edgead.images import list_images, read_image
from edgead.resize import ResizeRule
from edgead.types import FeatureInfo, FittingData, InputSpec
from edgead.workbench.features import fitting_data, opened, training_data
from edgead.workbench.good_images import GoodImages
from edgead.workbench.graph import compose
from edgead.workbench.recipe import open_backbone
from edgead_plugins import patchcore
from edgead_plugins.bulk_search import bank_neighbours
from edgead_plugins.patchcore import FittedPatchCore, PatchCore, PatchCoreOptions
from edgead_plugins.postprocessors import Gaussian
from tests.graphs import ENGINES, run
from tests.plugins import patchcore_oracle as oracle


def silent(description, total):
    from edgead.progress import silent

    return silent(description, total)


class TwoMaps:
    """Stands for a backbone where only its description is asked for."""

    name, input = "two-maps", InputSpec()
    provenance: ClassVar = {}
    feature_info: ClassVar = {"a": FeatureInfo(6, 8), "b": FeatureInfo(10, 16), "c": FeatureInfo(3, 32)}


def training(n=6, seed=0, dim=16, grid=(5, 4)):
    """Offers random embeddings; ``passes`` counts how often they were read."""
    maps = [np.random.default_rng(i).normal(size=(dim, *grid)).astype(np.float32) for i in range(n)]
    passes = []

    def features():
        passes.append(1)
        return iter([{"patches": m} for m in maps])

    offer = FittingData(
        backbone=TwoMaps(),
        shapes={"patches": (dim, *grid)},
        n_images=n,
        size=(40, 32),
        features=features,
        images=lambda: iter(()),
        seed=seed,
        progress=silent,
    )
    return offer, np.concatenate([m.reshape(dim, -1).T for m in maps]), passes


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("reweighting", [0, 1, 4, 9])
def test_scores_equal_the_oracles(engine, k, reweighting):
    rng = np.random.default_rng(k)
    bank = rng.normal(size=(50, 12)).astype(np.float32)
    patches = rng.normal(size=(1, 12, 6, 7)).astype(np.float32)
    options = PatchCoreOptions(neighbors=k, reweighting=reweighting)

    def part(patches):
        scores = FittedPatchCore(bank, (6, 7), options, 100, np.arange(50)).graph(
            {"patches": patches}, "fp32"
        )
        return {"patch": scores.patch, "image": scores.image}

    found = run(engine, part, patches=patches)
    queries = patches[0].reshape(12, -1).T.astype(np.float64)
    expected = oracle.patch_scores(queries, bank.astype(np.float64), k)
    np.testing.assert_allclose(found["patch"].ravel(), expected, rtol=1e-5)
    score = oracle.image_score(queries, bank.astype(np.float64), k, reweighting)
    np.testing.assert_allclose(found["image"], [score], rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("reweighting", [0, 1, 9])
@pytest.mark.parametrize("rows", [1, 50, 2500])  # the last is searched in two blocks
def test_scores_of_many_images_together_equal_the_oracles(rows, k, reweighting):
    rng = np.random.default_rng(k)
    bank = rng.normal(20, 1, size=(rows, 12)).astype(np.float32)
    images = [{"patches": rng.normal(20, 2, size=(12, 17, 18)).astype(np.float32)} for _ in range(3)]
    options = PatchCoreOptions(neighbors=k, reweighting=reweighting)
    patch, image = FittedPatchCore(bank, (17, 18), options, 9999, np.arange(rows)).in_bulk(images)
    assert patch.shape == (3, 17, 18) and image.shape == (3,)
    for i, maps in enumerate(images):
        queries = maps["patches"].reshape(12, -1).T.astype(np.float64)
        expected = oracle.patch_scores(queries, bank.astype(np.float64), min(k, rows))
        np.testing.assert_allclose(patch[i].ravel(), expected, rtol=1e-4)
        score = oracle.image_score(queries, bank.astype(np.float64), min(k, rows), min(reweighting, rows))
        np.testing.assert_allclose(image[i], score if rows > 1 else expected.max(), rtol=1e-4)


@pytest.mark.parametrize("rows", [40, 64 * 30 + 5])  # the second is searched by groups, and has a rest
def test_neighbours_of_a_bank_row_start_with_itself(rows):
    bank = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    bank[7] = bank[3]  # a duplicate may not push a row out of its own first place
    expected = oracle.distances(bank.astype(np.float64), bank.astype(np.float64))
    found = bank_neighbours(bank, 6)
    some = np.array([7, 0, 39])
    np.testing.assert_array_equal(bank_neighbours(bank, 6, some), found[some])
    assert (found[:, 0] == np.arange(rows)).all()
    np.testing.assert_allclose(
        np.take_along_axis(expected, found.astype(np.int64), 1), np.sort(expected, 1)[:, :6], atol=1e-3
    )


def test_the_bank_holds_training_patches_and_depends_on_the_seed():
    first, rows, _ = training(seed=1)
    bank = PatchCore(PatchCoreOptions(coreset_ratio=0.25)).fit(first).bank
    assert bank.shape == (30, 16)
    assert all((rows == row).all(1).any() for row in bank)
    again = PatchCore(PatchCoreOptions(coreset_ratio=0.25)).fit(training(seed=1)[0]).bank
    other = PatchCore(PatchCoreOptions(coreset_ratio=0.25)).fit(training(seed=2)[0]).bank
    assert (bank == again).all()
    assert not np.array_equal(bank, other)


def test_little_memory_means_a_second_pass_not_a_refusal():
    options = PatchCoreOptions(coreset_ratio=0.01, memory_mib=80, projection=8)
    offer, rows, passes = training(n=300, dim=96, grid=(24, 24))
    fitted = PatchCore(options).fit(offer)
    assert len(passes) == 2
    assert fitted.bank.shape == (1728, 96)
    assert all((rows == row).all(1).any() for row in fitted.bank[::200])
    plenty = PatchCore(dataclasses.replace(options, memory_mib=4096)).fit(
        training(n=300, dim=96, grid=(24, 24))[0]
    )
    spread = [
        oracle.distances(rows[::97].astype(np.float64), f.bank.astype(np.float64)).min(1).max()
        for f in (fitted, plenty)
    ]
    assert spread[0] < 1.3 * spread[1], "merged from groups, the bank covers the patches much worse"


@pytest.mark.parametrize("little", [False, True])
def test_what_folds_offer_is_held_where_memory_allows_it(little, monkeypatch):
    """Nearly all patches are kept, so that the folds together offer all of them."""
    options = PatchCoreOptions(coreset_ratio=0.9, memory_mib=69 if little else 4096, projection=8)
    folds, merged = [], []
    for n in (6, 2, 4):
        offer, _, _ = training(n=n, dim=96, grid=(24, 24))
        own = lambda offer=offer, n=n: ({"patches": m["patches"] + n} for m in offer.features())  # noqa: E731
        folds.append(dataclasses.replace(offer, features=own))
    coreset = patchcore.greedy_coreset

    def watched(points, picks, **words):
        merged.append(len(points))
        return coreset(points, picks, **words)

    monkeypatch.setattr(patchcore, "greedy_coreset", watched)
    banks = [fitted.bank for fitted in PatchCore(options).fit_folds(folds)]
    assert [bank.shape for bank in banks] == [(int(0.9 * 576 * n), 96) for n in (6, 10, 8)]
    # Each fold's own coreset first, then each of what two of them offer; or of the other folds' patches.
    assert [size // 576 for size in merged] == ([6, 10, 8] if little else [6, 2, 4, 6, 10, 8])


def test_refitting_keeps_the_patches_and_takes_the_new_features():
    offer, rows, _ = training()
    fitted = PatchCore(PatchCoreOptions(coreset_ratio=0.25)).fit(offer)
    assert (rows[fitted.index] == fitted.bank).all()
    doubled = dataclasses.replace(
        offer, features=lambda: ({"patches": 2 * m["patches"]} for m in offer.features())
    )
    assert (fitted.refit(doubled).bank == 2 * fitted.bank).all()


def test_a_byte_budget_bounds_the_bank():
    fitted = PatchCore(PatchCoreOptions(coreset_ratio=1.0, bank_mib=1 / 1024)).fit(training()[0])
    assert fitted.facts["bank"]["int8_bytes"] <= 1024
    assert fitted.bank.shape == (64, 16)


def test_default_layers_are_those_of_stride_8_and_16():
    assert list(PatchCore().feature_maps(TwoMaps())) == ["a", "b"]
    assert list(PatchCore(PatchCoreOptions(layers=("c",))).feature_maps(TwoMaps())) == ["c"]


@pytest.mark.parametrize(
    "wrong",
    [{"coreset_ratio": 0.0}, {"coreset_ratio": 1.5}, {"patch_size": 0}, {"neighbors": 0}, {"bank_mib": -1.0}],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        PatchCoreOptions(**wrong)


def test_options_are_stored_and_nothing_else_happens():
    options = dataclasses.replace(PatchCoreOptions(), neighbors=3)
    assert PatchCore(options).options is options


@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_real_images_equal_the_oracle(engine, shared_data: Path, resnet18_weights: Path):
    """The FP32 graph on real images and weights; the oracle gets its feature maps from ONNX Runtime."""
    folder = shared_data / "magnetic_tile"
    files = [f for kind in sorted((folder / "test").iterdir()) for f in list_images(kind)[::4]][:50]
    assert len(files) == 50
    rule, size = ResizeRule((256, 256)), (256, 256)
    backbone = open_backbone("resnet18", resnet18_weights)
    scorer = PatchCore(PatchCoreOptions(coreset_ratio=0.02))
    plain = backbone.onnx(["layer2", "layer3"], size)
    frames = GoodImages(tuple(list_images(folder / "train" / "good")[:6]), rule)
    with fitting_data(plain, scorer, training_data(backbone, frames, 0, silent, Path())) as offer:
        fitted = scorer.fit(offer)
    bank = fitted.bank.astype(np.float64)
    graph = compose(plain, scorer, fitted, Gaussian(), size, "fp32").model
    with opened(graph, engine) as session, opened(plain, "onnxruntime") as features:
        for index, file in enumerate(files):
            image = rule.apply(read_image(file))[None]
            found, maps = session(image), features(image)
            queries = oracle.embed_concatenated([maps["layer2"][0], maps["layer3"][0]], 3)
            score = oracle.image_score(queries, bank, 1, 9)
            assert abs(found["score"][0] - score) <= 1e-4 * score, file
            if index % 25 == 0:  # the oracle's map is slow
                expected = oracle.anomaly_map(oracle.patch_scores(queries, bank, 1).reshape(32, 32), size)
                np.testing.assert_allclose(found["anomaly_map"][0, 0], expected, rtol=1e-4, atol=1e-4)
