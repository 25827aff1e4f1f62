"""DeSTSeg's training, in torch: losses, networks, seeds, kill -9 in each phase, faults, the whole graph."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from edgead.bundle import read_bundle  # noqa: E402
from edgead.cli import main  # noqa: E402
from edgead.errors import OptionError, TrainingError  # noqa: E402
from edgead.options import parse_options  # noqa: E402
from edgead.runtime.engines import open_session  # noqa: E402
from edgead.types import Compute, TrainingData  # noqa: E402
from edgead.workbench.recipe import open_backbone  # noqa: E402
from edgead_plugins.backbones.conversion import weights_sha256  # noqa: E402
from edgead_plugins.destseg import DeSTSegOptions, fitting  # noqa: E402
from edgead_plugins.destseg.losses import segmentation_loss, shrunk, student_loss  # noqa: E402
from edgead_plugins.destseg.network import Networks, Segmentation, Student, products  # noqa: E402
from edgead_plugins.training.onnx_module import OnnxModule  # noqa: E402
from tests.bundles import bad_image, good_image, write_images  # noqa: E402
from tests.graphs import ENGINES  # noqa: E402
from tests.plugins import destseg_oracle as oracle  # noqa: E402
from tests.plugins.training_support import changed, examples_of  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SIZE = (64, 96)
LAYERS = ["stage1", "stage2", "stage3"]
SMALL = ("student_width=2", "width=4")
WORDS = ("student_steps=3", "steps=3", "batch_size=3", *SMALL)


def examples(folder: Path, seed: int = 0, n: int = 6) -> TrainingData:
    return examples_of(folder, SIZE, seed, n)


def trained(folder: Path, *words: str, seed: int = 0, **compute):
    given = replace(examples(folder, seed), compute=Compute(**compute))
    return fitting.train_networks(given, LAYERS, parse_options(DeSTSegOptions, changed(WORDS, words)))


def networks(**kept) -> Networks:
    torch.manual_seed(0)
    probe = torch.from_numpy(np.stack([good_image(i, SIZE) for i in range(2)]))
    return Networks(open_backbone("default"), LAYERS, SIZE, 2, 4, probe, **kept).eval()


# ---------------------------------------------------------------- losses


def test_the_students_loss_is_the_formulas_summed_over_the_batch():
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(3, c, 4, 5)), rng.normal(size=(3, c, 4, 5))) for c in (2, 7)]
    found = student_loss(*([torch.from_numpy(p[i]) for p in pairs] for i in (0, 1)))
    assert float(found) == pytest.approx(oracle.student_loss(pairs), rel=1e-5)
    twice = student_loss(*([torch.from_numpy(np.concatenate([p[i]] * 2)) for p in pairs] for i in (0, 1)))
    assert float(twice) == pytest.approx(2 * float(found), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 4.0])
def test_the_segmentations_loss_is_the_formulas(gamma):
    rng = np.random.default_rng(1)
    logits, mask = rng.normal(0, 3, (2, 1, 5, 6)), (rng.random((2, 1, 5, 6)) < 0.3).astype(np.float64)
    found = segmentation_loss(*(torch.from_numpy(x.astype(np.float32)) for x in (logits, mask)), gamma)
    assert float(found) == pytest.approx(oracle.segmentation_loss(logits, mask, gamma), rel=1e-5)
    far = torch.tensor([[[[-200.0, 200.0]]]], requires_grad=True)
    segmentation_loss(far, torch.tensor([[[[1.0, 0.0]]]]), gamma).backward()
    assert torch.isfinite(far.grad).all()


def test_masks_are_shrunk_bilinearly_and_rounded():
    mask = (np.random.default_rng(2).random((2, 16, 24)) < 0.5).astype(np.uint8)
    found = shrunk(torch.from_numpy(mask), (4, 6))
    for one, whole in zip(found.numpy(), mask, strict=True):
        assert np.array_equal(one[0], oracle.bilinear(whole.astype(float), (4, 6)) >= 0.5)
    edge = np.zeros((1, 8, 8), np.uint8)
    edge[0, :, :2] = 1  # exactly half of a cell
    assert shrunk(torch.from_numpy(edge), (2, 2))[0, 0].tolist() == [[1, 0], [1, 0]]
    line = np.zeros((1, 8, 8), np.uint8)
    line[0, 3, :6] = 1  # a row of pixels, which covers a quarter of a cell
    assert not shrunk(torch.from_numpy(line), (2, 2)).any()
    assert shrunk(torch.from_numpy(line), (2, 2), touched=True)[0, 0].tolist() == [[1, 1], [0, 0]]


# ---------------------------------------------------------------- networks


def test_the_papers_student():
    with torch.device("meta"):
        student = Student((64, 128, 256), (False, False, False), 64).eval()
    encoder = [m for m in student.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    plain = [m for m in encoder if m.kernel_size == (3, 3)]
    assert [m.out_channels for m in plain] == [64] * 4 + [128] * 4 + [256] * 4 + [512] * 4
    assert (
        sum(p.numel() for p in [*student.stem.parameters(), *student.stem_norm.parameters()])
        + sum(p.numel() for p in student.encoder.parameters())
        == 11_176_512
    )  # torchvision's ResNet-18 without its classifier
    stages = [student.bottom, *student.decoder]
    widths = [(s[0].first.in_channels, s[0].first.out_channels, len(s)) for s in stages]
    assert widths == [(512, 512, 2), (512, 256, 2), (256, 128, 2), (128, 64, 2)]
    maps = student(*(torch.zeros(s, device="meta") for s in ((1, 3, 64, 96), (3,))))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 16, 24), (128, 8, 12), (256, 4, 6)]


def test_a_teacher_with_values_below_0_can_be_followed():
    torch.manual_seed(0)
    student = Student((4, 6, 8), (True, False, True), 2).eval()
    with torch.no_grad():
        maps = student(torch.randn(1, 3, 64, 64), torch.ones(3))
    assert [float(m.min()) < 0 for m in maps] == [True, False, True]


def test_the_papers_segmentation_network():
    with torch.device("meta"):
        net = Segmentation(448, 256).eval()
    assert [(b.first.in_channels, b.second.out_channels) for b in net.residual] == [(448, 256), (256, 256)]
    dilated = [m for m in net.head.modules() if isinstance(m, torch.nn.Conv2d) and m.dilation != (1, 1)]
    assert [(m.dilation, m.padding, m.in_channels, m.out_channels) for m in dilated] == [
        ((r, r), (r, r), 256, 256) for r in (6, 12, 18)
    ]
    project = net.head["project"][0]
    assert (project.in_channels, project.out_channels, project.kernel_size) == (4 * 256, 256, (3, 3))
    assert "point" not in net.head
    assert net(torch.zeros(1, 448, 16, 24, device="meta")).shape == (1, 1, 16, 24)


def test_the_head_is_the_authors_pyramid_written_out():
    """Three dilated convolutions and the mean, side by side, through a 3 x 3, another, and a 1 x 1."""
    from torch.nn.functional import conv2d

    torch.manual_seed(1)
    net = Segmentation(12, 6).double().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
    x = torch.randn(2, 12, 20, 16).double()
    state = net.head.state_dict()

    def layer(name, given, **how):
        y = conv2d(given, state[f"{name}.0.weight"], **how)
        view = lambda key: state[f"{name}.1.{key}"][None, :, None, None]  # noqa: E731
        y = (y - view("running_mean")) / (view("running_var") + 1e-5).sqrt() * view("weight") + view("bias")
        return y.clamp_min(0)

    with torch.no_grad():
        seen = net.residual(x)
        parts = [layer(f"dilated_{r}", seen, padding=r, dilation=r) for r in (6, 12, 18)]
        parts.append(layer("pooled", seen.mean((2, 3), keepdim=True)).expand(2, 6, 20, 16))
        together = layer("smooth", layer("project", torch.cat(parts, 1), padding=1), padding=1)
        wanted = conv2d(together, state["last.weight"], state["last.bias"])
        torch.testing.assert_close(net(x), wanted)


def test_the_encoders_blocks_begin_as_their_shortcuts_and_the_decoders_dont():
    torch.manual_seed(0)
    student = Student((4, 6, 8), (False, False, False), 2)
    for stage in student.encoder:
        for block in stage:
            x = torch.randn(2, block.first.in_channels, 8, 8)
            with torch.no_grad():
                assert torch.equal(block(x), block.shortcut(x).clamp_min(0))
    for stage in [student.bottom, *student.decoder]:
        assert all(bool((block.second_norm.weight == 1).all()) for block in stage)


def test_the_student_sees_the_normalised_image_and_the_teacher_is_the_backbone():
    net = networks()
    image = good_image(5, SIZE)
    backbone = open_backbone("default")
    spec = backbone.input
    rgb = (image[..., ::-1].astype(np.float32) - spec.mean) / spec.std
    given = torch.from_numpy(image[None])
    taught, shown = net.look(given)
    assert torch.equal(shown, net.show(given))
    normalised = (shown * net.unit[None, :, None, None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(normalised[..., ::-1], rgb, atol=1e-4)
    known = OnnxModule("t", backbone.onnx(LAYERS, SIZE))(given)
    for a, name in zip(taught, LAYERS, strict=True):
        assert torch.equal(a, known[name])
    assert not any(p.requires_grad for p in net.teacher.parameters())


def test_what_the_segmentation_reads_is_the_negative_product_of_unit_vectors():
    rng = np.random.default_rng(4)
    shapes = [(3, 8, 12), (4, 4, 6), (5, 2, 3)]
    a, b = ([rng.normal(size=(1, *s)) for s in shapes] for _ in range(2))
    found = products(*([torch.from_numpy(m) for m in maps] for maps in (a, b)))[0].numpy()
    assert found.shape == (12, 8, 12)
    place = 0
    for x, y in zip(a, b, strict=True):
        unit = [m[0] / np.linalg.norm(m[0], axis=0) for m in (x, y)]
        for channel in -unit[0] * unit[1]:
            wanted = channel if channel.shape == (8, 12) else oracle.bilinear(channel, (8, 12))
            np.testing.assert_allclose(found[place], wanted, atol=1e-5)
            place += 1
    finest = 1 - oracle.cosine_gap(a[0][0], b[0][0])
    np.testing.assert_allclose(found[:3].sum(0), -finest, atol=1e-5)


def test_a_map_that_isnt_where_its_stride_says_is_refused():
    probe = torch.zeros(1, *SIZE, 3, dtype=torch.uint8)
    with pytest.raises(OptionError, match="'stage3' of 'default' is 4 x 6, not 8 x 12"):
        Networks(open_backbone("default"), ["stage1", "stage3", "stage2"], SIZE, 2, 4, probe)


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nobody disturbed."""
    return trained(tmp_path_factory.mktemp("whole"))


