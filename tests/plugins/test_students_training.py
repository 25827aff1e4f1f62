"""Uninformed Students' training, in torch: the students, kills, seeds, faults, and the whole graph."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from edgead.cli import main  # noqa: E402
from edgead.errors import OptionError, TrainingError  # noqa: E402
from edgead.options import parse_options  # noqa: E402
from edgead.progress import silent  # noqa: E402
from edgead.runtime.engines import open_session  # noqa: E402
from edgead.types import TrainingData  # noqa: E402
from edgead.workbench.fit import Settings, fit  # noqa: E402
from edgead.workbench.recipe import open_backbone, resolve  # noqa: E402
from edgead_plugins.backbones.conversion import weights_sha256  # noqa: E402
from edgead_plugins.students import StudentsOptions, UninformedStudents, fitting, pictures  # noqa: E402
from edgead_plugins.students.options import held_out  # noqa: E402
from edgead_plugins.students.patch_networks import PatchNetworks, margins, receptive_field, window  # noqa: E402
from edgead_plugins.training.trained import TrainedBackbone  # noqa: E402
from tests.bundles import bad_image, good_image, write_images  # noqa: E402
from tests.graphs import ENGINES  # noqa: E402
from tests.plugins import students_oracle as oracle  # noqa: E402

SIZE = (64, 48)
WORDS = (
    "width=0.06", "stride=4", "steps=6", "crop=32", "learning_rate=0.003", "heldout=0.25",
    "teacher_steps=3", "teacher_batch=6", "zoom=32", "metric=0",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(pictures, "POOL", 6)
        yield


def train(folder: Path, *words: str, seed: int = 0, images=None):
    """Train without the conversion to ONNX, which takes seconds, and return the provenance."""
    kept = [w for w in WORDS if w.split("=")[0] not in {x.split("=")[0] for x in words}]
    images = images or [good_image(i, SIZE) for i in range(5)]
    examples = TrainingData(
        backbone=open_backbone("default"),
        images=lambda: iter(images),
        n_images=len(images),
        size=images[0].shape[:2],
        seed=seed,
        progress=silent,
        checkpoint=folder,
    )

    def unconverted(network, name, size, *, base, spec, facts):
        return TrainedBackbone(name, {}, spec, {"weights_sha256": weights_sha256(network), **facts}, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "to_backbone", unconverted)
        patch.setattr(fitting, "_before_last", lambda model: ())
        options = parse_options(StudentsOptions, [*kept, *words])
        return UninformedStudents(options).train(examples).provenance


# ---------------------------------------------------------------- the students


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path):
    found = [train(tmp_path / str(i), seed=seed)["weights_sha256"] for i, seed in enumerate((0, 0, 1))]
    assert found[0] == found[1] != found[2]


def test_the_students_learn(tmp_path):
    loss = train(tmp_path, "steps=80")["loss"]["33"]
    assert loss["last"] < 0.7 * loss["first"]


def test_a_step_may_learn_from_parts_of_several_images(tmp_path, monkeypatch):
    shapes = []

    def keep(targets, students, original=fitting.regression):
        shapes.append(tuple(targets.shape))
        return original(targets, students)

    monkeypatch.setattr(fitting, "regression", keep)
    monkeypatch.setattr(fitting, "announce", lambda *given: 0.0)
    facts = train(tmp_path, "batch_size=3")
    assert set(shapes) == {(3, 128, 8, 8)} and facts["training"]["steps"] == 6
    train(tmp_path / "all", "batch_size=9")  # four of five images aren't held out
    assert shapes[-1][0] == 4


def test_the_students_rate_may_fall_to_nothing(tmp_path, monkeypatch):
    rates = []

    def keep(self, *given, original=torch.optim.Adam.step, **named):
        rates.append(self.param_groups[0]["lr"])
        return original(self, *given, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", keep)
    train(tmp_path / "a", "teacher_learning_rate=0.001")
    assert rates == [0.001] * 3 + [0.003] * 6
    rates.clear()
    train(tmp_path / "b", "teacher_learning_rate=0.001", "decay=yes")  # its teacher is the same, and cached
    assert rates == pytest.approx([0.003 * (1 + np.cos(np.pi * i / 6)) / 2 for i in range(6)])


def test_the_students_begin_different_from_each_other_and_the_teacher(tmp_path, monkeypatch):
    kept = {}

    def keep(self, pairs, stride, original=fitting.Ensemble.__init__):
        original(self, pairs, stride)
        kept.update(pairs)

    monkeypatch.setattr(fitting.Ensemble, "__init__", keep)
    train(tmp_path, "steps=1", "learning_rate=1e-9", "teacher_steps=1", "teacher_learning_rate=1e-9")
    for place in (0, 1):
        master, students = (network.convolutions[place].weight for network in kept[33])
        each = [master, *students.split(len(master))]
        for i, a in enumerate(each):
            assert all(not torch.allclose(a, b, rtol=0.1) for b in each[i + 1 :])


def test_images_held_out_are_not_learnt_from(tmp_path, monkeypatch):
    """Other pixels in the image that's held out change nothing; in one that isn't, everything."""
    held = np.flatnonzero(held_out(5, 0.25, 0))
    assert len(held) == 1

    def with_another(index):
        images = [good_image(90 if i == index else i, SIZE) for i in range(5)]
        return train(tmp_path / str(index), images=images)["weights_sha256"]

    wanted = train(tmp_path / "plain")["weights_sha256"]
    assert with_another(int(held[0])) == wanted != with_another((int(held[0]) + 1) % 5)


def test_the_teachers_descriptors_are_normalised_over_the_training_pixels():
    torch.manual_seed(0)
    master = PatchNetworks(33, 1, 0.06)
    images = [torch.randn(1, 3, 50, 60) * (1 + i) for i in range(3)]
    fitting.normalise(master, *fitting.measure(master, images, 1))
    with torch.no_grad():
        rows = torch.cat([master(image, 1)[0].flatten(1) for image in images], 1).double().numpy()
    np.testing.assert_allclose(rows.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(rows.std(1), 1, rtol=1e-4)


def test_a_teacher_that_says_the_same_everywhere_is_reported():
    with pytest.raises(TrainingError, match="same everywhere"):
        fitting.measure(PatchNetworks(33, 1, 0.06), [torch.zeros(1, 3, 40, 40)], 4)


@pytest.mark.parametrize(("crop", "stride"), [(0, 1), (0, 4), (32, 4), (999, 4)])
def test_a_step_learns_from_a_part_that_begins_anywhere(crop, stride):
    left, right, top, bottom = margins(33, SIZE, stride)
    around = torch.zeros(1, 3, SIZE[0] + top + bottom, SIZE[1] + left + right)
    starts, network = [], PatchNetworks(33, 1, 0.06)
    for i in range(200):
        rng = np.random.default_rng(i)
        above, below, before, after = window(around.shape[2:], 33, stride, crop, rng)
        part = around[:, :, above:below, before:after]
        assert part.shape[2:] == (below - above, after - before)
        starts.append(before)
        if crop == 32:
            assert part.shape[2:] == (32 + receptive_field(33) - 4,) * 2
    rows = network(part, stride).shape[2]
    assert rows == 8 if crop == 32 else SIZE[0] // stride - 1 <= rows <= SIZE[0] // stride
    assert set(starts) == set({0: range(stride), 32: range(48 - 32 + 1), 999: range(1)}[crop])
    if crop == 32:  # the borders aren't learnt from less than the middle
        assert min(starts.count(0), starts.count(16)) > 30


def test_a_loss_that_is_no_number_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "regression", lambda targets, students: students.sum() * torch.nan)
    with pytest.raises(
        TrainingError, match=r"students 33: the loss is nan at step 1: lower -o learning_rate"
    ):
        train(tmp_path)


def test_what_doesnt_fit_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "find_teachers", None)
    with pytest.raises(OptionError, match=r"66 x 64 is no multiple of -o stride=4"):
        train(tmp_path, images=[good_image(0, (66, 64))] * 2)


# ---------------------------------------------------------------- kills

KILLED = """
import os, signal, sys
from pathlib import Path
from edgead_plugins.students import fitting, losses, pictures
from edgead_plugins.training.loop import Run
from tests.plugins import test_students_training as its

