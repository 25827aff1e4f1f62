"""Cameras' pixel formats: a buffer of bytes to an image that a line takes."""

from __future__ import annotations

from edgead_plugins.pixels.formats import FORMATS, PixelFormat, by_code, by_name
from edgead_plugins.pixels.picture import Picture, bytes_of, picture_of

__all__ = ["FORMATS", "Picture", "PixelFormat", "by_code", "by_name", "bytes_of", "picture_of"]
