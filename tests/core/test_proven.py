"""What is exported has passed its own proof."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import edgead
from edgead.errors import CompileError, ParityError
from edgead.manifest import ThresholdRecord
from edgead.runtime.proof import Parity
from edgead.types import Precision
from edgead.workbench import export as exporting
from edgead.workbench.form_report import FormReport
from edgead.workbench.proven import proven
from tests.core.test_manifest import EXAMPLE

LIMITS = EXAMPLE.threshold
NEAR, FAR = Parity(0.01, 0.02, 0, 8, 0.04, 0.06), Parity(0.01, 0.07, 0, 8, 0.04, 0.06)


def the_first(reports):
    for report in reports:
        if report.parity.passed:
            return report
    raise CompileError("none is left")


@pytest.mark.parametrize(
    ("far", "asked", "kept"),
    [
        ((), ["int8"], "int8"),
        (("int8",), ["int8", "bf16"], "bf16"),
        (("int8", "bf16"), ["int8", "bf16"], None),
    ],
)
def test_the_next_form_is_tried_where_one_does_not_prove_itself(far, asked, kept):
    tried: list[Precision] = []

    def proof(form: Precision, limits: ThresholdRecord) -> Parity:
        tried.append(form)
        return FAR if form in far else NEAR

    reports = [FormReport(form, parity=NEAR, threshold=LIMITS) for form in ("int8", "bf16")]
    found = proven(reports, the_first, proof)
    assert tried == asked
    assert [report.parity.passed for report in found] == [report.precision not in far for report in reports]
    if kept is None:
        with pytest.raises(CompileError):
            the_first(found)
    else:
        assert the_first(found).precision == kept


def test_a_form_that_its_own_proof_refuses_is_not_written(reference_bundle, tmp_path, monkeypatch):
    real = exporting.replay_probes

    def replayed(bundle, probes, session, limits, form):
        found = real(bundle, probes, session, limits, form)
        return dataclasses.replace(found, map=1.0) if form == "int8" else found

    monkeypatch.setattr(exporting, "replay_probes", replayed)
    with pytest.raises(ParityError, match="int8 misses a gate"):
        edgead.export(
            reference_bundle, "onnx", tmp_path / "named.edgead", precision="int8", max_loss=1, min_auroc=0
        )
    assert not Path(tmp_path / "named.edgead").exists()
    made = edgead.export(reference_bundle, "onnx", tmp_path / "auto.edgead", max_loss=1, min_auroc=0)
    assert made.chosen != "int8" and made.bundle.manifest.probes
    edgead.load(made.bundle.path)
