"""DeSTSeg without torch: its head against plain numpy in both engines, its options, its choice of layers."""

from __future__ import annotations

import numpy as np
import pytest

from edgead.errors import OptionError
from edgead.notices import say
from edgead.options import parse_options
from edgead.progress import silent
from edgead.types import FeatureInfo, FittingData, InputSpec, Scores, TrainingData
from edgead_plugins.destseg import DeSTSeg, DeSTSegOptions
from edgead_plugins.destseg.options import FOUND
from edgead_plugins.destseg.upsampling import Bilinear
from edgead_plugins.postprocessors import mean_of_highest
from tests.graphs import ENGINES, run
from tests.plugins import destseg_oracle as oracle

SIZE = (64, 96)


class Network:
    """Stands for a backbone where only its description is asked for."""

    input = InputSpec()
    name = "net"

    def __init__(self, infos, **provenance):
        self.feature_info, self.provenance = infos, {"training": "destseg: a test", **provenance}

    def onnx(self, feature_maps, size):
        raise AssertionError("only its description counts")


RESNET: dict[str, FeatureInfo] = {f"layer{i + 1}": FeatureInfo(64 << i, 4 << i) for i in range(4)}


def fitted(options: DeSTSegOptions | None = None, size=SIZE, **provenance):
    training = FittingData(
        backbone=Network({"logits": FeatureInfo(1, 4)}, **provenance),
        shapes={"logits": (1, size[0] // 4, size[1] // 4)},
        n_images=1,
        size=size,
        features=lambda: iter(()),
        images=lambda: iter(()),
        seed=0,
        progress=silent,
    )
    return DeSTSeg(options).fit(training)


def parts(head):
    def part(**given):
        scores = head.graph(given, "fp32")
        return {"patch": scores.patch, "image": scores.image}

    return part


@pytest.mark.parametrize("engine", ENGINES)
def test_the_segmentations_map_and_score_equal_the_oracles(engine):
    logits = np.random.default_rng(0).normal(-3, 3, (16, 24)).astype(np.float32)
    head = fitted(DeSTSegOptions(top=100))
    assert head.count == round(100 * 64 * 96 / 256**2) == 9
    found = run(engine, parts(head), logits=logits[None, None])
    wanted = oracle.segmentation_map(logits, SIZE)
    assert found["patch"].shape == (1, 1, *SIZE) and found["image"].shape == (1,)
    np.testing.assert_allclose(found["patch"][0, 0], wanted, rtol=1e-4, atol=1e-7)
    assert found["image"][0] == pytest.approx(oracle.top_mean(wanted, 9), rel=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_baselines_map_and_score_equal_the_oracles(engine):
    rng, given, pairs = np.random.default_rng(1), {}, []
    for n, shape in enumerate([(6, 16, 24), (8, 8, 12), (12, 4, 6)], 1):
        a = np.maximum(rng.normal(0.3, 1, shape), 0.01).astype(np.float32)
        b = (a + rng.normal(0, 0.3, shape)).astype(np.float32)
        given |= {f"teacher_{n}": a[None], f"student_{n}": b[None]}
        pairs.append((a, b))
    found = run(engine, parts(fitted()), **given)
    wanted = oracle.baseline_map(pairs, SIZE)
    np.testing.assert_allclose(found["patch"][0, 0], wanted, rtol=1e-3, atol=1e-8)
    assert found["image"][0] == pytest.approx(oracle.top_mean(wanted, 9), rel=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_highest_pixels_are_found_however_they_lie(engine):
    rng, size, count = np.random.default_rng(2), (64, 128), 13
    scattered = rng.permutation(64 * 128).reshape(size)
    images = {
        "scattered": scattered,
        "rising": np.arange(64 * 128).reshape(size),
        "falling": -np.arange(64 * 128).reshape(size),
        "one row of pixels": np.where(np.arange(64 * 128).reshape(size) < 20, 5.0, 0.0),
        "equal": np.ones(size),
        "with ties": rng.integers(0, 4, size),
    }
    for name, image in images.items():
        x = image.astype(np.float32)[None, None]
        found = run(engine, lambda x: {"y": mean_of_highest(x, count)}, x=x)["y"]
        assert found[0] == pytest.approx(oracle.top_mean(image, count), rel=1e-6), name


@pytest.mark.parametrize(("shape", "count"), [((3, 5), 4), ((8, 8), 2), ((8, 8), 500), ((1, 1), 1)])
def test_the_highest_pixels_of_small_and_odd_maps(shape, count):
    image = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    found = run("onnxruntime", lambda x: {"y": mean_of_highest(x, count)}, x=image[None, None])["y"]
    assert found[0] == pytest.approx(oracle.top_mean(image, min(count, image.size)), rel=1e-5, abs=1e-6)


def test_the_post_processor_enlarges_and_takes_the_maximum_where_theres_no_score():
    patch = np.random.default_rng(4).random((1, 1, 8, 12)).astype(np.float32)

    def part(x):
        anomaly_map, score = Bilinear().graph(Scores(patch=x), (8, 12), (32, 48))
        return {"map": anomaly_map, "score": score}

    found = run("onnxruntime", part, x=patch)
    wanted = oracle.bilinear(patch[0, 0], (32, 48))
    np.testing.assert_allclose(found["map"][0, 0], wanted, rtol=1e-5)
    assert found["score"] == pytest.approx([wanted.max()], rel=1e-5)


def test_the_teachers_layers():
    assert DeSTSeg().teacher_layers(Network(RESNET)) == ["layer1", "layer2", "layer3"]
    two = {"a": FeatureInfo(8, 4), "b": FeatureInfo(8, 4), "c": FeatureInfo(8, 8), "d": FeatureInfo(8, 16)}
    assert DeSTSeg().teacher_layers(Network(two)) == ["b", "c", "d"]
    assert DeSTSeg(DeSTSegOptions(layers=("a", "c", "d"))).teacher_layers(Network(two)) == ["a", "c", "d"]
    with pytest.raises(OptionError, match=r"no map 'layer9'.*layer1"):
        DeSTSeg(DeSTSegOptions(layers=("layer9", "layer2", "layer3"))).teacher_layers(Network(RESNET))
    for infos in ({"a": FeatureInfo(8, 4), "b": FeatureInfo(8, 8)}, {}):
        with pytest.raises(OptionError, match="stride 4, 8 and 16"):
            DeSTSeg().teacher_layers(Network(infos))
    with pytest.raises(OptionError, match="in order"):
        DeSTSeg(DeSTSegOptions(layers=("layer2", "layer1", "layer3"))).teacher_layers(Network(RESNET))


def test_a_size_that_doesnt_halve_five_times_is_refused_before_torch_is_asked_for(tmp_path):
    examples = TrainingData(
        backbone=Network(RESNET),
        images=lambda: iter(()),
        n_images=0,
        size=(64, 48),
        seed=0,
        progress=silent,
        checkpoint=tmp_path,
    )
    with pytest.raises(OptionError, match="multiples of 32, not 64 x 48"):
        DeSTSeg().train(examples)


@pytest.mark.parametrize(
    "word", ["top=0", "batch_size=1", "steps=0", "student_rate=0", "gamma=-1", "momentum=1", "layers=a,b"]
)
def test_options_out_of_range(word):
    with pytest.raises(OptionError, match=word.split("=")[0]):
        parse_options(DeSTSegOptions, [word])


def test_facts_and_the_notice():
    found = fitted(DeSTSegOptions(top=50), size=(256, 256), **{FOUND: 0.912})
    assert found.facts["map"] == "seg" and found.facts["training"] == "destseg: a test" and not found.notices
    assert found.facts["image_score"] == {"mean_of_highest": 50}
    (notice,) = fitted(**{FOUND: 0.612}).notices
    assert notice.code == "destseg-poor" and notice.values == {"pixel_auroc": 0.612}
    assert "0.612" in say(notice) and "student_steps" in say(notice)
