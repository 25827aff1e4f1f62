"""The benchmarks' table and what compares two of them: made-up figures, no clock."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgead.processor import Cpu

HERE = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``load("rows")``: a module of the benchmarks' folder, which is no package."""
    if not HERE.is_dir():
        pytest.skip("the benchmarks aren't beside the tests")
    pytest.importorskip("onnx", reason="needs the [fit] extra")
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module


def row(load: Any, name: str, ratio: float | None, better: str = "higher", spread: float = 0.0, **more: Any):
    of = None if ratio is None else ratio
    low, high = (None, None) if of is None else (of * (1 - spread), of * (1 + spread))
    return load("rows").Row("part", name, "times it", of, low, high, better, **more)


def stored(load: Any, file: Path, rows: list[Any], kind: str = "AVX2 without VNNI") -> Path:
    on = {"processor": kind, "model": "a processor", "threads": 2, "load": [0.1, 0.2]}
    file.write_text(json.dumps(load("table").document(rows, on, {"openvino": "1.2"})))
    return file


# ---------------------------------------------------------------- rows


def test_ratios_are_taken_turn_by_turn(load) -> None:
    of_turns = load("rows").of_turns
    # the machine slows down by ten in the third turn, and the ratio doesn't see it
    assert of_turns([2.0, 4.0, 30.0], [1.0, 2.0, 10.0]) == (2.0, 2.0, 3.0)
    rng = np.random.default_rng(0)
    mine, other = rng.uniform(1, 2, 9), rng.uniform(1, 2, 9)
    ratios = np.sort(mine / other)
    ratio, low, high = of_turns(list(mine), list(other))
    assert (ratio, low, high) == pytest.approx((np.median(ratios), ratios[1], ratios[-2]))
    with pytest.raises(ValueError):
        of_turns([1.0], [1.0, 2.0])


def test_a_table_in_markdown_has_every_row(load) -> None:
    rows = load("rows")
    lines = rows.markdown([
        row(load, "a", 2.0, spread=0.1, shown={"ms": "7"}),
        row(load, "b", 3.0, shown={"MB": "9"}),
        rows.missing("part", "c", "no such\n  package"),
    ])  # fmt: skip
    assert lines == [
        "| | times it (turns) | ms | MB |",
        "| --- | --- | --- | --- |",
        "| a | 2 (1.8 to 2.2) | 7 | - |",
        "| b | 3 | - | 9 |",
        "| c | not here: no such package | | |",
    ]
    assert rows.missing("part", "d", " \n").why == "it failed without a word"


def test_rows_come_back_from_json(load) -> None:
    rows = load("rows")
    kept = [row(load, "a", 2.0, spread=0.1, shown={"ms": "7"}), rows.missing("part", "b", "why")]
    assert rows.read_rows(json.loads(json.dumps([each.record() for each in kept]))) == kept


@pytest.mark.parametrize(
    "broken",
    [
        {},
        [1],
        [{"part": "a", "name": "b", "odd": 1}],
        [{"part": "a"}],
        [{"part": "a", "name": 3}],
        [{"part": "a", "name": "b", "better": "greener"}],
        [{"part": "a", "name": "b", "ratio": 1.0}],
        [{"part": "a", "name": "b", "ratio": -1.0, "low": 1.0, "high": 1.0}],
        [{"part": "a", "name": "b", "ratio": float("nan"), "low": 1.0, "high": 1.0}],
    ],
    ids=lambda broken: json.dumps(broken)[:30],
)
def test_what_are_no_rows_are_refused(load, tmp_path, broken, capsys) -> None:
    with pytest.raises((ValueError, TypeError)):
        load("rows").read_rows(broken)
    file = tmp_path / "t.json"
    file.write_text(json.dumps({"format": 1, "machine": {"processor": "x"}, "rows": broken}))
    assert load("compare_tables").main([str(file), str(file)]) == 2
    assert str(file) in capsys.readouterr().err


# ---------------------------------------------------------------- comparing


@pytest.mark.parametrize(
    ("better", "before", "after", "spread", "expected"),
    [
        ("higher", 10.0, 8.0, 0.01, True),
        ("higher", 10.0, 8.9, 0.01, False),  # within 15 %
        ("higher", 10.0, 20.0, 0.01, False),  # better
        ("higher", 10.0, 8.0, 0.2, False),  # the ranges touch
        ("lower", 1.0, 1.2, 0.01, True),
        ("lower", 1.0, 1.1, 0.01, False),
        ("lower", 1.0, 0.5, 0.01, False),
        ("lower", 1.0, 1.2, 0.2, False),
        ("", 1.0, 9.0, 0.0, False),
    ],
)
def test_worse_is_out_of_the_tolerance_and_out_of_the_range(
    load, better, before, after, spread, expected
) -> None:
    old, new = (row(load, "a", ratio, better, spread) for ratio in (before, after))
    assert load("compare_tables").worse(old, new, 0.15) is expected


