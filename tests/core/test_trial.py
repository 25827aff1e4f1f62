"""``edgead verify --try``: models that loop, grow or break do so in a process of their own; none passes."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead.bundle import Note, add_revision, read_bundle, write_bundle
from edgead.cli import main
from edgead.device import trial
from edgead.device.trial import try_bundle
from edgead.errors import ParityError, TrialError
from tests.mean_bundle import graph, write_mean_bundle

onnx = pytest.importorskip("onnx", reason="needs the [fit] extra")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def mean(tmp_path: Path) -> Path:
    return write_mean_bundle(tmp_path / "mean.edgead")


def endless_loop(model: onnx.ModelProto) -> None:
    """2^62 turns, each adding nothing to the score."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Add", ["sum", "none"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, (1,)),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, (1,)),
        ],
    )
    _after(model, [helper.make_node("Loop", ["turns", "yes", "first"], ["score"], body=body)],
           turns=np.array(1 << 62), yes=np.array(True), none=np.zeros(1, np.float32))  # fmt: skip


def sixteen_gigabytes(model: onnx.ModelProto) -> None:
    """A constant that becomes large before any image is seen."""
    nodes = [
        helper.make_node("Expand", ["none", "shape"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["most"], keepdims=0),
        helper.make_node("Add", ["first", "most"], ["score"]),
    ]
    _after(model, nodes, none=np.zeros((1, 1), np.float32), shape=np.array([1 << 16, 1 << 16]))


def nested_functions(model: onnx.ModelProto) -> None:
    """Each function calls the one before it twice: 2^40 nodes in a few kilobytes."""
    own, opset = "bomb", [helper.make_opsetid("", 18), helper.make_opsetid("bomb", 1)]
    functions = [helper.make_function(own, "f0", ["x"], ["y"],
                                      [helper.make_node("Neg", ["x"], ["y"])], opset)]  # fmt: skip
    for level in range(1, 40):
        calls = [helper.make_node(f"f{level - 1}", ["x"], ["m"], domain=own),
                 helper.make_node(f"f{level - 1}", ["m"], ["y"], domain=own)]  # fmt: skip
        functions.append(helper.make_function(own, f"f{level}", ["x"], ["y"], calls, opset))
    model.functions.extend(functions)
    model.opset_import.append(helper.make_opsetid(own, 1))
    _after(model, [helper.make_node("f39", ["first"], ["score"], domain=own)])


def _after(model: onnx.ModelProto, nodes: list[onnx.NodeProto], **constants: np.ndarray) -> None:
    """Have the score go through further nodes, whose input is ``first``."""
    for node in model.graph.node:
        node.output[:] = ["first" if name == "score" else name for name in node.output]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in constants.items())


