"""The registers of the Modbus sink: where each value stands, and a verdict as registers.

Values of several registers have the high word first, as the protocol has the high byte first.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from edgead.types import Verdict, Why

VERSION = 1
"""Of this map; one more where an address or a meaning changes."""
READY, VALID, ACCEPT, LOST = (1 << bit for bit in range(4))
"""Bits of the register ``status``."""
DECISIONS = {"reject": 1, "accept": 2}
WHYS: dict[Why, int] = {
    "score": 1,
    "deadline": 2,
    "error": 3,
    "crash": 4,
    "overrun": 5,
    "no-image": 6,
    "uncorrelated": 7,
    "no-judge": 8,
    "stopped": 9,
}
NO_NUMBER = 0xFFFFFFFF
"""A part that has no number."""
NO_ENCODER = -(1 << 63)
U32 = (1 << 32) - 1


@dataclass(frozen=True)
class Entry:
    """A value's place.

    Attributes:
        name: what it's called.
        at: its first register, from 0.
        size: how many it has.
        type: how they're read.
        help: what it is.
    """

    name: str
    at: int
    size: int
    type: str
    help: str


MAP = (
    Entry("version", 0, 1, "uint16", "1: of this map"),
    Entry("status", 1, 1, "bits", "0 ready; 1 valid: a result is shown; 2 accept: and it's an accept; "
          "3 lost: results were lost since the last acknowledgement"),
    Entry("heartbeat", 2, 1, "uint16", "one more at each beat of the line, from 65535 to 0"),
    Entry("waiting", 3, 1, "uint16", "results not yet acknowledged, the shown one among them, 8 at most"),
    Entry("lost", 4, 2, "uint32", "results that the PLC can't get any more, since the sink's opening"),
    Entry("trigger_taken", 6, 1, "uint16", "the last value of `trigger` that was taken; 0 at the "
          "sink's opening"),
    Entry("triggers_refused", 7, 1, "uint16", "values of `trigger` that were refused"),
    Entry("run", 8, 2, "uint32", "the result's run: the first 8 hexadecimal digits of it"),
    Entry("id", 10, 2, "uint32", "the result's trigger, from 1 in each run; 0: no result is shown"),
    Entry("decision", 12, 1, "uint16", "0 none, 1 reject, 2 accept"),
    Entry("why", 13, 1, "uint16", ", ".join(f"{number} {why}" for why, number in WHYS.items())),
    Entry("score", 14, 2, "float32", "NaN without a score"),
    Entry("threshold", 16, 2, "float32", "NaN without a score"),
    Entry("part", 18, 2, "uint32", "the part's number; 4294967295 where its name isn't one"),
    Entry("camera", 20, 1, "uint16", "the camera's place in the option `cameras`, from 1; 0 where it "
          "isn't there"),
    Entry("regions", 21, 1, "uint16", "how many anomalous regions"),
    Entry("trigger_ns", 22, 4, "uint64", "when the trigger was, on the machine's monotonic clock"),
    Entry("grab_ms", 26, 2, "float32", "from the trigger to the image; NaN without"),
    Entry("judged_ms", 28, 2, "float32", "from the trigger to the judge's answer; NaN without"),
    Entry("sent_ms", 30, 2, "float32", "from the trigger to this sink"),
    Entry("encoder", 32, 4, "int64", "at the trigger; the lowest number where there's none"),
    Entry("part_name", 36, 16, "text", "UTF-8, cut at 32 bytes, then zeros"),
    Entry("camera_name", 52, 8, "text", "UTF-8, cut at 16 bytes, then zeros"),
    Entry("run_again", 60, 2, "uint32", "as `run`"),
    Entry("id_again", 62, 2, "uint32", "as `id`"),
    Entry("ack_run", 100, 2, "uint32", "written by the PLC: `run` of the result that it has taken"),
    Entry("ack_id", 102, 2, "uint32", "written by the PLC: its `id`; the write that has 103 acknowledges"),
    Entry("trigger_part", 104, 2, "uint32", "written by the PLC: the number of the part that is triggered; "
          "4294967295 for none"),
    Entry("trigger", 106, 1, "uint16", "written by the PLC: `trigger_taken` and one more tells of a trigger"),
)  # fmt: skip
AT = {entry.name: entry.at for entry in MAP}
RESULT = AT["run"]
END = AT["id_again"] + 2
"""What can be read from 0 ends here, and the PLC's own registers begin at ``WRITTEN``."""
WRITTEN = AT["ack_run"]
WRITTEN_END = AT["trigger"] + 1

_STATUS = struct.Struct(">HHHHIHH")
_RESULT = struct.Struct(">IIHHffIHHQfffq32s16sII")


def status_words(status: int, heartbeat: int, waiting: int, lost: int, taken: int, refused: int) -> list[int]:
    """The registers before the result."""
    return _words(_STATUS.pack(VERSION, status, heartbeat, waiting, min(lost, U32), taken, refused & 0xFFFF))


def key_of(verdict: Verdict) -> tuple[int, int]:
    """What a result is acknowledged by: its run and its id, 32 bits each."""
    return int(verdict.run[:8], 16), verdict.trigger & U32


def result_words(verdict: Verdict | None, cameras: Sequence[str] = ()) -> list[int]:
    """A verdict as registers; zeros where there's none."""
    if verdict is None:
        return [0] * (_RESULT.size // 2)
    key, times = key_of(verdict), verdict.times
    part = int(verdict.part) if verdict.part.isascii() and verdict.part.isdecimal() else NO_NUMBER
    return _words(
        _RESULT.pack(
            *key,
            DECISIONS[verdict.decision],
            WHYS[verdict.why],
            _float(verdict.score),
            _float(verdict.threshold),
            min(part, NO_NUMBER),
            cameras.index(verdict.camera) + 1 if verdict.camera in cameras else 0,
            len(verdict.regions),
            times.trigger & ((1 << 64) - 1),
            _ms(times.trigger, times.grab),
            _ms(times.trigger, times.judged),
            _ms(times.trigger, times.sent),
            NO_ENCODER if verdict.encoder is None else max(NO_ENCODER, min(verdict.encoder, -NO_ENCODER - 1)),
            verdict.part.encode(errors="replace")[:32],
            verdict.camera.encode(errors="replace")[:16],
            *key,
        )
    )


def _ms(begin: int, end: int | None) -> float:
    return float("nan") if end is None else (end - begin) / 1e6


def _float(value: float | None) -> float:
    """What a float32 can hold: what is larger becomes infinite."""
    if value is None:
        return float("nan")
    try:
        return float(struct.unpack(">f", struct.pack(">f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _words(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


__all__ = [
    "ACCEPT",
    "AT",
    "DECISIONS",
    "END",
    "LOST",
    "MAP",
    "NO_ENCODER",
    "NO_NUMBER",
    "READY",
    "RESULT",
    "VALID",
    "VERSION",
    "WHYS",
    "WRITTEN",
    "WRITTEN_END",
    "Entry",
    "key_of",
    "result_words",
    "status_words",
]
