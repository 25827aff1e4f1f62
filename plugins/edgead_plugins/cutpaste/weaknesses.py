"""What CutPaste is known to fail on, looked for in the images that it was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgead.notices import Notice
from edgead_plugins.padim import ALIGNED, SURFACE

EXPLAINED, INVISIBLE, OVER_CHANCE = "explained_by_position", "invisible_pastes", "loss_over_chance"
"""Measured in training and kept in the provenance: shares from 0 to 1; the last one by level."""
SEPARATION = "separation"
"""Likewise, by level: how well the ``untrained`` and the ``trained`` network tell synthetic defects."""

SENTENCES = {
    "cutpaste-unaligned": "the parts don't lie the same in all images (position explains {explained:.0%} of "
    "what the network sees): CutPaste is known to fail on parts that lie in any turn, screws for instance; "
    "compare with patchcore, or fix the part in place",
    "cutpaste-invisible": "{share:.0%} of the pasted patches can't be seen, background on background, yet "
    "the network was told that they are defects: crop the images to the part",
    "cutpaste-untrained": "the {level} network hardly tells pasted from good (its loss is {share:.0%} of a "
    "guess's): train it for more -o steps, or don't rely on it",
    "cutpaste-kept": "training made the {level} network worse on synthetic defects (AUROC {trained:.3f} "
    "after {untrained:.3f}), so the backbone is kept as it was: compare with patchcore, or train for more "
    "-o steps",
    "cutpaste-no-map": "with level=image there's no localisation: the map is the image score everywhere",
}


def known_weaknesses(provenance: Mapping[str, Any], level: str) -> list[Notice]:
    """A notice for each that applies."""
    found: list[tuple[str, dict[str, Any]]] = []
    if SURFACE <= provenance.get(EXPLAINED, 0.0) < ALIGNED:
        found.append(("cutpaste-unaligned", {"explained": provenance[EXPLAINED]}))
    if provenance.get(INVISIBLE, 0.0) > 0.2:
        found.append(("cutpaste-invisible", {"share": provenance[INVISIBLE]}))
    kept = {
        part: both
        for part, both in provenance.get(SEPARATION, {}).items()
        if both["untrained"] > both["trained"]
    }
    found += [("cutpaste-kept", {"level": part, **both}) for part, both in kept.items()]
    for part, share in provenance.get(OVER_CHANCE, {}).items():
        if share > 0.9 and part not in kept:
            found.append(("cutpaste-untrained", {"level": part, "share": share}))
    if level == "image":
        found.append(("cutpaste-no-map", {}))
    return [Notice(code, values, SENTENCES[code]) for code, values in found]


__all__ = ["EXPLAINED", "INVISIBLE", "OVER_CHANCE", "SEPARATION", "known_weaknesses"]
