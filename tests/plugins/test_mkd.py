"""MKD without torch: its head against plain numpy in both engines, its options and its choice of layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from edgead.errors import OptionError
from edgead.options import parse_options
from edgead.progress import silent
from edgead.types import FeatureInfo, FittingData, InputSpec
from edgead_plugins.mkd import MKD, MKDOptions
from tests.graphs import ENGINES, run
from tests.plugins import mkd_oracle as oracle

SHAPES = {1: (8, 16, 12), 2: (16, 8, 6), 3: (32, 4, 3), 4: (32, 2, 1)}


def maps(numbers, seed=0):
    rng = np.random.default_rng(seed)
    found = {}
    for n in numbers:
        source = np.maximum(rng.normal(0.3, 1, SHAPES[n]), 0).astype(np.float32)
        near = source + rng.normal(0, 0.05, SHAPES[n])
        found[f"source_{n}"], found[f"cloner_{n}"] = source, near.astype(np.float32)
    return found


class Network:
    """Stands for a backbone where only its description is asked for."""

    input = InputSpec()
    provenance: ClassVar = {"training": "mkd: a test"}

    def __init__(self, infos, name="net"):
        self.feature_info, self.name = infos, name

    def onnx(self, feature_maps, size):
        raise AssertionError("only its description counts")


def fitted(options: MKDOptions, numbers) -> Any:
    infos = {f"{part}_{n}": FeatureInfo(1, 2 << n) for n in numbers for part in ("source", "cloner")}
    network = Network(infos)
    training = FittingData(
        backbone=network,
        shapes={name: value.shape for name, value in maps(numbers).items()},
        n_images=1,
        size=(32, 24),
        features=lambda: iter(()),
        images=lambda: iter(()),
        seed=0,
        progress=silent,
    )
    return MKD(options).fit(training)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("words", "direction", "value"), [([], 1, 0.5), (["weighted=direction", "weight=2"], 2, 1)]
)
def test_score_and_map_equal_the_oracles(engine, words, direction, value):
    numbers = (2, 3, 4)
    head = fitted(parse_options(MKDOptions, words), numbers)

    def part(**given):
        scores = head.graph(given, "fp32")
        return {"patch": scores.patch, "image": scores.image}

    given = maps(numbers)
    found = run(engine, part, **{name: array[None] for name, array in given.items()})
    pairs = [(given[f"source_{n}"], given[f"cloner_{n}"]) for n in numbers]
    assert found["patch"].shape == (1, 1, 8, 6) and found["image"].shape == (1,)
    np.testing.assert_allclose(
        found["patch"][0, 0], oracle.forward_map(pairs, direction, value), rtol=1e-3, atol=1e-5
    )
    assert found["image"][0] == pytest.approx(oracle.image_score(pairs, direction, value), rel=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_equal_maps_score_nothing_and_dead_positions_are_finite(engine):
    head = fitted(MKDOptions(), (3,))
    source = maps((3,))["source_3"]
    source[:, 1, 1] = 0

    def part(**given):
        scores = head.graph(given, "fp32")
        return {"patch": scores.patch, "image": scores.image}

    found = run(engine, part, source_3=source[None], cloner_3=source[None].copy())
    assert np.abs(found["patch"]).max() < 1e-6 and found["image"][0] < 1e-6


def test_the_score_may_be_left_to_the_map():
    head = fitted(MKDOptions(image_score="map"), (3,))

    def part(**given):
        scores = head.graph(given, "fp32")
        assert scores.image is None
        return {"patch": scores.patch}

    assert run("onnxruntime", part, **{n: a[None] for n, a in maps((3,)).items()})["patch"].max() > 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("numbers", "deep"), [((1, 2), 2), ((1, 2, 3, 4), 3), ((4,), 4)])
def test_the_deep_score_is_the_highest_positions_of_one_layers_part(engine, numbers, deep):
    """Strides are 4, 8, 16 and 32."""
    head = fitted(MKDOptions(image_score="deep", score_layers=4), numbers)
    given = maps(numbers, 5)

    def part(**given):
        scores = head.graph(given, "fp32")
        return {"patch": scores.patch, "image": scores.image}

    found = run(engine, part, **{name: array[None] for name, array in given.items()})
    first, its = ((given[f"source_{n}"], given[f"cloner_{n}"]) for n in (numbers[0], deep))
    alone = oracle.forward_map([first, its], 1, 0.5) - oracle.forward_map([first], 1, 0.5)
    best = np.sort(alone.ravel())[::-1][: max(1, round(alone.size / 20))]
    assert found["image"].shape == (1,) and found["image"][0] == pytest.approx(best.mean(), rel=1e-3)
    pairs = [(given[f"source_{n}"], given[f"cloner_{n}"]) for n in numbers]
    np.testing.assert_allclose(found["patch"][0, 0], oracle.forward_map(pairs, 1, 0.5), rtol=1e-3, atol=1e-5)


def test_the_deepest_layers_count_for_scores():
    infos = {f"{part}_{n}": FeatureInfo(1, 4) for n in (1, 2, 3, 4) for part in ("source", "cloner")}
    asked = ["source_2", "cloner_2", "source_3", "cloner_3", "source_4", "cloner_4"]
    assert MKD().feature_maps(Network(infos)) == asked
    assert MKD(MKDOptions(score_layers=9)).feature_maps(Network(infos))[0] == "source_1"


VGG = {f"features_{i}": FeatureInfo(c, s) for i, c, s in [(3, 64, 1), (8, 128, 2), (15, 256, 4),
       (22, 512, 8), (29, 512, 16), (30, 512, 32)]}  # fmt: skip
RESNET = {f"layer{i + 1}": FeatureInfo(64 << i, 4 << i) for i in range(4)}


def test_critical_layers_are_vggs_pools_two_to_five_and_a_resnets_layers():
    vgg = MKD().critical_layers(Network(VGG, "timm:vgg16"))
    assert vgg == dict.fromkeys(["features_8", "features_15", "features_22", "features_29"], True)
    assert MKD().critical_layers(Network(RESNET)) == dict.fromkeys(RESNET, False)
    chosen = MKD(MKDOptions(layers=("layer3", "layer1"))).critical_layers(Network(RESNET))
    assert list(chosen) == ["layer1", "layer3"]


def test_layers_that_no_cloner_has_are_refused():
    with pytest.raises(OptionError, match=r"no map 'layer9'.*layer1"):
        MKD(MKDOptions(layers=("layer9",))).critical_layers(Network(RESNET))
    for infos in ({"a": FeatureInfo(8, 4), "b": FeatureInfo(8, 4)}, {"a": FeatureInfo(8, 12)}, {}):
        with pytest.raises(OptionError, match="each once"):
            MKD().critical_layers(Network(infos))


@pytest.mark.parametrize(
    "word", ["weight=-1", "epochs=0", "learning_rate=0", "batch_size=1", "score_layers=0"]
)
def test_options_out_of_range(word):
    with pytest.raises(OptionError, match=word.split("=")[0]):
        parse_options(MKDOptions, [word])


def test_facts_name_the_map():
    facts = fitted(MKDOptions(), (3, 4)).facts
    assert facts["map"] == "mkd-forward" and facts["training"] == "mkd: a test"
    assert facts["layers"] == {"3": [32, 4, 3], "4": [32, 2, 1]}
