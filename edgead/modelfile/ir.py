"""OpenVINO's intermediate representation: XML that must be plain, with shapes and edges that can be.

Its weights are in the ``.bin`` of the same name and nowhere else; the XML has the places in it. OpenVINO's
parser takes the first of two elements where another takes the last, and believes what it's told of layers and
ports; so each element is where OpenVINO writes it, and once. [docs.openvino.ai, "OpenVINO IR format".]
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from xml.parsers import expat

from edgead.modelfile.faults import MalformedModel, UnsafeModel, check_shape

MOST_BYTES = 64 << 20
MOST_ELEMENTS, MOST_LEVELS = 2_000_000, 64
MOST_AT = 1 << 40
"""Furthest place in the weights' file."""
MOST_ID = 1 << 31
MOST_IN_A_ROW = 10_000
"""Layers on the longest way from input to output: OpenVINO walks it by calls within calls."""

_WHOLE = re.compile(r" ?-?[0-9]{1,19}")
_INNER: Mapping[str, Mapping[str, int | None]] = {
    "": {"net": 1},
    "net": {"layers": 1, "edges": 1, "rt_info": 1},
    "layers": {"layer": None},
    "layer": {"data": 1, "input": 1, "output": 1, "rt_info": 1},
    "input": {"port": None},
    "output": {"port": None},
    "port": {"dim": None, "rt_info": 1},
    "edges": {"edge": None},
}
"""What lies in which element, and how often at most. A graph within a layer (Loop, If) isn't among it:
edgead's exporters write none. Beneath ``rt_info`` anything may lie: notes and hints, without shapes."""


def check(data: bytes) -> None:
    """Read a model's XML once.

    Raises:
        UnsafeModel: it declares entities, has shapes, places or edges that no model has, or elements where
            OpenVINO writes none.
        MalformedModel: it isn't such XML.
    """
    if len(data) > MOST_BYTES:
        raise UnsafeModel(f"its XML has more than {MOST_BYTES} bytes")
    if not data.startswith((b"<?xml", b"<net")) or b"\0" in data:
        raise MalformedModel("it isn't an OpenVINO model")
    if b"<!" in data or data.find(b"<?", 1) >= 0:
        raise UnsafeModel("its XML holds a declaration, a comment or an instruction, which no model needs")
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MalformedModel(f"it isn't an OpenVINO model ({error})") from None
    reader.graph.check()


class _Reader:
    def __init__(self) -> None:
        self.parser = expat.ParserCreate("UTF-8")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.buffer_text = True
        self.graph = _Graph()
        self._elements = 0
        self._path: list[tuple[str, Counter[str]]] = [("", Counter())]
        self._layer = -1
        self._side = ""
        self._sides: list[int] = []

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements == 1 and name != "net":
            raise MalformedModel("it isn't an OpenVINO model")
        if self._elements > MOST_ELEMENTS or len(self._path) > MOST_LEVELS:
            raise UnsafeModel(f"its XML has more than {MOST_ELEMENTS} elements or {MOST_LEVELS} levels")
        parent, inside = self._path[-1]
        name = self._placed(parent, inside, name)
        self._path.append((name, Counter()))
        if name == "layer":
            self._layer = self.graph.add(_number(attributes, "id", MOST_ID))
        elif name == "data":
            _check_data(attributes)
        elif name == "port":
            self._sides = []
            self.graph.add_port(self._layer, _number(attributes, "id", MOST_ID), parent == "output")
        elif name == "dim":
            self._side = ""
        elif name == "edge":
            ends = ("from-layer", "from-port", "to-layer", "to-port")
            layer, port, to, to_port = (_number(attributes, end, MOST_ID) for end in ends)
            self.graph.connect((layer, port), (to, to_port))

    def _placed(self, parent: str, inside: Counter[str], name: str) -> str:
        """The element's name; ``rt_info`` for all beneath such a one."""
        if parent == "rt_info":
            return "rt_info"
        allowed = _INNER.get(parent, {})
        if name not in allowed:
            raise UnsafeModel(f"its XML holds <{name[:40]}> in <{parent}>, where OpenVINO writes none")
        inside[name] += 1
        if (most := allowed[name]) is not None and inside[name] > most:
            raise UnsafeModel(f"its XML holds <{name}> twice in one <{parent}>")
        return name

    def _text(self, text: str) -> None:
        name = self._path[-1][0]
        if name == "dim":
            self._side += text
        elif name != "rt_info" and text.strip():
            raise UnsafeModel(f"its XML holds text in <{name}>, where OpenVINO writes none")

    def _end(self, _: str) -> None:
        name, _inside = self._path.pop()
        if name == "dim":
            side = _whole(self._side)
            self._sides.append(0 if side == -1 else side)  # a side that only a run tells
        if name == "port":
            check_shape(self._sides)


