"""CutPaste's training, in torch: proxies, tiles, resuming, seeds, faults and the whole graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from edgead.errors import TrainingError  # noqa: E402
from edgead.image_score import PAPER  # noqa: E402
from edgead.options import parse_options  # noqa: E402
from edgead.progress import silent  # noqa: E402
from edgead.runtime.engines import open_session  # noqa: E402
from edgead.types import TrainingData  # noqa: E402
from edgead.workbench.fit import Settings, fit  # noqa: E402
from edgead.workbench.recipe import open_backbone, resolve  # noqa: E402
from edgead_plugins.cutpaste import CutPaste, CutPasteOptions  # noqa: E402
from edgead_plugins.cutpaste.fitting import proxies  # noqa: E402
from edgead_plugins.cutpaste.network import Embeddings, Trunk, Untrained, make_head  # noqa: E402
from edgead_plugins.cutpaste.scorer import receptive_matrix  # noqa: E402
from edgead_plugins.training.loop import Run  # noqa: E402
from tests.bundles import bad_image, good_image, write_images  # noqa: E402
from tests.graphs import ENGINES  # noqa: E402
from tests.plugins.training_support import changed, examples_of  # noqa: E402

SIZE = (96, 80)
WORDS = (
    "steps=5",
    "batch_size=2",
    "patch_size=64",
    "patch_stride=16",
    "frozen_steps=1",
    "learning_rate=0.003",
    "keep_better=no",
)


def examples(folder: Path, seed: int = 0, n: int = 5) -> TrainingData:
    return examples_of(folder, SIZE, seed, n)


def trained(folder: Path, *words: str, seed: int = 0):
    return CutPaste(parse_options(CutPasteOptions, changed(WORDS, words))).train(examples(folder, seed))


def trunk(size=SIZE) -> Trunk:
    probe = torch.from_numpy(np.stack([good_image(i, size) for i in range(3)]))
    return Trunk(open_backbone("default"), "stage3", probe)


@pytest.mark.parametrize(("task", "count"), [("3-way", 3), ("cutpaste", 2), ("scar", 2), ("union", 2)])
def test_a_proxy_for_each_class_the_good_one_first(task, count):
    image = good_image(1, SIZE)
    for level, size in (("image", SIZE), ("patch", (64, 64))):
        drawn = proxies(image, np.random.default_rng(0), level, CutPasteOptions(task=task, patch_size=64))
        assert [p.shape for p in drawn] == [(*size, 3)] * count
        assert all(not np.array_equal(drawn[0], other) for other in drawn[1:])


def test_patches_are_the_tiles_run_one_by_one():
    """Dense extraction against cutting each patch out and running it alone."""
    patch = trunk((64, 64)).eval()
    both = Embeddings(None, patch, SIZE, 8, 64).eval()
    image = bad_image(2)[: SIZE[0], : SIZE[1]].copy()
    with torch.no_grad():
        found = both(torch.from_numpy(image[None]))["patches"][0].numpy()
        assert found.shape == (256, 5, 3)
        for i in range(5):
            for j in range(3):
                crop = image[8 * i : 8 * i + 64, 8 * j : 8 * j + 64]
                alone = patch(torch.from_numpy(crop[None]))[0].numpy()
                np.testing.assert_allclose(found[:, i, j], alone, rtol=1e-4, atol=1e-5)


def test_many_patches_go_through_in_pieces(monkeypatch):
    patch = trunk((64, 64)).eval()
    both = Embeddings(None, patch, SIZE, 8, 64).eval()
    image = torch.from_numpy(good_image(1, SIZE)[None])
    with torch.no_grad():
        whole = both(image)["patches"]
        monkeypatch.setattr("edgead_plugins.cutpaste.network.TILES", 4)
        assert torch.allclose(both(image)["patches"], whole, atol=1e-5)


def untouched(image, size=SIZE):
    """Mean and deviation over the positions of the backbone's map, by ONNX Runtime and numpy."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = open_backbone("default").onnx(["stage3"], size).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(["stage3"], {"image": image[None]})
    rows = found[0].reshape(found.shape[1], -1).astype(np.float64)
    return np.concatenate([rows.mean(1), np.sqrt(((rows - rows.mean(1, keepdims=True)) ** 2).mean(1))])