def test_same_seed_same_weights_and_another_seed_others(whole, tmp_path):
    shas = [weights_sha256(trained(tmp_path / str(seed), seed=seed)[0]) for seed in (0, 1)]
    assert shas[0] == weights_sha256(whole[0]) != shas[1]


def test_only_what_learns_in_a_phase_changes(whole, tmp_path):
    """The student is as the first phase left it, statistics and all; the teacher as it came."""
    short, _ = trained(tmp_path, "map=dest")
    for part in ("student", "teacher"):
        assert weights_sha256(getattr(short, part)) == weights_sha256(getattr(whole[0], part))
    assert weights_sha256(short.segmentation) != weights_sha256(whole[0].segmentation)


def test_turns_textures_and_bf16_are_heeded(tmp_path):
    write_images(tmp_path / "t", [np.full((40, 40, 3), 250, np.uint8)])
    words = [(), ("rotation=any",), (f"textures={tmp_path / 't'}",)]
    steps = ("student_steps=1", "steps=1")
    shas = {weights_sha256(trained(tmp_path / str(i), *w, *steps)[0]) for i, w in enumerate(words)}
    shas.add(weights_sha256(trained(tmp_path / "b", *steps, amp="bf16")[0]))
    assert len(shas) == len(words) + 1


KILLED = """
import os, signal, sys
from tests.plugins import test_destseg_training as tests
from edgead_plugins.destseg import fitting
from edgead_plugins.destseg.fitting import _Training
from edgead_plugins.training.loop import Run
from pathlib import Path

Run.__init__.__defaults__ = (0.0, "lower the learning rate")
fitting.announce = lambda *given: 0.0
original = getattr(_Training, sys.argv[2])

def step(self, number, *parts):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, number, *parts)

setattr(_Training, sys.argv[2], step)
tests.trained(Path(sys.argv[1]))
"""


