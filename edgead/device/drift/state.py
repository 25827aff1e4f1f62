"""Drift's state in a file: small, written whole, and read back with suspicion."""

from __future__ import annotations

import math
import stat
from dataclasses import dataclass
from pathlib import Path

from edgead.bundle import Bundle
from edgead.device.drift.channel import LATER, LONGER, STEPS, Channel
from edgead.device.drift.watch import KINDS, LATENCY, Setting, Watch
from edgead.errors import DriftStateError, ManifestError
from edgead.files import read_plain, write_file
from edgead.manifest import strict
from edgead.names import json_text

FORMAT = 1
MOST_BYTES = 1 << 18
"""Of the file; it has about 6 kB, and with blocks of many thousand frames 25 kB until the first is full."""
MOST_FRAMES = 1 << 53
MOST = 1e40
"""No score, which is a float32, and no sum is farther from 0."""


@dataclass(frozen=True)
class Document:
    """What the file holds.

    Attributes:
        drift: the format's number.
        model: the SHA-256 of the model whose scores these are, in lower-case hex.
        block, blocks: as ``Setting`` has them.
        watch: the state.
    """

    drift: int
    model: str
    block: int
    blocks: int
    watch: Watch


def model_of(bundle: Bundle) -> str:
    """The SHA-256 of a bundle's model: two bundles' scores are comparable where it's the same."""
    manifest = bundle.manifest
    return next(record.sha256 for record in manifest.files if record.path == manifest.model)


def to_bytes(watch: Watch, model: str, setting: Setting) -> bytes:
    """The file's content."""
    document = Document(FORMAT, model, setting.block, setting.blocks, watch)
    return json_text(strict.plain(document), separators=(",", ":")).encode() + b"\n"


def write_state(path: Path, content: bytes) -> None:
    """Write what ``to_bytes`` gave, whole or not at all; raises OutputError."""
    write_file(path, content)


def read_state(path: Path, model: str, setting: Setting) -> Watch | None:
    """Read a state for this model and setting; None where there's no file.

    Raises:
        DriftStateError: it isn't one, not for this model or this setting, or holds what no line leads to.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise DriftStateError(f"{path}: no state of Drift's; give another file")
        data = read_plain(path, MOST_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DriftStateError(f"{path}: can't be read ({reason}); check the path and rights") from None
    try:
        document: Document = strict.read(Document, strict.load(data, strict.UNNAMED), strict.UNNAMED)
    except ManifestError as error:
        raise _fault(path, str(error)) from None
    if document.drift != FORMAT:
        raise _fault(path, f"its format is {document.drift}, this version of edgead reads {FORMAT}")
    if document.model != model:
        raise DriftStateError(
            f"{path}: the state of another bundle, whose scores can't be compared with this one's; give a "
            "file for each bundle, or delete it to learn anew"
        )
    if (document.block, document.blocks) != (setting.block, setting.blocks):
        raise DriftStateError(
            f"{path}: was learned with block={document.block} and blocks={document.blocks}, not "
            f"{setting.block} and {setting.blocks}; give those, or delete it to learn anew"
        )
    if fault := _impossible(document.watch, setting):
        raise _fault(path, f"{fault} is out of range")
    return document.watch


def _fault(path: Path, what: str) -> DriftStateError:
    return DriftStateError(f"{path}: no state that Drift left ({what}); delete it to learn anew")


def _impossible(watch: Watch, setting: Setting) -> str | None:
    """The name of a field that holds what no line leads to, or None."""
    frames, marks, line = watch.frames, watch.marks, watch.line
    sound = {
        "watch.frames": 0 <= frames <= MOST_FRAMES,
        "watch.marks": len(marks) in (0, 2) and _small(marks) and list(marks) == sorted(marks),
        "watch.marks_of": (watch.marks_of == "none") == (not marks),
        "watch.first": _first_is_sound(watch, setting),
        "watch.line": len(line) == 3 and min(line) >= 0 and max(line) == line[0] <= frames,
        "watch.channels": watch.channels.keys() == KINDS.keys(),
    }
    for name, is_sound in sound.items():
        if not is_sound:
            return name
    for name, channel in watch.channels.items():
        if fault := _impossible_in(name, channel, frames, setting):
            return f"watch.channels.{name}.{fault}"
    return None


def _first_is_sound(watch: Watch, setting: Setting) -> bool:
    most = -(-setting.step // setting.kept) + 1
    right_length = not watch.first if watch.marks else 1 <= len(watch.first) <= STEPS
    return right_length and all(len(step) <= most and _small(step) for step in watch.first)


def _impossible_in(name: str, channel: Channel, frames: int, setting: Setting) -> str | None:
    kind = KINDS[name]
    of_scores = 2 * setting.kept * setting.step  # of the first block, thinned scores stand for the others
    sums = [*channel.steps, (channel.count, channel.above, channel.below)]
    scaled = (channel.mean, channel.value, *channel.blocks)
    sound = {
        "steps": len(channel.steps) <= STEPS
        and all(0 <= count <= of_scores for count, _, _ in sums)
        and all(_small(step) and step[2] >= 0 for step in sums)
        and (name == LATENCY or all(step[1] >= 0 for step in sums))
        and (kind.scale != "share" or all(step[1] <= step[2] for step in sums)),
        "blocks": len(channel.blocks) <= STEPS,
        "mean": _small(scaled),
        "learned": 0 <= channel.learned <= STEPS * (LONGER * setting.blocks + 1),
        "squares": 0 <= channel.squares <= MOST and 0 <= channel.apart <= MOST,
        "pairs": 0 <= channel.pairs <= channel.learned,
        "suspected": 0 <= channel.waited <= LATER and (channel.suspected is None or channel.changed is None),
        "rise": 0 <= channel.rise <= MOST and 0 <= channel.fall <= MOST,
        "since": all(-setting.block <= n <= frames for n in (channel.since, channel.risen, channel.fallen)),
    }
    return next((field for field, is_sound in sound.items() if not is_sound), None)


def _small(values: tuple[float, ...]) -> bool:
    return all(math.isfinite(value) and abs(value) <= MOST for value in values)


__all__ = ["FORMAT", "MOST_BYTES", "Document", "model_of", "read_state", "to_bytes", "write_state"]