def test_the_backbones_own_view_stands_beside_the_trained_one():
    image = bad_image(2)[: SIZE[0], : SIZE[1]].copy()
    net, beside = trunk().eval(), Untrained(open_backbone("default"), "stage3", SIZE)
    with torch.no_grad():
        torch.nn.init.constant_(net.norms[0].weight, 3.0)  # a network that was trained
        given = torch.from_numpy(image[None])
        alone = net(given)[0].numpy()
        found = Embeddings(net, None, SIZE, 1, 1, beside).eval()(given)["embedding"][0, :, 0, 0].numpy()
    wanted = np.concatenate([alone, untouched(image)])
    assert len(found) == 3 * net.width and not np.allclose(alone, wanted[256:512], rtol=0.1)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    assert all(not value.requires_grad for value in beside.parameters())


@pytest.mark.parametrize(("better", "width"), [("untrained", 2), ("trained", 3)])
def test_a_backbone_that_is_kept_stands_there_once(better, width, tmp_path, monkeypatch):
    from edgead_plugins.cutpaste import fitting

    shares = iter((0.8, 0.7) if better == "untrained" else (0.7, 0.8))
    monkeypatch.setattr(fitting, "trunk_separation", lambda *given: next(shares))
    found = trained(tmp_path, "keep_better=yes", "level=image", "steps=2")
    assert found.feature_info["embedding"].channels == width * 256


def test_the_head():
    head = make_head(256, 2, 3)
    sizes = [(m.in_features, m.out_features) for m in head if isinstance(m, torch.nn.Linear)]
    assert sizes == [(256, 512), (512, 512), (512, 128), (128, 3)]


def test_the_first_convolution_learns_as_on_normalised_images():
    """A step of SGD on folded weights equals one on unfolded weights, weight decay and all."""
    net = trunk()
    assert 50 < net.unit < 60
    first, others = net.parameter_groups(0.1, 0.01)
    (weight,) = first["params"]
    assert len(others["params"]) == len(list(net.parameters())) - 1 > 20

    gradient = torch.full_like(weight, 3.0)
    unfolded = weight.detach() * net.unit
    wanted = unfolded - 0.1 * (gradient / net.unit + 0.01 * unfolded)
    weight.grad = gradient.clone()
    torch.optim.SGD([first], lr=0.1).step()
    assert torch.allclose(weight.detach() * net.unit, wanted, rtol=1e-5)


