"""CutPaste without torch: density, patches' places and scores against plain numpy, in both engines."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from edgead.errors import OptionError, TrainingError
from edgead.notices import say
from edgead.options import parse_options
from edgead.progress import silent
from edgead.types import FeatureInfo, FittingData, InputSpec, TrainingData
from edgead_plugins.cutpaste import CutPaste, CutPasteOptions
from edgead_plugins.cutpaste.density import embedding_density, ledoit_wolf
from edgead_plugins.cutpaste.options import patch_grid
from edgead_plugins.cutpaste.scorer import receptive_matrix
from edgead_plugins.cutpaste.weaknesses import known_weaknesses
from tests.graphs import ENGINES, run

SIZE = (128, 96)
STRIDE = 16
D = 24


class Network:
    """Stands for a trained network where only its description is asked for."""

    name, input = "cutpaste", InputSpec()
    provenance: ClassVar = {
        "training": "cutpaste: a test",
        "explained_by_position": 0.3,
        "invisible_pastes": 0.5,
        "loss_over_chance": {"image": 0.95, "patch": 0.4},
    }

    def __init__(self, *names):
        self.feature_info = {name: FeatureInfo(D, 16) for name in names}

    def onnx(self, feature_maps, size):
        raise AssertionError("only its description counts")


def embeddings(shape, seed):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(D, D))
    return np.einsum("ij,jhw->ihw", mixing, rng.normal(1, 1, (D, *shape))).astype(np.float32)


def normal(x):
    return x / np.sqrt((x.astype(np.float64) ** 2).sum(0, keepdims=True))


def training(shapes, n=12):
    def features():
        for i in range(n):
            yield {name: normal(embeddings(s, i)).astype(np.float32) for name, s in shapes.items()}

    return FittingData(
        backbone=Network(*shapes),
        shapes={name: (D, *s) for name, s in shapes.items()},
        n_images=n,
        size=SIZE,
        features=features,
        images=lambda: iter(()),
        seed=0,
        progress=silent,
    )


def oracle_distance(points, x):
    """Mahalanobis distance by scikit-learn's covariance and a plain inverse."""
    covariance = pytest.importorskip("sklearn.covariance").LedoitWolf().fit(points)
    deviation = x - points.mean(0)
    return np.sqrt(np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(covariance.covariance_), deviation))


def test_the_covariance_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.covariance")
    for n, d in ((8, 30), (300, 10)):
        rng = np.random.default_rng(n)
        points = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
        points -= points.mean(0)
        wanted, share = sklearn.ledoit_wolf(points, assume_centered=True)
        found, our_share = ledoit_wolf(points)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())
        assert our_share == pytest.approx(share)