def test_a_training_killed_in_both_phases_ends_as_one_that_was_not(whole, tmp_path, monkeypatch):
    threads = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n"
    for phase, left in (("student", ["student"]), ("segmentation", ["segmentation", "student"])):
        words = [sys.executable, "-c", threads + KILLED, str(tmp_path), f"_{phase}_loss"]
        assert subprocess.run(words, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
        assert sorted(p.name for p in tmp_path.glob("*.pt")) == [f"destseg-{name}.pt" for name in left]
    taken = []
    monkeypatch.setattr(fitting, "announce", lambda *given: 0.0)
    for phase in ("student", "segmentation"):
        name = f"_{phase}_loss"
        original = getattr(fitting._Training, name)

        def step(self, number, *parts, phase=phase, original=original):
            taken.append((phase, number))
            return original(self, number, *parts)

        monkeypatch.setattr(fitting._Training, name, step)
    again, facts = trained(tmp_path)
    assert taken == [("segmentation", 2)]
    assert weights_sha256(again) == weights_sha256(whole[0]) and facts == whole[1]


@pytest.mark.parametrize(
    ("kind", "name", "advice"),
    [(Student, "student", "student_rate"), (Segmentation, "segmentation", "residual")],
)
def test_a_loss_that_is_no_number_is_reported(kind, name, advice, tmp_path, monkeypatch):
    def broken(self, *given, original=kind.forward):
        found = original(self, *given)
        return [m * torch.nan for m in found] if isinstance(found, list) else found * torch.nan

    monkeypatch.setattr(kind, "forward", broken)
    with pytest.raises(TrainingError, match=rf"destseg {name}: the loss is nan at step 1: lower -o {advice}"):
        trained(tmp_path)


# ---------------------------------------------------------------- the whole graph


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """As typed: ``edgead fit destseg`` on tiny images; the networks that it trained are kept."""
    folder, kept = tmp_path_factory.mktemp("destseg"), []
    write_images(folder / "good", [good_image(i) for i in range(12)])
    with pytest.MonkeyPatch.context() as patch:
        original = fitting.train_networks

        def keep(*given):
            kept.append(original(*given))
            return kept[-1]

        patch.setattr(fitting, "train_networks", keep)
        steps = ("map=seg", "student_steps=40", "steps=60", "batch_size=3", "student_width=4")
        steps += ("width=8",)
        words = [w for word in steps for w in ("-o", word)]
        words += ["--size", "64x96", "--holdout", "0.3", "--fpr", "0.1", "--preset", "quick", "-q"]
        assert main(["fit", "destseg", str(folder / "good"), "--out", str(folder / "d.edgead"), *words]) == 0
    return read_bundle(folder / "d.edgead"), kept[0][0].eval()


def test_the_losses_fall_and_synthetic_defects_are_found(fitted):
    facts = fitted[0].manifest.facts
    assert facts["loss"].keys() == {"student", "segmentation"}
    assert all(loss["last"] < 0.75 * loss["first"] for loss in facts["loss"].values())
    assert facts["synthetic_pixel_auroc"] > 0.75


@pytest.mark.parametrize("engine", ENGINES)
def test_the_whole_graph_equals_the_torch_modules(fitted, engine):
    """The trained networks run by torch, and the formulas in numpy: 1e-3 relative."""
    bundle, network = fitted
    session = open_session(bundle.file(bundle.manifest.model), engine)
    for image in (good_image(50, SIZE), bad_image(1)[: SIZE[0]].repeat(2, 1)[:, : SIZE[1]].copy()):
        with torch.no_grad():
            logits = network(torch.from_numpy(image[None]))["logits"][0, 0].numpy()
        wanted = oracle.segmentation_map(logits, SIZE)
        assert np.ptp(logits) > 0.5 and wanted.max() > 1e-3
        outputs = session(image[None])
        np.testing.assert_allclose(outputs["anomaly_map"][0, 0], wanted, rtol=1e-3)
        assert outputs["score"][0] == pytest.approx(oracle.top_mean(wanted, 9), rel=1e-3)


def test_every_form_was_made_int8_runs_and_facts_are_kept(fitted):
    bundle, _ = fitted
    facts = bundle.manifest.facts
    reference = bundle.manifest.reference
    assert set(reference.forms) == {"fp32", "bf16", "mixed", "int8"}, reference.lacking
    assert facts["map"] == "seg" and facts["teacher_layers"] == ["stage1", "stage2", "stage3"]
    assert facts["textures"] == "generated" and bundle.manifest.method.options["map"] == "seg"
    assert bundle.manifest.provenance["backbone"]["trained_from"] == "default"
    assert not bundle.path.with_name("d.edgead.checkpoint").exists()
    image = good_image(50, SIZE)[None]
    forms = [bundle.file(reference.forms[p]) for p in ("fp32", "int8")]
    plain, int8 = (open_session(file, "openvino")(image) for file in forms)
    gap = np.abs(plain["anomaly_map"] - int8["anomaly_map"]).max()
    assert 0 < gap < 0.25 and np.isfinite(int8["score"]).all()


def test_it_is_judged_on_a_data_set(fitted, tmp_path, capsys):
    bundle, _ = fitted
    write_images(tmp_path / "good", [good_image(30), good_image(31)])
    write_images(tmp_path / "blob", [bad_image(2), bad_image(3)])
    assert main(["eval", str(bundle.path), str(tmp_path), "--json", "-q"]) == 0
    assert "image_auroc" in capsys.readouterr().out


def test_the_baselines_graph_equals_the_torch_modules(tmp_path):
    import onnx

    from edgead.workbench.graph import compose
    from edgead_plugins.destseg import DeSTSeg
    from edgead_plugins.destseg.scorer import FittedDeSTSeg
    from edgead_plugins.destseg.upsampling import Bilinear
    from edgead_plugins.training.trained import to_backbone

    torch.manual_seed(1)
    network = networks(segment=False)
    backbone = to_backbone(network, "destseg", SIZE)
    scorer = DeSTSeg(DeSTSegOptions(map="dest"))
    graph = backbone.onnx(scorer.feature_maps(backbone), SIZE)
    onnx.save(
        compose(graph, scorer, FittedDeSTSeg(SIZE, 9, {}), Bilinear(), SIZE, "fp32").model,
        tmp_path / "m.onnx",
    )
    image = good_image(7, SIZE)
    with torch.no_grad():
        maps = {n: m[0].numpy() for n, m in network(torch.from_numpy(image[None])).items()}
    wanted = oracle.baseline_map([(maps[f"teacher_{n}"], maps[f"student_{n}"]) for n in (1, 2, 3)], SIZE)
    for engine in ENGINES:
        outputs = open_session(tmp_path / "m.onnx", engine)(image[None])
        np.testing.assert_allclose(outputs["anomaly_map"][0, 0], wanted, rtol=1e-3)
        assert outputs["score"][0] == pytest.approx(oracle.top_mean(wanted, 9), rel=1e-3)
