"""A PLC that speaks Modbus TCP by pymodbus, and reads values as docs/line.md has them."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient

PAGE = Path(__file__).parents[2] / "docs" / "line.md"


@dataclass(frozen=True)
class Row:
    """A row of the documented map."""

    at: int
    size: int
    type: str


def documented() -> dict[str, Row]:
    """The map of docs/line.md."""
    found = {}
    rows = re.findall(r"^\| (\d+)(?:-(\d+))? \| `(\w+)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.M)
    for first, last, name, kind in rows:
        found[name] = Row(int(first), int(last or first) - int(first) + 1, kind)
    return found


ROWS = documented()


def value(words: list[int], kind: str) -> Any:
    """Registers as the value of a documented type."""
    data = struct.pack(f">{len(words)}H", *words)
    if kind == "text":
        return data.rstrip(b"\0").decode(errors="replace")
    letter = {"uint16": "H", "bits": "H", "uint32": "I", "uint64": "Q", "int64": "q", "float32": "f"}[kind]
    return struct.unpack(f">{letter}", data)[0]


class Plc:
    """One connection."""

    def __init__(self, port: int, seconds: float = 2.0, retries: int = 0) -> None:
        self.client = ModbusTcpClient("127.0.0.1", port=port, timeout=seconds, retries=retries)
        if not self.client.connect():
            raise ConnectionError("nobody listens")
        self.end = max(row.at + row.size for row in ROWS.values() if row.at < 100)

    def registers(self, at: int, count: int) -> list[int]:
        """Some registers."""
        answer = self.client.read_holding_registers(at, count=count)
        assert not answer.isError(), answer
        return list(answer.registers)

    def read(self) -> dict[str, Any]:
        """All that is shown, in one request."""
        words = self.registers(0, self.end)
        return {
            name: value(words[row.at : row.at + row.size], row.type)
            for name, row in ROWS.items()
            if row.at + row.size <= self.end
        }

    def acknowledge(self, seen: dict[str, Any]) -> None:
        """Take the shown result."""
        self.write(ROWS["ack_run"].at, struct.unpack(">4H", struct.pack(">II", seen["run"], seen["id"])))

    def trigger(self, number: int, part: int) -> bool:
        """Tell of a trigger; whether it was taken."""
        words = struct.unpack(">3H", struct.pack(">IH", part, number))
        return not self.client.write_registers(ROWS["trigger_part"].at, list(words)).isError()

    def write(self, at: int, words: Any) -> None:
        """Write registers."""
        answer = self.client.write_registers(at, list(words))
        assert not answer.isError(), answer

    def close(self) -> None:
        """Go."""
        self.client.close()


__all__ = ["ROWS", "Plc", "Row", "documented", "value"]
