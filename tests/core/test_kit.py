"""Each check can fail: the guide's small parts, with one thing wrong in each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgead import machine
from edgead.errors import UnknownNameError
from edgead.testing import Check, CheckFailed, checks
from edgead.testing.check import Skipped
from tests.core.guide import blocks
from tests.core.sites import install, on_path

FILES = {Path(block.file).name: block.text for block in blocks() if block.language == "python"}
PLUGIN = """
from edgead import hookimpl
edgead_api = 1
@hookimpl
def edgead_register_postprocessors(register): register("wrong-post", "wrong_parts:Nearest")
@hookimpl
def edgead_register_backbones(register): register("wrong-back", "wrong_parts:Colours")
@hookimpl
def edgead_register_exporters(register): register("glow-onnx", "wrong_parts:PlainOnnx")
@hookimpl
def edgead_register_engines(register): register("glow-exact", "wrong_engine:Exact")
@hookimpl
def edgead_register_layouts(register): register("wrong-flat", "wrong_layout:Flat")
"""

WRONG = {
    # post-processors
    "upside down": (
        "scores.patch,",
        "op.slice(scores.patch, *map(op.const, ([-1], [-9999], [2], [-1]))),",
        "wrong-post",
        "a-peak-stays-in-its-place",
        "anomalous, and the map's maximum lies over patch",
    ),
    "less is more": (
        "score = op.reduce_max(flat",
        "score = op.reduce_min(op.neg(flat)",
        "wrong-post",
        "more-is-more",
        "lower the score",
    ),
    "divided by its sum": (
        "return op.reshape(anomaly_map, op.const([1, 1, *size])), score",
        "return op.div(op.reshape(anomaly_map, op.const([1, 1, *size])), op.reduce_sum(flat, "
        "keepdims=0)), score",
        "wrong-post",
        "finite-for-any-score",
        "isn't finite where all patch scores are 0",
    ),
    "half the size": (
        "op.const([1, 1, *size])), score",
        "op.const([1, 1, size[0] // 2, size[1] * 2])), score",
        "wrong-post",
        "declared-outputs",
        "not float32",
    ),
    # backbones
    "a false stride": (
        "stride=8",
        "stride=4",
        "wrong-back",
        "feature-info-is-true",
        "feature_info says (1, 3, 16, 16)",
    ),
    "false channels": ("channels=3", "channels=4", "wrong-back", "feature-info-is-true", "feature_info"),
    "an old opset": (
        'make_opsetid("", 18)',
        'make_opsetid("", 17)',
        "wrong-back",
        "graph-is-well-formed",
        "of opset 17, it must be 18",
    ),
    "a ValueError": (
        "raise OptionError(f\"backbone 'glow-colours' has",
        'raise ValueError(f"backbone',
        "wrong-back",
        "refuses-what-it-has-not",
        "raise OptionError",
    ),
    "any size": (
        "if size[0] % 8 or size[1] % 8:",
        "if False:",
        "wrong-back",
        "refuses-what-it-has-not",
        "asked for height 65, it",
    ),
    "no hash": (
        '"weights_sha256": hash',
        '"hash": hash',
        "wrong-back",
        "says-where-it-is-from",
        "weights_sha256",
    ),
    "a dated graph": (
        'nodes, "glow-colours"',
        "nodes, str(__import__('time').time_ns())",
        "wrong-back",
        "same-bytes-twice",
        "differ",
    ),
    # targets
    "another target": (
        'target = "glow-onnx"',
        'target = "onnx"',
        "glow-onnx",
        "says-what-it-is",
        "its target is 'onnx', registered is 'glow-onnx'",
    ),
    "no fp32": ('("int8", "fp32")', '("int8",)', "glow-onnx", "says-what-it-is", "fp32 must be among"),
    "an unlisted file": (
        '("model.onnx", "operators.txt")',
        '("model.onnx",)',
        "glow-onnx",
        "writes-what-it-lists",
        "writes ['model.onnx', 'operators.txt']",
    ),
    "no such engine": (
        'engine="onnxruntime"',
        'engine="abacus"',
        "glow-onnx",
        "writes-what-it-lists",
        "no engine is named 'abacus'",
    ),
    "a dated file": (
        "sorted({node.op_type for node in graph.graph.node})",
        "[str(__import__('time').time_ns())]",
        "glow-onnx",
        "same-bytes-twice",
        "differ",
    ),
    "a changed graph": (
        "onnx.save(graph",
        "graph.doc_string = 'mine'; onnx.save(graph",
        "glow-onnx",
        "leaves-the-graph-alone",
        "work on a copy",
    ),
    "other numbers": (
        "onnx.save(graph",
        "graph.graph.initializer[0].float_data[:] = []; "
        "graph.graph.initializer[0].raw_data = bytes(len(graph.graph.initializer[0].raw_data)); "
        "onnx.save(graph",
        "glow-onnx",
        "agrees-with-the-reference",
        "off the reference",
    ),
    # engines
    "another engine": (
        'name = "glow-exact"',
        'name = "exact"',
        "glow-exact",
        "says-what-it-is",
        "its name is 'exact', registered is 'glow-exact'",
    ),
    "an option that is none": (
        'honours = ("threads",)  #',
        'honours = ("threads", "speed")  #',
        "glow-exact",
        "says-what-it-is",
        "it honours speed: the options are",
    ),
    "nothing of where it runs": (
        '"CPU", "glow-exact on CPU"',
        '"CPU", ""',
        "glow-exact",
        "its-session-says-what-it-is",
        "runs_on is ''",
    ),
    "other values": (
        'return dict(zip(self._names, self._session.run(None, {"image": image}), strict=True))',
        "return {n: o * o.dtype.type(1.01) for n, o in "
        'zip(self._names, self._session.run(None, {"image": image}))}',
        "glow-exact",
        "agrees-with-the-reference",
        "1.00% off, 0.10% is allowed",
    ),
    "no NaN": (
        'return dict(zip(self._names, self._session.run(None, {"image": image}), strict=True))',
        "import numpy; return {n: numpy.nan_to_num(o) for n, o in "
        'zip(self._names, self._session.run(None, {"image": image}))}',
        "glow-exact",
        "yields-nan-where-the-graph-does",
        "100 are wrong where 0 is divided by 0",
    ),
    "one set of outputs": (
        'return dict(zip(self._names, self._session.run(None, {"image": image}), strict=True))',
        'out = dict(zip(self._names, self._session.run(None, {"image": image}))); '
        "kept = self.__dict__.setdefault('kept', out); "
        "[kept[n].__setitem__(slice(None), out[n]) for n in out]; return kept",
        "glow-exact",
        "outputs-are-the-callers",
        "the next call writes into",
    ),
    "one image for all threads": (
        'return dict(zip(self._names, self._session.run(None, {"image": image}), strict=True))',
        "import time; self.image = image; time.sleep(0.005); "
        'return dict(zip(self._names, self._session.run(None, {"image": self.image})))',
        "glow-exact",
        "serves-several-threads",
        "called from two threads, it yields another",
    ),
    "all images first": (
        "return (self(image) for image in images)",
        "return iter([self(image) for image in list(images)])",
        "glow-exact",
        "maps-in-order",
        "map yields 0 of the 5 outputs",
    ),
    "an image behind": (
        "return (self(image) for image in images)",
        "last = None\n        try:\n            for image in images:\n"
        "                if last is not None:\n                    yield self(last)\n"
        "                last = image\n        except ValueError:\n"
        "            yield self(last)\n            raise",
        "glow-exact",
        "maps-in-order",
        "map, of a source that uses its array again, yields another",
    ),
    "a borrowed image": (
        "return self._worker.start(self, image)",
        "return type('P', (), {'done': True, 'wait': lambda p, timeout=None: self(image)})()",
        "glow-exact",
        "starts-and-waits",
        "start, of an array that is used again, yields another",
    ),
    "Python's own timeout": (
        "return self._worker.start(self, image)",
        "got = self._worker.start(self, image)._future; return type('P', (), {"
        "'done': property(lambda p: got.done()), 'wait': lambda p, timeout=None: got.result(timeout)})()",
        "glow-exact",
        "starts-and-waits",
        "wait(0) raises TimeoutError where it isn't done",
    ),
    "the binding's own error": (
        "raise InferenceError(",
        "raise ValueError(",
        "glow-exact",
        "its-faults-are-edgeads",
        "a call, of an image of another shape, is a ValueError",
    ),
    "a model's own error": (
        "raise CompileError(",
        "raise ValueError(",
        "glow-exact",
        "refuses-what-it-cannot-open",
        "a .onnx that can't be run is a PluginError",
    ),
    "any device": (
        'honours = ("threads",)  #',
        'honours = ("threads", "device")  #',
        "glow-exact",
        "refuses-what-it-cannot-open",
        "the device 'no-such-device' is taken without a word",
    ),
    "threads that change nothing": (
        '"glow-exact on CPU", ("threads",)',
        '"glow-exact on CPU", ()',
        "glow-exact",
        "refuses-an-option-that-it-does-not-honour",
        "the engine honours threads, its session doesn't",
    ),
    "a pinned thread": (
        "import onnxruntime as ort",
        "import os, onnxruntime as ort; os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])",
        "glow-exact",
        "leaves-the-thread-where-it-is",
        "opening leaves the calling thread on cores",
    ),
    # layouts
    "recognises all": (
        'return any(folder.glob("good_*.png")) and any(folder.glob("bad_*.png"))',
        "return True",
        "wrong-flat",
        "leaves-other-folders-alone",
        "it recognises an empty folder",
    ),
    "reads nothing": (
        "raise DatasetError",
        "raise KeyError",
        "wrong-flat",
        "refuses-a-missing-part",
        "raise DatasetError",
    ),
    "twice the same": (
        "train=tuple(good[:half])",
        "train=tuple(good)",
        "wrong-flat",
        "reads-its-example",
        "it lists an image twice",
    ),
    "refines nobody": (
        "refines = ()",
        "refines = ('no-such',)",
        "wrong-flat",
        "refines-what-is-registered",
        "no layout named 'no-such'",
    ),
}


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "example"
    folder.mkdir()
    for name in ("good_1", "good_2", "good_3", "bad_1"):
        (folder / f"{name}.png").touch()
    yield folder


@pytest.mark.parametrize("old, new, subject, check, said", WRONG.values(), ids=WRONG)
def test_what_is_wrong_fails_its_check(
    tmp_path: Path,
    example: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    subject: str,
    check: str,
    said: str,
) -> None:
    if "sched_setaffinity" in new and (not hasattr(os, "sched_getaffinity") or machine.cpu().threads < 2):
        pytest.skip("a thread can only be moved where there are cores to choose of")
    parts, layout, engine = FILES["parts.py"], FILES["layout.py"], FILES["engine.py"]
    assert (parts + layout + engine).count(old) == 1
    site = tmp_path / "site"
    site.mkdir()
    modules = {"wrong_parts": parts, "wrong_layout": layout, "wrong_engine": engine}
    modules = {name: text.replace(old, new) for name, text in modules.items()}
    install(site, "edgead-wrong", "[edgead]\nmain = wrong_plugin\n", wrong_plugin=PLUGIN, **modules)
    with on_path(monkeypatch, site):
        found = {c.name: c for c in checks(subject, folders={"wrong-flat": example})}
        result = found[check].run()
    assert result.outcome == "failed" and said in result.message, result


def _made(function: object, expected: str | None = None) -> Check:
    return Check("method", "a", "b", "it works", function, expected)  # type: ignore[arg-type]


def _raise(error: BaseException) -> object:
    def function() -> None:
        raise error

    return function


def test_outcomes() -> None:
    assert _made(lambda: None).run().outcome == "passed"
    assert _made(_raise(CheckFailed("bad"))).run().message == "bad"
    assert "KeyError" in _made(_raise(KeyError("x"))).run().message
    assert _made(_raise(Skipped("not here"))).run().outcome == "skipped"
    stated = _made(_raise(CheckFailed("bad")), "it's new").run()
    assert stated.outcome == "expected" and "it's new" in stated.message and "bad" in stated.message
    unneeded = _made(lambda: None, "it's new").run()
    assert unneeded.outcome == "failed" and "remove 'method/a/b'" in unneeded.message


def test_as_a_test_it_raises_or_skips() -> None:
    import unittest

    with pytest.raises(CheckFailed, match="method/a/b: bad"):
        _made(_raise(CheckFailed("bad")))()
    with pytest.raises(unittest.SkipTest, match="it's new"):
        _made(_raise(CheckFailed("bad")), "it's new")()
    with pytest.raises(KeyboardInterrupt):
        _made(_raise(KeyboardInterrupt()))()


def test_names_that_nobody_has() -> None:
    with pytest.raises(UnknownNameError, match="did you mean padim"):
        checks("padimm")
    with pytest.raises(UnknownNameError, match="did you mean method/padim/fits"):
        checks("padim", expected={"method/padim/fit": "it can't"})
