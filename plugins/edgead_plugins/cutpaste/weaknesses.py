"""What CutPaste is known to fail on, looked for in the images that it was trained with."""

from __future__ import annotations

from collections.abc import Mapping

from edgead_plugins.padim import ALIGNED, SURFACE

EXPLAINED, INVISIBLE, LAST_LOSS = "explained_by_position", "invisible_pastes", "loss_over_chance"
"""Measured in training and kept in the provenance, as text: shares from 0 to 1; the last by level."""


def known_weaknesses(provenance: Mapping[str, str], level: str) -> list[str]:
    """A sentence for each that applies."""
    found = []
    explained = float(provenance.get(EXPLAINED, "nan"))
    if SURFACE <= explained < ALIGNED:
        found.append(
            "the parts don't lie the same in all images (position explains "
            f"{explained:.0%} of what the network sees): CutPaste is known to fail on parts that lie in any "
            "turn, screws for instance; compare with patchcore, or fix the part in place"
        )
    invisible = float(provenance.get(INVISIBLE, "nan"))
    if invisible > 0.2:
        found.append(
            f"{invisible:.0%} of the pasted patches can't be seen, background on background, yet the network "
            "was told that they are defects: crop the images to the part"
        )
    for part in ("image", "patch"):
        share = float(provenance.get(f"{LAST_LOSS}_{part}", "nan"))
        if share > 0.9:
            found.append(
                f"the {part} network hardly tells pasted from good (its loss is {share:.0%} of a guess's): "
                "train it for more -o steps, or don't rely on it"
            )
    if level == "image":
        found.append("with level=image there's no localisation: the map is the image score everywhere")
    return found


__all__ = ["EXPLAINED", "INVISIBLE", "LAST_LOSS", "known_weaknesses"]
