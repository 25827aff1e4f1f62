"""The images that a bundle carries to prove itself with, and what exact arithmetic makes of them."""

from __future__ import annotations

from pathlib import Path

from edgead.bundle import Bundle
from edgead.carried import carried_image
from edgead.images import read_image
from edgead.manifest import ProbeRecord
from edgead.runtime.exact import ExactSession
from edgead.runtime.model_bytes import ModelBytes
from edgead.runtime.proof import CHANGES, record
from edgead.workbench.exact_scores import ExactScores

FOLDER = "probes"
CARRIED = 2
"""Held-out images in a bundle: enough for a proof, with their changes, and a small part of its size."""
LOOKED_AT = 16
"""Held-out images of which the highest scores are chosen: the nearest to the threshold."""


def held_out(bundle: Bundle) -> list[str]:
    """Names of the held-out images in a reference bundle, in order."""
    return sorted(file.path for file in bundle.manifest.files if file.path.startswith(f"{FOLDER}/"))


def carry(
    reference: Bundle, form: str, folder: Path, count: int = CARRIED, known: ExactScores | None = None
) -> tuple[ProbeRecord, ...]:
    """Copy some held-out images into a bundle in the making, and say what its graph makes of them.

    Args:
        reference: the reference bundle, which holds them and the graph.
        form: the graph's file in it.
        count: images to carry.
        known: scores that the graph's own exact arithmetic has yielded already.
    """
    exact = ExactSession(ModelBytes(form.rpartition("/")[2], reference.read(form)))
    names, known = held_out(reference), known or ExactScores()
    scores = {}
    for name in names[: max(LOOKED_AT, count)]:
        image = carried_image(reference, name)[None]
        score = known.of(image)
        scores[name] = float(exact(image)["score"][0]) if score is None else score
    chosen = sorted(scores, key=lambda name: -scores[name])[:count]
    (folder / FOLDER).mkdir(exist_ok=True)
    for name in chosen:
        (folder / name).write_bytes(reference.read(name))
    return records(exact, folder, chosen)


def records(exact: ExactSession, folder: Path, names: list[str]) -> tuple[ProbeRecord, ...]:
    """What exact arithmetic makes of images of the graph's size; of the first also with each change."""
    found = []
    for place, name in enumerate(names):
        image = read_image(folder / name)
        found += [
            record(name, change, image, exact) for change in (CHANGES if place < CARRIED else ("none",))
        ]
    return tuple(found)


__all__ = ["CARRIED", "FOLDER", "carry", "held_out", "records"]