@pytest.mark.parametrize("engine", ENGINES)
def test_scores_equal_the_oracles(engine):
    grid = patch_grid(SIZE, STRIDE, 64)
    assert grid == (5, 3)
    shapes = {"patches": grid, "embedding": (1, 1)}
    scorer = CutPaste(CutPasteOptions(patch_size=64, patch_stride=STRIDE))
    fitted = scorer.fit(training(shapes))
    raw = {name: embeddings(s, 77) for name, s in shapes.items()}

    def part(**given):
        scores = fitted.graph(scorer.embed(given), "fp32")
        return {"patch": scores.patch, "image": scores.image}

    found = run(engine, part, **{name: value[None] for name, value in raw.items()})
    distances = {}
    for name, s in shapes.items():
        good = np.concatenate([normal(embeddings(s, i)).reshape(D, -1).T for i in range(12)])
        distances[name] = oracle_distance(good, normal(raw[name]).reshape(D, -1).T)
    assert found["image"].shape == (1,)
    assert found["image"][0] == pytest.approx(distances["embedding"][0], rel=1e-3)
    wanted = np.zeros((SIZE[0] // 4, SIZE[1] // 4))
    per_patch = distances["patches"].reshape(grid)
    for y in range(wanted.shape[0]):  # each cell: patches weighed by their middles' distance from it
        for x in range(wanted.shape[1]):
            rows, columns = np.mgrid[: grid[0], : grid[1]] * STRIDE + 32.0
            squared = (rows - (4 * y + 2)) ** 2 + (columns - (4 * x + 2)) ** 2
            weight = np.exp(-squared / 2 / (0.3 * 30.5 + 0.8) ** 2)
            wanted[y, x] = (weight * per_patch).sum() / weight.sum()
    np.testing.assert_allclose(found["patch"][0, 0], wanted, rtol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_patches_the_map_is_the_score(engine):
    scorer = CutPaste(CutPasteOptions(level="image", normalise=False))
    fitted = scorer.fit(training({"embedding": (1, 1)}))

    def part(**given):
        scores = fitted.graph(scorer.embed(given), "int8")
        return {"patch": scores.patch, "image": scores.image}

    found = run(engine, part, embedding=normal(embeddings((1, 1), 5))[None].astype(np.float32))
    assert found["patch"].shape == (1, 1, 1, 1) and found["patch"].ravel()[0] == found["image"][0] > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_patches_alone_leave_the_score_to_the_map(engine):
    fitted = CutPaste(CutPasteOptions(level="patch", patch_size=64, patch_stride=STRIDE)).fit(
        training({"patches": (5, 3)})
    )

    def part(**given):
        scores = fitted.graph(given, "fp32")
        assert scores.image is None
        return {"patch": scores.patch}

    found = run(engine, part, patches=embeddings((5, 3), 1)[None])
    assert found["patch"].shape == (1, 1, SIZE[0] // 4, SIZE[1] // 4)


def test_a_receptive_row_is_an_average():
    matrix = receptive_matrix(9, 8, 128, 64)
    assert matrix.shape == (32, 9)
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-6)
    assert matrix[8].argmax() == 0 and matrix[-1].argmax() == 8  # the middle of the first patch is pixel 32


def test_embeddings_that_are_all_one_are_reported():
    with pytest.raises(TrainingError, match=r"collapsed.*learning_rate"):
        embedding_density(np.tile(np.float32([0.6, 0.8]), (9, 1)))


def test_known_weaknesses_are_said_in_words():
    found = known_weaknesses(Network.provenance, "image")
    assert len(found) == 4
    said = ("screws", "background on background", "image network hardly tells", "no localisation")
    for words, notice in zip(said, found, strict=True):
        assert words in say(notice) and not set("{}\n") & set(say(notice))
    good = {"explained_by_position": 0.8, "invisible_pastes": 0.05, "loss_over_chance": {"image": 0.3}}
    assert known_weaknesses(good, "both") == [] == known_weaknesses({}, "both")
    fitted = CutPaste(CutPasteOptions(level="image")).fit(training({"embedding": (1, 1)}))
    assert fitted.notices == found and fitted.facts["density"]["embedding"]["from"] == 12


@pytest.mark.parametrize(
    "word", ["steps=0", "batch_size=1", "jitter=2", "patch_stride=513", "patch_size=16", "momentum=1"]
)
def test_options_out_of_range(word):
    with pytest.raises(OptionError, match=word.split("=")[0]):
        parse_options(CutPasteOptions, [word])


def test_what_cant_be_trained_is_refused_before(tmp_path):
    examples = TrainingData(
        backbone=Network("a"),
        images=lambda: iter(()),
        n_images=0,
        size=(48, 96),
        seed=0,
        progress=silent,
        checkpoint=tmp_path,
    )
    with pytest.raises(OptionError, match=r"no map 'b'.*a"):
        CutPaste(CutPasteOptions(layer="b")).train(examples)
    with pytest.raises(OptionError, match="patches of 64 pixels don't fit into 48 x 96"):
        CutPaste(CutPasteOptions(patch_size=64)).train(examples)
    with pytest.raises(OptionError, match="patches of 32 pixels with 33 between them leave gaps"):
        CutPaste(CutPasteOptions(patch_stride=33)).train(examples)


def test_patches_and_rate_are_the_papers_share():
    """64 of 256, and 0.03 for 32, by hand."""
    sides = {side: CutPasteOptions().patch((side, side + 40)) for side in (128, 160, 256, 320, 512, 64)}
    assert sides == {128: 32, 160: 40, 256: 64, 320: 80, 512: 128, 64: 32}
    assert [CutPasteOptions().rate(n) for n in (32, 8)] == [0.03, 0.0075]
    assert CutPasteOptions(learning_rate=0.1).rate(8) == 0.1


def test_a_kept_backbone_is_said_and_not_also_called_untrained():
    told = {"loss_over_chance": {"image": 0.95, "patch": 0.95}}
    told["separation"] = {
        "image": {"untrained": 0.9, "trained": 0.8},
        "patch": {"untrained": 0.5, "trained": 0.6},
    }
    found = {notice.code: say(notice) for notice in known_weaknesses(told, "both")}
    assert set(found) == {"cutpaste-kept", "cutpaste-untrained"}
    assert "image network worse on synthetic defects (AUROC 0.800 after 0.900)" in found["cutpaste-kept"]
    assert "patch network hardly tells" in found["cutpaste-untrained"]
