"""A GenTL device's features, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genicam import genapi

from edgead.errors import DeviceError
from edgead_plugins.sources.faults import why_of
from edgead_plugins.sources.gentl_producer import FAULTS


class GentlFeatures:
    """A device's features."""

    def __init__(self, node_map: Any) -> None:
        self._nodes = node_map

    def has(self, name: str) -> bool:
        if not self._nodes.has_node(name):
            return False
        try:
            return bool(genapi.is_available(self._nodes.get_node(name)))
        except FAULTS:
            return False

    def get(self, name: str) -> str:
        return str(self._done(name, lambda: self._nodes.get_node(name).to_string()))

    def set(self, name: str, value: str) -> None:
        self._done(f"{name} = {value}", lambda: self._nodes.get_node(name).from_string(value))

    def choices(self, name: str) -> Sequence[str]:
        def found() -> list[str]:
            node = self._nodes.get_node(name)
            return [each for each in node.symbolics if genapi.is_available(node.get_entry_by_name(each))]

        return list(self._done(name, found)) if self.has(name) else []

    def run(self, name: str) -> None:
        self._done(name, lambda: self._nodes.get_node(name).execute())

    def number(self, name: str) -> int:
        """A feature's whole number."""
        return int(self._done(name, lambda: self._nodes.get_node(name).value))

    def _done(self, what: str, do: Any) -> Any:
        try:
            return do()
        except (*FAULTS, AttributeError) as error:  # it's a feature of another kind
            why = why_of(error)
            raise DeviceError(f"gentl: the camera refuses {what} ({why}); see its manual") from None


__all__ = ["GentlFeatures"]
