"""Revisions: the newest is in force, whatever is broken is an error, and no writer loses another's."""

from __future__ import annotations

import calendar
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import edgead
from edgead import adding, leftovers
from edgead.bundle import Note, Revision, add_revision, read_bundle, restore, revising, write_bundle
from edgead.bundle.listing import MAX_REVISION_BYTES, MAX_REVISIONS
from edgead.bundle.revisions import LONGEST_REASON
from edgead.cli import main
from edgead.errors import (
    BundleError,
    ExtraFileError,
    FileSizeError,
    InputError,
    LinkError,
    ManifestError,
    OptionError,
    OutputError,
    RevisionChainError,
    RevisionDigestError,
    RevisionError,
    RevisionFieldError,
    RevisionGapError,
)
from edgead.manifest import ThresholdRecord
from tests.sealed import change_manifest

GOLDEN = Path(__file__).parents[1] / "golden"
ROOT = Path(__file__).parents[2]
NOTE = Note("anna", "too many escapes", {"good": {"images": 12}})


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN / "v2.edgead", tmp_path / "part.edgead")


def revise(path: Path, score: float, product: str = "default", note: Note = NOTE) -> edgead.Bundle:
    read = read_bundle(path)
    return add_revision(read, {product: replace(read.manifest.threshold, score=score)}, note)


def scores(path: Path) -> dict[str, float]:
    return {name: each.score for name, each in read_bundle(path).manifest.thresholds.items()}


def file(path: Path, number: int) -> Path:
    return path / "revisions" / f"{number:04d}.json"


def refused(path: Path, kind: type[BundleError]) -> str:
    with pytest.raises(kind) as caught:
        read_bundle(path)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- what holds


