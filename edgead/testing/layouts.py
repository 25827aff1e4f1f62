"""Checks of a layout: what it leaves alone, and how it reads an example, where the user gives one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgead.errors import DatasetError
from edgead.leftovers import scratch_folder
from edgead.plugins import registry
from edgead.registry import Entry
from edgead.testing.check import CheckFailed, Skipped, require
from edgead.testing.protocols import require_members
from edgead.types import Layout, Split


@dataclass(frozen=True)
class Example:
    """A layout, and a folder of one category in it, or None."""

    entry: Entry
    folder: Path | None


def has_every_member(example: Example) -> None:
    """it has every member of a layout"""
    require_members(_layout(example), Layout)


def refines_what_is_registered(example: Example) -> None:
    """the layouts that it refines are registered"""
    for name in _layout(example).refines:
        registry().entry("layouts", name)


def leaves_other_folders_alone(example: Example) -> None:
    """it recognises neither an empty folder, nor one of plain images, nor one that isn't there"""
    with _unrelated_folders() as folders:
        for what, folder in folders.items():
            require(_layout(example).recognises(folder) is False, f"it recognises {what}: {folder.name}")


def recognises_its_example(example: Example) -> None:
    """it recognises the example folder, by True"""
    require(_layout(example).recognises(_folder(example)) is True, f"it doesn't recognise {example.folder}")


def reads_its_example(example: Example) -> None:
    """it lists images that exist, each once, good ones to learn from, masks beside the defective"""
    split = _read(example)
    require(split.test, f"{example.folder}: it lists no test image")
    images = [*split.train, *split.validation, *(sample.image for sample in split.test)]
    files = [*images, *(mask for sample in split.test for mask in sample.masks)]
    absent = [str(path) for path in files if not path.is_file()]
    require(not absent, f"it lists files that aren't there: {', '.join(absent[:3])}")
    require(len(set(images)) == len(images), "it lists an image twice, in training and test perhaps")
    require(
        not any(sample.is_good and sample.masks for sample in split.test), "it gives masks to good images"
    )


def reads_the_same_twice(example: Example) -> None:
    """read again, the list is the same, in the same order"""
    require(_read(example) == _read(example), "two readings differ: sort what the folder lists")


def refuses_a_missing_part(example: Example) -> None:
    """reading a folder that isn't there is a DatasetError"""
    try:
        _layout(example).read(Path("/nowhere/edgead"))
    except DatasetError:
        return
    except Exception as error:
        raise CheckFailed(f"a missing folder raises {type(error).__name__}: raise DatasetError") from error


def _layout(example: Example) -> Any:
    return registry().get("layouts", example.entry.name)()


def _folder(example: Example) -> Path:
    if example.folder is None:
        raise Skipped("no example is given: --folder FOLDER, or folders={'NAME': FOLDER} in a test")
    return example.folder


def _read(example: Example) -> Split:
    found = _layout(example).read(_folder(example))
    require(isinstance(found, Split), f"read() returns {type(found).__name__}, not edgead.types.Split")
    assert isinstance(found, Split)
    return found


@contextmanager
def _unrelated_folders() -> Iterator[dict[str, Path]]:
    with scratch_folder() as folder:
        empty, plain = folder / "empty", folder / "holiday"
        empty.mkdir()
        plain.mkdir()
        (plain / "beach.jpg").touch()
        yield {
            "an empty folder": empty,
            "a folder of one image": plain,
            "a missing folder": folder / "missing",
        }


CHECKS = (
    has_every_member,
    refines_what_is_registered,
    leaves_other_folders_alone,
    recognises_its_example,
    reads_its_example,
    reads_the_same_twice,
    refuses_a_missing_part,
)
