"""On what a network is trained: devices, arithmetic, pieces of a batch, and what it will take."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from contextlib import contextmanager

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

import edgead  # noqa: E402
from edgead.cli import main  # noqa: E402
from edgead.errors import OptionError  # noqa: E402
from edgead.options import parse_options  # noqa: E402
from edgead.progress import silent  # noqa: E402
from edgead.types import ChecksCompute, Compute  # noqa: E402
from edgead.workbench.recipe import resolve  # noqa: E402
from edgead_plugins.students import StudentsOptions  # noqa: E402
from edgead_plugins.students import fitting as students  # noqa: E402
from edgead_plugins.training import machine as machines  # noqa: E402
from edgead_plugins.training import plan  # noqa: E402
from edgead_plugins.training.batches import Batches  # noqa: E402
from edgead_plugins.training.checkpoint import fingerprint  # noqa: E402
from edgead_plugins.training.loop import Pace, Run, train  # noqa: E402
from edgead_plugins.training.machine import Machine, machine_of  # noqa: E402
from edgead_plugins.training.seeding import devices_here, pick_device  # noqa: E402
from tests.plugins.training_support import examples_of  # noqa: E402

CPU = Machine(torch.device("cpu"), "fp32", Compute())
TRAINED = ("cutpaste", "destseg", "dmad", "fyd", "mkd", "uninformed-students")


def on(**compute) -> Machine:
    return machine_of(Compute(**compute))


# ---------------------------------------------------------------- devices


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "", "meta", "x" * 999])
def test_a_device_that_is_not_there_is_refused_in_one_line_that_names_those_that_are(name):
    with pytest.raises(OptionError, match="can't train on device") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900
    assert str(caught.value).endswith(f"one of those here: {', '.join(devices_here())}")


def test_the_cpu_is_always_here_and_auto_is_one_of_those_here():
    assert devices_here()[0] == "cpu" and pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in {name.split(":")[0] for name in devices_here()}


@pytest.fixture
def gpus(monkeypatch):
    """Two graphics cards that answer questions, and calculate nothing."""

    def have(bf16=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card 9")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 20, 10 << 30))
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)

    return have


def test_auto_is_the_first_gpu_in_its_own_arithmetic(gpus, monkeypatch):
    gpus()
    assert devices_here() == ["cpu", "cuda:0", "cuda:1"]
    found = on()
    assert (str(found.device), found.arithmetic, found.name) == ("cuda:0", "bf16", "cuda (Card 9)")
    assert on(amp="off").arithmetic == "fp32" and on(amp="fp16").arithmetic == "fp16"
    assert found.memory() == int((10 << 30) * 0.8)  # the whole card's, not what happens to be free
    monkeypatch.setattr(machines, "usable_processors", lambda: 4)
    assert found.workers() == 3 and on(workers=0).workers() == 0
    gpus(bf16=False)
    assert on().arithmetic == "fp16"
    with pytest.raises(OptionError, match="Card 9 has no BF16: --amp fp16"):
        on(amp="bf16")
    with pytest.raises(OptionError, match=r"cuda:1.*cpu, cuda:0, cuda:1"):
        on(device="cuda:1")  # which is said to be there, and isn't


def test_a_cpu_is_fp32_unless_asked(monkeypatch, caplog):
    found = on(device="cpu")
    assert found.arithmetic == "fp32" and on(device="cpu", amp="bf16").arithmetic == "bf16"
    with pytest.raises(OptionError, match="fp16 is for NVIDIA's GPUs"):
        on(device="cpu", amp="fp16")
    for cores, wanted in ((1, 0), (2, 0), (4, 1), (16, 4), (128, 8)):
        monkeypatch.setattr(machines, "usable_processors", lambda cores=cores: cores)
        assert found.workers() == wanted
    monkeypatch.setattr(machines, "cpu", lambda: dataclasses.make_dataclass("Cpu", ["lacks_bf16"])(True))
    with caplog.at_level(logging.WARNING):
        machines.check_machine(Compute(device="cpu", amp="bf16"))
    assert "no BF16 unit" in caplog.text


@pytest.mark.parametrize("method", TRAINED)
def test_the_device_is_checked_before_images_are_read(method):
    assert isinstance(resolve(method).scorer, ChecksCompute)
    with pytest.raises(OptionError, match="can't train on device cuda:99"):
        edgead.fit(method, "no-such-folder", device="cuda:99")


class Unheeding:
    """A scorer that trains, but says nothing of where."""

    def train(self, data):
        raise NotImplementedError


def test_what_trains_no_network_takes_no_device(capsys):
    for words in (["--device", "cpu"], ["--amp", "bf16"], ["--micro-batch", "2"], ["--workers", "0"]):
        assert main(["fit", "patchcore", "no-such-folder", *words]) != 0
        assert "patchcore trains no network: leave --device" in capsys.readouterr().err
    recipe = dataclasses.replace(resolve("patchcore"), scorer=Unheeding())
    with pytest.raises(OptionError, match="patchcore heeds no device"):
        recipe.check_compute(Compute(device="cpu"))
    recipe.check_compute(Compute())
    with pytest.raises(OptionError, match="amp fp8: there's auto, off, bf16, fp16"):
        edgead.fit("mkd", "no-such-folder", amp="fp8")


@pytest.mark.parametrize("method", ["fyd", "dmad"])
def test_pieces_are_refused_where_they_would_be_another_method(method):
    with pytest.raises(OptionError, match=f"^{method}.*leave --micro-batch out, and lower -o batch_size"):
        edgead.fit(method, "no-such-folder", micro_batch=4)


def test_another_device_or_arithmetic_is_another_training(tmp_path, gpus):
    data = examples_of(tmp_path, (32, 32), 0, 2)
    of = [Compute(device="cpu"), Compute(device="cpu", amp="bf16"), Compute(device="cpu", micro_batch=1)]
    found = [fingerprint(dataclasses.replace(data, compute=compute), method="m") for compute in of]
    gpus()
    found.append(fingerprint(data, method="m"))
    assert len(set(found)) == 4
    plain = fingerprint(dataclasses.replace(data, compute=Compute(device="cpu", workers=7)), method="m")
    assert plain == found[0]  # processes that make images change nothing


def test_a_steps_tensors_are_on_the_device():
    """On torch's device of shapes without values, an operation with another device's tensor is refused."""
    meta = Machine(torch.device("meta"), "fp32", Compute(micro_batch=2))
    seen = []
    batches = Batches(
        "b", meta, lambda number: [np.zeros((5, 3), np.float32), np.ones((5, 1))],
        lambda number, a, b: seen.append((a.device.type, len(a))) or (a * b).mean(), 5,
    )  # fmt: skip
    assert all(loss.device.type == "meta" for loss in batches(0))
    assert seen == [("meta", 2), ("meta", 2), ("meta", 1)]


# ---------------------------------------------------------------- pieces


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("pieces", [1, 3, 7, 100])
def test_pieces_give_the_gradients_of_the_whole_batch(sums, pieces):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    x = torch.randn(7, 6, dtype=torch.float64)

    def loss(number, some):
        found = network(some).square()
        return found.sum() if sums else found.mean()

    def gradients(machine):
        network.zero_grad()
        total = 0.0
        for part in Batches("p", machine, lambda number: [x], loss, 7, sums=sums)(0):
            part.backward()
            total += float(part.detach())
        return total, [value.grad.clone() for value in network.parameters()]

    whole, cut = gradients(CPU), gradients(Machine(torch.device("cpu"), "fp32", Compute(micro_batch=pieces)))
    assert whole[0] == pytest.approx(cut[0], rel=1e-12)
    for a, b in zip(whole[1], cut[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_students_learn_the_same_from_pieces(tmp_path):
    """Their loss is the mean over the images, and nothing in them knows of the others: rounding apart."""
    data = examples_of(tmp_path, (64, 64), 0, 4)
    words = ("scales=33", "width=0.06", "stride=4", "crop=32", "batch_size=4", "steps=1")
    options = parse_options(StudentsOptions, words)
    images = torch.from_numpy(np.stack(list(data.images())))
    found = []
    for pieces in (None, 1, 3):
        phase = students._rehearsal(data, 33, images, options, on(device="cpu", micro_batch=pieces))
        for loss in phase.batches(5):
            loss.backward()
        found.append([value.grad.clone() for value in phase.module.parameters()])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6 * float(a.abs().max()))


# ---------------------------------------------------------------- what it will take


class Convolved(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 3)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))


def phase_of(steps, machine=CPU, **kept):
    torch.manual_seed(0)
    module = Convolved()

    def loss(number, x):
        with machine.autocast():
            found = module(x + 0 * torch.rand(1))
        return found.float().square().mean()

    batches = Batches("c", machine, lambda number: [torch.ones(8, 3, 34, 34)], loss, 8, **kept)
    return plan.Phase(batches, steps, module)


def test_what_it_takes_is_said_first_and_changes_nothing(caplog):
    told = []

    @contextmanager
    def progress(description, total):
        told.append(description)
        yield lambda steps: None

    phase = phase_of(10**9)
    before = {name: value.clone() for name, value in phase.module.state_dict().items()}
    state = torch.get_rng_state()
    with caplog.at_level(logging.INFO):
        seconds = plan.announce("method", CPU, progress, [phase])
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in phase.module.state_dict().items())
    assert all(value.grad is None for value in phase.module.parameters())
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    days = re.match(r"method: training takes about (\d+) days on this CPU: ", warning)
    assert days and abs(int(days[1]) - seconds / 86400) <= 0.5
    assert "--preset quick takes minutes, --device" in warning and told[-1] in warning
    caplog.clear()
    with caplog.at_level(logging.INFO):
        plan.announce("method", CPU, silent, [phase_of(1)])
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert "method: training takes about" in caplog.text


def test_the_memory_of_an_image_is_what_its_layers_keep():
    """Inputs and outputs of the convolutions and the ReLU, and no weights, which all images share."""
    cost = plan._cost(CPU, phase_of(1))
    image, hidden, out = 3 * 34 * 34 * 4, 8 * 32 * 32 * 4, 30 * 30 * 4
    assert image + 2 * hidden + out <= cost.image <= (image + 4 * hidden + 3 * out)
    assert cost.step == 8 * image and cost.making == 0


def test_a_step_too_large_for_the_memory_goes_in_pieces_where_that_is_exact(monkeypatch, caplog):
    size = plan._cost(CPU, phase_of(1)).image
    monkeypatch.setattr(Machine, "memory", lambda self: 3 * size)
    exact, never, inexact = (phase_of(1, in_pieces=kind) for kind in ("exact", "never", "inexact"))
    with caplog.at_level(logging.INFO):
        plan.announce("m", CPU, silent, [exact, never, inexact])
    assert (exact.batches.pieces, never.batches.pieces, inexact.batches.pieces) == (3, None, None)
    said = [r.getMessage() for r in caplog.records]
    assert "c: 3 images at a time, for the memory here" in said
    assert any("lower the batch size to 3" in line for line in said)
    assert any("--micro-batch 3 fits, with BatchNorm's statistics" in line for line in said)


def test_pieces_that_change_the_result_say_so(caplog):
    machine = Machine(torch.device("cpu"), "fp32", Compute(micro_batch=2))
    with caplog.at_level(logging.WARNING):
        plan.announce("m", machine, silent, [phase_of(1, machine)])
    assert "2 images at a time instead of 8: BatchNorm's statistics are of those" in caplog.text


def test_workers_are_begun_for_long_synthesis_only(monkeypatch):
    monkeypatch.setattr(machines, "usable_processors", lambda: 16)
    cost = plan.Cost(passes=1.0, making=0.5, image=1, step=1000)
    for steps, asked, wanted in ((10, None, 0), (100, None, 4), (10, 2, 2), (100, 0, 0)):
        machine = Machine(torch.device("cpu"), "fp32", Compute(workers=asked))
        phase = phase_of(steps, machine, synthetic=True)
        plan._fit_workers(machine, phase, cost, 0)
        assert phase.batches.workers == wanted
        assert cost.seconds(phase) == pytest.approx(steps * (1.5 if not wanted else 1.0))


def test_shared_memory_bounds_the_workers(monkeypatch, caplog):
    if not hasattr(os, "statvfs"):
        pytest.skip("this system has no statvfs")
    little = os.statvfs_result((4096, 4096, 1000, 1000, 1000, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda place: little)
    machine = Machine(torch.device("cpu"), "fp32", Compute(workers=4))
    phase = phase_of(100, machine, synthetic=True)
    plan._fit_workers(machine, phase, plan.Cost(1.0, 1.0, 1, 200_000), 0)
    assert phase.batches.workers == 3 and "room for 3 processes" in caplog.text


# ---------------------------------------------------------------- arithmetic, and pace


def trained_in(folder, arithmetic, steps, stop=None):
    machine = Machine(torch.device("cpu"), arithmetic, Compute())
    phase = phase_of(steps, machine)
    honest = phase.batches.loss

    def loss(number, x):
        if number == stop:
            raise KeyboardInterrupt
        return honest(number, x)

    phase.batches.loss = loss
    optimiser = torch.optim.SGD(phase.module.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    run = Run("s", folder, arithmetic, silent, save_every=0)
    torch.manual_seed(1)
    losses = train(run, phase.module, optimiser, phase.batches, steps, scheduler=schedule)
    return losses, [value.detach().clone() for value in phase.module.parameters()]


@pytest.mark.filterwarnings("error:Detected call of")
def test_fp16_has_a_scaler_that_goes_on_after_a_kill(tmp_path, monkeypatch):
    """On a CPU, whose FP16 torch has for whoever wants to try it; a scale that grows every other step."""

    def growing(self):
        return torch.amp.GradScaler("cpu", growth_interval=2) if self.arithmetic == "fp16" else None

    assert isinstance(Machine(torch.device("cpu"), "fp16", Compute()).scaler(), torch.amp.GradScaler)
    assert CPU.scaler() is None
    monkeypatch.setattr(Machine, "scaler", growing)
    losses, whole = trained_in(tmp_path / "a", "fp16", 6)
    assert np.isfinite(losses).all()
    with pytest.raises(KeyboardInterrupt):
        trained_in(tmp_path / "b", "fp16", 6, stop=4)
    assert torch.load(tmp_path / "b" / "s.pt", weights_only=True)["state"]["done"] == 4
    _, again = trained_in(tmp_path / "b", "fp16", 6)
    kept = [torch.load(tmp_path / name / "s.pt", weights_only=True)["state"]["scaler"] for name in "ab"]
    assert kept[0] == kept[1] and kept[0]["scale"] == 2**16 * 8
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
    _, plain = trained_in(tmp_path / "c", "fp32", 6)
    assert not all(torch.equal(a, b) for a, b in zip(whole, plain, strict=True))
    for a, b in zip(whole, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.01)


def test_the_pace_tells_what_of_a_step_is_synthesis(tmp_path, caplog):
    pace = Pace("d", 4, 0.5, 0.125, 8, 2)
    assert str(pace) == "d: 0.5 s a step, 16 images/s, synthesis 25% of a step with 2 workers"
    phase = phase_of(3, synthetic=True)
    run = Run("d", tmp_path, "x", silent)
    optimiser = torch.optim.SGD(phase.module.parameters(), 0.01)
    with caplog.at_level(logging.INFO, "edgead_plugins.training.loop"):
        train(run, phase.module, optimiser, phase.batches, 3)
    (told,) = [r.args[0] for r in caplog.records if isinstance(r.args, tuple) and r.args]
    assert isinstance(told, Pace) and told.steps == 2 and told.workers == 0 and 0 <= told.share < 1
