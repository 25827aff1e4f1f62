"""The file that a line is described in: TOML, each key known, typed and bounded.

``[line]``, ``[log]`` and ``[page]`` once, ``[[camera]]`` and ``[[sink]]`` for each; what belongs to a source
or sink of a plugin is in its ``options``. Relative paths begin at the file's folder, in ``options`` too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from edgead.errors import DatasetError, OptionError, UnknownNameError, cut
from edgead.extras import explained
from edgead.files import read_plain
from edgead.line.log_table import Log, log_of
from edgead.line.page_table import PageTable, check_page
from edgead.line.tables import made
from edgead.names import shown
from edgead.options import Range
from edgead.types import Role

MOST_BYTES = 1 << 20
MOST_CAMERAS = MOST_SINKS = 16
TABLES = ("line", "camera", "sink", "log", "page")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")

T = TypeVar("T", bound="CameraTable | SinkTable")


@dataclass(frozen=True)
class LineTable:
    """The table ``[line]``."""

    name: str = "line"
    """What the line is called where it says something of itself."""
    deadline_ms: Annotated[float, Range(1, 60_000)] = 100.0
    """From a trigger to its verdict, at most; the fail-safe's is said then."""
    failsafe: Literal["reject", "stop", "accept"] = "reject"
    """What is said where there's no score in time. stop: reject, and the line isn't ready until it's started
    again. accept needs i_accept_escapes."""
    i_accept_escapes: bool = False
    """Whether parts that nobody has judged may be accepted."""
    hung_ms: Annotated[float, Range(10, 600_000)] = 1000.0
    """A process that answers nothing for so long is killed; not under deadline_ms."""
    beat_ms: Annotated[float, Range(10, 10_000)] = 100.0
    """How often each sink is told that the line goes on, and whether it's ready."""
    start_seconds: Annotated[float, Range(1, 3600)] = 120.0
    """How long judges may take to get warm."""
    shadow: Annotated[int, Range(0, 100_000)] = 20
    """Images that a new bundle's judge has to judge beside the one that judges, before it judges alone."""
    trial: Annotated[int, Range(0, 100_000)] = 50
    """Verdicts with a new bundle until the old one is let go of; the line goes back to that by itself where
    more of them are the fail-safe's than before."""
    follow_slots: bool = False
    """Whether the line looks every second if another slot is current, and takes that; else it's told to."""
    state: str = ""
    """A folder for the lock and the status of the line that runs; the file's own if empty."""
    keys: tuple[str, ...] = ()
    """Public keys, files or folders of them: bundles must be signed by one. As EDGEAD_TRUST says where it's
    empty."""


@dataclass(frozen=True)
class CameraTable:
    """A table ``[[camera]]``."""

    name: str = ""
    """Unique: letters, digits, - and _."""
    source: str = ""
    """The registered name of the source: folder, generated, or a plugin's."""
    bundle: str = ""
    """The bundle that judges: its folder, or a folder of slots, whose current one is taken."""
    trigger: Literal["camera", "plc"] = "camera"
    """camera: it's triggered by wire or by itself, and its image is the first that's known of a trigger.
    plc: a sink tells of each trigger besides, and images are matched with them."""
    grab_ms: Annotated[float, Range(1, 60_000)] = 50.0
    """With plc: how far a trigger's word and its image may be apart, either way. Shorter than the time from
    one trigger to the next, or they can't be told apart after a fault."""
    queue: Annotated[int, Range(0, 64)] = 2
    """Images that may wait for the judge; one more is answered at once, by the fail-safe."""
    slot_mib: Annotated[int, Range(1, 1024)] = 64
    """The largest image in MiB; memory is taken only for what comes."""
    product: str | None = None
    """Whose thresholds hold, in a bundle with several products."""
    engine: str | None = None
    """Another engine than the bundle's own; a plugin's has to be named here."""
    device: str = "auto"
    """The engine's name of a device."""
    threads: Annotated[int, Range(1, 1024)] | None = None
    """CPU threads of each judge; as many as cores, or all, if not given."""
    cores: tuple[int, ...] = ()
    """Logical processors that the judges are kept on; any if empty."""
    spare_cores: tuple[int, ...] = ()
    """Logical processors that a judge is warmed and tried on while another judges; as cores if empty."""
    depth: Annotated[int, Range(9, 16)] | None = None
    """Significant bits of 16-bit images, for a bundle that has learned none."""
    self_test_minutes: Annotated[float, Range(0, 1_000_000, open_low=True)] | None = None
    """How often a judge judges an image of the bundle's own between two others; that image waits for it."""


@dataclass(frozen=True)
class StripTable:
    """``strip`` of a table ``[[camera]]``: its images are pieces of a web under a line-scan camera."""

    mm_per_line: Annotated[float, Range(0, 1000, open_low=True)] = 0.1
    """How far apart lines are."""
    max_length_mm: Annotated[float, Range(0, 1_000_000, open_low=True)] = 500.0
    """A defect that's longer is said to be one before its end."""


@dataclass(frozen=True)
class SinkTable:
    """A table ``[[sink]]``."""

    kind: str = ""
    """The registered name of the sink: file, webhook, or a plugin's."""
    name: str = ""
    """Unique; its kind if not given."""
    role: Role | None = None
    """verdict: the line isn't ready without it. inform: it may miss some. The kind's own if not given."""
    send_ms: Annotated[float, Range(1, 600_000)] = 1000.0
    """How long it may take over one verdict until it's killed and started again."""


@dataclass(frozen=True)
class Camera:
    """A camera: its table, its source's options, and what its web is like where it scans one."""

    table: CameraTable
    options: Mapping[str, Any] = field(default_factory=dict)
    strip: StripTable | None = None


