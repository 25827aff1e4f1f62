"""What a data set is: labelled images, how its publisher divides it, and how it lies in folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

GOOD = "good"
"""What ``Sample.defect`` says of an image of a good part."""


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        image: its file.
        defect: the name of its defect, or ``good``.
        masks: files as large as the image; a pixel is defective where any of them isn't 0. A good image
            needs none; of a defective one without any, nobody knows where it's defective.
    """

    image: Path
    defect: str
    masks: tuple[Path, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the image shows a good part."""
        return self.defect == GOOD


@dataclass(frozen=True)
class Split:
    """One data set, or one category of it, as its publisher divides it.

    Attributes:
        train: good images to learn from; may be empty.
        test: labelled images to judge, the good first.
        validation: good images that the publisher sets apart, to calibrate on for instance; usually none.
        notes: what the user should know of, a line each: images left out, a division that isn't official.
    """

    train: tuple[Path, ...]
    test: tuple[Sample, ...]
    validation: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


class Layout(Protocol):
    """How a kind of data set lies in folders."""

    @property
    def refines(self) -> Sequence[str]:
        """Name the layouts that this is a stricter form of: where both recognise a folder, this counts."""
        ...

    def recognises(self, folder: Path) -> bool:
        """Tell by names alone, opening no image, whether ``folder`` is one category in this layout.

        A data set of many categories needs no more: each of them is a subfolder that is recognised.
        """
        ...

    def read(self, folder: Path) -> Split:
        """List what is in a recognised folder.

        Raises:
            edgead.errors.DatasetError: a part is missing, empty or can't be trusted.
        """
        ...


__all__ = ["GOOD", "Layout", "Sample", "Split"]
