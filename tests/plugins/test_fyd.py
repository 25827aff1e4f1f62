# ruff: noqa: E402 - what needs torch is imported where torch is
"""FYD: against its oracle on both engines, alignment that aligns, resuming, seeds, collapse, INT8."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from onnx import TensorProto, helper, numpy_helper

from edgead.bundle import read_bundle
from edgead.errors import OptionError, TrainingError
from edgead.progress import silent
from edgead.types import TrainingData
from edgead.workbench.fit import Settings, fit
from edgead.workbench.quantize import quantise_backbone
from edgead.workbench.recipe import open_backbone, resolve
from edgead_plugins.fyd import FYD, FYDOptions, fitting
from edgead_plugins.fyd import transformer as t
from edgead_plugins.fyd.network import AlignedNetwork, image_loss, similarity_loss
from edgead_plugins.postprocessors import bilinear_matrix, gaussian_matrix
from tests.graphs import ENGINES, _run, run
from tests.plugins import fyd_oracle as oracle
from tests.plugins import padim_oracle

SIZE = (48, 64)
BOUNDS = (10.0, 0.1, 0.1)


def picture(size=SIZE):
    """A disc with a bar on a shaded ground: something that can be told how it lies."""
    image = np.full((*size, 3), 90, np.uint8)
    image[:] += np.linspace(0, 30, size[1], dtype=np.uint8)[None, :, None]
    cv2.circle(image, (size[1] // 2, size[0] // 2), size[0] // 4, (200, 180, 60), -1)
    cv2.rectangle(
        image, (size[1] // 2, size[0] // 2 - 3), (size[1] // 2 + 18, size[0] // 2 + 3), (20, 30, 220), -1
    )
    return cv2.GaussianBlur(image, (5, 5), 0)


def moved(image, angle, right, down):
    h, w = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((w / 2 - 0.5, h / 2 - 0.5), angle, 1)
    matrix[:, 2] += right, down
    return cv2.warpAffine(image, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)


def lying(n=10, seed=0, size=SIZE, shift=3.0, noise=2.0):
    rng = np.random.default_rng(seed)
    base = picture(size)
    found = []
    for _ in range(n):
        image = moved(base, rng.uniform(-6, 6), *rng.uniform(-shift, shift, 2)).astype(float)
        found.append(np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8))
    return found


@pytest.fixture(scope="module")
def tiny_network(tmp_path_factory):
    """Three maps of stride 4, 8 and 16 from four convolutions, as a user's ONNX file."""
    rng = np.random.default_rng(5)
    channels = [3, 6, 8, 10, 12]
    nodes, weights, current = [], [], "pixels"
    for i in range(4):
        shape = (channels[i + 1], channels[i], 3, 3)
        w = rng.normal(0, (2 / (channels[i] * 9)) ** 0.5, shape).astype(np.float32)
        b = rng.normal(0, 0.1, shape[0]).astype(np.float32)
        weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        fixed = {"strides": [2, 2], "pads": [1] * 4, "kernel_shape": [3, 3]}
        nodes.append(helper.make_node("Conv", [current, f"w{i}", f"b{i}"], [f"c{i}"], **fixed))
        current = f"layer{i}" if i else "stem"
        nodes.append(helper.make_node("Relu", [f"c{i}"], [current]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, None, None])],
        [
            helper.make_tensor_value_info(f"layer{i}", TensorProto.FLOAT, [1, channels[i + 1], None, None])
            for i in (1, 2, 3)
        ],
        weights,
    )
    file = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), file)
    return open_backbone(str(file))


def examples(backbone, folder, images, seed=0):
    size = images[0].shape[:2]
    return TrainingData(
        backbone=backbone,
        images=lambda: iter(images),
        n_images=len(images),
        size=size,
        seed=seed,
        progress=silent,
        checkpoint=Path(folder),
    )


def options(**more):
    kept = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-5, "stop_worn": 0.0, "align_image": True}
    return FYDOptions(**{**kept, **more})


# ---------------------------------------------------------------- the whole method


