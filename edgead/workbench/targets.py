"""``--target auto``: the targets that this machine can time compete, and the fastest that passes ships.

Each target is exported for as if it were named, through its own engine's gates. What each would ship is then
timed against the others, in turn, in processor time on one core, as the forms of one target are.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.bundle import MANIFEST, Bundle, write_bundle
from edgead.errors import EdgeadError, EngineError, GateError, InputError, UnknownNameError
from edgead.plugins import registry
from edgead.runtime.own_engines import OWN
from edgead.types import Exporter, Precision, Progress
from edgead.workbench.doubts import MIN_AUROC
from edgead.workbench.engine_pace import Contender, engines_ms
from edgead.workbench.export import MAX_LOSS, Export, check_apart, export
from edgead.workbench.form_report import FormReport
from edgead.workbench.timing import is_timed_elsewhere

log = logging.getLogger(__name__)

AUTO = "auto"
"""What the user types instead of a target's name; a target of that name can't be asked for."""


@dataclass(frozen=True)
class Contestant:
    """One target that was asked.

    Attributes:
        target: its name.
        precision: the form that it would ship, None where it ships none.
        cpu_ms: median processor time of one image on one core, milliseconds, beside the other targets';
            None where there was none to compare with.
        left_out: why it doesn't compete, in a sentence; empty where it does.
    """

    target: str
    precision: Precision | None = None
    cpu_ms: float | None = None
    left_out: str = ""

    def record(self) -> dict[str, Any]:
        """The part that the manifest keeps, which no clock has a say in."""
        return {"target": self.target, "precision": self.precision, "left_out": self.left_out or None}


def exporter_named(target: str) -> Exporter | None:
    """The exporter of a target's name; None for ``auto``.

    Raises:
        UnknownNameError: nobody registers it; the near matches are listed, ``auto`` too.
    """
    if target == AUTO:
        return None
    try:
        made: Exporter = registry().get("exporters", target)()
    except UnknownNameError as error:
        if difflib.get_close_matches(target, [AUTO], cutoff=0.5):
            raise UnknownNameError(error.kind, target, [*error.known, AUTO]) from None
        raise
    return made


def timed_targets(distribution: str = "") -> dict[str, Exporter]:
    """The installed targets that this machine's times say something about, by name.

    Args:
        distribution: leave out all but this one's; nothing of the others is imported then.

    One that can't be made is logged as a warning.
    """
    known, made = registry(), {}
    for entry in known.entries("exporters"):
        if entry.name == AUTO or distribution not in ("", entry.distribution):
            continue
        try:
            one: Exporter = known.get("exporters", entry.name)()
        except EdgeadError as error:
            log.warning("target %s is left out: %s", entry.name, error)
            continue
        if not is_timed_elsewhere(one):
            made[entry.name] = one
    return made


def export_fastest(
    reference: Bundle,
    exporters: Mapping[str, Exporter],
    precision: str,
    out: Path,
    progress: Progress,
    on_report: Callable[[Sequence[FormReport]], None] = lambda reports: None,
    max_loss: float = MAX_LOSS,
    min_auroc: float = MIN_AUROC,
    strict: bool = False,
) -> tuple[Export, tuple[Contestant, ...]]:
    """Export for every target, and write the fastest of what they would ship.

    Args:
        exporters: the targets that compete, by name.
        precision: a form, or ``auto``; a target that hasn't the named form doesn't compete.
        out: the compiled bundle's path; the bundle's own target is the winner's.
        on_report: is given the forms of all targets before anything is written or refused.

    Returns:
        What was written, with the reports of all targets' forms, and how each target did.

    Raises:
        InputError: the bundle isn't a reference, or no target has such a form.
        GateError: no target ships anything, for the gates; nothing is written.
        EngineError: none does, and no gate was reached.
    """
    check_apart(out, reference)
    able = {name: one for name, one in exporters.items() if precision == AUTO or precision in one.precisions}
    if not able:
        raise InputError(f"precision '{precision}' isn't to be had: no target that is timed here has it")
    asked = [Contestant(name, left_out=f"it has no {precision}") for name in exporters if name not in able]
    reports: list[FormReport] = []
    made: dict[str, Export] = {}
    faults: list[GateError | EngineError] = []
    with write_bundle(out) as staging:
        room = staging.folder / "targets"
        room.mkdir()
        for name, exporter in able.items():
            found: list[FormReport] = []
            keep = found.extend
            place = room / f"{name}.edgead"
            try:
                one = export(
                    reference, exporter, precision, place, progress, keep, max_loss, min_auroc, strict
                )
            except (GateError, EngineError) as error:
                faults.append(error)
                asked.append(Contestant(name, left_out=str(error)))
            else:
                made[name] = one
                if (engine := one.bundle.manifest.engine) not in OWN:
                    del made[name]
                    why = f"it runs on a plugin's engine, {engine}: ask for it with --target {name}"
                    asked.append(Contestant(name, left_out=why))
            reports += (dataclasses.replace(report, target=name) for report in found)
        on_report(reports)
        if not made:
            raise _none_ships(asked, faults)
        times = engines_ms(reference, {name: Contender.of(one.bundle) for name, one in made.items()})
        log.info("targets, on one core in ms: %s", times)
        asked += (Contestant(name, one.chosen, times.get(name)) for name, one in made.items())
        asked.sort(key=lambda each: list(exporters).index(each.target))
        won = made[min(made, key=lambda name: times.get(name, 0.0))]
        for path in won.bundle.path.iterdir():
            if path.name != MANIFEST:
                path.rename(staging.folder / path.name)
        shutil.rmtree(room)
        told = {"forms": [r.record() for r in reports], "targets": [each.record() for each in asked]}
        manifest = dataclasses.replace(won.bundle.manifest, reports=told)
        return Export(staging.finish(manifest), won.chosen, tuple(reports)), tuple(asked)


def _none_ships(asked: Sequence[Contestant], faults: Sequence[GateError | EngineError]) -> Exception:
    """Why nothing was written: the one target's fault as it is, or all targets' in one line."""
    if len(asked) == 1 and faults:
        return faults[0]
    whole = "; ".join(f"{each.target}: {each.left_out}" for each in asked)
    end = "" if "nothing was written" in whole else "; nothing was written"
    kind = GateError if not faults or any(isinstance(fault, GateError) for fault in faults) else EngineError
    return kind(f"no target passes ({whole}){end}")


__all__ = ["AUTO", "Contestant", "export_fastest", "exporter_named", "timed_targets"]