def test_the_rows_that_got_worse_are_named(load, tmp_path, capsys) -> None:
    old = stored(load, tmp_path / "old.json", [row(load, "a", 10.0), row(load, "b", 4.0, "lower")])
    new = stored(load, tmp_path / "new.json", [row(load, "a", 5.0), row(load, "b", 4.1, "lower")])
    compare = load("compare_tables").main
    assert compare([str(old), str(new)]) == 1
    text = capsys.readouterr().out
    assert "worse: part, a: 5 instead of 10 times it (higher is better): 2.00 times worse" in text
    assert "part, b" not in text and "2 rows compared, 1 worse by more than 15%" in text
    assert compare([str(old), str(new), "--tolerance", "2"]) == 0
    assert compare([str(old), str(old)]) == 0
    assert compare([str(new), str(old)]) == 0, "faster is no fault"


def test_milliseconds_are_never_compared(load, tmp_path) -> None:
    slow, fast = (row(load, "a", 2.0, shown={"ms": ms}) for ms in ("900", "1"))
    old, new = stored(load, tmp_path / "o.json", [fast]), stored(load, tmp_path / "n.json", [slow])
    assert load("compare_tables").main([str(old), str(new)]) == 0


def test_a_row_that_is_no_more_counts_unless_allowed(load, tmp_path, capsys) -> None:
    rows, compare = load("rows"), load("compare_tables").main
    old = stored(load, tmp_path / "old.json", [row(load, "a", 10.0), row(load, "b", 4.0)])
    failed = rows.missing("part", "b", "no module named anomalib")
    for left in ([failed], []):
        new = stored(load, tmp_path / "new.json", [row(load, "a", 10.0), *left])
        assert compare([str(old), str(new)]) == 1
        assert "worse: part, b: couldn't be measured" in capsys.readouterr().out
        assert compare([str(old), str(new), "--allow-missing"]) == 0
        assert "not compared: part, b" in capsys.readouterr().out
    # what the older table couldn't measure, and what is new, is no fault
    assert compare([str(new), str(old)]) == 0
    none = stored(load, tmp_path / "none.json", [])
    assert compare([str(old), str(none), "--allow-missing"]) == 2


def test_tables_that_do_not_compare_are_refused(load, tmp_path, capsys) -> None:
    compare = load("compare_tables").main
    one = stored(load, tmp_path / "one.json", [row(load, "a", 1.0)])
    other = stored(load, tmp_path / "other.json", [row(load, "a", 1.0)], kind="AMX")
    assert compare([str(one), str(other)]) == 2
    assert "AVX2 without VNNI and on AMX" in capsys.readouterr().err
    for content in ("{", "[]", '{"format": 2}', '{"format": 1}'):
        (tmp_path / "bad.json").write_text(content)
        assert compare([str(one), str(tmp_path / "bad.json")]) == 2
    assert compare([str(one), str(tmp_path / "absent.json")]) == 2
    assert "`make bench` writes one" in capsys.readouterr().err


# ---------------------------------------------------------------- the table


def test_the_table_names_processor_and_versions(load) -> None:
    table = load("table")
    rows = [row(load, "a", 2.0, spread=0.1), load("rows").missing("other", "b", "no weights")]
    made = table.document(rows, table.machine(0.5, 1.5), {"openvino": "2026.4", "peers' anomalib": "2.7"})
    text = "\n".join(table.lines(json.loads(json.dumps(made))))
    assert f"on {made['machine']['processor']} (" in text and "load 0.5 before, 1.5 after" in text
    assert "peers' anomalib 2.7" in text
    assert "**part**" in text and "**other**" in text and "not here: no weights" in text


def test_without_images_weights_or_peers_the_table_says_so(load, tmp_path) -> None:
    words = [sys.executable, str(HERE / "table.py"), "--out", str(tmp_path), "--part"]
    for part, reason in (("side_by_side", "it takes images and weights"), ("forms", "it takes images")):
        done = subprocess.run([*words, part], capture_output=True, text=True)
        assert done.returncode == 1, done.stderr  # nothing at all was measured
        (only,) = json.loads((tmp_path / "table.json").read_text())["rows"]
        assert only["part"] == part and only["why"].startswith(reason) and only["ratio"] is None
        assert reason in (tmp_path / "table.md").read_text()