def fitted(backbone, folder, images, **more):
    for i, image in enumerate(images):
        (folder / "good").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "good" / f"{i:03d}.png"), image)
    recipe = dataclasses.replace(resolve("fyd"), backbone=backbone, scorer=FYD(options(**more)))
    settings = Settings(size=SIZE, holdout=0.25, precisions=("fp32",))
    return fit(recipe, folder / "good", settings, folder / "fyd.edgead", silent).bundle


@pytest.mark.parametrize("restore", [True, False])
def test_scores_and_maps_are_the_oracles(tiny_network, tmp_path, monkeypatch, restore):
    kept = {}
    honest = fitting.to_backbone

    def keep(network, *arguments, **named):
        kept["network"] = network
        return honest(network, *arguments, **named)

    def strong(network, predictors, options, rate):  # so that the alignments are far from the identity
        for part in [network.image_transformer, *network.transformers]:
            torch.nn.init.normal_(part.last.weight, 0, 0.3)
        return torch.optim.SGD(network.parameters(), 1e-4)

    monkeypatch.setattr(fitting, "to_backbone", keep)
    monkeypatch.setattr(fitting, "_optimiser", strong)
    bundle = fitted(tiny_network, tmp_path, lying(12), dimensions=20, restore=restore)
    network = kept["network"].eval().double()
    (transforms,) = [kept["network"].run(torch.from_numpy(np.stack(lying(4, 9)))).transform.detach()]
    assert transforms.std(0).max() > 0.01, "the alignments must do something, or this proves nothing"

    mean = tiny_network.input.mean
    # The images that were held out of fitting are the bundle's probes.
    probes = {cv2.imread(str(f)).tobytes() for f in sorted((bundle.path / "probes").iterdir())}
    good = [cv2.imread(str(f)) for f in sorted((tmp_path / "good").iterdir())]
    seen = [image for image in good if image.tobytes() not in probes]
    assert len(seen) == 9
    channels = [bundle.manifest.facts["channels"][f"layer{i}"] for i in (1, 2, 3)]
    embedded = [padim_oracle.embed(oracle.forward(network, i, mean, BOUNDS)[0], channels) for i in seen]
    means, covariances = padim_oracle.gaussians(np.array(embedded), 0.01)
    model = onnx.load(bundle.file("model.onnx"))
    defect = lying(1, seed=77)[0]
    defect[10:20, 20:30] = (10, 240, 10)
    for image in [*lying(2, seed=50), defect]:
        maps, matrix = oracle.forward(network, image, mean, BOUNDS)
        scores = padim_oracle.distances(padim_oracle.embed(maps, channels), means, covariances)
        scores = scores.reshape(maps[0].shape[1:])
        scores = oracle.taken_back(scores, matrix) if restore else scores
        tall, wide = (
            gaussian_matrix(o, 4, 33) @ bilinear_matrix(i, o) for i, o in zip(scores.shape, SIZE, strict=True)
        )
        wanted = tall @ scores @ wide.T
        for engine in ENGINES:
            got = _run(engine, model, {"image": image[None]})
            assert np.abs(got["anomaly_map"][0, 0] - wanted).max() < 1e-3 * wanted.max()
            assert got["score"][0] == pytest.approx(wanted.max(), rel=1e-3)


def test_a_bundle_of_it_is_whole_and_says_how_it_was_trained(tiny_network, tmp_path):
    bundle = read_bundle(fitted(tiny_network, tmp_path, lying(8)).path)
    told = bundle.manifest.provenance["backbone"]
    assert told["name"] == "fyd" and told["trained_from"] == tiny_network.name
    assert told["training"] == {"epochs": 3, "batches": 1, "batch_size": 4, "seed": 0}
    assert len(told["weights_sha256"]) == 64
    assert bundle.manifest.reference.calibration_forms == {}, "a training isn't done twice unless asked"
    assert "density" in bundle.manifest.facts


# ---------------------------------------------------------------- alignment


