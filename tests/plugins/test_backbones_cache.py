"""The cache of converted backbones: whole entries or none, whatever happens to it."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from edgead_plugins.backbones import cache


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path))
    return tmp_path / "backbones"


def test_where_it_is(monkeypatch, tmp_path):
    assert cache.place("key") == str(tmp_path / "backbones" / "key.kept")
    monkeypatch.delenv("EDGEAD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.place() == "/elsewhere/edgead/backbones"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.place() == "/home/someone/.cache/edgead/backbones"


def test_the_key_depends_on_every_fact_and_not_on_their_order():
    facts = {"network": "resnet18", "size": (256, 256), "maps": ["layer2"]}
    assert cache.key_of(facts) == cache.key_of(dict(reversed(facts.items())))
    others = [{**facts, "size": (256, 288)}, {**facts, "maps": ["layer3"]}, {**facts, "network": "resnet34"}]
    assert len({cache.key_of(each) for each in [facts, *others]}) == 4


@pytest.mark.parametrize("content", [b"", b"\n", b"model\nwith\nlines", bytes(range(256)) * 1000])
def test_what_is_stored_is_loaded(content):
    assert cache.load("key") is None
    cache.store("key", content)
    assert cache.load("key") == content
    cache.store("key", content[::-1])
    assert cache.load("key") == content[::-1]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "one bit", "longer", "another seal", "a folder"])
def test_a_damaged_entry_is_a_miss_that_is_written_anew(damage, own_folder, caplog):
    cache.store("key", b"a graph" * 100)
    entry = own_folder / "key.kept"
    whole = entry.read_bytes()
    if damage == "a folder":
        entry.unlink()
        entry.mkdir()
    else:
        flipped = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
        entry.write_bytes(
            {
                "truncated": whole[:-5],
                "emptied": b"",
                "one bit": flipped,
                "longer": whole + b"\0",
                "another seal": whole[:-80] + b"edgead-cache 3" + whole[-66:],
            }[damage]
        )
    with caplog.at_level(logging.WARNING):
        assert cache.load("key") is None
    assert "made again" in caplog.text
    if damage == "a folder":
        return
    cache.store("key", b"a graph" * 100)
    assert cache.load("key") == b"a graph" * 100


def test_a_folder_that_cannot_be_written_is_a_warning(own_folder, caplog):
    own_folder.write_text("a file is in the way")
    with caplog.at_level(logging.WARNING):
        cache.store("key", b"content")
    assert "is no folder: nothing is kept there" in caplog.text
    assert cache.load("key") is None


def test_a_failed_write_leaves_nothing_behind(own_folder, monkeypatch):
    cache.store("key", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    cache.store("key", b"new")
    assert cache.load("key") == b"old"
    assert [path.name for path in own_folder.iterdir()] == ["key.kept"]


WRITER = """
import sys
from edgead_plugins.backbones import cache
letter = sys.argv[1].encode()
for _ in range(60):
    cache.store("shared", letter * 200_000)
    content = cache.load("shared")
    assert content is not None and len(content) == 200_000 and len(set(content)) == 1, "a torn entry"
"""


def test_writers_at_once_never_show_a_torn_entry(own_folder):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, letter]) for letter in "ab"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert [path.name for path in own_folder.iterdir()] == ["shared.kept"]