@dataclass(frozen=True)
class SinkEntry:
    """A sink: its table, and its own options."""

    table: SinkTable
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A whole line.

    Attributes:
        table: its own settings.
        cameras, sinks: one or more of each.
        folder: where relative paths begin.
        log: what is recorded, or None.
        page: the operator's page, or None.
    """

    table: LineTable
    cameras: tuple[Camera, ...]
    sinks: tuple[SinkEntry, ...]
    folder: Path
    log: Log | None = None
    page: PageTable | None = None

    def path(self, name: str) -> Path:
        """A path of the file's, as it's meant."""
        return self.folder / name


def read_line(file: Path) -> Line:
    """Read a line's file.

    Raises:
        DatasetError: it can't be read, or isn't TOML.
        OptionError, UnknownNameError: a key is unknown, a value of another type or out of range, or what's
            said doesn't go together; names file and table.
    """
    return line_of(_document(file), shown(file), Path(file).absolute().parent)


def line_of(document: Mapping[str, Any], name: str, folder: Path) -> Line:
    """A line of what its file holds; raises as ``read_line``.

    Args:
        name: what errors call the file.
        folder: where relative paths begin.
    """
    for key in document:
        if key not in TABLES:
            raise UnknownNameError(f"table of a line's file ({name})", key, TABLES)
    own = document.get("line", {})
    if not isinstance(own, Mapping):
        raise OptionError(f"{name}: line must be a table: write [line] above its keys")
    table = made(LineTable, own, f"{name}: [line]")
    cameras = tuple(
        _camera(keys, options, where)
        for keys, options, where in _tables(document, "camera", name, MOST_CAMERAS)
    )
    sinks = []
    for keys, options, where in _tables(document, "sink", name, MOST_SINKS):
        sink = {"name": keys.get("kind", ""), **keys}
        sinks.append(SinkEntry(_named(made(SinkTable, sink, where), where, ("kind", "name")), options))
    line = Line(table, cameras, tuple(sinks), folder, log_of(document, name), _page(document, name))
    _check(line, name)
    return line


def _document(file: Path) -> dict[str, Any]:
    with explained("a line's file"):
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    try:
        return tomllib.loads(read_plain(Path(file), MOST_BYTES).decode())
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError):
            raise DatasetError(
                f"{shown(file)}: can't be read ({error.strerror}); give a line's file"
            ) from None
        why = "nested too deeply" if isinstance(error, RecursionError) else cut(str(error))
        raise DatasetError(f"{shown(file)}: not TOML: {why}; mend it, or give a line's file") from None


def _page(document: Mapping[str, Any], name: str) -> PageTable | None:
    own, where = document.get("page"), f"{name}: [page]"
    if own is None:
        return None
    if not isinstance(own, Mapping):
        raise OptionError(f"{where} must be a table: write [page] above its keys")
    table = made(PageTable, own, where)
    check_page(table, where)
    return table


def _tables(
    document: Mapping[str, Any], kind: str, name: str, most: int
) -> list[tuple[dict[str, Any], Mapping[str, Any], str]]:
    """The keys of each table of a kind, its options, and what errors call it."""
    tables = document.get(kind, [])
    if not isinstance(tables, list) or not all(isinstance(each, Mapping) for each in tables):
        raise OptionError(f"{name}: {kind} must be tables: write [[{kind}]] above the keys of each")
    if not 1 <= len(tables) <= most:
        raise OptionError(f"{name}: {len(tables)} of [[{kind}]]: a line has 1 to {most}")
    found = []
    for number, table in enumerate(tables, 1):
        where = f"{name}: [[{kind}]] {number}"
        options = table.get("options", {})
        if not isinstance(options, Mapping):
            raise OptionError(f"{where}: options must be a table: options = {{ key = value }}")
        found.append(({k: v for k, v in table.items() if k != "options"}, options, where))
    return found


def _camera(keys: dict[str, Any], options: Mapping[str, Any], where: str) -> Camera:
    strip = keys.pop("strip", None)
    table = _named(made(CameraTable, keys, where), where, ("name", "source", "bundle"))
    if strip is not None and not isinstance(strip, Mapping):
        raise OptionError(f"{where}: strip must be a table: strip = {{ mm_per_line = 0.1 }}")
    return Camera(table, options, None if strip is None else made(StripTable, strip, f"{where}: strip"))


def _named(table: T, where: str, needed: Sequence[str]) -> T:
    for key in needed:
        if not vars(table)[key]:
            raise OptionError(f"{where}: {key} is missing: give it")
    if not _NAME.fullmatch(table.name):
        raise OptionError(
            f"{where}: name '{cut(table.name, 60)}' can't be used: letters, digits, - and _, 40 at most"
        )
    return table


def _check(line: Line, name: str) -> None:
    own = line.table
    if own.failsafe == "accept" and not own.i_accept_escapes:
        raise OptionError(
            f'{name}: [line]: failsafe = "accept" lets parts through that nobody has judged: use "reject", '
            "or say i_accept_escapes = true"
        )
    if own.hung_ms < own.deadline_ms:
        raise OptionError(
            f"{name}: [line]: hung_ms {own.hung_ms:g} is under deadline_ms {own.deadline_ms:g}, so that "
            "judges were killed that are in time: raise it"
        )
    for kind, tables in (("camera", line.cameras), ("sink", line.sinks)):
        names = [entry.table.name for entry in tables]
        for each in names:
            if names.count(each) > 1:
                raise OptionError(f"{name}: two of [[{kind}]] have the name '{each}': give each its own")


__all__ = [
    "Camera",
    "CameraTable",
    "Line",
    "LineTable",
    "PageTable",
    "SinkEntry",
    "SinkTable",
    "StripTable",
    "line_of",
    "read_line",
]
