"""What export tells a person: the figures in a table, and in words what was chosen and why."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgead.cli import main
from edgead.cli.forms import explain_choice, print_forms
from edgead.runtime.proof import Parity
from edgead.workbench.form_report import FormReport
from edgead.workbench.precision import Separation
from edgead.workbench.steps import logged


def form(precision: Any, cpu_ms: float | None, loss: float = 0.0, measured: float = 0.0) -> FormReport:
    return FormReport(
        precision,
        parity=Parity(0.001, 0.012, 0, 40, 0.05, 0.05),
        separation=Separation(0.9534 - measured, loss, measured, 0.01, 0.005, 80),
        execution={"i8": 9, "f32": 4},
        model_bytes=1_640_000,
        p50_ms=None if cpu_ms is None else cpu_ms / 2,
        cpu_ms=cpu_ms,
    )


FP32 = form("fp32", 30.0)
INT8 = form("int8", 10.0, 0.0021, -0.004)
MIXED = form("mixed", 10.2, -0.001)
BF16 = FormReport("bf16", failure="this processor has no BF16")
LOST = form("int8", 5.0, 0.02, 0.03)


def test_the_table_has_the_figures_and_says_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_forms([INT8, BF16, FP32])
    header, int8, bf16, fp32, *legend = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["form", "ms", "a", "frame"]
    # in the table's order: 0.9534 + 0.004 of separation is 95.74 %; losses are points, 100 of them the whole
    assert int8.split() == ["int8", "5.00", "10.00", "1.6", "95.74", "0.21", "-0.40", "1.20%", "pass"]
    assert fp32.split() == ["fp32", "15.00", "30.00", "1.6", "95.34", "0.00", "0.00", "1.20%", "pass"]
    assert bf16.split() == ["bf16", "-", "-", "-", "-", "-", "-", "-", "miss"]
    text = "\n".join(legend)
    for word in (
        "separation:",
        "loss:",
        "difference:",
        "bf16 can't be used here: this processor has no BF16",
    ):
        assert word in text
    assert "i8" not in text


def test_layers_are_counted_with_verbose_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("edgead")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        print_forms([INT8])
    finally:
        logger.setLevel(before)
    assert "int8: convolutions and matrix products: 4 in f32, 9 in i8" in capsys.readouterr().out


def test_a_form_that_misses_a_gate_says_by_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    print_forms([LOST, FP32])
    assert "int8 isn't used, it misses precision: expected to lose 2.00 points" in capsys.readouterr().out


def test_each_form_has_a_sentence() -> None:
    told = explain_choice([INT8, MIXED, BF16, FP32], "int8", "auto")
    assert told == [
        "int8: chosen, the fastest that passes both gates; 3.0 times as fast as fp32, "
        "expected to lose 0.21 points against it (0.50 allowed)",
        "mixed: passes too, about as fast as int8, 2.9 times as fast as fp32, expected to lose nothing "
        "against it (0.50 allowed)",
        "fp32: passes too, takes 3.0 times as long as int8; the others are compared with it",
    ]
    assert explain_choice([LOST, FP32], "fp32", "auto")[0].startswith(
        "fp32: chosen, the only one that passes"
    )
    assert explain_choice([FP32], "fp32", "fp32") == ["fp32: chosen, as asked for"]
    exact = explain_choice([INT8, MIXED, FP32], "mixed", "auto")
    assert exact[0].startswith(
        "mixed: chosen, about as fast as int8, and more exact; 2.9 times as fast as fp32"
    )
    assert exact[1].startswith("int8: passes too, about as fast as mixed, 3.0 times as fast as fp32")
    untimed = [replace(each, p50_ms=None, cpu_ms=None) for each in (INT8, FP32)]
    assert "timed on the device" in explain_choice(untimed, "int8", "auto")[0]


def test_export_prints_sentences_to_people_and_figures_to_scripts(
    reference_bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my part.edgead"
    words = [
        "export",
        str(reference_bundle.path),
        "--target",
        "onnx",
        "--precision",
        "fp32",
        "--out",
        str(out),
    ]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "fp32: chosen, as asked for" in text
    assert f"next: edgead run '{out}' IMAGES" in text
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["forms"][0]["execution"] and found["forms"][0]["separation"]["auroc"] > 0
    assert {"p50_ms", "cpu_ms"} <= set(found["forms"][0])
    assert all({"code", "values", "text"} <= note.keys() for note in found["notices"])


def test_the_words_count_as_equal_what_the_choice_counts_as_equal() -> None:
    from edgead.cli import forms
    from edgead.workbench import choose

    assert forms.SAME_SPEED == choose.SAME_SPEED


def test_steps_are_logged_with_what_they_took(caplog: pytest.LogCaptureFixture) -> None:
    from edgead.progress import silent

    log = logging.getLogger("edgead.workbench.test")
    with caplog.at_level(logging.DEBUG, "edgead"), logged(silent, log)("counting patches", 2) as advance:
        advance(2)
    begun, ended = caplog.records
    assert (begun.levelname, begun.getMessage()) == ("DEBUG", "counting patches ...")
    assert ended.levelname == "INFO" and ended.getMessage().startswith("counting patches: 0.0")
