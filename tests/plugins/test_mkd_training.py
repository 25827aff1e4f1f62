"""MKD's training, in torch: the loss, the cloner, resuming, seeds, faults, the whole graph and gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from edgead.bundle import read_bundle  # noqa: E402
from edgead.errors import OptionError, TrainingError  # noqa: E402
from edgead.options import parse_options  # noqa: E402
from edgead.progress import silent  # noqa: E402
from edgead.runtime.engines import open_session  # noqa: E402
from edgead.types import TrainingData  # noqa: E402
from edgead.workbench.fit import Settings, fit  # noqa: E402
from edgead.workbench.recipe import open_backbone, resolve  # noqa: E402
from edgead_plugins.mkd import MKD, MKDOptions  # noqa: E402
from edgead_plugins.mkd.localisation import (  # noqa: E402
    GradientDetector,
    Localisation,
    _OnlyRising,
    finish,
    main,
    smooth_deviation,
)
from edgead_plugins.mkd.network import Cloner, Distillation, loss  # noqa: E402
from edgead_plugins.training.loop import Run  # noqa: E402
from tests.bundles import bad_image, good_image, write_images  # noqa: E402
from tests.graphs import ENGINES  # noqa: E402
from tests.plugins import mkd_oracle as oracle  # noqa: E402
from tests.plugins.training_support import changed, examples_of  # noqa: E402

SIZE = (64, 48)
WORDS = ("epochs=3", "batch_size=4", "cloner_width=8")
LAYERS = dict.fromkeys(["stage1", "stage2", "stage3"], False)


def examples(folder: Path, seed: int = 0, n: int = 8) -> TrainingData:
    return examples_of(folder, SIZE, seed, n)


def trained(folder: Path, *words: str, seed: int = 0):
    return MKD(parse_options(MKDOptions, changed(WORDS, words))).train(examples(folder, seed))


def network(normalise: bool = False) -> Distillation:
    probe = torch.from_numpy(np.stack([good_image(i, SIZE) for i in range(2)]))
    torch.manual_seed(0)
    return Distillation(open_backbone("default"), LAYERS, SIZE, normalise, 8, probe)


def test_the_loss_is_the_formulas():
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(3, c, 4, 5)), rng.normal(size=(3, c, 4, 5))) for c in (2, 7)]
    found = loss(*([torch.from_numpy(p[i]) for p in pairs] for i in (0, 1)), (1.0, 0.5))
    each = [oracle.image_score([(a[i], b[i]) for a, b in pairs], 1.0, 0.5) for i in range(3)]
    assert float(found) == pytest.approx(np.mean(each), rel=1e-6)


def test_the_papers_cloner():
    cloner = Cloner({4: 128, 8: 256, 16: 512, 32: 512}, frozenset(), 16)
    widths = [[m.out_channels for m in b if isinstance(m, torch.nn.Conv2d)] for b in cloner.blocks]
    assert widths == [[16, 16], [16, 128], [16, 16, 256], [16, 16, 512], [16, 16, 512]]
    for block in cloner.blocks:
        assert [type(m).__name__ for m in block][-3:] == ["Conv2d", "ReLU", "MaxPool2d"]
        assert all(m.bias is None for m in block if isinstance(m, torch.nn.Conv2d))
    shapes = [tuple(m.shape[1:]) for m in cloner(torch.zeros(1, 3, 128, 128))]
    assert shapes == [(128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4)]


@pytest.mark.parametrize("normalise", [True, False])
def test_both_networks_see_the_image_as_asked(normalise):
    net = network(normalise).eval()
    image = torch.from_numpy(good_image(5, SIZE)[None])
    taught, shown = net.teach(image)
    pixels = image.float() / 255
    spec = open_backbone("default").input
    rgb = pixels.permute(0, 3, 1, 2).flip(1)
    mean, std = (torch.tensor(v)[None, :, None, None] / 255 for v in (spec.mean, spec.std))
    if normalise:
        assert torch.allclose(shown.flip(1), (rgb - mean) / std, atol=1e-5)  # BGR, as the graph has it
        wanted = net.source(image)
    else:
        assert torch.allclose(shown.flip(1), rgb, atol=1e-6)
        # What the network sees is x with (255 x' - mean) / std = x / 255, for an image x' of its own graph.
        as_seen = {net.first: lambda v: (pixels * torch.tensor(spec.std).flip(0)).permute(0, 3, 1, 2)}
        wanted = net.source(image, as_seen)
    for a, b in zip(taught, wanted.values(), strict=True):
        assert torch.allclose(a, b, atol=1e-4 * float(b.abs().max()))


def test_same_seed_same_weights_and_another_seed_others(tmp_path):
    shas = [trained(tmp_path / str(i), seed=s).provenance["weights_sha256"] for i, s in enumerate((0, 0, 1))]
    assert shas[0] == shas[1] != shas[2]


def test_the_sources_maps_may_be_computed_anew_each_step(tmp_path):
    kept, anew = trained(tmp_path / "a"), trained(tmp_path / "b", "memory_mib=0")
    losses = [t.provenance["loss"]["last"] for t in (kept, anew)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_steps_may_stand_in_place_of_epochs(tmp_path):
    facts = trained(tmp_path, "steps=5", "epochs=900").provenance
    assert facts["training"] == {"steps": 5, "batch_size": 4, "images": 8, "seed": 0}


def test_the_loss_falls(tmp_path):
    loss = trained(tmp_path, "epochs=30").provenance["loss"]
    assert 0 < loss["last"] < 0.6 * loss["first"]


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr("edgead_plugins.mkd.fitting.announce", lambda *given: 0.0)
    whole = trained(tmp_path / "whole")
    monkeypatch.setattr(Run.__init__, "__defaults__", (0.0, "lower the learning rate"))
    steps = 0

    def stop(self, x, original=Cloner.forward):
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return original(self, x)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Cloner, "forward", stop)
        trained(tmp_path / "parts")
    assert list((tmp_path / "parts").glob("*.pt"))
    assert steps == 4
    again = trained(tmp_path / "parts")
    assert again.provenance["weights_sha256"] == whole.provenance["weights_sha256"]
    assert again.provenance["loss"] == whole.provenance["loss"]


def test_a_loss_that_is_no_number_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Cloner, "forward", lambda self, x, f=Cloner.forward: [m * torch.nan for m in f(self, x)]
    )
    with pytest.raises(TrainingError, match=r"mkd: the loss is nan at step 1: lower -o learning_rate"):
        trained(tmp_path)


def test_a_dead_cloner_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(Cloner, "forward", lambda self, x, f=Cloner.forward: [m * 0 for m in f(self, x)])
    with pytest.raises(TrainingError, match=r"dead at 'stage1'.*learning_rate"):
        trained(tmp_path)


def test_a_size_that_doesnt_halve_is_refused():
    backbone = open_backbone("default")

    class Odd:
        name, feature_info, input, provenance = "odd", backbone.feature_info, backbone.input, {}

        def onnx(self, feature_maps, size):
            return backbone.onnx(feature_maps, SIZE)

    with pytest.raises(OptionError, match="multiples of 32"):
        Distillation(Odd(), LAYERS, (72, 48), False, 8, torch.zeros(1, *SIZE, 3, dtype=torch.uint8))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mkd")
    images = write_images(folder / "good", [good_image(i) for i in range(12)])
    settings = Settings(size=SIZE, holdout=0.3, false_positive_rate=0.1)
    recipe = resolve("mkd", options=[*WORDS, "epochs=15"][1:])
    return fit(recipe, images, settings, folder / "mkd.edgead", silent).bundle


@pytest.mark.parametrize("engine", ENGINES)
def test_the_whole_graph_equals_the_torch_modules_maps(bundle, engine):
    """The bundle's two networks, run by torch, and the formulas in numpy: 1e-3 relative."""
    from edgead_plugins.postprocessors import bilinear_matrix, gaussian_matrix

    detector = GradientDetector(bundle)
    session = open_session(bundle.file(bundle.manifest.model), engine)
    for image in (good_image(50, SIZE), bad_image(1)[:64, :48].copy()):
        with torch.no_grad():
            maps = {n: m[0].numpy() for n, m in detector._network(torch.from_numpy(image[None])).items()}
        pairs = [(maps[f"source_{n}"], maps[f"cloner_{n}"]) for n in range(1, len(maps) // 2 + 1)]
        outputs = session(image[None])
        assert outputs["score"][0] == pytest.approx(oracle.image_score(pairs, 1, 0.5), rel=1e-3)
        assert detector.score(image) == pytest.approx(float(outputs["score"][0]), rel=1e-3)
        patch = oracle.forward_map(pairs, 1, 0.5)
        v, h = (
            gaussian_matrix(m, 4.0, 33) @ bilinear_matrix(n, m)
            for n, m in zip(patch.shape, SIZE, strict=True)
        )
        np.testing.assert_allclose(outputs["anomaly_map"][0, 0], v @ patch @ h.T, rtol=1e-3, atol=1e-6)


def test_every_form_was_made_and_facts_are_kept(bundle):
    facts = bundle.manifest.facts
    reference = bundle.manifest.reference
    assert set(reference.forms) == {"fp32", "bf16", "mixed", "int8"}, reference.lacking
    assert facts["map"] == "mkd-forward" and facts["source_layers"] == ["stage1", "stage2", "stage3"]
    assert bundle.manifest.provenance["backbone"]["trained_from"] == "default"
    assert not bundle.path.with_name("mkd.edgead.checkpoint").exists()


def test_the_gradient_is_the_scores_own(bundle):
    """Against differences of the score, on steps small enough to be straight."""
    detector = GradientDetector(read_bundle(bundle.path), Localisation("gradient"))
    image = good_image(3, SIZE)
    found = detector.gradient(image)
    assert found.shape == SIZE and found.min() >= 0 and found.max() > 0
    network, cast = detector._network, detector._pixels
    for y, x in [(20, 30), (40, 10)]:
        total = 0.0
        for channel in range(3):
            step = torch.zeros(1, *SIZE, 3)
            step[0, y, x, channel] = 0.25
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    maps = network(torch.from_numpy(image[None]), {cast: lambda v, s=sign * step: v + s})
                    ends.append(float(detector._score({k: m.double() for k, m in maps.items()})[0]))
            total += abs(ends[0] - ends[1]) / 0.5
        assert found[y, x] == pytest.approx(total, rel=0.1, abs=0.02 * float(found.max()))


def test_each_kind_of_gradient_is_another_and_repeats(bundle):
    image, maps = good_image(7, SIZE), []
    for kind in ("guided", "gradient", "smooth"):
        settings = Localisation(kind, samples=4)
        score, found = GradientDetector(bundle, settings).localise(image)
        assert found.shape == SIZE and found.dtype == np.float32 and np.isfinite(found).all() and score > 0
        assert np.array_equal(found, GradientDetector(bundle, settings).localise(image)[1])
        maps.append(found)
    assert not np.allclose(maps[0], maps[1]) and not np.allclose(maps[1], maps[2])


def test_guided_gradients_go_through_the_cloners_relus_alone(bundle):
    """Against the same networks in torch, with hooks on the cloner's ReLUs and none on the source's."""
    detector = GradientDetector(read_bundle(bundle.path), Localisation("guided"))
    relus = [n.output[0] for n in _model(detector).graph.node if n.op_type == "Relu"]
    mine = detector._relus
    assert 0 < len(mine) < len(relus)
    image = torch.from_numpy(good_image(3, SIZE)[None])
    with torch.no_grad():
        whole = detector._network(image)
        silenced = detector._network(image, dict.fromkeys(mine, torch.zeros_like))
    for name, value in whole.items():  # without the cloner's ReLUs the source says what it said
        assert torch.equal(value, silenced[name]) == name.startswith("source")
    others = [name for name in relus if name not in mine]
    with torch.no_grad():
        deaf = detector._network(image, dict.fromkeys(others, torch.zeros_like))
    assert all(torch.equal(whole[n], deaf[n]) == n.startswith("cloner") for n in whole)


def _model(detector):
    from edgead.workbench.graph_bytes import load_graph
    from edgead_plugins.mkd.localisation import _maps_alone

    bundle = detector.bundle
    return _maps_alone(load_graph(bundle.read(bundle.manifest.model), str(bundle.path)))


def test_smooth_gradients_noise_is_the_authors():
    """sigma = noise over the range, and its square the deviation, by hand, in pixels from 0 to 1."""
    half = np.full((4, 4, 3), 60, np.uint8)
    half[0, 0] = 187  # a range of 127 levels
    found = smooth_deviation(half, 0.05)
    assert found == pytest.approx(255 * (0.05 / (127 / 255)) ** 2)
    whole = np.array([[[0, 255, 7]]], np.uint8)
    assert smooth_deviation(whole, 0.05) == pytest.approx(255 * 0.0025)
    assert np.isfinite(smooth_deviation(np.zeros((2, 2, 3), np.uint8), 0.05))


def test_guided_backpropagation_lets_only_positive_gradients_through_a_relu():
    x = torch.tensor([1.0, 2.0, -1.0, -2.0], requires_grad=True)
    y = _OnlyRising.apply(torch.relu(x))
    assert torch.equal(y, torch.relu(x))
    (found,) = torch.autograd.grad((y * torch.tensor([3.0, -3.0, 3.0, -3.0])).sum(), x)
    assert found.tolist() == [3, 0, 0, 0]


def test_finishing_clips_scales_and_opens():
    gradient = np.zeros((40, 40), np.float32)
    gradient[20, 20] = 1000
    gradient[5:15, 5:15] = 1
    plain = finish(gradient, Localisation(clip=0.99, sigma=0, opening=1))
    assert plain.max() == 1 and plain[20, 20] == plain[10, 10]
    opened = finish(gradient, Localisation(clip=0.99, sigma=0, opening=3))
    assert opened[20, 20] == 0 and opened[10, 10] == 1
    kept = finish(gradient, Localisation(clip=1.0, rescale=False, sigma=0, opening=1))
    assert np.array_equal(kept, gradient)


def test_the_command_tells_both_maps(bundle, tmp_path, capsys):
    write_images(tmp_path / "good", [good_image(30)])
    write_images(tmp_path / "blob", [bad_image(2)])
    assert main([str(bundle.path), str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[1].startswith("mkd-forward") and "guided" in lines[2]
    assert len({line.split()[-4] for line in lines[1:]}) == 1  # the image score is the same
    assert main([]) == 2


def test_only_mkds_reference_bundle_has_gradients(reference_bundle):
    with pytest.raises(OptionError, match="edgead fit mkd"):
        GradientDetector(reference_bundle)
