"""The one error of a file that a decoder would have to guess at."""

from __future__ import annotations


class DamagedFile(Exception):
    """The file's structure is broken; the text says how. ``read_image`` turns it into an ImageError."""


__all__ = ["DamagedFile"]
