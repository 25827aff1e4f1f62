"""What export takes of a reference bundle, looked at before any of it is used: each fault is the bundle's."""

from __future__ import annotations

from edgead.bundle import Bundle
from edgead.errors import ReferenceFactsError
from edgead.manifest.records import LEAST_RATE
from edgead.teaching import read_matrices_of
from edgead.workbench.graph_bytes import load_graph
from edgead.workbench.probes import held_out

UNLIKE = -2
"""The group of an image that is unlike all others; see ``HeldOutRecord.groups``."""


def check_reference(reference: Bundle) -> None:
    """Raise where a reference bundle can't have been written by fit, as far as its manifest and files tell.

    Raises:
        ReferenceFactsError: its facts contradict each other.
        BundleError: a file isn't what its manifest says.
    """
    manifest = reference.manifest
    assert manifest.reference is not None, "export reads reference bundles"
    kept, judging = manifest.reference.forms, manifest.reference.calibration_forms
    groups = [manifest.reference.probe_groups]
    if manifest.held_out is not None:
        groups.append(manifest.held_out.groups)
    faults = {
        "it has no fp32 form, which the others are held against": "fp32" not in kept,
        "it has no twin of a form to judge with": bool(judging) and not kept.keys() <= judging.keys(),
        "it carries no held-out images": not held_out(reference),
        "its held-out images are all unlike the others": any(
            each and set(each) == {UNLIKE} for each in groups
        ),
        "its false-positive rate isn't between 0 and 1": not (
            LEAST_RATE <= manifest.threshold.false_positive_rate < 1
        ),
    }
    for fault, holds in faults.items():
        if holds:
            raise ReferenceFactsError(f"{reference.path}: {fault}; fit it again")
    if (teaching := manifest.teaching) is not None:
        read_matrices_of(reference, teaching)
        graph = load_graph(reference.read(kept["fp32"]), f"{reference.path}: '{kept['fp32']}'").graph
        made = {name for node in graph.node for name in node.output}
        if not {teaching.embedding, teaching.patch} <= made:
            raise ReferenceFactsError(f"{reference.path}: its graph lacks what teaching takes; fit it again")


__all__ = ["check_reference"]
