"""Where a graph samples at a grid, OpenVINO is told to keep the coordinates out of BF16.

BF16 knows 256 steps between 1 and 2: on a map of 128 a coordinate is off by a quarter of a position, and
FYD's map by a tenth. OpenVINO leaves layers in FP32 that its file marks as ``precise``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from edgead.files import write_file


def keep_coordinates_precise(file: Path) -> None:
    """Mark what only calculates where a GridSample samples, in a ``model.xml``; others stay as they are."""
    tree = ElementTree.parse(file)
    layers = {layer.get("id", ""): layer for layer in tree.iter("layer")}
    inputs: dict[str, dict[int, str]] = {}
    for edge in tree.iter("edge"):
        inputs.setdefault(edge.get("to-layer", ""), {})[int(edge.get("to-port", 0))] = edge.get(
            "from-layer", ""
        )

    def needed(start: str) -> set[str]:
        found: set[str] = set()
        pending = [start]
        while pending:
            layer = pending.pop()
            if layer not in found:
                found.add(layer)
                pending.extend(inputs.get(layer, {}).values())
        return found

    precise: set[str] = set()
    for name, layer in layers.items():
        if layer.get("type") == "GridSample":
            sampled, grid = (source for _, source in sorted(inputs[name].items()))
            precise |= needed(grid) - needed(sampled)
    if not precise:
        return
    for name in precise:
        layer = layers[name]
        told = layer.find("rt_info")
        if told is None:
            told = ElementTree.Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, told)
        ElementTree.SubElement(told, "attribute", {"name": "precise", "version": "0"})
    write_file(file, ElementTree.tostring(tree.getroot(), encoding="utf-8", xml_declaration=True) + b"\n")
