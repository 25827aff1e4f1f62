"""A file as a line's sink: a line of JSON for each verdict."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Annotated, ClassVar

from edgead.errors import OutputError
from edgead.files import output_errors
from edgead.line.records import record_of
from edgead.names import json_text
from edgead.options import Range, check_options
from edgead.types import Health, Role, Verdict


@dataclass(frozen=True)
class FileOptions:
    """Which file, and how large it may get."""

    path: str = "verdicts.jsonl"
    """The file; what is in it stays."""
    most_mib: Annotated[float, Range(0.001, 1_000_000)] = 100.0
    """When it's larger it becomes PATH.1, in the place of an older one, and a new one is begun."""

    def __post_init__(self) -> None:
        check_options(self)


class File:
    """A file. Each line is with the system once ``send`` returns; when it's on the disk is the system's."""

    Options: ClassVar[type] = FileOptions
    roles: ClassVar[tuple[Role, ...]] = ("inform", "verdict")

    def __init__(self, options: FileOptions | None = None) -> None:
        self.options = options or FileOptions()
        self._path = Path(self.options.path)
        self._file: IO[bytes] | None = None
        self._written = 0

    def open(self) -> None:
        """Open it, to write after what is there."""
        self.close()
        with output_errors(self._path):
            self._file = self._path.open("ab", buffering=0)

    def send(self, verdict: Verdict) -> None:
        """Write a line."""
        file = self._opened()
        utc = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        data = json_text({"utc": utc, **record_of(verdict)}).encode() + b"\n"
        with output_errors(self._path):
            if os.fstat(file.fileno()).st_size + len(data) > self.options.most_mib * (1 << 20):
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                self.open()
                file = self._opened()
            if file.write(data) != len(data):
                raise OSError(None, "only a part of a line could be written")
        self._written += 1

    def beat(self, ready: bool) -> None:
        """A file has no level."""
        self._opened()

    def health(self) -> Health:
        """Lines that were written."""
        return Health(self._file is not None, "" if self._file else "not open", {"written": self._written})

    def close(self) -> None:
        """Close it."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise OutputError(f"{self._path}: isn't open; open it first")
        return self._file


__all__ = ["File", "FileOptions"]
