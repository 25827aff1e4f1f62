"""``edgead.export``: a reference bundle compiled for a target, through the parity and the precision gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgead.api import values
from edgead.api.arguments import AnyBundle, AnyPath, read
from edgead.api.notes import tell
from edgead.api.records import Export, Fit
from edgead.bundle_names import compiled_name
from edgead.errors import OptionError
from edgead.extras import explained
from edgead.progress import silent
from edgead.registry import FIRST_PARTY

if TYPE_CHECKING:
    from edgead.notices import Notice
    from edgead.types import Progress
    from edgead.workbench.form_report import FormReport

OnReport = Callable[[Sequence["FormReport"]], None]


@explained("exporting")
def export(
    bundle: AnyBundle,
    target: str,
    out: AnyPath | None = None,
    *,
    precision: str = "auto",
    max_loss: float = 0.005,
    min_auroc: float = 0.75,
    strict: bool = False,
    on_report: OnReport | None = None,
    progress: Progress = silent,
) -> Export:
    """Compile a fitted bundle for a target; as ``edgead export``.

    Each form of the graph has to pass two gates: it must give the results of exact arithmetic, and tell good
    images from defective ones as well as FP32.

    Example:
        >>> made = edgead.export(fitted, "openvino")  # doctest: +SKIP

    Args:
        bundle: what ``edgead.fit`` returned, its path, or ``NAME`` for ``./NAME.edgead``.
        target: ``openvino``, ``onnx``, ``jetson`` or a plugin's; or ``auto`` for the one of those that can be
            timed on this machine whose form is fastest here, each through its own gates.
        out: the compiled bundle; ``./NAME-TARGET.edgead`` by default. An older bundle there is replaced.
        precision: ``auto`` for the fastest form that passes both gates, or ``int8``, ``mixed``, ``bf16``,
            ``fp32``.
        max_loss: AUROC that a form may lose against FP32 on synthetic defects, as a fraction, 0 to 1:
            0.005 is half a point.
        min_auroc: AUROC on synthetic defects, 0 to 1, under which the bundle gets a notice.
        strict: refuse a model that hardly tells defects, or that too few images judge.
        on_report: is given the figures of every form before anything is written or refused.
        progress: reports long work; ``edgead.progress.bar`` is a bar on a terminal.

    Returns:
        The bundle, the form in it, and every form's figures; with ``auto`` also how each target did. With a
        target that is named, a notice says where another installed engine runs that form faster here, by
        over a tenth. Notices that the fitted bundle hasn't are logged at WARNING; all of them are, where a
        path was given.

    Raises:
        edgead.errors.BundleError: the bundle isn't there or can't be trusted.
        edgead.errors.InputError: it's compiled already, or there's no such target or form.
        edgead.errors.GateError: no form passes, or the named one doesn't, or ``strict`` refuses; nothing is
            written.
        edgead.errors.EngineError: a package or the target's engine isn't there, or can't compile the graph.
        edgead.errors.OutputError: the bundle can't be written.
    """
    max_loss, min_auroc = values.number("max_loss", max_loss), values.number("min_auroc", min_auroc)
    if not 0 <= max_loss <= 1:
        raise OptionError(f"max_loss {max_loss} is a fraction, 0 to 1: 0.005 is half a point of AUROC")
    strict = values.flag("strict", strict)
    precision = values.text("precision", precision, "a form, or 'auto'")
    target = values.text("target", target, "a target's name, 'openvino' for instance")
    values.path("out", out)
    values.called("progress", progress)
    from edgead.workbench.engine_pace import faster_elsewhere
    from edgead.workbench.export import export as export_form
    from edgead.workbench.targets import Contestant, export_fastest, exporter_named, timed_targets
    from edgead.workbench.timing import is_timed_elsewhere

    exporter = exporter_named(target)
    reference = read(bundle)
    place = compiled_name(reference.path, target) if out is None else Path(out)
    report = on_report or (lambda forms: None)
    words = (precision, place, progress, report, max_loss, min_auroc, strict)
    targets: tuple[Contestant, ...] = ()
    beside: tuple[Notice, ...] = ()
    if exporter is None:
        done, targets = export_fastest(reference, timed_targets(), *words)
    else:
        done = export_form(reference, exporter, *words)
        if not is_timed_elsewhere(exporter):
            others = {name: one for name, one in timed_targets(FIRST_PARTY).items() if name != target}
            beside = faster_elsewhere(reference, done.bundle, others)
    threshold = reference.manifest.threshold.score
    made = Export(done.bundle, done.chosen, done.forms, threshold, targets, beside)
    told = bundle.notices if isinstance(bundle, Fit) else ()
    tell(notice for notice in made.notices if notice not in told)
    return made


__all__ = ["export"]
