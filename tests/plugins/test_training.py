# ruff: noqa: E402 - what needs torch is imported where torch is
"""The shared pieces of trained methods: the loop and its checkpoint, collapse, and networks in and out."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import nn

from edgead.errors import OptionError, TrainingError
from edgead.progress import silent
from edgead.types import InputSpec, TrainingData
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import open_backbone, resolve
from edgead_plugins.training import checkpoint
from edgead_plugins.training.collapse import SpreadGuard, spread
from edgead_plugins.training.loop import Run, train
from edgead_plugins.training.onnx_module import OnnxModule, torch_backbone
from edgead_plugins.training.seeding import batch_of, deterministic
from edgead_plugins.training.trained import to_backbone

SIZE = (32, 48)


def images(n=6, size=SIZE, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (n, *size, 3), np.uint8))


def examples(folder, pictures=None, seed=0):
    pictures = images() if pictures is None else pictures
    backbone = open_backbone("default")
    return TrainingData(
        backbone=backbone,
        images=lambda: iter(pictures),
        n_images=len(pictures),
        size=SIZE,
        seed=seed,
        progress=silent,
        checkpoint=Path(folder),
    )


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return {"fine": torch.relu(self.conv(x)), "coarse": nn.functional.avg_pool2d(self.conv(x), 2)}


class Killed(BaseException):
    pass


def fit_small(folder, steps=12, kill_at=None, fingerprint="a", kind=Killed, **run):
    with deterministic(3):
        module = Small()
        optimiser = torch.optim.Adam(module.parameters(), 0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

        def step(number):
            if number == kill_at:
                raise kind
            x = torch.from_numpy(np.stack(images(2, seed=number))).permute(0, 3, 1, 2) / 255
            return module.drop(module(x)["fine"]).square().mean()

        settings = Run("small", Path(folder), fingerprint, silent, save_every=0, **run)
        losses = train(settings, module, optimiser, step, steps, steps_per_epoch=5, scheduler=schedule)
    return losses, {name: value.clone() for name, value in module.state_dict().items()}


# ---------------------------------------------------------------- the loop


@pytest.mark.parametrize("kill_at", [3, 5, 7, 11])
def test_a_killed_training_ends_as_one_that_was_not(tmp_path, kill_at):
    wanted, weights = fit_small(tmp_path / "whole")
    with pytest.raises(Killed):
        fit_small(tmp_path / "killed", kill_at=kill_at)
    losses, resumed = fit_small(tmp_path / "killed")
    assert losses == wanted and len(losses) == 3
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


@pytest.mark.parametrize("steps", [10, 12])  # 12: the last epoch is a short one
def test_a_training_that_is_over_is_not_repeated(tmp_path, steps):
    losses, weights = fit_small(tmp_path, steps=steps)
    again, same = fit_small(tmp_path, steps=steps, kill_at=0)
    assert again == losses
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_put_aside(tmp_path, caplog):
    _, weights = fit_small(tmp_path / "whole")
    for damage in ("fingerprint", "bytes", "half"):
        folder = tmp_path / damage
        with pytest.raises(Killed):
            fit_small(folder, kill_at=7, fingerprint="b" if damage == "fingerprint" else "a")
        file = folder / "small.pt"
        if damage == "bytes":
            file.write_bytes(b"no checkpoint")
        elif damage == "half":
            file.write_bytes(file.read_bytes()[:-200])
        _, again = fit_small(folder)
        assert all(torch.equal(weights[name], again[name]) for name in weights), damage
        aside = folder / "small.pt.other-1"
        assert f"it's kept as {aside.name}" in caplog.text and aside.stat().st_size > 0
        caplog.clear()


def test_an_interruption_and_going_on_are_told(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, kill_at=0, kind=KeyboardInterrupt)
    assert "nothing was kept yet, so the same command begins anew" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, kill_at=7, kind=KeyboardInterrupt)
    assert f"the same command goes on from {tmp_path / 'small.pt'}" in caplog.text
    caplog.clear()
    fit_small(tmp_path)
    assert "goes on after step" in caplog.text


def test_another_fit_to_the_same_place_leaves_a_checkpoint_alone(tmp_path, caplog):
    from edgead.workbench.checkpoint_folder import clear_checkpoint

    with pytest.raises(Killed):
        fit_small(tmp_path / "c" / "first", kill_at=7)
    file = tmp_path / "c" / "first" / "small.pt"
    began = file.stat().st_mtime_ns + 1
    clear_checkpoint(tmp_path / "c", began)  # another method's, which never looked at it
    assert file.exists() and "what another training kept there" in caplog.text
    caplog.clear()
    fit_small(tmp_path / "c" / "first")  # this one uses it
    clear_checkpoint(tmp_path / "c", began)
    assert not (tmp_path / "c").exists() and "kept there" not in caplog.text


def test_a_checkpoint_holds_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "owned").touch, ())

    torch.save({"fingerprint": "a", "state": Evil()}, tmp_path / "small.pt")
    assert checkpoint.load(tmp_path / "small.pt", "a") is None
    assert not (tmp_path / "owned").exists()


def test_the_fingerprint_knows_images_options_and_seed(tmp_path):
    base = checkpoint.fingerprint(examples(tmp_path), lr=0.1)
    assert base == checkpoint.fingerprint(examples(tmp_path / "elsewhere"), lr=0.1)
    changed = images()
    changed[3] = changed[3].copy()
    changed[3][0, 0, 0] ^= 1
    others = [
        checkpoint.fingerprint(examples(tmp_path, changed), lr=0.1),
        checkpoint.fingerprint(examples(tmp_path), lr=0.2),
        checkpoint.fingerprint(examples(tmp_path, seed=1), lr=0.1),
    ]
    assert len({base, *others}) == 4


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path):
    module = Small()
    optimiser = torch.optim.SGD(module.parameters(), 1.0)
    run = Run("small", tmp_path, "a", silent, advice="lower -o learning_rate=1")
    with pytest.raises(TrainingError, match=r"small: the loss is nan at step 3: lower -o learning_rate=1"):
        train(run, module, optimiser, lambda n: module.conv.weight.sum() * (1 if n < 2 else np.nan), 5)


def test_progress_tells_epoch_loss_and_time_left(tmp_path):
    from contextlib import contextmanager

    told = []

    @contextmanager
    def progress(description, total):
        told.append((description, total))
        yield lambda steps: None

    module = Small()
    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    run = Run("s", tmp_path, "a", progress)
    train(run, module, optimiser, lambda n: module.conv.weight.square().sum(), 5, steps_per_epoch=2)
    assert [total for _, total in told] == [2, 2, 2, 1]
    assert told[0][0] == "s: timing the first steps"
    assert told[1][0].startswith("training s, 1 of 3, about ")
    assert told[3][0].startswith("training s, 3 of 3, loss ") and told[3][0].endswith(" left")


def test_each_epoch_is_a_permutation_and_the_same_again():
    first = np.concatenate([batch_of(step, 10, 3, seed=1) for step in range(3)])
    assert len(set(first.tolist())) == 9
    assert np.array_equal(first, np.concatenate([batch_of(step, 10, 3, 1) for step in range(3)]))
    assert not np.array_equal(batch_of(3, 10, 3, 1), first[:3])
    parts = [batch_of(step, 10, 3, 1, rest=True) for step in range(8)]
    assert [len(part) for part in parts] == [3, 3, 3, 1] * 2
    assert sorted(np.concatenate(parts[:4])) == sorted(np.concatenate(parts[4:])) == list(range(10))
    assert np.array_equal(np.concatenate(parts[:3]), first)
    assert sorted(batch_of(5, 4, 32, 0).tolist()) == [0, 1, 2, 3]


def test_deterministic_leaves_everything_as_it_was():
    before = torch.get_rng_state()
    with deterministic(0):
        one = torch.rand(3)
    with deterministic(0):
        assert torch.equal(one, torch.rand(3))
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_long_training_says_how_long_before_it_goes_on(tmp_path, monkeypatch, caplog):
    """A clock of 10 s a step: 1,000 steps take 2.8 h, of which the first four were taken to tell."""
    from contextlib import contextmanager

    from edgead_plugins.training import loop

    clock, told = [0.0], []
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])

    @contextmanager
    def progress(description, total):
        told.append((len(taken), description))
        yield lambda n: None

    module, taken = nn.Linear(2, 1), []

    def step(number):
        taken.append(number)
        clock[0] += 10.0
        if len(taken) > 6:
            raise KeyboardInterrupt
        return module(torch.ones(1, 2)).sum() ** 2

    optimiser = torch.optim.SGD(module.parameters(), lr=1e-3)
    with caplog.at_level("WARNING", "edgead_plugins"), pytest.raises(KeyboardInterrupt):
        train(Run("slow", tmp_path, "f", progress), module, optimiser, step, 1000, steps_per_epoch=100)
    sentence = "slow: 996 steps take about 2.8 h here"
    assert [at for at, words in told if sentence in words] == [4] and sentence in caplog.text
    assert told[-1][1].endswith("about 2.8 h")


def test_a_training_ends_where_its_watch_says_so_and_stays_ended(tmp_path):
    module = nn.Linear(2, 1)
    run = Run("t", tmp_path, "f", silent, save_every=1000.0)
    taken = []

    def step(number):
        taken.append(number)
        return module(torch.ones(1, 2)).sum() ** 2

    def go():
        optimiser = torch.optim.SGD(module.parameters(), lr=1e-3)
        return train(run, module, optimiser, step, 20, steps_per_epoch=4, watch=lambda: len(taken) >= 8)

    losses = go()
    assert len(losses) == 2 and taken == list(range(8))
    assert go() == losses and len(taken) == 8  # from the checkpoint: not a step more


# ---------------------------------------------------------------- collapse


def test_spread_is_nothing_for_equal_and_one_for_scattered_directions():
    same = torch.randn(1, 16, 1, 1).expand(4, 16, 5, 5) * torch.rand(4, 1, 5, 5)
    assert spread(same) < 1e-3
    assert 0.9 < spread(torch.randn(4, 16, 5, 5)) <= 1


def test_collapse_is_told_by_name():
    guard = SpreadGuard(("layer1", "layer2"))
    lively = {"layer1": torch.randn(4, 16, 5, 5), "layer2": torch.randn(4, 16, 5, 5)}
    guard.look(lively)
    guard.look(lively)
    lively["layer2"] = 1 + 0.01 * lively["layer2"]
    with pytest.raises(TrainingError, match="'layer2' collapsed"):
        guard.look(lively)
    flat = SpreadGuard(("layer1",))
    flat.look({"layer1": torch.randn(2, 4, 3, 3)})
    with pytest.raises(TrainingError):
        flat.look({"layer1": torch.full((2, 4, 3, 3), float("nan"))})


# ---------------------------------------------------------------- networks in and out


def run_onnx(model, image):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(
        zip([o.name for o in session.get_outputs()], session.run(None, {"image": image}), strict=True)
    )


def test_the_torch_network_of_a_backbone_is_its_graph():
    backbone = open_backbone("default")
    maps = list(backbone.feature_info)
    model = backbone.onnx(maps, SIZE)
    module = torch_backbone(backbone, maps, SIZE)
    batch = np.stack(images(3))
    found = module(torch.from_numpy(batch))
    for i, image in enumerate(batch):
        for name, wanted in run_onnx(model, image[None]).items():
            got = found[name][i].detach().numpy()
            assert np.abs(got - wanted[0]).max() < 1e-4 * np.abs(wanted).max()
    found["stage3"].sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert len(list(module.parameters())) == 20  # ten convolutions with their biases, and nothing else


def test_real_weights_too(resnet18_weights):
    backbone = open_backbone("resnet18", resnet18_weights)
    module = torch_backbone(backbone, ["layer1", "layer3"], SIZE)
    image = images(1)[0][None]
    found = module(torch.from_numpy(image))
    for name, wanted in run_onnx(backbone.onnx(["layer1", "layer3"], SIZE), image).items():
        assert np.abs(found[name].detach().numpy() - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_weights_of_the_first_convolution_learn_in_normalised_units():
    backbone = open_backbone("default")
    plain = dict(OnnxModule("default", backbone.onnx(["stage1"], SIZE)).named_parameters())
    ours = dict(torch_backbone(backbone, ["stage1"], SIZE).named_parameters())
    changed = [name for name in plain if not torch.equal(plain[name], ours[name])]
    assert len(changed) == 1 and plain[changed[0]].shape[1] == 3
    assert torch.allclose(ours[changed[0]], plain[changed[0]] * np.mean(backbone.input.std), rtol=1e-5)


def graph_of(nodes, constants=(), size=(8, 8)):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *size])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


RNG = np.random.default_rng(0)
CASES = {
    "uneven pads": ([helper.make_node("Conv", ["image", "w"], ["out"], pads=[0, 1, 2, 1], strides=[2, 1],
                                      dilations=[1, 2])],
                    [("w", RNG.normal(size=(4, 3, 3, 3)).astype(np.float32))]),
    "groups": ([helper.make_node("Conv", ["image", "w", "b"], ["out"], group=3)],
               [("w", RNG.normal(size=(6, 1, 1, 1)).astype(np.float32)),
                ("b", RNG.normal(size=6).astype(np.float32))]),
    "max pool": ([helper.make_node("MaxPool", ["image"], ["out"], kernel_shape=[3, 3], strides=[2, 2],
                                   pads=[0, 0, 1, 1])], []),
    "ceil": ([helper.make_node("MaxPool", ["image"], ["out"], kernel_shape=[3, 3], strides=[2, 2],
                               ceil_mode=1)], []),
    "average": ([helper.make_node("AveragePool", ["image"], ["out"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
                []),
    "average, pads count": ([helper.make_node("AveragePool", ["image"], ["out"], kernel_shape=[2, 2],
                                              pads=[0, 0, 1, 1], count_include_pad=1)], []),
    "batch norm": ([helper.make_node("BatchNormalization", ["image", "s", "b", "m", "v"], ["out"])],
                   [(n, RNG.uniform(0.5, 2, 3).astype(np.float32)) for n in "sbmv"]),
    "squeeze": ([helper.make_node("GlobalAveragePool", ["image"], ["g"]),
                 helper.make_node("HardSigmoid", ["g"], ["h"], alpha=0.25),
                 helper.make_node("Mul", ["image", "h"], ["out"])], []),
    "dense": ([helper.make_node("Flatten", ["image"], ["f"]),
               helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1),
               helper.make_node("Clip", ["y", "lo", ""], ["out"])],
              [("w", RNG.normal(size=(5, 192)).astype(np.float32)), ("b", np.ones(5, np.float32)),
               ("lo", np.array(0.1, np.float32))]),
    "turned": ([helper.make_node("Gather", ["image", "i"], ["t"], axis=1),
                helper.make_node("Concat", ["t", "image"], ["c"], axis=1),
                helper.make_node("Transpose", ["c"], ["p"], perm=[0, 2, 3, 1]),
                helper.make_node("ReduceMean", ["p", "a"], ["out"])],
               [("i", np.array([2, 1, 0])), ("a", np.array([1, 2]))]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_operator_is_onnx_runtimes(case):
    model = graph_of(*CASES[case])
    image = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    (wanted,) = run_onnx(model, image).values()
    got = OnnxModule("x", model)(torch.from_numpy(image))["out"].detach().numpy()
    assert got.shape == wanted.shape and np.allclose(got, wanted, atol=1e-5)


def test_an_operator_without_a_gradient_here_is_refused_by_name():
    model = graph_of([helper.make_node("Erf", ["image"], ["out"])])
    with pytest.raises(OptionError, match="'mine' can't be trained through its operator 'Erf'"):
        OnnxModule("mine", model)
    model = graph_of([helper.make_node("Transpose", ["image"], ["out"], perm=[1, 0, 2, 3])])
    with pytest.raises(OptionError, match="Transpose of the batch"):
        OnnxModule("mine", model)(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_trained_module_becomes_a_backbone_of_the_same_bytes(order):
    spec = InputSpec(channel_order=order, mean=(10.0, 20.0, 30.0), std=(50.0, 60.0, 70.0))
    torch.manual_seed(0)
    module = Small()
    base = open_backbone("default")
    made = to_backbone(module, "small", SIZE, base=base, spec=spec, facts={"epochs": 3})
    assert (
        made.model.SerializeToString()
        == to_backbone(module, "small", SIZE, spec=spec).model.SerializeToString()
    )
    assert {n: (i.channels, i.stride) for n, i in made.feature_info.items()} == {
        "fine": (8, 1),
        "coarse": (8, 2),
    }
    assert made.provenance["trained_from"] == "default" and made.provenance["epochs"] == 3
    assert made.provenance["trained_from_weights_sha256"] == base.provenance["weights_sha256"]
    graph = made.onnx(["coarse"], SIZE)
    assert [o.name for o in graph.graph.output] == ["coarse"]
    assert graph.opset_import[0].version == 18
    image = images(1)[0][None]
    pixels = image.astype(np.float32)[..., ::-1] if order == "rgb" else image.astype(np.float32)
    given = torch.from_numpy(
        ((pixels - spec.mean) / spec.std).astype(np.float32).transpose(0, 3, 1, 2).copy()
    )
    wanted = module.eval()(given)["coarse"].detach().numpy()
    assert np.abs(run_onnx(graph, image)["coarse"] - wanted).max() < 1e-4
    with pytest.raises(OptionError, match="no feature map 'corse'"):
        made.onnx(["corse"], SIZE)
    with pytest.raises(OptionError, match="takes 32x48 only"):
        made.onnx(["coarse"], (64, 64))


# ---------------------------------------------------------------- without torch


def test_a_missing_torch_names_the_extra():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import edgead_plugins, edgead_plugins.fyd, edgead_plugins.training\n"
        "from edgead.errors import MissingDependencyError\n"
        "try:\n    import edgead_plugins.training.loop\n"
        "except MissingDependencyError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "edgead[train]"' in done.stdout


def test_the_documented_method_trains_and_fits(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    names = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    for i, image in enumerate(images()):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    recipe = dataclasses.replace(resolve("patchcore"), scorer=names["Tuned"]())
    settings = Settings(size=SIZE, precisions=("fp32",), final_fit=False)
    bundle = fit(recipe, tmp_path, settings, tmp_path / "tuned.edgead", silent).bundle
    told = bundle.manifest.provenance["backbone"]
    assert told["name"] == "tuned" and told["trained_from"] == "default"
