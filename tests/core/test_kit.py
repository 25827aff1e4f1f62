"""Each check can fail: the guide's small parts, with one thing wrong in each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
    parts, layout = FILES["parts.py"], FILES["layout.py"]
    assert old in parts + layout
    site = tmp_path / "site"
    site.mkdir()
    modules = {"wrong_parts": parts.replace(old, new), "wrong_layout": layout.replace(old, new)}
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