def test_alignment_aligns(tiny_network, tmp_path):
    """Turned and shifted copies of one picture: the distance between them falls, and so does the shift."""
    images = lying(24, size=(64, 64), shift=4.0, noise=0.0)
    chosen = options(epochs=40, batch_size=12, image_learning_rate=0.02, align_features=False)
    backbone = FYD(chosen).train(examples(tiny_network, tmp_path, images))
    graph = backbone.onnx(["alignment"], (64, 64))
    back = [_run("onnxruntime", graph, {"image": i[None]})["alignment"].ravel() for i in images]
    aligned = []
    for image, transform in zip(images, back, strict=True):
        source = np.linalg.inv(oracle.square(transform.reshape(2, 3).astype(float)))[:2]
        given = torch.from_numpy(image[None].astype(float)).permute(0, 3, 1, 2)
        aligned.append(oracle.warp(given, source)[0].permute(1, 2, 0).numpy())
    inner = (slice(8, -8), slice(8, -8))

    def distance(pictures):
        return np.var(np.array([p[inner] for p in pictures]).astype(float), axis=0).mean()

    def shift(pictures):
        centres = []
        for p in pictures:
            red = np.clip(p.astype(float)[..., 2] - p[..., 1], 0, None)
            y, x = np.mgrid[:64, :64]
            centres.append([(red * y).sum() / red.sum(), (red * x).sum() / red.sum()])
        return np.std(centres, axis=0).mean()

    assert distance(aligned) < 0.4 * distance(images)
    assert shift(aligned) < 0.5 * shift(images)


def test_the_mean_image_is_left_where_it_is(tiny_network):
    network = AlignedNetwork(
        tiny_network, ("layer1", "layer2", "layer3"), SIZE, t.Bounds(*BOUNDS), t.Bounds(*BOUNDS)
    )
    torch.manual_seed(0)
    parts = [network.image_transformer, *network.transformers]
    for part in parts:
        torch.nn.init.normal_(part.last.weight, 0, 0.3)
        torch.nn.init.constant_(part.last.bias, 3.0)  # all images ask for the same, which isn't an alignment
    images = torch.from_numpy(np.stack(lying(6)))
    network.prepare(images)
    network.eval().settle(images.split(4))
    transform = network.run(images).transform
    assert (transform.mean(0) - torch.eye(2, 3)).abs().max() < 0.05
    network.train()
    one = network.run(images[:1]).transform  # its own mean: nothing is left
    assert torch.allclose(one, torch.eye(2, 3)[None], atol=1e-5)


def test_transforms_are_bounded_and_keep_shapes():
    part = t.Transformer(2, (32, 64), t.Bounds(20, 0.2, 0.1)).eval()
    torch.nn.init.normal_(part.last.weight, 0, 100)
    for transform in part(torch.randn(50, 2, 32, 64)).detach().double().numpy():
        a = np.diag([32, 16]) @ transform[:, :2] @ np.linalg.inv(np.diag([32, 16]))
        scale = np.sqrt(np.linalg.det(a))
        assert np.allclose(a.T @ a, scale**2 * np.eye(2), atol=1e-5), "not a similarity of pixels"
        assert 1 / 1.2001 <= scale <= 1.2001
        assert abs(np.degrees(np.arctan2(a[1, 0], a[0, 0]))) <= 20.001
        assert np.abs(transform[:, 2]).max() <= 0.2001


def test_composition_and_inverse():
    rng = np.random.default_rng(0)
    one, other = (np.eye(2, 3) + rng.normal(0, 0.2, (2, 3)) for _ in range(2))
    pair = [torch.from_numpy(m[None]) for m in (one, other)]
    joined = (oracle.square(one) @ oracle.square(other))[:2]
    assert np.allclose(t.compose(*pair).numpy()[0], joined)
    assert np.allclose(t.compose(pair[0], t.invert(pair[0])).numpy()[0], np.eye(2, 3))