def test_the_trunks_batch_norms_change_nothing_at_first():
    net = trunk().eval()
    assert len(net.norms) == 10
    image = torch.from_numpy(bad_image(3)[None])
    with torch.no_grad():
        wanted = net.network(image)["stage3"].mean((2, 3))
        assert torch.allclose(net(image), wanted, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(net.train()(image), wanted, rtol=0.01)


def test_same_seed_same_weights_and_another_seed_others(tmp_path):
    shas = [
        trained(tmp_path / str(i), "level=image", seed=s).provenance["weights_sha256"]
        for i, s in enumerate((0, 0, 1))
    ]
    assert shas[0] == shas[1] != shas[2]


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr("edgead_plugins.cutpaste.fitting.announce", lambda *given: 0.0)
    whole = trained(tmp_path / "whole")
    monkeypatch.setattr(Run.__init__, "__defaults__", (0.0, "lower the learning rate"))
    calls = 0

    def stop(*arguments, original=proxies):
        nonlocal calls
        calls += 1
        if calls == 25:  # the third step of the second network: 5 probes each, 5 x 2 and 2 x 2 in steps
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("edgead_plugins.cutpaste.fitting.proxies", stop)
        trained(tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.pt"))) == 2
    calls = 0
    monkeypatch.setattr("edgead_plugins.cutpaste.fitting.proxies", stop)
    again = trained(tmp_path / "parts")
    assert calls == 16  # the probes, and the three steps that were left
    assert again.provenance["weights_sha256"] == whole.provenance["weights_sha256"]
    assert again.provenance["loss"] == whole.provenance["loss"]


def test_a_loss_that_is_no_number_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(Trunk, "forward", lambda self, x: torch.full((len(x), self.width), torch.nan))
    with pytest.raises(
        TrainingError, match=r"cutpaste image: the loss is nan at step 1: lower -o learning_rate"
    ):
        trained(tmp_path)


def test_the_loss_falls(tmp_path):
    told = trained(tmp_path, "level=image", "steps=40", "batch_size=4").provenance
    assert told["loss_over_chance"]["image"] < 1
    assert told["loss"]["image"]["last"] < told["loss"]["image"]["first"]
    assert 0 <= told["invisible_pastes"] <= 1 and 0 <= told["explained_by_position"] <= 1


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cutpaste")
    images = write_images(folder / "good", [good_image(i) for i in range(12)])
    settings = Settings(size=SIZE, holdout=0.3, false_positive_rate=0.1)
    return fit(
        resolve("cutpaste", options=WORDS, image_score=PAPER), images, settings, folder / "c.edgead", silent
    ).bundle


@pytest.mark.parametrize("engine", ENGINES)
def test_the_whole_graph_equals_torch_and_numpy(bundle, engine, tmp_path):
    """The same training again, its trunks run by torch and the formulas by numpy: 1e-3 relative."""
    import onnx

    from edgead_plugins.postprocessors import bilinear_matrix, gaussian_matrix

    model = onnx.load(bundle.file(bundle.manifest.model))
    arrays = {i.name: onnx.numpy_helper.to_array(i).astype(np.float64) for i in model.graph.initializer}
    kept = {}
    original = Embeddings.__init__

    def keep(self, *given):
        original(self, *given)
        kept["network"] = self

    from edgead.images import list_images, read_image
    from edgead.resize import ResizeRule
    from edgead.workbench.good_images import GoodImages, split

    frames = GoodImages(tuple(list_images(bundle.path.parent / "good")), ResizeRule(SIZE))
    training, _ = split(frames, 0.3, 0)
    assert read_image(frames.paths[0]).shape == (120, 80, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Embeddings, "__init__", keep)
        again = CutPaste(parse_options(CutPasteOptions, WORDS)).train(
            TrainingData(
                backbone=open_backbone("default"),
                images=lambda: iter(training),
                n_images=len(training),
                size=SIZE,
                seed=0,
                progress=silent,
                checkpoint=tmp_path,
            )
        )
    trained_as = bundle.manifest.provenance["backbone"]["weights_sha256"]
    assert again.provenance["weights_sha256"] == trained_as
    image = bad_image(1)[: SIZE[0], : SIZE[1]].copy()
    network = kept["network"].eval()
    with torch.no_grad():
        maps = {n: m[0].double().numpy() for n, m in network(torch.from_numpy(image[None])).items()}

    def distances(name):
        rows = maps[name].reshape(len(maps[name]), -1).T
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.linalg.norm((rows - arrays[f"{name}_mean"]) @ arrays[f"{name}_factor"], axis=1)

    outputs = open_session(bundle.file(bundle.manifest.model), engine)(image[None])
    assert outputs["score"][0] == pytest.approx(distances("embedding")[0], rel=1e-3)
    found = distances("patches").reshape(3, 2)
    for axis, (n, side) in enumerate(zip((3, 2), SIZE, strict=True)):
        cells = receptive_matrix(n, 16, side, 64).astype(np.float64)
        finish = gaussian_matrix(side, 4.0, 33) @ bilinear_matrix(len(cells), side) @ cells
        found = finish @ found if axis == 0 else found @ finish.T
    np.testing.assert_allclose(outputs["anomaly_map"][0, 0], found, rtol=1e-3)


def test_every_form_was_made_and_facts_are_kept(bundle):
    facts = bundle.manifest.facts
    reference = bundle.manifest.reference
    assert set(reference.forms) == {"fp32", "bf16", "mixed", "int8"}, reference.lacking
    assert facts["density"]["patches"]["dimensions"] == 256 and facts["loss"].keys() == {"image", "patch"}
    assert bundle.manifest.provenance["backbone"]["trained_from"] == "default"


@pytest.mark.parametrize("better", ["untrained", "trained"])
def test_the_backbone_is_kept_where_training_separates_synthetic_defects_worse(better, tmp_path, monkeypatch):
    """What is kept against the state before the first and after the last step; the rest is chosen here."""
    from edgead_plugins.cutpaste import fitting

    shares = iter((0.8, 0.7) if better == "untrained" else (0.7, 0.8))
    seen = []

    def separation(trunk, *rest):
        seen.append({name: value.clone() for name, value in trunk.state_dict().items()})
        return next(shares)

    kept = []
    original = Embeddings.__init__

    def keep(self, image, *rest):
        original(self, image, *rest)
        kept.append({name: value.clone() for name, value in image.state_dict().items()})

    monkeypatch.setattr(fitting, "trunk_separation", separation)
    monkeypatch.setattr(Embeddings, "__init__", keep)
    words = ("keep_better=yes", "level=image", "learning_rate=0.1", "beside=no")
    told = trained(tmp_path, *words).provenance["separation"]
    first, last = (0.8, 0.7) if better == "untrained" else (0.7, 0.8)
    assert told == {"image": {"untrained": first, "trained": last}}
    assert any(not torch.equal(seen[0][name], seen[1][name]) for name in seen[0])
    wanted = seen[0] if better == "untrained" else seen[1]
    assert all(torch.equal(kept[0][name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("whole", [True, False])
def test_a_trunks_separation_is_that_of_held_out_distances(whole):
    """Embeddings one by one, densities and distances in float64, and AUROC by counting pairs."""
    from edgead_plugins.cutpaste.density import ledoit_wolf
    from edgead_plugins.cutpaste.keeping import trunk_separation
    from edgead_plugins.separation import trial_of

    options = CutPasteOptions(patch_size=32, patch_stride=8)
    trial = trial_of([good_image(i, SIZE) for i in range(9)], 0, good=6, defects=12)
    net = trunk(SIZE if whole else (32, 32)).eval()
    found = trunk_separation(net, whole, SIZE, options, trial)

    def embed(image):
        corners = [(0, 0)] if whole else [(y, x) for y in range(0, 65, 16) for x in range(0, 49, 16)]
        side = SIZE if whole else (32, 32)
        with torch.no_grad():
            rows = [
                net(torch.from_numpy(image[None, y : y + side[0], x : x + side[1]].copy()))[0]
                .double()
                .numpy()
                for y, x in corners
            ]
        return np.array([row / np.linalg.norm(row) for row in rows])

    good, bad = [embed(i) for i in trial.good], [embed(i) for i in trial.bad]
    scores = {"good": np.zeros(6), "bad": np.zeros(12)}
    for part in range(4):
        learnt = np.concatenate([good[i] for i in range(6) if i % 4 != part])
        covariance, _ = ledoit_wolf(learnt - learnt.mean(0))
        inverse = np.linalg.inv(covariance)
        for name, some, whose in (("good", good, np.arange(6)), ("bad", bad, trial.base)):
            for i, rows in enumerate(some):
                if whose[i] % 4 == part:
                    apart = rows - learnt.mean(0)
                    scores[name][i] = np.sqrt(np.einsum("ni,ij,nj->n", apart, inverse, apart)).max()
    each = []
    for least, most in ((0, 0.005), (0.005, 0.03), (0.03, 1)):
        b = scores["bad"][(trial.areas > least) & (trial.areas <= most)]
        if len(b):
            pairs = np.sign(b[:, None] - scores["good"][None])
            each.append(0.5 + 0.5 * pairs.mean())
    assert found == pytest.approx(np.mean(each), abs=1e-9)
