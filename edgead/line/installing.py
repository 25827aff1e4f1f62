"""Another bundle for a line: put into the slots that its file names, and a line that runs told of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgead.bundle_names import SUFFIX, find_bundle
from edgead.errors import BundleNotFoundError, LinkError, OptionError
from edgead.files import is_file
from edgead.line.config import Line
from edgead.line.hold import runs, status_of, tell
from edgead.names import shown
from edgead.slots import Slots

TAKEN = ("trial", "settling", "done", "same")
_POLL = 0.1


@dataclass(frozen=True)
class Answer:
    """What a line that runs made of another bundle.

    Attributes:
        process: that runs it, or None where none does.
        took: whether it judges by it, on every camera that it's for; None where that isn't known yet.
        phases: by camera, how far it is: waiting, trying, trial, done, same, refused or back.
        why: why it didn't take it, or can't be told, in words; else empty.
    """

    process: int | None
    took: bool | None = None
    phases: dict[str, str] | None = None
    why: str = ""


def slots_for(line: Line, name: str, camera: str | None) -> tuple[Slots, list[str]]:
    """The folder of slots that a camera's bundle is from, and all cameras whose is.

    Args:
        name: what errors call the line's file.
        camera: a camera; None where all have the same folder.

    Raises:
        OptionError: there's no such camera, several folders, or a bundle where slots should be.
    """
    tables = {each.table.name: each.table for each in line.cameras}
    if camera is not None and camera not in tables:
        raise OptionError(f"{name}: no camera '{shown(camera)}': there's {', '.join(tables)}")
    folders: dict[Path, list[str]] = {}
    for each in tables.values():
        path = line.path(each.bundle)
        slots = Slots.of(path / "current") or Slots.of(path)
        folders.setdefault(path if slots is None else slots.folder, []).append(each.name)
    found = [folder for folder, names in folders.items() if camera in (None, *names)]
    if len(found) > 1:
        raise OptionError(f"{name}: its cameras have {len(found)} bundles: say which with --camera")
    (folder,) = found
    if is_file(folder / "manifest.json") or folder.name.endswith(".edgead"):
        raise OptionError(
            f"{name}: camera {folders[folder][0]}'s bundle {shown(folder)} isn't a folder of slots: name one "
            "as its bundle, which the first install makes, and start the line again"
        )
    trust = [line.path(key) for key in line.table.keys] or None
    return Slots(folder, trust=trust), folders[folder]


def bundle_at(text: str) -> Path:
    """The bundle that is meant: the folder itself, or the only one in it, on a stick for instance.

    Raises:
        BundleNotFoundError: there's none, or there are several.
        LinkError: it's a link that leads out of its folder.
    """
    path = find_bundle(text)
    if not is_file(path / "manifest.json") and path.is_dir():
        inside = sorted(each for each in path.glob(f"*{SUFFIX}") if is_file(each / "manifest.json"))
        if len(inside) > 1:
            names = ", ".join(each.name for each in inside[:5])
            raise BundleNotFoundError(f"{shown(path)}: {len(inside)} bundles ({shown(names)}): say which")
        path = inside[0] if inside else path
    if path.is_symlink() and path.resolve().parent != path.parent.resolve():
        raise LinkError(f"{shown(path)}: a link that leads out of its folder: give the bundle itself")
    return path


def told(file: Path, line: Line, cameras: Sequence[str], slot: Path, seconds: float) -> Answer:
    """Tell a line that runs to look, and wait until it has taken a bundle or not.

    Args:
        cameras: whose bundle it is.
        slot: the bundle's folder.
        seconds: how long to wait at most.
    """
    process = runs(file, line)
    if process is None:
        return Answer(None)
    asked = status_of(file, line).get("asked")
    if (why := tell(process)) is not None:
        return Answer(process, False, {}, f"it can't be told: {why}; reload it, or start it again")
    until = time.monotonic() + seconds
    while True:
        found, whys = phases(file, line, cameras, slot, asked)
        if any(phase in ("refused", "back") for phase in found.values()):
            return Answer(process, False, found, "; ".join(dict.fromkeys(filter(None, whys))))
        if len(found) == len(cameras) and all(phase in TAKEN for phase in found.values()):
            return Answer(process, True, found)
        if runs(file, line) != process:
            return Answer(process, False, found, "it has ended meanwhile; its next start takes it")
        if time.monotonic() >= until:
            return Answer(process, None, found)
        time.sleep(_POLL)


def phases(
    file: Path, line: Line, cameras: Sequence[str], slot: Path, asked: object
) -> tuple[dict[str, str], list[str]]:
    """How far each camera is with this bundle, as the line shows it since it was asked."""
    status = status_of(file, line)
    if status.get("asked") in (asked, None):
        return {}, []
    found, whys = {}, []
    for shows in ("given_up", "cameras"):
        each = status.get(shows)
        if not isinstance(each, dict):
            continue
        for camera in cameras:
            of = each.get(camera)
            if isinstance(of, dict) and Path(str(of.get("to"))).name == slot.name:
                found[camera] = str(of.get("phase", ""))[:20]
                whys.append(str(of.get("why", ""))[:500])
    return found, whys


__all__ = ["TAKEN", "Answer", "bundle_at", "phases", "slots_for", "told"]