def changed(mean: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """The same bundle, whole and with right hashes, with another model."""
    model = onnx.load_model_from_string(graph())
    change(model)
    path = mean.with_name("changed.edgead")
    with write_bundle(path) as staging:
        (staging.folder / "model.onnx").write_bytes(model.SerializeToString())
        staging.finish(read_bundle(mean).manifest)
    return path


@pytest.mark.parametrize("bomb", [endless_loop, sixteen_gigabytes, nested_functions])
def test_a_bomb_goes_off_in_the_child_alone(mean: Path, bomb) -> None:
    bundle = read_bundle(changed(mean, bomb))
    with pytest.raises(TrialError) as caught:
        try_bundle(bundle, seconds=3, memory=2 << 30)
    assert str(caught.value).startswith(f"{bundle.path}: tried in a process of its own, and it ")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3


def test_a_good_bundle_passes_and_says_what_ran_it(mean: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--try", str(mean)]) == 0
    assert "ok   opened and ran in a process of its own: onnxruntime on CPU, " in capfd.readouterr().out
    found = edgead.verify(mean, try_in_child=True)
    assert found.trial is not None and found.trial.runs_on == "onnxruntime on CPU" and found.runs_on is None
    assert edgead.verify(mean).trial is None


def test_the_other_engine_is_tried_too(mean: Path) -> None:
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    assert edgead.verify(mean, try_in_child=True, engine="openvino").trial.runs_on == "openvino on CPU"
    with pytest.raises(TrialError):
        try_bundle(read_bundle(changed(mean, endless_loop)), "openvino", seconds=3)


def test_the_command_ends_with_3_and_a_sentence(mean, capfd, monkeypatch) -> None:
    monkeypatch.setattr(trial.try_bundle, "__defaults__", (None, 6.0, 2 << 30))
    bomb = str(changed(mean, sixteen_gigabytes))
    assert main(["verify", "--try", bomb]) == 3
    told = capfd.readouterr()
    assert told.err.count("\n") == 1 and "don't load it, and ask whoever made it" in told.err
    assert main(["verify", "--try", "--json", bomb, str(mean)]) == 3
    records = json.loads(capfd.readouterr().out)
    assert [record["ok"] for record in records] == [False, True] and records[0]["kind"] == "TrialError"


@pytest.mark.parametrize(
    ("child", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "broke down (SIGSEGV)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "broke down (SIGKILL, perhaps for want"),
        ("raise SystemExit(7)", "ended with 7 and no answer"),
        ("print('{\"runs_on\"')", "ended with 0 and no answer"),
        ("print(3)", "ended with 0 and no answer"),
        ("while True: print('x' * 1000)", "wasn't done after 2 s"),
    ],
)
def test_whatever_becomes_of_the_child_is_one_sentence(mean: Path, monkeypatch, child, why) -> None:
    monkeypatch.setattr(trial, "_START", child)
    with pytest.raises(TrialError, match=why.replace("(", r"\(").replace(")", r"\)")):
        try_bundle(read_bundle(mean), seconds=2)


FORKS = """
import os, sys, time
begun, ends = os.pipe()
if os.fork() == 0:
    {first}
    if os.fork() == 0:
        {second}
        open({place!r}, "w").write(str(os.getpid()))
        os.write(ends, b"x")
        time.sleep(600)
    os._exit(0)
os.read(begun, 1)
{third}
"""
ANSWER = 'os.write(1, b\'{"error": "no", "kind": "ParityError"}\')'


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere orphans go to the system")
@pytest.mark.parametrize("second", ["pass", "os.setsid()", "os.setsid(); os.close(1)"])
@pytest.mark.parametrize(
    ("third", "error"),
    [(ANSWER, ParityError), ("os._exit(0)", TrialError), ("time.sleep(600)", TrialError)],
    ids=["answers", "ends", "stays"],
)
def test_nothing_that_came_of_the_child_lives_on_or_is_waited_for(
    mean: Path, tmp_path: Path, monkeypatch, second: str, third: str, error: type[Exception]
) -> None:
    place = tmp_path / "pid"
    program = FORKS.format(first="os.setsid()", second=second, third=third, place=str(place))
    monkeypatch.setattr(trial, "_START", program)
    with pytest.raises(error):
        try_bundle(read_bundle(mean), seconds=600 if "600" not in third else 2)
    assert not Path(f"/proc/{place.read_text()}").exists()


def test_another_bundle_in_its_place_than_was_checked_is_refused(mean: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.edgead"
    link.symlink_to(mean)
    checked = read_bundle(link)
    link.unlink()
    link.symlink_to(shutil.copytree(mean, tmp_path / "same.edgead"))
    assert try_bundle(checked).runs_on
    link.unlink()
    link.symlink_to(changed(mean, lambda model: setattr(model, "doc_string", "another")))
    with pytest.raises(TrialError, match="another bundle lay there than was checked before"):
        try_bundle(checked)


def test_other_thresholds_than_were_checked_are_refused(mean: Path) -> None:
    checked = read_bundle(mean)
    mended = dataclasses.replace(checked.manifest.threshold, score=0.25, rule="given")
    add_revision(checked, {"default": mended}, Note("someone", "because"))
    with pytest.raises(TrialError, match="another bundle lay there"):
        try_bundle(checked)
    assert try_bundle(read_bundle(mean)).runs_on


def test_a_trial_keeps_no_serial_number(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("cryptography", reason="needs the [sign] extra")
    from edgead.trust import demand
    from edgead.trust.keys import make_keys

    make_keys(tmp_path / "qa.key", tmp_path / "qa.pub")
    bundle = Path(shutil.copytree(GOLDEN / "v2.edgead", tmp_path / "part.edgead"))
    edgead.sign(bundle, tmp_path / "qa.key", serial=7)
    monkeypatch.setenv(demand.KEYS, str(tmp_path / "qa.pub"))
    monkeypatch.setenv(demand.STATE, str(tmp_path / "serials.json"))
    assert edgead.verify(bundle, try_in_child=True).trial is not None
    assert not (tmp_path / "serials.json").exists()
    edgead.load(bundle)
    assert (tmp_path / "serials.json").exists()


def test_what_is_not_the_models_fault_keeps_its_error(mean: Path, compiled, tmp_path: Path) -> None:
    with pytest.raises(edgead.errors.InputError, match="no engine named 'nothing'"):
        try_bundle(read_bundle(mean), "nothing")
    made = shutil.copytree(compiled("onnx", "fp32").bundle.path, tmp_path / "made.edgead")
    assert try_bundle(read_bundle(made)).seconds > 0
    bundle = read_bundle(made)
    with write_bundle(tmp_path / "off.edgead") as staging:
        for record in bundle.manifest.files:
            target = staging.folder / record.path
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(bundle.file(record.path), target)
        probes = tuple(
            type(probe)(**{**vars(probe), "score": 2 * probe.score}) for probe in bundle.manifest.probes
        )
        staging.finish(type(bundle.manifest)(**{**vars(bundle.manifest), "probes": probes, "files": ()}))
    with pytest.raises(ParityError, match="gives other numbers here"):
        try_bundle(read_bundle(tmp_path / "off.edgead"))


def test_the_parents_death_ends_the_child(mean: Path) -> None:
    """Its alarm does, whatever the model is at."""
    path = changed(mean, endless_loop)
    program = (
        "import sys; from pathlib import Path; from edgead.bundle import read_bundle\n"
        "from edgead.device.trial import try_bundle\n"
        "try_bundle(read_bundle(Path(sys.argv[1])), seconds=3)"
    )
    root = str(GOLDEN.parents[1])
    parent = subprocess.Popen([sys.executable, "-c", program, str(path)], env={"PYTHONPATH": root})
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    if not children.exists():
        parent.kill()
        pytest.skip("the system doesn't tell whose child a process is")
    while not (found := children.read_text().split()) and parent.poll() is None:
        pass
    parent.kill()
    parent.wait()
    (child,) = found
    for _ in range(200):
        if not Path(f"/proc/{child}/exe").exists():
            return
        subprocess.run(["sleep", "0.1"])
    raise AssertionError("the child goes on")