def test_the_newest_is_in_force_and_the_bundle_stays_as_it_was(bundle: Path) -> None:
    before = {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    exported = read_bundle(bundle)
    assert exported.revision is None and exported.revisions == ()
    revise(bundle, 5.0)
    now = revise(bundle, 7.0, "nut")
    assert now == read_bundle(bundle)
    assert scores(bundle) == {"default": 5.0, "bolt-M8": 110.0, "nut": 7.0}
    assert replace(now.manifest, thresholds={}) == replace(exported.manifest, thresholds={})
    assert all(p.read_bytes() == content for p, content in before.items())
    assert now.unchecked == () and [r.number for r in now.revisions] == [1, 2]
    assert now.revision is not None
    assert (now.revision.by, now.revision.why, now.revision.source) == (NOTE.by, NOTE.why, NOTE.source)
    made = calendar.timegm(time.strptime(now.revision.when, "%Y-%m-%dT%H:%M:%SZ"))
    assert abs(time.time() - made) < 60


def test_the_chain_is_of_plain_digests(bundle: Path) -> None:
    """What docs/bundle-format.md says, done by hand."""
    revise(bundle, 5.0)
    revise(bundle, 7.0)
    parent = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    for number in (1, 2):
        value = json.loads(file(bundle, number).read_text())
        assert value["parent"] == parent and value["number"] == number and value["format"] == 1
        digest = value.pop("digest")
        plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert digest == hashlib.sha256(plain).hexdigest()
        parent = digest


def test_undo_goes_back_one_by_one_and_keeps_the_chain(bundle: Path) -> None:
    for score in (1.0, 2.0, 3.0):
        revise(bundle, score)
    found = []
    for _ in range(3):
        found.append(restore(read_bundle(bundle), NOTE).manifest.threshold.score)
    assert found == [2.0, 1.0, 100.0]
    with pytest.raises(InputError, match="nothing to undo"):
        restore(read_bundle(bundle), NOTE)
    assert len(read_bundle(bundle).revisions) == 6
    again = restore(read_bundle(bundle), NOTE, 3)  # and forward
    assert again.manifest.threshold.score == 3.0
    assert restore(again, NOTE).manifest.threshold.score == 2.0  # what was before the third
    assert restore(read_bundle(bundle), NOTE, 0).manifest == edgead.read_bundle(GOLDEN / "v2.edgead").manifest
    for number in (-1, 10):
        with pytest.raises(InputError, match="no revision"):
            restore(read_bundle(bundle), NOTE, number)


def test_an_undo_removes_a_product_that_came_with_it(bundle: Path) -> None:
    revise(bundle, 7.0, "nut")
    assert "nut" not in restore(read_bundle(bundle), NOTE).manifest.thresholds


def test_who_is_the_login_name_where_nobody_says(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import getpass

    assert Note().by == getpass.getuser()

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert Note().by
    assert Note("  a\tb ", "one\ntwo\x1b\udce9").by == "a b"
    assert Note("a", "one\ntwo\x1b\udce9").why == "one two\\x1b\\xe9"
    for words in ({"by": "x" * 201}, {"why": "x" * (LONGEST_REASON + 1)}):
        with pytest.raises(OptionError):
            Note(**words)


def test_everybody_is_told(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    revise(bundle, 5.0)
    wanted = r"the threshold was revised 2\d{3}-\S+Z by anna \(revision 1\): too many escapes"
    assert re.search(wanted, repr(read_bundle(bundle))) and "\n" not in repr(read_bundle(bundle))
    assert re.search(wanted, repr(edgead.verify(bundle)))
    assert [str(n) for n in read_bundle(bundle).notices if re.fullmatch(wanted, str(n))]
    for verb in ("inspect", "verify"):
        assert main([verb, str(bundle)]) == 0
        assert re.search(wanted, " ".join(capsys.readouterr().out.split()))
        assert main([verb, str(bundle), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        record = (told[0] if verb == "verify" else told)["revision"]
        assert record["by"] == "anna" and re.fullmatch(wanted, record["text"])
    restore(read_bundle(bundle), Note("bert"))
    assert "set back to the exported one" in repr(read_bundle(bundle)) and "by bert" in repr(
        read_bundle(bundle)
    )


def test_inspect_has_both_thresholds_in_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    revise(bundle, 5.0)
    assert main(["inspect", str(bundle), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["thresholds"]["default"]["score"] == 5.0
    assert told["exported_thresholds"]["default"]["score"] == 100.0


# ---------------------------------------------------------------- what is broken


def test_every_flipped_bit_is_an_error(bundle: Path) -> None:
    content = file(revise(bundle, 5.0).path, 1).read_bytes()
    Revision.from_bytes(content)
    kinds = set()
    for index in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[index] ^= 1 << bit
            with pytest.raises(RevisionError) as caught:
                Revision.from_bytes(bytes(flipped))
            kinds.add(type(caught.value))
    assert kinds == {RevisionFieldError, RevisionDigestError}


def edited(path: Path, number: int, change: Callable[[dict[str, Any]], None], sealed: bool = True) -> None:
    """A revision that somebody wrote by hand, with a digest that fits."""
    value = json.loads(file(path, number).read_text())
    change(value)
    if sealed:
        rest = {name: each for name, each in value.items() if name != "digest"}
        plain = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        value["digest"] = hashlib.sha256(plain).hexdigest()
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    file(path, number).write_text(text, encoding="utf-8")


def default(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["thresholds"]["default"].update(changes)


FIELDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unknown": lambda v: v.update(x=1),
    "missing": lambda v: v.pop("by"),
    "wrong type": lambda v: v.update(why=3),
    "no number": default(score=None),
    "not finite": default(score=1e999),
    "unknown in a threshold": default(x=1),
    "a rate out of range": default(upper_rate=1.5),
    "no default": lambda v: v["thresholds"].pop("default"),
    "an odd product": lambda v: v["thresholds"].update({"../x": v["thresholds"]["default"]}),
    "a time that's none": lambda v: v.update(when="yesterday"),
    "nobody": lambda v: v.update(by=""),
    "a long reason": lambda v: v.update(why="x" * (LONGEST_REASON + 1)),
    "a later format": lambda v: v.update(format=2),
    "restores itself": lambda v: v.update(restores=1),
    "number 0": lambda v: v.update(number=0),
}


@pytest.mark.parametrize("change", FIELDS.values(), ids=FIELDS)
def test_a_field_is_named(change: Callable[[dict[str, Any]], None], bundle: Path) -> None:
    revise(bundle, 5.0)
    edited(bundle, 1, change)
    assert "0001.json" in refused(bundle, RevisionFieldError)


def test_a_hand_that_seals_changes_the_threshold(bundle: Path) -> None:
    """The digest tells damage, no more: what is edited by hand and sealed is a revision."""
    revise(bundle, 5.0)
    edited(bundle, 1, default(score=6.0))
    assert scores(bundle)["default"] == 6.0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": 1, "a": 2}', "\udce9", '{"a":' * 5000])
def test_no_json(text: str, bundle: Path) -> None:
    revise(bundle, 5.0)
    file(bundle, 1).write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(bundle, RevisionFieldError)


def test_the_same_values_written_otherwise_are_refused(bundle: Path) -> None:
    content = file(revise(bundle, 5.0).path, 1).read_text()
    for other in (json.dumps(json.loads(content)), content + "\n", content.replace("5.0", "5")):
        assert other != content
        file(bundle, 1).write_text(other)
        assert "isn't written as edgead writes it" in refused(bundle, RevisionFieldError)


def test_what_was_changed_is_told_from_what_is_missing(bundle: Path) -> None:
    for score in (1.0, 2.0, 3.0):
        revise(bundle, score)
    edited(bundle, 2, default(score=9.0), sealed=False)
    assert "'revisions/0002.json': it was changed" in refused(bundle, RevisionDigestError)
    file(bundle, 2).unlink()
    assert "0002.json' is missing" in refused(bundle, RevisionGapError)
    shutil.copy(file(bundle, 3), file(bundle, 2))
    assert "0002.json" in refused(bundle, RevisionGapError)  # it's revision 3
    for number in (2, 3):
        file(bundle, number).unlink()
    assert scores(bundle)["default"] == 1.0


def test_one_that_follows_another_is_none_of_these(bundle: Path) -> None:
    revise(bundle, 1.0)
    revise(bundle, 2.0)
    edited(bundle, 1, default(score=9.0))  # sealed, so that only the second shows it
    assert "0002.json" in refused(bundle, RevisionChainError)


def test_another_bundles_revisions(bundle: Path, tmp_path: Path) -> None:
    revise(bundle, 5.0)
    other = shutil.copytree(GOLDEN / "v2.edgead", tmp_path / "other.edgead")
    change_manifest(other, lambda value: value["thresholds"]["default"].update(score=101.0))
    assert scores(other)["default"] == 101.0
    shutil.copytree(bundle / "revisions", other / "revisions")
    assert "of another bundle" in refused(other, RevisionChainError)


def test_too_large_and_too_many(bundle: Path) -> None:
    revise(bundle, 5.0)
    with file(bundle, 1).open("ab") as stream:
        stream.truncate(MAX_REVISION_BYTES + 1)
    assert "0001.json" in refused(bundle, FileSizeError)
    file(bundle, 1).unlink()
    for number in range(1, MAX_REVISIONS + 2):
        file(bundle, number).touch()
    assert str(MAX_REVISIONS) in refused(bundle, FileSizeError)


@pytest.mark.parametrize("name", ["x.json", "1.json", "0001.txt", ".hidden", "00001.json", ".0002.json"])
def test_nothing_else_lies_there(name: str, bundle: Path) -> None:
    revise(bundle, 5.0)
    (bundle / "revisions" / name).touch()
    assert name in refused(bundle, ExtraFileError)


def test_links_folders_and_a_file_of_that_name(bundle: Path, tmp_path: Path) -> None:
    (bundle / "revisions").touch()
    refused(bundle, ExtraFileError)
    (bundle / "revisions").unlink()
    (bundle / "revisions" / "0001.json").mkdir(parents=True)
    refused(bundle, ExtraFileError)
    (bundle / "revisions" / "0001.json").rmdir()
    assert read_bundle(bundle).revision is None  # an empty folder is none
    (tmp_path / "x").write_text("{}")
    (bundle / "revisions" / "0001.json").symlink_to(tmp_path / "x")
    refused(bundle, LinkError)


def test_a_listed_file_may_not_lie_there(bundle: Path) -> None:
    file = {"path": "revisions/0001.json", "bytes": 0, "sha256": "0" * 64}
    change_manifest(bundle, lambda value: value["files"].append(file))
    refused(bundle, ManifestError)


def test_the_first_format_has_none(tmp_path: Path) -> None:
    old = shutil.copytree(GOLDEN / "v1.edgead", tmp_path / "old.edgead")
    with pytest.raises(InputError, match="format 1 has no revisions"):
        revise(old, 5.0)
    (old / "revisions").mkdir()
    (old / "revisions" / "0001.json").touch()
    refused(old, ExtraFileError)


def test_a_bundle_with_revisions_is_not_replaced(bundle: Path) -> None:
    revise(bundle, 5.0)
    manifest = read_bundle(GOLDEN / "v1.edgead").manifest
    with pytest.raises(OutputError, match="revised"), write_bundle(bundle) as staging:
        (staging.folder / "model.onnx").write_bytes(b"m")
        staging.finish(manifest)
    assert scores(bundle)["default"] == 5.0
    shutil.rmtree(bundle / "revisions")
    with write_bundle(bundle) as staging:
        (staging.folder / "model.onnx").write_bytes(b"m")
        staging.finish(manifest)


# ---------------------------------------------------------------- writing


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: hundreds of fsyncs to a disk take a minute."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("stride", "how"), [(5, "links"), (11, "no links")])
def test_kill_9_at_any_step_leaves_the_old_or_the_new_one(quick_folder: Path, stride: int, how: str) -> None:
    if how == "no links" and not sys.platform.startswith("linux"):
        pytest.skip("a rename that replaces nothing is Linux's")
    command = [sys.executable, str(Path(__file__).with_name("kill_reviser.py"))]
    done = subprocess.run(
        [*command, str(quick_folder / "x.edgead"), str(stride), how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    # The kills must have met every stage, or the test proves nothing.
    assert seen["steps"] > 200 and seen["old"] and seen["new"] > 1


def revise_often(path: Path, product: str) -> None:
    for i in range(20):
        revise(path, float(i + 1), product)


def test_of_writers_at_once_none_is_lost(bundle: Path) -> None:
    context = get_context("spawn")
    names = ("a", "b", "c")
    writers = [context.Process(target=revise_often, args=(bundle, name)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = read_bundle(bundle)
    assert len(found.revisions) == 60
    assert {name: found.manifest.thresholds[name].score for name in names} == dict.fromkeys(names, 20.0)
    for name in names:  # each in its order, beside the others
        seen = [r.thresholds[name].score for r in found.revisions if name in r.thresholds]
        assert seen == sorted(seen) and set(seen) == set(range(1, 21))


def test_an_undo_of_what_somebody_revised_meanwhile_fails_plainly(bundle: Path) -> None:
    seen = revise(bundle, 5.0)
    revise(bundle, 7.0)
    with pytest.raises(OutputError, match="meanwhile"):
        restore(seen, NOTE)
    assert scores(bundle)["default"] == 7.0


def test_of_two_undoing_at_once_one_fails_plainly(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = revise(bundle, 5.0)
    write = adding.add_file

    def late(path: Path, data: bytes) -> bool:
        monkeypatch.setattr(revising, "add_file", write)
        restore(seen, Note("the other"))
        return write(path, data)

    monkeypatch.setattr(revising, "add_file", late)
    with pytest.raises(OutputError, match="meanwhile"):
        restore(seen, NOTE)
    assert [r.by for r in read_bundle(bundle).revisions] == ["anna", "the other"]


def test_a_revision_of_a_bundle_that_was_replaced_is_not_written(bundle: Path) -> None:
    seen = read_bundle(bundle)
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    assert text != (bundle / "manifest.json").read_text()
    with pytest.raises(OutputError, match="another bundle"):
        add_revision(seen, {}, NOTE)
    assert not (bundle / "revisions").exists()


def test_a_full_disk_leaves_the_old_one(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revise(bundle, 5.0)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*_: object, **__: object) -> None:
        raise full

    for module, name in ((os, "fsync"), (os, "link"), (adding, "sync"), (os, "open"), (Path, "mkdir")):
        before = sorted((bundle / "revisions").iterdir())
        seen = read_bundle(bundle)
        with monkeypatch.context() as patch, pytest.raises((OutputError, BundleError)) as caught:
            patch.setattr(revising, "read_bundle", lambda *_, seen=seen, **__: seen)
            patch.setattr(module, name, fail)
            add_revision(seen, {"default": replace(seen.manifest.threshold, score=7.0)}, NOTE)
        assert "No space left on device" in str(caught.value) and "\n" not in str(caught.value)
        assert sorted((bundle / "revisions").iterdir()) == before
    read_bundle(bundle)


def test_an_interrupt_leaves_nothing_behind(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = read_bundle(bundle)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    monkeypatch.setattr(adding, "sync", lambda path: None)
    with pytest.raises(KeyboardInterrupt):
        add_revision(seen, {"default": seen.manifest.threshold}, NOTE)
    assert not (bundle / "revisions").exists()
    assert read_bundle(bundle) == seen


def test_a_killed_writers_leftover_is_overlooked_and_removed(bundle: Path) -> None:
    revise(bundle, 5.0)
    left, held = (bundle / "revisions" / f".0002.json.partial-{digit * 12}" for digit in "ab")
    for each in (left, held):
        each.write_bytes(b"half")
    lock = leftovers.lock(held)  # as its writer holds it
    assert scores(bundle)["default"] == 5.0
    revise(bundle, 7.0)
    assert not left.exists() and held.exists() and scores(bundle)["default"] == 7.0
    leftovers.unlock(lock)
    revise(bundle, 8.0)
    assert not held.exists() and scores(bundle)["default"] == 8.0


def test_as_many_as_there_may_be(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revise(bundle, 5.0)
    monkeypatch.setattr(revising, "MAX_REVISIONS", 1)
    with pytest.raises(InputError, match="the most"):
        revise(bundle, 7.0)
    monkeypatch.setattr(revising, "MAX_REVISIONS", 5)
    with pytest.raises(InputError, match="bytes"):
        revise(bundle, 7.0, note=Note("a", "", {"x": "y" * MAX_REVISION_BYTES}))
    for odd in ({"x": float("nan")}, {"x": object()}, {"x": 1 << 70}):
        with pytest.raises(RevisionFieldError):
            revise(bundle, 7.0, note=Note("a", "", odd))
    assert len(read_bundle(bundle).revisions) == 1


def test_a_threshold_record_says_what_it_knows() -> None:
    known = ThresholdRecord(1.0, 1.0, "recall", 0.01, 50, "images", 50, 0.04, 0.09)
    assert known.notice().code == "rate-of-images" and known.how().code == "rule-recall"
    unknown = replace(known, expected_rate=0.0, upper_rate=1.0)
    assert unknown.notice().code == "rate-recall"
    assert replace(unknown, rule="given").notice().code == "rate-given"
    assert replace(unknown, expected_rate=1.0).notice().code == "rate-all-over"
    assert "50 good images were judged, and all are over" in str(replace(unknown, expected_rate=1.0).notice())


def test_no_flipped_bit_of_a_revision_is_accepted(bundle: Path) -> None:
    revise(bundle, 5.0)
    revise(bundle, 6.0)
    for number in (1, 2):
        content, accepted = file(bundle, number).read_bytes(), []
        for bit in range(8 * len(content)):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            try:
                Revision.from_bytes(bytes(damaged))
                accepted.append(bit)
            except RevisionError:
                pass
        assert accepted == []
        file(bundle, number).write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        with pytest.raises(RevisionError):
            read_bundle(bundle)
        file(bundle, number).write_bytes(content)
    assert scores(bundle)["default"] == 6.0