Port = tuple[int, int]
"""A layer's id, and the port's in it."""


class _Graph:
    """Layers by id, their ports, and what is connected with what."""

    def __init__(self) -> None:
        self._layers: set[int] = set()
        self._ports: dict[Port, bool] = {}  # whether it's an output
        self._sources: dict[Port, Port] = {}  # by the input that it goes into

    def add(self, layer: int) -> int:
        if layer in self._layers:
            raise UnsafeModel(f"it has two layers with the id {layer}")
        self._layers.add(layer)
        return layer

    def add_port(self, layer: int, port: int, is_output: bool) -> None:
        if (layer, port) in self._ports:
            raise UnsafeModel(f"its layer {layer} has two ports with the id {port}")
        self._ports[layer, port] = is_output

    def connect(self, source: Port, to: Port) -> None:
        if to in self._sources:
            raise UnsafeModel(f"two edges go to port {to[1]} of its layer {to[0]}")
        self._sources[to] = source

    def check(self) -> None:
        """Each edge goes from an output to an input, each input has one, and none leads back."""
        for to, source in self._sources.items():
            for (layer, port), is_output in ((source, True), (to, False)):
                if self._ports.get((layer, port)) is not is_output:
                    kind = "output" if is_output else "input"
                    raise UnsafeModel(f"an edge names port {port} of layer {layer}, which is no {kind} of it")
        for to, is_output in self._ports.items():
            if not is_output and to not in self._sources:
                raise UnsafeModel(f"no edge goes to input {to[1]} of its layer {to[0]}")
        after: defaultdict[int, list[int]] = defaultdict(list)
        waits: Counter[int] = Counter()
        for (to_layer, _), (layer, _) in self._sources.items():
            after[layer].append(to_layer)
            waits[to_layer] += 1
        ready = deque((layer, 1) for layer in self._layers if not waits[layer])
        done = depth = 0
        while ready:  # by depth, so that the last to come of a layer's sources is the deepest
            layer, depth = ready.popleft()
            done += 1
            for each in after[layer]:
                waits[each] -= 1
                if not waits[each]:
                    ready.append((each, depth + 1))
        if done < len(self._layers):
            raise UnsafeModel("its edges go in a circle")
        if depth > MOST_IN_A_ROW:
            raise UnsafeModel(f"it has more than {MOST_IN_A_ROW} layers in a row")


def _check_data(attributes: Mapping[str, str]) -> None:
    for place in ("offset", "size"):
        if place in attributes:
            _number(attributes, place, MOST_AT)
    if attributes.get("shape"):
        check_shape(map(_whole, attributes["shape"].split(",")))


def _number(attributes: Mapping[str, str], name: str, most: int) -> int:
    """An attribute that is 0 to ``most``."""
    if name not in attributes or not 0 <= (number := _whole(attributes[name])) <= most:
        raise UnsafeModel(f"it has an element with the {name} {attributes.get(name, '')[:40]!r}")
    return number


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise UnsafeModel(f"it has a size that is no number ({text[:40]!r})")
    return int(text)


__all__ = ["check"]