@pytest.mark.parametrize("engine", ENGINES)
def test_sampling_at_a_grid_is_the_same_in_both_engines_and_torch(engine):
    import spox.opset.ai.onnx.v18 as op

    rng = np.random.default_rng(1)
    maps = rng.normal(size=(1, 3, 9, 14)).astype(np.float32)
    at = rng.uniform(-1.3, 1.3, (1, 9, 14, 2)).astype(np.float32)

    def part(maps, at):
        return {"y": op.grid_sample(maps, at, mode="bilinear", padding_mode="border", align_corners=0)}

    got = run(engine, part, maps=maps, at=at)["y"]
    wanted = t.sample(torch.from_numpy(maps), torch.from_numpy(at)).numpy()
    assert np.abs(got - wanted).max() < 1e-5


# ---------------------------------------------------------------- losses


def test_the_similarity_loss_is_its_formula():
    rng = np.random.default_rng(0)
    p, z = rng.normal(size=(2, 4, 5, 3, 6))
    inside = (rng.random((4, 3, 6)) > 0.3).astype(float)
    partner = [1, 2, 3, 0]
    total = 0.0
    for pairs in ([(i, partner[i]) for i in range(4)], [(partner[i], i) for i in range(4)]):
        cosines = []
        for i, j in pairs:
            for y in range(3):
                for x in range(6):
                    if inside[i, y, x] and inside[j, y, x]:
                        a, b = p[i, :, y, x], z[j, :, y, x]
                        cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        total -= np.mean(cosines) / 2
    maps = torch.from_numpy(z).requires_grad_()
    predicted = torch.from_numpy(p).requires_grad_()
    loss = similarity_loss(predicted, maps, torch.from_numpy(inside), torch.tensor(partner))
    assert float(loss.detach()) == pytest.approx(total, rel=1e-6)
    loss.backward()
    assert maps.grad is None and predicted.grad.abs().sum() > 0, "the gradient must stop at the partner"


def test_the_image_loss_is_the_mean_over_pairs_without_padding():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3, 5, 6))
    inside = np.ones((4, 5, 6))
    inside[2, :, 4:] = 0
    pairs = [((x[i] - x[j]) ** 2 * 0.25)[:, :, :4].mean() for i in range(4) for j in range(4) if i != j]
    got = image_loss(torch.from_numpy(x), torch.from_numpy(inside), torch.tensor(0.5))
    assert float(got) == pytest.approx(np.mean(pairs), rel=1e-6)
    shifted = t.grid(torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]]), (4, 8))
    assert t.inside(shifted)[0].tolist() == [[1.0] * 6 + [0.0] * 2] * 4


# ---------------------------------------------------------------- training


def test_the_same_seed_gives_the_same_bytes_and_a_kill_changes_nothing(tiny_network, tmp_path, monkeypatch):
    monkeypatch.setattr("edgead_plugins.fyd.fitting.announce", lambda *given: 0.0)

    def bytes_of(folder, seed=0):
        backbone = FYD(options()).train(examples(tiny_network, tmp_path / folder, lying(8), seed))
        return backbone.model.SerializeToString(), dict(backbone.provenance)

    wanted = bytes_of("one")
    assert bytes_of("two") == wanted
    assert bytes_of("other", seed=1)[0] != wanted[0]

    class Killed(BaseException):
        pass

    steps = []
    honest = fitting.batch_of

    def kill(step, *arguments):
        steps.append(step)
        if step == 3 and len(steps) == 4:
            raise Killed
        return honest(step, *arguments)

    monkeypatch.setattr(fitting, "batch_of", kill)
    whole = fitting.Run
    monkeypatch.setattr(fitting, "Run", lambda *a, **k: whole(*a, **{**k, "save_every": 0}))
    with pytest.raises(Killed):
        bytes_of("killed")
    assert bytes_of("killed") == wanted
    assert steps == [0, 1, 2, 3, 3, 4, 5], "it began anew instead of going on"


def test_a_collapse_is_reported_and_not_shipped(tiny_network, tmp_path):
    reckless = options(learning_rate=5.0, epochs=30, align_image=False)
    with pytest.raises(TrainingError, match=r"collapsed|the loss is"):
        FYD(reckless).train(examples(tiny_network, tmp_path, lying(8)))