module, name, at, folder = sys.argv[1:]
pictures.POOL = 6
fitting.announce = lambda *given: 0.0
Run.__init__.__defaults__ = (0.0, *Run.__init__.__defaults__[1:])
calls, module = 0, {"fitting": fitting, "losses": losses}[module]
original = getattr(module, name)

def loss(*arguments):
    global calls
    calls += 1
    if calls == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)

setattr(module, name, loss)
its.train(Path(folder), seed=5)
"""


@pytest.mark.parametrize(
    ("module", "name", "at", "left"), [("losses", "compactness", 3, 1), ("fitting", "regression", 5, 2)]
)
def test_kill_9_in_either_phase_ends_in_the_same_weights(tmp_path, monkeypatch, module, name, at, left):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, module, name, str(at), str(tmp_path / "killed")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list((tmp_path / "killed").glob("*.pt"))

    calls = 0
    monkeypatch.setattr(fitting, "announce", lambda *given: 0.0)
    where = {"fitting": fitting, "losses": sys.modules["edgead_plugins.students.losses"]}[module]
    original = getattr(where, name)

    def counted(*arguments):
        nonlocal calls
        calls += 1
        return original(*arguments)

    monkeypatch.setattr(where, name, counted)
    resumed = train(tmp_path / "killed", seed=5)
    assert calls == left  # the steps before the kill aren't taken again
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "another"))
    whole = train(tmp_path / "whole", seed=5)
    assert resumed == whole


# ---------------------------------------------------------------- the whole


@pytest.fixture(scope="module")
def fitted(own_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("students")
    images = write_images(folder / "good", [good_image(i, SIZE) for i in range(12)])
    settings = Settings(size=SIZE, holdout=0.3, false_positive_rate=0.1)
    kept = {}

    def keep(self, pairs, stride, original=fitting.Ensemble.__init__):
        original(self, pairs, stride)
        kept["network"] = self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting.Ensemble, "__init__", keep)
        more = ("scales=17,33", "steps=20")
        recipe = resolve("uninformed-students", options=[*(w for w in WORDS if w != "steps=6"), *more])
        bundle = fit(recipe, images, settings, folder / "us.edgead", silent).bundle
    return bundle, kept["network"].eval()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_whole_graph_is_the_torch_modules_and_the_formulas(fitted, engine):
    """Descriptors by torch, scores by numpy, within 1e-3 relative of the exported graph's."""
    from edgead_plugins.postprocessors import bilinear_matrix, gaussian_matrix

    bundle, network = fitted
    facts, session = bundle.manifest.facts, open_session(bundle.file(bundle.manifest.model), engine)
    mean, std = (np.array(v)[:, None, None] for v in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]))
    for image in (good_image(50, SIZE), bad_image(1)[: SIZE[0], : SIZE[1]].copy()):
        shown = (image[..., ::-1].transpose(2, 0, 1) - mean) / std
        with torch.no_grad():
            maps = {n: m[0].numpy() for n, m in network(torch.from_numpy(shown[None]).float()).items()}
        patch = 0.0
        for scale in (17, 33):
            students = maps[f"students_{scale}"].reshape(3, 128, 16, 12)
            both = oracle.error_and_variance(maps[f"teacher_{scale}"], students)
            for name, values in zip((f"error_{scale}", f"variance_{scale}"), both, strict=True):
                usual = facts["usual"][name]
                patch = patch + (values - usual["mean"]) / usual["deviation"] / 2
        patch = patch + facts["raised_by"]
        v, h = (
            gaussian_matrix(m, 4.0, 33) @ bilinear_matrix(n, m)
            for n, m in zip(patch.shape, SIZE, strict=True)
        )
        wanted, outputs = v @ patch @ h.T, session(image[None])
        np.testing.assert_allclose(outputs["anomaly_map"][0, 0], wanted, rtol=1e-3)
        assert outputs["score"][0] == pytest.approx(wanted.max(), rel=1e-3)


