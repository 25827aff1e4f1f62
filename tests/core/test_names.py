"""Names that aren't text, and names that are alike."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgead.names import image_names, shown, told_apart


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"caf\xe9.png", r"caf\xe9.png"),
        ("café 5°.png".encode(), "café 5°.png"),
        ("部品/😀.png".encode(), "部品/😀.png"),
        (b"\xff\xfe/ok\xc3", r"\xff\xfe/ok\xc3"),
        (b"a\x1b[2Jb\nc\x7f", r"a\x1b[2Jb\x0ac\x7f"),
        ("a\u00a0b\u200dc".encode(), "a\u00a0b\u200dc"),
        (b"plain name.png", "plain name.png"),
    ],
)
def test_a_name_is_shown_so_that_it_can_be_written(name: bytes, text: str) -> None:
    assert shown(os.fsdecode(name)) == shown(Path(os.fsdecode(name))) == text
    text.encode("utf-8")
    assert json.loads(json.dumps(shown(os.fsdecode(name)), ensure_ascii=False)) == text


def test_a_surrogate_that_stands_for_no_byte_is_shown_too() -> None:
    assert shown("a\ud800b") == r"a\ud800b"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([], []),
        (["/d/a/product", "/d/b/product"], ["a/product", "b/product"]),
        (["/d/a/product", "/d/b/product", "/d/a/nut"], ["a/product", "b/product", "nut"]),
        (["/1/a/p/x", "/2/a/p/x", "/1/b/p/x"], ["1/a/p/x", "2/a/p/x", "b/p/x"]),
        (["/d/nut", "/d/nut"], ["nut", "nut"]),
        (["/p", "/a/p"], ["/p", "a/p"]),
        (["p", "a/p"], ["p", "a/p"]),
        (["/", "/a"], ["/", "a"]),
    ],
)
def test_paths_are_told_apart_by_as_little_as_will_do(paths: list[str], names: list[str]) -> None:
    assert told_apart(paths) == names
    assert len(set(names)) == len(set(paths))


@pytest.mark.parametrize("place", ["/data", "/x/1.png/data"])
def test_images_have_the_same_names_in_another_place_and_none_goes_above_their_folder(place: str) -> None:
    inside = ("a/x/1.png", "a/1.png", "b/1.png", "b/2.png", "b/caf\udce9.png")
    names = image_names([Path(place, name) for name in inside])
    assert list(names.values()) == ["x/1.png", "a/1.png", "b/1.png", "2.png", "caf\\xe9.png"]
    assert list(image_names([Path("/a/x/1.png"), Path("/a/x/a/x/1.png")]).values()) == ["1.png", "x/1.png"]
    assert list(image_names([Path("one/1.png"), Path("two/../one/2.png")]).values()) == ["1.png", "2.png"]