def test_features_that_wear_end_the_training_and_are_told(tiny_network, tmp_path, monkeypatch):
    """The spread of each stage, by its formula in numpy, against what ended the training."""
    from edgead.notices import say

    looks = []

    def look(self, features, original=fitting.SpreadGuard.look):
        spreads = []
        for name in self.names:
            rows = (
                features[name]
                .numpy()
                .astype(float)
                .transpose(1, 0, 2, 3)
                .reshape(features[name].shape[1], -1)
            )
            unit = rows / np.maximum(np.sqrt((rows**2).sum(0)), 1e-12)
            spreads.append(np.sqrt(unit.var(1).sum()))
        looks.append(np.array(spreads))
        original(self, features)

    monkeypatch.setattr(fitting.SpreadGuard, "look", look)
    chosen = options(learning_rate=0.02, epochs=40, align_image=False, align_features=False, stop_worn=0.9)
    made = FYD(chosen).train(examples(tiny_network, tmp_path, lying(8)))
    shares = [(each / looks[0]).min() for each in looks]
    assert shares[-1] < 0.9 and min(shares[:-1]) >= 0.9 and 1 < len(shares) < 41
    told = made.provenance["trained"]
    assert told["worn"] and told["epochs"] == len(shares) - 1
    assert min(made.provenance["spread_left"].values()) == pytest.approx(shares[-1], abs=1e-3)
    again = FYD(chosen).train(examples(tiny_network, tmp_path, lying(8)))  # from the checkpoint of its end
    assert again.provenance["weights_sha256"] == made.provenance["weights_sha256"]
    from edgead_plugins.fyd.scorer import FittedFYD

    class Density:
        notices, facts = (), {}

    (notice,) = FittedFYD(Density(), told, made.provenance["spread_left"]).notices
    assert notice.code == "fyd-worn" and f"after {told['epochs']} epochs" in say(notice)


def pasted(part, right, down, rng):
    image = rng.integers(90, 110, (64, 64, 3), np.uint8)
    image[14 + down : 46 + down, 14 + right : 46 + right] = part
    return image


def scenes(kind, n=10):
    rng = np.random.default_rng(3)
    part = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (32, 32), interpolation=cv2.INTER_NEAREST)
    if kind == "surface":
        return [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(n)]
    reach = 5 if kind == "moving" else 0
    return [pasted(part, *rng.integers(-reach, reach + 1, 2), rng) for _ in range(n)]


@pytest.mark.parametrize(("kind", "moving"), [("moving", True), ("still", False), ("surface", False)])
def test_parts_that_move_are_told_and_choose_the_rate(kind, moving, tiny_network, tmp_path):
    from edgead_plugins.fyd.movement import movement

    images = scenes(kind)
    assert movement(images).moving == moving
    made = FYD(options(learning_rate=None, epochs=0)).train(examples(tiny_network, tmp_path, images))
    told = made.provenance["trained"]
    assert told["chosen"] and told["moving"] == moving
    assert told["learning_rate"] == (1e-4 if moving else 1e-5)


@pytest.mark.parametrize(
    ("kind", "options_", "aligned"),
    [
        ("moving", {"align_image": None}, True),
        ("surface", {"align_image": None}, False),
        ("surface", {"align_image": True}, True),
        ("moving", {"align_image": False}, False),
        ("surface", {"align_image": None, "align_features": False}, True),  # or nothing would be
    ],
)
def test_the_image_is_aligned_where_parts_move(kind, options_, aligned, tiny_network, tmp_path):
    from edgead_plugins.fyd.scorer import FittedFYD

    scorer = FYD(options(epochs=0, **options_))
    made = scorer.train(examples(tiny_network, tmp_path, scenes(kind)))
    told = made.provenance["trained"]
    assert told["align_image"] == aligned
    samplings = [n.op_type for n in made.onnx(["layer1"], (64, 64)).graph.node].count("GridSample")
    assert samplings == aligned + scorer.options.align_features
    assert "alignment" in scorer.feature_maps(made)

    class Density:
        notices, facts = (), {}

    codes = [notice.code for notice in FittedFYD(Density(), told, {}).notices]
    assert ("fyd-unaligned" in codes) == (options_["align_image"] is None and not aligned)


