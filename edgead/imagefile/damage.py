"""The one error of a file that a decoder would have to guess at."""

from __future__ import annotations


class DamagedFile(Exception):
    """The file's structure is broken; the text says how. ``read_image`` turns it into an ImageError.

    Attributes:
        advice: what to do, where it's more than to replace or remove the file; or None.
    """

    def __init__(self, text: str, advice: str | None = None) -> None:
        super().__init__(text)
        self.advice = advice


__all__ = ["DamagedFile"]
