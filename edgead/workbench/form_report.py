"""What export finds out about one form of a graph on the target, and which gates it misses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgead.manifest import ThresholdRecord
from edgead.notices import Notice
from edgead.runtime.proof import Parity
from edgead.types import Precision
from edgead.workbench.precision import Separation


@dataclass(frozen=True)
class FormReport:
    """What export found out about one form on the target.

    Attributes:
        precision: the form.
        failure: why it couldn't be compiled or run, or None; then the rest is filled in.
        parity: the parity gate's figures.
        separation: the precision gate's figures.
        threshold: the form's own calibration.
        execution: convolutions and matrix products by the precision that they really run in.
        model_bytes: size of the compiled files.
        p50_ms: median latency here and now; printed, not kept, since it differs from run to run.
        cpu_ms: median processor time of an image on one core, of forms that pass; likewise.
        notices: what is doubtful about the model in this form, though it passes.
        target: whose form it is, where several targets compete; empty where the bundle says it.
    """

    precision: Precision
    failure: str | None = None
    parity: Parity | None = None
    separation: Separation | None = None
    threshold: ThresholdRecord | None = None
    execution: Mapping[str, int] = dataclasses.field(default_factory=dict)
    model_bytes: int = 0
    p50_ms: float | None = None
    cpu_ms: float | None = None
    notices: tuple[Notice, ...] = ()
    target: str = ""

    @property
    def auroc(self) -> float | None:
        """Separation of good images from synthetic defects, 0 to 1, or None where the form didn't run."""
        return None if self.separation is None else self.separation.auroc

    @property
    def loss(self) -> float | None:
        """The expected loss of AUROC against FP32, 0 to 1, or None where the form didn't run."""
        return None if self.separation is None else self.separation.expected_loss

    @property
    def misses(self) -> list[Notice]:
        """The gates that it misses, and by how much; or why it didn't run. Empty where it passes."""
        if self.failure is not None or self.parity is None or self.separation is None:
            return [Notice("form-failed", {"reason": self.failure or "not run"})]
        found = []
        if not self.parity.passed:
            found.append(Notice("misses-parity", dataclasses.asdict(self.parity)))
        if not self.separation.passed:
            losses = ("expected_loss", "measured_loss", "max_loss")
            points = {name: getattr(self.separation, name) * 100 for name in losses}
            found.append(Notice("misses-precision", points))
        return found

    def record(self) -> dict[str, Any]:
        """The part that the manifest keeps: the same for the same images, options, seed and machine."""
        parity, separation = (
            dataclasses.asdict(gate) | {"passed": gate.passed} if gate else None
            for gate in (self.parity, self.separation)
        )
        return {
            **({"target": self.target} if self.target else {}),
            "precision": self.precision,
            "failure": self.failure,
            "parity": parity,
            "separation": separation,
            "execution": dict(self.execution),
            "model_bytes": self.model_bytes,
            "misses": [miss.record() for miss in self.misses],
        }


__all__ = ["FormReport"]
