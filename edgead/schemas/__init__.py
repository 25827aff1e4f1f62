"""Published JSON Schemas of a bundle's manifest and of a signature, for other programs to read these by."""

from __future__ import annotations

from importlib.resources import files

NAMES = ("manifest", "statement")


def schema(name: str) -> str:
    """The text of a schema, JSON; raises KeyError for a name that isn't in ``NAMES``."""
    if name not in NAMES:
        raise KeyError(name)
    return (files("edgead.schemas") / f"{name}.json").read_text("utf-8")


__all__ = ["NAMES", "schema"]
