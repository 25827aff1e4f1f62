"""What the calls return: plain values with one line each for the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgead.names import shown
from edgead.notices import count

if TYPE_CHECKING:
    from edgead.bundle import Bundle, Lesson, Revision
    from edgead.device.recalibrate import Recalibration
    from edgead.device.teach import Proposal
    from edgead.device.trial import Trial
    from edgead.evaluation.compare import Comparison
    from edgead.evaluation.evaluate import Evaluation
    from edgead.notices import Notice
    from edgead.runtime.proof import Parity
    from edgead.trust import Accepted
    from edgead.types import Precision
    from edgead.workbench.form_report import FormReport
    from edgead.workbench.targets import Contestant


@dataclass(frozen=True, repr=False)
class Written:
    """A bundle that a call has written; as a path, it's the bundle's folder.

    Attributes:
        bundle: the bundle.
    """

    bundle: Bundle

    @property
    def path(self) -> Path:
        """The bundle's folder."""
        return self.bundle.path

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def threshold(self) -> float:
        """The calibrated threshold on the image score, of the bundle's own form."""
        return self.bundle.manifest.threshold.score

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What to know of the images and the bundle; ``str`` of one is its sentence."""
        return self.bundle.notices


@dataclass(frozen=True, repr=False)
class Fit(Written):
    """What ``edgead.fit`` made.

    Attributes:
        bundle: the reference bundle, written; for ``edgead.export``.
        why: what input size was chosen and why; ``str`` of it is a sentence.
        replaced: whether a bundle was there before.
    """

    why: Notice
    replaced: bool

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What to know of the images and the bundle, and of small defects that the input doesn't show."""
        return (*self.bundle.notices, *self.bundle.manifest.size_doubts)

    def __repr__(self) -> str:
        manifest = self.bundle.manifest
        images = manifest.provenance.get("images", {}).get("fitted_on", "?")
        what = f"{manifest.method.name} on {images} good images, threshold {self.threshold:.6g}"
        return f"Fit({shown(self.path)}: {what}{noted(self.notices)})"


@dataclass(frozen=True, repr=False)
class Export(Written):
    """What ``edgead.export`` made.

    Attributes:
        bundle: the compiled bundle, written; for ``edgead.load``.
        chosen: the form in it.
        forms: the figures of every form that was tried.
        fitted_threshold: the fitted bundle's; each form has scores, and so a threshold, of its own.
        targets: how each target did, where the target was ``auto``.
        beside: what is so on this machine alone, and so not in the bundle: that another engine is faster.
    """

    chosen: Precision
    forms: tuple[FormReport, ...]
    fitted_threshold: float
    targets: tuple[Contestant, ...] = ()
    beside: tuple[Notice, ...] = ()

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The bundle's, and what is so on this machine."""
        return (*self.bundle.notices, *self.beside)

    def __repr__(self) -> str:
        what = f"{self.chosen} for {self.bundle.manifest.target}, threshold {self.threshold:.6g}"
        return f"Export({shown(self.path)}: {what}{noted(self.notices)})"


@dataclass(frozen=True, repr=False)
class Verified:
    """What ``edgead.verify`` found in order.

    Attributes:
        bundle: the bundle, whole and unchanged.
        runs_on: what ran it here; None where nothing was run.
        parities: this device against exact arithmetic: on the bundle's own images, and on those that were
            given; empty where nothing was run.
        trial: how it went in a process of its own; None where that wasn't asked for.
        signed: the signature that was accepted; None where none was demanded.
    """

    bundle: Bundle
    runs_on: str | None
    parities: tuple[Parity, ...]
    trial: Trial | None = None
    signed: Accepted | None = None

    def __repr__(self) -> str:
        files = self.bundle.manifest.files
        what = f"{len(files)} files, {sum(file.bytes for file in files):,} bytes"
        here = f", runs as it should on {self.runs_on}" if self.runs_on else ", nothing was run"
        if self.trial is not None:
            here = f", {self.trial}" + (here if self.runs_on else "")
        beside = f", {len(self.bundle.unchecked)} unchecked" if self.bundle.unchecked else ""
        revision = self.bundle.revision
        revised = f", {shown(str(revision.notice()))}" if revision else ""
        signed = f", {self.signed}" if self.signed else ""
        return f"Verified({shown(self.bundle.path)}: {what}{revised}{signed}{beside}{here})"


@dataclass(frozen=True, repr=False)
class Taught:
    """What a bundle was taught, or would be, and what that costs.

    Attributes:
        proposal: the lessons as they were worked out, with every verdict before and after.
        lessons: those that were written; empty for a dry run, or where there was nothing to learn.
    """

    proposal: Proposal
    lessons: tuple[Lesson, ...]

    @property
    def bundle(self) -> Bundle:
        """The bundle as it was before."""
        return self.proposal.bundle

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What doesn't do what it should, and what isn't known."""
        return self.proposal.notices

    def __repr__(self) -> str:
        numbers = ", ".join(str(lesson.number) for lesson in self.lessons)
        what = f"lesson {numbers}" if self.lessons else "nothing written"
        flips = count(len(self.proposal.flips), "changed verdict")
        return f"Taught({shown(self.bundle.path)}: {what}, {flips} on other images{noted(self.notices)})"


@dataclass(frozen=True, repr=False)
class Compared:
    """Bundles side by side on the same images.

    Attributes:
        names: what each was called.
        evaluations: of each, in that order.
        against_first: of each but the first, what it does better or worse than the first.
    """

    names: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]
    against_first: tuple[Comparison, ...]

    def __repr__(self) -> str:
        told = (
            f"{shown(name)} {one.escapes}, {one.false_alarms}, {_percent(one.metrics['image_auroc'].value)}"
            for name, one in zip(self.names, self.evaluations, strict=True)
        )
        return f"Compared(escapes, false alarms and image AUROC in %: {'; '.join(told)})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


@dataclass(frozen=True, repr=False)
class Calibrated(Written):
    """What ``edgead.calibrate`` did; as a path, it's the bundle's folder.

    Attributes:
        bundle: the bundle as it is now; as it was on a dry run.
        product: whose thresholds were set.
        found: the new thresholds and what they do; None where earlier ones were restored.
        revision: what was written beside the bundle; None on a dry run.
    """

    product: str
    found: Recalibration | None
    revision: Revision | None

    @property
    def threshold(self) -> float:
        """The product's threshold on the image score: the new one, on a dry run as well."""
        if self.found is not None:
            return self.found.after.score
        return self.bundle.manifest.thresholds[self.product].score

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What to know of the new thresholds; ``str`` of one is its sentence."""
        return () if self.found is None else self.found.notices

    def __repr__(self) -> str:
        was = f", was {self.found.before.score:.6g}" if self.found else ""
        told = f"threshold of {self.product} {self.threshold:.6g}{was}"
        written = f", revision {self.revision.number}" if self.revision else ", a dry run: nothing is written"
        return f"Calibrated({shown(self.path)}: {told}{written}{noted(self.notices)})"


def noted(notices: Sequence[Notice]) -> str:
    """``, 2 notices``, or nothing where there are none."""
    return f", {count(len(notices), 'notice')}" if notices else ""


__all__ = ["Calibrated", "Compared", "Export", "Fit", "Taught", "Verified", "Written", "noted"]
