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
@hookimpl
def edgead_register_sources(register): register("wrong-stripes", "wrong_line:Stripes")
@hookimpl
def edgead_register_sinks(register): register("wrong-lamp", "wrong_line:Lamp")
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
    # sources
    "a source without read": (
        "    def read(self, timeout):",
        "    def get(self, timeout):",
        "wrong-stripes",
        "has-every-member",
        "Stripes lacks read",
    ),
    "a source's option without a default": (
        "every_ms: Annotated[float, Range(1, 10_000)] = 40.0",
        "every_ms: Annotated[float, Range(1, 10_000)]",
        "wrong-stripes",
        "options-have-defaults",
        "options without a default: every_ms",
    ),
    "a source's option of a kind of its own": (
        "every_ms: Annotated[float, Range(1, 10_000)] = 40.0",
        "every_ms: object = Path()",
        "wrong-stripes",
        "options-survive-json",
        "the defaults aren't JSON",
    ),
    "a source's option without help": (
        '    """Time from one image to the next."""\n',
        "",
        "wrong-stripes",
        "options-can-be-typed",
        "option 'every_ms' has no help",
    ),
    "a source's option of any size": (
        "        check_options(self)",
        "        pass",
        "wrong-stripes",
        "options-keep-their-range",
        "isn't refused with one line that names the option",
    ),
    "a source that's read before it's open": (
        "        if self._next is None:\n            raise DeviceError("
        '"glow-stripes isn\'t open; open it first")',
        "        if self._next is None:\n            return None",
        "wrong-stripes",
        "opens-or-says-why-not",
        "reading before open is taken without a word: raise DeviceError",
    ),
    "a source with an error of its own": (
        "        self._next, self._count = time",
        "        raise ValueError('no camera')\n        self._next, self._count = time",
        "wrong-stripes",
        "opens-or-says-why-not",
        "open, where there's nothing, is a ValueError (no camera): raise DeviceError",
    ),
    "a source that closes once": (
        "    def close(self):\n        self._next = None",
        "    def close(self):\n        self._next = self._next * 0 or None",
        "wrong-stripes",
        "closes-at-any-time",
        "close before open raises TypeError",
    ),
    "a source that raises where nothing came": (
        "        if left > timeout:\n            return None",
        "        if left > timeout:\n            raise DeviceError('nothing came')",
        "wrong-stripes",
        "waits-no-longer-than-told",
        "return None where nothing came",
    ),
    "a source of arrays": (
        "return Grab(image, frame_id=self._count)",
        "return image",
        "wrong-stripes",
        "waits-no-longer-than-told",
        "read returns ndarray: a Grab, or None",
    ),
    "a source of floats": (
        "np.zeros((32, 48), np.uint8)",
        "np.zeros((32, 48))",
        "wrong-stripes",
        "gives-frames",
        "the image is float64 (32, 48)",
    ),
    "a source of NumPy's numbers": (
        "frame_id=self._count)",
        "frame_id=np.int64(self._count))",
        "wrong-stripes",
        "gives-frames",
        "give an int, or None for unknown",
    ),
    "a source without image or problem": (
        "return Grab(image, frame_id",
        "return Grab(None, frame_id",
        "wrong-stripes",
        "gives-frames",
        "a Grab without an image says no problem",
    ),
    "a source that counts backwards": (
        "frame_id=self._count)",
        "frame_id=-self._count)",
        "wrong-stripes",
        "counts-its-triggers",
        "its frame ids don't count up",
    ),
    "a source that counts now and then": (
        "frame_id=self._count)",
        "frame_id=self._count if self._count % 2 else None)",
        "wrong-stripes",
        "counts-its-triggers",
        "it counts some triggers and not others",
    ),
    "a source that opens once": (
        "    def close(self):\n        self._next = None",
        "    def close(self):\n        if self._next is not None:\n            self.open = self.gone\n"
        "        self._next = None\n\n    def gone(self):\n        raise DeviceError('gone')",
        "wrong-stripes",
        "opens-again",
        "it can't be opened again",
    ),
    "a source of other bits than its images have": (
        "return Grab(image, frame_id=self._count)",
        "return Grab(image, frame_id=self._count, depth=12)",
        "wrong-stripes",
        "gives-frames",
        "depth is 12, the image uint8",
    ),
    "a source that sees cameras that it has no options for": (
        "    def close(self):\n        self._next = None\n",
        "    def close(self):\n        self._next = None\n\n    def cameras(self):\n"
        "        from edgead.types import SeenCamera\n\n"
        "        return [SeenCamera('stripes', {'serial': '5'})]\n",
        "wrong-stripes",
        "names-its-cameras",
        "a camera's options aren't the source's",
    ),
    # sinks
    "a sink without beat": (
        "    def beat(self, ready):",
        "    def tick(self, ready):",
        "wrong-lamp",
        "has-every-member",
        "Lamp lacks beat",
    ),
    "a sink that can't be made": (
        "self._file, self._is_open, self._verdicts = Path(options.file), False, 0",
        "self._file, self._is_open, self._verdicts = Path(options.path), False, 0",
        "wrong-lamp",
        "options-have-defaults",
        "no attribute 'path'",
    ),
    "a sink's option of a kind of its own": (
        'file: str = "lamp.txt"',
        "file: object = Path()",
        "wrong-lamp",
        "options-survive-json",
        "the defaults aren't JSON",
    ),
    "a sink's option without help": (
        '    """What the lamp\'s driver reads: accept, or reject."""\n',
        "",
        "wrong-lamp",
        "options-can-be-typed",
        "option 'file' has no help",
    ),
    "a sink's option out of its range": (
        'file: str = "lamp.txt"',
        'file: str = "lamp.txt"\n    """x"""\n    level: Annotated[int, Range(0, 1)] = 2',
        "wrong-lamp",
        "options-keep-their-range",
        "the defaults are refused",
    ),
    "a sink with a role of its own": (
        'roles = ("verdict", "inform")',
        'roles = ("verdict", "decoration")',
        "wrong-lamp",
        "says-its-roles",
        "a tuple of verdict and inform",
    ),
    "a sink that's silent where it isn't open": (
        '            raise OutputError(f"{self._file}: isn\'t open; open it first")',
        "            return",
        "wrong-lamp",
        "opens-or-says-why-not",
        "a verdict before open is taken without a word: raise OutputError",
    ),
    "a sink that closes once": (
        "    def close(self):\n        if self._is_open:",
        "    def close(self):\n        if not self._is_open:\n            raise RuntimeError\n        else:",
        "wrong-lamp",
        "closes-at-any-time",
        "close before open raises",
    ),
    "a sink that needs a score": (
        "        self._verdicts += 1",
        "        self._verdicts += verdict.score > 0",
        "wrong-lamp",
        "takes-every-verdict",
        "a verdict by deadline is a TypeError",
    ),
    "a sink that beats once": (
        "        if not ready:\n            self._put",
        "        if not ready:\n            raise AttributeError\n            self._put",
        "wrong-lamp",
        "takes-the-beat",
        "beat(False) is a AttributeError",
    ),
    "a sink of no health": (
        'return Health(self._is_open, counts={"verdicts": self._verdicts})',
        "return self._is_open",
        "wrong-lamp",
        "tells-its-health",
        "health is a bool: an edgead.types.Health",
    ),
    "a sink that counts by halves": (
        'counts={"verdicts": self._verdicts}',
        'counts={"verdicts": self._verdicts / 2}',
        "wrong-lamp",
        "tells-its-health",
        "whole numbers by name",
    ),
    "a sink that opens once": (
        '        self._is_open = True\n        self._put("reject")',
        "        if self._verdicts:\n            raise OutputError('used up')\n"
        '        self._is_open = True\n        self._put("reject")',
        "wrong-lamp",
        "opens-again",
        "it can't be opened again",
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
    modules = {f"wrong_{name}": FILES[f"{name}.py"] for name in ("parts", "layout", "engine", "line")}
    assert "".join(modules.values()).count(old) == 1
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.chdir(tmp_path)  # where a sink writes by default
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