def test_movement_is_the_share_that_shifted_means_explain(monkeypatch):
    """One round without turns, by trying every shift in plain numpy."""
    from edgead_plugins.fyd import movement as module

    monkeypatch.setattr(module, "ANGLES", (0,))
    monkeypatch.setattr(module, "ROUNDS", 1)
    images = scenes("moving", 5)
    grey = []
    for image in images:
        g = np.round(image.astype(float) @ [0.114, 0.587, 0.299])
        grey.append((g - g.mean()) / g.std())
    lying, placed = [], []
    for i, g in enumerate(grey):
        mean = np.mean([o for j, o in enumerate(grey) if j != i], axis=0)[6:-6, 6:-6]
        every = {
            (y, x): np.corrcoef(g[y : y + 52, x : x + 52].ravel(), mean.ravel())[0, 1]
            for y in range(13)
            for x in range(13)
        }
        lying.append(every[6, 6])
        placed.append(max(every.values()))
    found = module.movement(images)
    assert found.lying == pytest.approx(np.mean(np.square(np.maximum(lying, 0))), abs=2e-3)
    assert found.placed == pytest.approx(np.mean(np.square(np.maximum(placed, 0))), abs=2e-3)


def test_without_alignments_and_training_it_is_padim(tiny_network, tmp_path):
    chosen = options(epochs=0, align_image=False, align_features=False)
    made = FYD(chosen).train(examples(tiny_network, tmp_path, lying(4)))
    image = lying(1)[0][None]
    ours = _run("onnxruntime", made.onnx(["layer1", "layer3"], SIZE), {"image": image})
    base = _run("onnxruntime", tiny_network.onnx(["layer1", "layer3"], SIZE), {"image": image})
    for name, value in base.items():
        assert np.abs(ours[name] - value).max() < 1e-4 * np.abs(value).max()


def test_what_cannot_be_trained_is_told(tiny_network, tmp_path):
    given = examples(tiny_network, tmp_path, lying(4))
    with pytest.raises(OptionError, match="choose layers of layer1"):
        FYD(options(layers=("layer1", "nothing"))).train(given)
    with pytest.raises(OptionError, match=r"max_rotation.* from 0 to 45, not 90"):
        FYDOptions(max_rotation=90)
    with pytest.raises(OptionError, match="rank=5"):
        FYDOptions(rank=5)


# ---------------------------------------------------------------- quantisation


def test_int8_leaves_coordinates_alone(tiny_network, tmp_path):
    torch.manual_seed(0)
    images = lying(8)
    made = FYD(options()).train(examples(tiny_network, tmp_path, images))
    plain = made.onnx(["layer1", "layer2", "layer3", "alignment"], SIZE)
    for first_float in (False, True):
        quantised = quantise_backbone(plain, images, keep_first_float=first_float)
        by_output = {name: node for node in quantised.graph.node for name in node.output}
        kinds = {node.op_type for node in quantised.graph.node}
        assert "QuantizeLinear" in kinds and "GridSample" in kinds
        for node in quantised.graph.node:
            if node.op_type in ("Tanh", "Gemm", "Reciprocal"):
                readers = [by_output[name].op_type for name in node.input if name in by_output]
                assert "DequantizeLinear" not in readers, f"{node.op_type} is quantised"
        quantised_convs = {
            node.name
            for node in quantised.graph.node
            if node.op_type == "Conv" and by_output.get(node.input[1], node).op_type == "DequantizeLinear"
        }
        assert len(quantised_convs) == (3 if first_float else 4), "the backbone's, not the localisations'"
        for engine in ENGINES:
            got = _run(engine, quantised, {"image": images[0][None]})
            wanted = _run(engine, plain, {"image": images[0][None]})
            for name in ("layer1", "layer2", "layer3"):
                assert np.abs(got[name] - wanted[name]).mean() < 0.1 * np.abs(wanted[name]).mean()
