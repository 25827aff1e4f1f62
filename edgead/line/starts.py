"""What each process of a line is told when it's started, and what it says where it can't."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgead import errors
from edgead.errors import EdgeadError, InputError, OptionError, PluginError
from edgead.line.channel import Message
from edgead.line.config import Camera, Line, SinkEntry
from edgead.line.faults import Fault, words
from edgead.line.lens import Lens
from edgead.line.log_table import Log
from edgead.line.page_table import PageTable
from edgead.line.sink_process import SILENCE


def camera_start(camera: Camera, lens: Lens) -> Message:
    """A camera's process."""
    options = plain(camera.options, camera.table.source)
    return {"source": camera.table.source, "options": options, "ring": lens.ring, "free": lens.free}


def judge_start(
    line: Line,
    camera: Camera,
    lens: Lens,
    bundle: Path,
    faults: Iterable[Fault],
    stand_in: bool,
    gently: bool = False,
) -> Message:
    """A judge's process.

    Args:
        gently: whether it's warmed beside another that judges: on the spare cores, where there are such.
    """
    table = camera.table
    spare = table.spare_cores if gently else ()
    return {
        "bundle": str(bundle),
        "device": table.device,
        "engine": table.engine,
        "threads": table.threads or (len(table.cores) or None if spare else None),
        "cores": list(spare or table.cores),
        "depth": table.depth,
        "product": table.product,
        "keys": [str(line.path(key)) for key in line.table.keys],
        "self_test_minutes": table.self_test_minutes,
        "strip": None if camera.strip is None else asdict(camera.strip),
        "ring": lens.ring,
        "faults": words(faults, "judge"),
        "stand_in": stand_in,
    }


def sink_start(line: Line, sink: SinkEntry) -> Message:
    """A sink's process."""
    options = plain(sink.options, sink.table.kind)
    silence = max(SILENCE, 5e-3 * line.table.beat_ms)
    return {"kind": sink.table.kind, "role": sink.table.role, "options": options, "silence": silence}


def page_start(line: Line, page: PageTable) -> Message:
    """The page's process."""
    given = {name: None if file is None else str(line.path(file)) for name, file in (
        ("users", page.users), ("certificate", page.certificate), ("key", page.key))}  # fmt: skip
    cameras = [camera.table for camera in line.cameras]
    return {
        **given,
        "address": list(page.address),
        "hosts": sorted(page.known_hosts),
        "is_secure": page.is_secure,
        "behind_tls_proxy": page.behind_tls_proxy,
        "clients": page.clients,
        "line": line.table.name,
        "deadline_ms": line.table.deadline_ms,
        "keys": [str(line.path(key)) for key in line.table.keys],
        "record": None if line.log is None else str(line.path(line.log.table.folder)),
        "cameras": [
            {
                "name": camera.name,
                "bundle": str(line.path(camera.bundle)),
                "product": camera.product,
                "engine": camera.engine,
                "device": camera.device,
            }
            for camera in cameras
        ],
    }


def recorder_start(line: Line, log: Log, lenses: Mapping[str, Lens]) -> Message:
    """The recorder's process."""
    return {
        "folder": str(line.path(log.table.folder)),
        "format": log.table.format,
        "days": log.keep.days,
        "row_days": log.keep.row_days,
        "bytes": round(log.keep.gigabytes * 1e9),
        "recent": log.images.recent,
        "rings": {name: lens.ring for name, lens in lenses.items()},
    }


def plain(options: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """Options as a message can hold them.

    Raises:
        OptionError: one is a date, say, or not finite.
    """
    try:
        return dict(json.loads(json.dumps(options, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(
            f"{whose}'s options: {errors.one_line(error, 'message')}: use texts, finite numbers, true, false "
            "and lists of them"
        ) from None


def refusal(label: str, message: Message) -> EdgeadError:
    """The error that a process was refused with, so that the line ends with its exit code."""
    kind, text = getattr(errors, str(message.get("kind")), None), f"{label}: {message.get('text')}"
    if not (isinstance(kind, type) and issubclass(kind, EdgeadError)):
        kind = PluginError
    if kind is errors.UnknownNameError:  # which makes its message by itself
        kind = InputError
    return kind(text)


__all__ = ["camera_start", "judge_start", "page_start", "plain", "recorder_start", "refusal", "sink_start"]