def test_a_part_that_fails_is_a_row_with_its_last_word(load, tmp_path) -> None:
    (tmp_path / "cookie").mkdir()
    (only,) = load("table")._run("side_by_side", "cookie", ["--no-such-option"], tmp_path)
    assert (only.part, only.name) == ("side_by_side", "cookie") and "error" in only.why
    assert load("table").versions(tmp_path / "no-python").keys() >= {"numpy"}


def test_what_auto_takes_is_each_targets_choice_and_then_the_faster(load) -> None:
    taken = load("forms")._taken
    assert taken({"onnx int8": 3.0, "openvino int8": 2.0, "openvino mixed": 2.1}) == "openvino mixed"
    assert taken({"onnx int8": 2.05, "openvino int8": 2.0, "openvino mixed": 2.1}) == "onnx int8"
    assert taken({"onnx fp32": 1.0, "openvino int8": 2.0}) == "onnx fp32"


def test_side_by_side_has_a_row_for_each_and_compares_the_peers(load) -> None:
    side_by_side = load("side_by_side")

    def ran(name: str, ms: list[float], **more: Any) -> Any:
        facts = {"model_bytes": 2_000_000}
        one = side_by_side.Competitor(name, [], facts=facts, blocks=[[each] * 3 for each in ms], **more)
        one.scores = np.array([1.0, 2.0, 3.0, 4.0])
        return one

    runners = [
        ran("edgead int8", [2.0, 20.0, 2.0]),
        ran("edgead fp32", [6.0, 60.0, 8.0]),
        ran("a peer", [20.0, 200.0, 22.0], peer=True),
        ran("another", [], peer=True, failure="no module named it"),
    ]
    labels = np.array([False, False, True, True])
    first, own, peer, failed = side_by_side._rows("cookie", runners, labels, {"fp32": 0.001})
    assert (first.ratio, first.better) == (1.0, "")
    assert (own.ratio, own.low, own.high, own.better) == (3.0, 3.0, 4.0, "")
    assert (peer.name, peer.ratio, peer.high, peer.better) == ("cookie: a peer", 10.0, 11.0, "higher")
    assert peer.shown["image AUROC"] == "100.0" and peer.shown["model MB"] == "2.0"
    assert failed.ratio is None and failed.why == "no module named it"
    runners[0].failure = "no bundle"
    assert all(row.why for row in side_by_side._rows("cookie", runners, labels, {"fp32": 0.001})), (
        "nothing to hold it against"
    )


def test_fitting_is_held_against_the_peers(load) -> None:
    fits = load("side_by_side")._fits
    ours = {"fit + export, INT8": 10.0, "compiling and gating": 6.0}
    theirs = {"features_s": 5.0, "coreset_s": 30.0, "export_s": 5.0, "own_bank": True}
    whole, without = fits("cookie", ours, theirs)
    assert (whole.ratio, without.ratio, whole.better) == (4.0, 10.0, "higher")
    (missing,) = fits("cookie", ours, {"failure": "no module named anomalib"})
    assert missing.why == "no module named anomalib"


# ---------------------------------------------------------------- older processors


def test_a_class_that_this_processor_is_not_above_cannot_be_had(load, tmp_path) -> None:
    old = Cpu("an old one", 1, {"AVX2": True, "AVX-512": False})
    held = load("held").held_to("AVX-512", tmp_path, old)
    assert held.environment == {} and "has no AVX-512" in held.why and held.kind == "AVX-512 without VNNI"


def test_a_held_process_sees_the_older_class(load, tmp_path) -> None:
    held = load("held").held_to("AVX2", tmp_path)
    if held.why:
        pytest.skip(held.why)
    words = "import openvino; print(openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES'))"
    pytest.importorskip("openvino", reason="needs the [openvino] extra")
    told = [
        subprocess.run([sys.executable, "-c", words], env=env, capture_output=True, text=True, check=True)
        for env in (held.environment, None)
    ]
    # OpenVINO's Winograd kernels take AVX-512, and BF16 takes a unit of its own
    assert not {"WINOGRAD", "BF16"} & set(told[0].stdout.replace("'", " ").replace(",", " ").split())
    assert "INT8" in told[0].stdout and "INT8" in told[1].stdout