def test_every_form_was_made_and_ranks_as_fp32_does(fitted):
    bundle, _ = fitted
    reference = bundle.manifest.reference
    assert set(reference.forms) == {"fp32", "bf16", "mixed", "int8"}, reference.lacking
    images = [*(good_image(60 + i, SIZE) for i in range(3)), bad_image(1)[: SIZE[0], : SIZE[1]].copy()]
    maps = {}
    for form in ("fp32", "int8"):
        session = open_session(bundle.file(reference.forms[form]), "openvino")
        maps[form] = [session(image[None])["anomaly_map"].ravel() for image in images]
    for one, other in zip(maps["fp32"], maps["int8"], strict=True):  # gross defects saturate, but rank
        assert np.corrcoef(one, other)[0, 1] > 0.95
    assert maps["int8"][-1].max() > max(m.max() for m in maps["int8"][:-1])


def test_int8_leaves_the_convolution_before_the_last_of_each_network(fitted):
    bundle, _ = fitted
    graph = onnx.load(bundle.file(bundle.manifest.reference.forms["int8"])).graph
    constants = {value.name for value in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    whole = [index % 4 for index, node in enumerate(convolutions) if node.input[1] in constants]
    assert len(convolutions) == 16 and whole == [2] * 4  # two networks of two scales, of four each


def test_the_manifest_tells_where_teacher_and_students_come_from(fitted):
    bundle, _ = fitted
    backbone = bundle.manifest.provenance["backbone"]
    assert backbone["trained_from"] == "default"
    assert "generated by edgead" in backbone["teacher"]["17"]["pictures"]
    facts = bundle.manifest.facts
    assert facts["loss"]["33"]["last"] > 0 and facts["training"]["images"] == 6
    assert facts["training"]["held_out"] == 2
    assert not bundle.path.with_name("us.edgead.checkpoint").exists()


def test_the_command_line_fits_evaluates_and_repeats_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data/train/good", [good_image(i, SIZE) for i in range(10)])
    write_images(tmp_path / "data/test/good", [good_image(70 + i, SIZE) for i in range(3)])
    write_images(tmp_path / "data/test/spot", [bad_image(i)[:64, :48] for i in range(3)])
    options = [word for pair in (*WORDS, "teacher=") for word in ("-o", pair)]
    for out in ("a.edgead", "b.edgead"):
        words = ["fit", "uninformed-students", "data/train/good", "--preset", "quick", "--size", "64x48"]
        assert main([*words, *options, "--out", out]) == 0, capsys.readouterr().err
    files = [sorted(p for p in Path(out).rglob("*") if p.is_file()) for out in ("a.edgead", "b.edgead")]
    assert len(files[0]) == len(files[1]) > 4
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one
    capsys.readouterr()
    assert main(["eval", "a.edgead", "data", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image_auroc"] >= 0
