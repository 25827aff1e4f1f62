"""Slots: what is current is always whole, comes in checked and tried, and can be gone back from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead import Slots, errors
from edgead.bundle import Note, add_revision, read_bundle, write_bundle
from edgead.bundle.signing import Claim, sign_bundle
from edgead.cli import main
from edgead.manifest import Manifest, ReferenceRecord
from edgead.slots import folder as slots_folder
from edgead.slots import place as slots_place
from edgead.slots import settling, staging
from edgead.slots import slots as slots_module
from edgead.trust import demand
from edgead.trust.keys import make_keys
from edgead.trust.statement import SignedStatement
from edgead.undoing import put_back

GOLDEN = Path(__file__).parents[1] / "golden" / "v2.edgead"
ROOT = Path(edgead.__file__).parents[1]
FRAME = np.zeros((24, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def no_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (demand.KEYS, demand.LINE, demand.STATE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "slots")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_keys(tmp_path / "qa.key", tmp_path / "qa.pub")
    return tmp_path / "qa.key"


def revised(path: Path, score: float) -> Path:
    """A copy of the golden bundle with another threshold, so that it can be told from others."""
    shutil.copytree(GOLDEN, path)
    read = read_bundle(path)
    changed = replace(read.manifest.threshold, score=score, rule="given")
    add_revision(read, {"default": changed}, Note("someone", "because"))
    return path


def signed(path: Path, key: Path, serial: int, line: str = "L1") -> Path:
    shutil.copytree(GOLDEN, path)
    sign_bundle(path, key, Claim(serial, line))
    return path


def rewritten(path: Path, manifest: Manifest) -> Path:
    """The golden bundle's files with another manifest."""
    with write_bundle(path) as made:
        for file in manifest.files:
            (made.folder / file.path).parent.mkdir(exist_ok=True)
            shutil.copy(GOLDEN / file.path, made.folder / file.path)
        made.finish(manifest)
    return path


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if len(path.name) < 64)


def threshold(slots: Slots) -> float:
    return edgead.load(slots.folder / "current").threshold


# ---------------------------------------------------------------- in and back


def test_a_bundle_becomes_current_and_the_one_before_is_kept(slots: Slots, tmp_path: Path) -> None:
    assert slots.current() is None and slots.previous() is None
    first = slots.install(GOLDEN, good_after=0)
    assert (
        first.name == hashlib.sha256((GOLDEN / "manifest.json").read_bytes()).hexdigest()
        and first.state == "good"
    )
    assert edgead.load(slots.folder / "current")(FRAME).score == edgead.load(GOLDEN)(FRAME).score
    for score in (70.0, 60.0, 50.0):
        slots.install(revised(tmp_path / f"{score}.edgead", score), good_after=0)
        assert threshold(slots) == score
    assert slots.previous() is not None and edgead.load(slots.previous().path).threshold == 60.0
    assert listing(slots.folder) == [".lock", "current", "previous", "slots.json"]
    assert sum(path.is_dir() and not path.is_symlink() for path in slots.folder.iterdir()) == 2
    back = slots.rollback("worse")
    assert threshold(slots) == 60.0 and slots.current() == back and slots.previous() is None
    assert slots.went_back().why == "worse" and not os.path.lexists(slots.folder / "previous")
    with pytest.raises(errors.NoSlotError, match="no slot to go back to"):
        slots.rollback()
    assert threshold(slots) == 60.0


def test_what_lies_beside_the_bundle_comes_along_and_what_nobody_knows_does_not(
    slots: Slots, tmp_path: Path, key: Path
) -> None:
    path = revised(tmp_path / "a.edgead", 70.0)
    sign_bundle(path, key)
    (path / "signatures" / "note.txt").write_text("x")
    (path / ".DS_Store").write_text("x")
    slots.install(path)
    copy = slots.current().path
    names = {str(file.relative_to(copy)) for file in copy.rglob("*") if file.is_file()}
    wanted = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert names == wanted - {"signatures/note.txt", ".DS_Store"}
    assert all((copy / name).read_bytes() == (path / name).read_bytes() for name in names)


def test_the_same_bundle_is_not_installed_again_unless_its_slot_is_damaged(
    slots: Slots, tmp_path: Path
) -> None:
    slots.install(GOLDEN, good_after=0)
    slots.install(revised(tmp_path / "a.edgead", 70.0), good_after=0)
    now, before = slots.current(), slots.previous()
    assert slots.install(tmp_path / "a.edgead") == now and slots.previous() == before
    model = now.path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    mended = slots.install(tmp_path / "a.edgead", good_after=0)
    assert mended.name != now.name and threshold(slots) == 70.0


def test_what_was_decided_on_the_device_and_does_not_come_along_is_said(
    slots: Slots, tmp_path: Path, caplog
) -> None:
    slots.install(GOLDEN, good_after=0)
    slots.install(revised(tmp_path / "a.edgead", 70.0), good_after=0)
    assert "don't come along" not in caplog.text
    slots.install(GOLDEN, good_after=0)
    assert "revised thresholds of the bundle before it don't come along" in caplog.text
    slots.rollback()
    assert threshold(slots) == 70.0


def test_a_slot_that_was_damaged_is_not_gone_back_to(slots: Slots, tmp_path: Path) -> None:
    slots.install(GOLDEN, good_after=0)
    slots.install(revised(tmp_path / "a.edgead", 70.0), good_after=0)
    (slots.previous().path / "model.onnx").write_bytes(b"x")
    with pytest.raises(errors.BundleError):
        slots.rollback()
    assert threshold(slots) == 70.0


# ---------------------------------------------------------------- what doesn't get in


def test_what_is_refused_changes_nothing(slots: Slots, tmp_path: Path, monkeypatch) -> None:
    slots.install(GOLDEN, good_after=0)
    before = {path.name: path.readlink() if path.is_symlink() else "" for path in slots.folder.iterdir()}
    damaged = Path(shutil.copytree(GOLDEN, tmp_path / "damaged.edgead"))
    (damaged / "model.onnx").write_bytes((damaged / "model.onnx").read_bytes()[:-1] + b"x")
    manifest = read_bundle(GOLDEN).manifest
    wrong = replace(manifest.probes[0], score=50.0)  # which isn't what the graph gives
    odd = rewritten(tmp_path / "odd.edgead", replace(manifest, probes=(wrong,)))
    reference = ReferenceRecord({"fp32": manifest.model})
    fitted = rewritten(tmp_path / "fitted.edgead", replace(manifest, kind="reference", reference=reference))
    bare = rewritten(tmp_path / "bare.edgead", replace(manifest, probes=()))
    for path, error, why in (
        (damaged, errors.HashMismatchError, f"{damaged}: "),
        (odd, errors.SelfTestError, f"{odd}: .*other numbers"),
        (bare, errors.SelfTestError, "no images to test itself"),
        (fitted, errors.InputError, "export it"),
        (tmp_path / "none.edgead", errors.BundleNotFoundError, "no such bundle"),
    ):
        with pytest.raises(error, match=why):
            slots.install(path)
        after = {path.name: path.readlink() if path.is_symlink() else "" for path in slots.folder.iterdir()}
        assert after == before
    with pytest.raises(errors.UnknownNameError):
        slots.install(GOLDEN, engine="steam")
    for words in ({"good_after": -1}, {"most_starts": True}):
        with pytest.raises(errors.OptionError):
            slots.install(GOLDEN, **words)


def test_a_bundle_that_changes_after_the_look_is_judged_by_its_copy(
    slots: Slots, tmp_path: Path, monkeypatch
) -> None:
    path = Path(shutil.copytree(GOLDEN, tmp_path / "a.edgead"))
    real, model, seen = staging._write, path / "model.onnx", []

    def write(to: Path, name: str, content: bytes) -> None:
        seen.append(name)
        if name == "model.onnx":  # while it's on its way, and after its look
            content = content[:-1] + b"x"
        real(to, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(staging, "_write", write)
        with pytest.raises(errors.HashMismatchError, match=f"^{path}: "):
            slots.install(path)
    assert "model.onnx" in seen and slots.current() is None
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    with pytest.raises(errors.HashMismatchError, match=f"^{path}: "):
        slots.install(path)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "revisions/0001.json", "signatures/*.json"])
@pytest.mark.parametrize("how", ["grows", "link", "pipe"])
def test_no_more_of_a_file_is_copied_than_is_listed(
    name: str, how: str, slots: Slots, tmp_path: Path, key: Path, monkeypatch
) -> None:
    path = revised(tmp_path / "a.edgead", 70.0)
    sign_bundle(path, key)
    (file,) = path.glob(name)
    real_copy, real_write, written = staging._copy, staging._write, []

    def exchanged(bundle: object, to: Path) -> None:
        if how == "grows":
            os.truncate(file, 3 << 30)  # sparse
        else:
            file.replace(tmp_path / "elsewhere")
            _ = file.symlink_to(tmp_path / "elsewhere") if how == "link" else os.mkfifo(file)
        real_copy(bundle, to)  # type: ignore[arg-type]

    def write(to: Path, name: str, content: bytes) -> None:
        written.append(len(content))
        real_write(to, name, content)

    monkeypatch.setattr(staging, "_copy", exchanged)
    monkeypatch.setattr(staging, "_write", write)
    error = errors.FileSizeError if how == "grows" else errors.LinkError
    with pytest.raises(error, match=f"^{path}: "):
        slots.install(path)
    assert sum(written) < 1 << 20 and not slots.folder.exists()


def test_signatures_are_demanded_and_replays_refused(tmp_path: Path, key: Path, monkeypatch) -> None:
    slots = Slots(tmp_path / "slots", trust=key.with_suffix(".pub"))
    with pytest.raises(errors.UnsignedError):
        slots.install(GOLDEN)
    for serial in (4, 5):
        slots.install(signed(tmp_path / f"{serial}.edgead", key, serial), good_after=0)
    assert (slots.current().serial, slots.current().line, slots.previous().serial) == (5, "L1", 4)
    with pytest.raises(errors.ReplayedError, match="serial 4"):
        slots.install(tmp_path / "4.edgead")
    slots.rollback()  # the device's own decision
    assert slots.current().serial == 4
    with pytest.raises(errors.ReplayedError, match="serial 3"):
        slots.install(signed(tmp_path / "3.edgead", key, 3))
    slots.install(tmp_path / "5.edgead", good_after=0)  # and forward again
    assert slots.current().serial == 5
    monkeypatch.setenv(demand.KEYS, str(tmp_path / "other.pub"))
    make_keys(tmp_path / "other.key", tmp_path / "other.pub")
    with pytest.raises(errors.ForeignSignatureError):
        Slots(tmp_path / "slots").install(signed(tmp_path / "6.edgead", key, 6))
    with pytest.raises(errors.ForeignSignatureError):  # the key was taken from the device
        Slots(tmp_path / "slots").rollback()


def test_the_device_loads_what_it_went_back_to(tmp_path: Path, key: Path, monkeypatch) -> None:
    monkeypatch.setenv(demand.KEYS, str(key.with_suffix(".pub")))
    monkeypatch.setenv(demand.STATE, str(tmp_path / "accepted.json"))
    slots = Slots(tmp_path / "slots")
    for serial in (4, 5):
        slots.install(signed(tmp_path / f"{serial}.edgead", key, serial), good_after=0)
        edgead.load(slots.folder / "current")
    slots.rollback()
    assert edgead.load(slots.folder / "current").bundle.signed.statement.serial == 4
    with pytest.raises(errors.ReplayedError):
        edgead.load(signed(tmp_path / "3.edgead", key, 3))
    assert not (slots.folder / "serials.json").exists()


def other_bundle(path: Path) -> Path:
    """Another bundle than the golden one, not the same with something beside it."""
    manifest = read_bundle(GOLDEN).manifest
    return rewritten(path, replace(manifest, probes=manifest.probes[:1]))


def everything(folder: Path) -> dict[Path, object]:
    return {
        path.relative_to(folder): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("trusted", "what"), [(False, "other"), (True, "other"), (True, "same")])
def test_what_was_put_in_the_place_of_the_slot_before_is_not_gone_back_to(
    trusted: bool, what: str, again: bool, tmp_path: Path, key: Path, caplog
) -> None:
    older = other_bundle(tmp_path / "other.edgead")
    sign_bundle(older, key, Claim(3, "L1"))  # released once, and replaced for a reason
    older = older if what == "other" else signed(tmp_path / "same.edgead", key, 3)
    new = revised(tmp_path / "new.edgead", 70.0)
    sign_bundle(new, key, Claim(5, "L1"))
    slots = Slots(tmp_path / "slots", trust=key.with_suffix(".pub") if trusted else None)
    if again:  # so that the slot before is named with a number
        slots.install(signed(tmp_path / "2.edgead", key, 2), good_after=0)
    slots.install(signed(tmp_path / "4.edgead", key, 4), good_after=0)
    slots.install(new, most_starts=0)
    before = slots.previous().path
    assert (before.suffix == ".2") == again
    shutil.rmtree(before)
    shutil.copytree(older, before)
    seen = everything(slots.folder)
    with pytest.raises(errors.ForeignSlotError, match=f"^{before}: it holds another|^{before}: serial 4 was"):
        slots.rollback()
    assert everything(slots.folder) == seen
    slots.start()  # nor is it by itself
    assert "can't be gone back from" in caplog.text and slots.went_back() is None
    assert threshold(slots) == 70.0
    words = ["--trust", str(key.with_suffix(".pub"))] if trusted else []
    assert main(["rollback", "--slots", str(slots.folder), *words]) == 3


def test_an_exchanged_current_bundle_opens_no_way_under_the_number(tmp_path: Path, key: Path) -> None:
    slots = Slots(tmp_path / "slots", trust=key.with_suffix(".pub"))
    one, two, three = (signed(tmp_path / f"{serial}.edgead", key, serial) for serial in (1, 2, 3))
    slots.install(two, good_after=0)
    now = slots.current().path
    shutil.rmtree(now)
    shutil.copytree(one, now)
    slots.install(three, good_after=0)
    floors = json.loads((slots.folder / "serials.json").read_text())["lines"]["L1"]
    assert floors["serial"] == 3 and floors["back_to"] in (None, slots_digest(two))
    with pytest.raises(errors.ForeignSlotError):
        slots.rollback()
    with pytest.raises(errors.ReplayedError):
        slots.install(one)


def slots_digest(path: Path) -> str:
    (file,) = (path / "signatures").iterdir()
    return SignedStatement.from_bytes(file.read_bytes()).statement.digest


def test_a_slot_whose_signature_nobody_looked_at_gets_no_leave(tmp_path: Path, key: Path) -> None:
    public = key.with_suffix(".pub")
    Slots(tmp_path / "slots").install(signed(tmp_path / "1.edgead", key, 1), good_after=0)
    slots = Slots(tmp_path / "slots", trust=public)
    slots.install(signed(tmp_path / "2.edgead", key, 2), good_after=0)
    assert slots.previous().serial == 1  # it was looked at before it got the one to go back to
    state = json.loads((slots.folder / "slots.json").read_text())
    state["slots"][slots.previous().name]["signed"] = None
    (slots.folder / "slots.json").write_text(json.dumps(state))
    with pytest.raises(errors.ForeignSlotError, match="no signature was demanded"):
        slots.rollback()


def test_what_was_signed_in_its_slot_is_said_and_can_be_gone_back_to(
    tmp_path: Path, key: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv(demand.KEYS, str(key.with_suffix(".pub")))
    slots = Slots(tmp_path / "slots")
    slots.install(signed(tmp_path / "4.edgead", key, 4), good_after=0)
    assert main(["slots", "--slots", str(slots.folder)]) == 0
    assert "signed since" not in capsys.readouterr().err
    sign_bundle(slots.current().path, key, Claim(6, "L1"))
    assert main(["slots", "--slots", str(slots.folder)]) == 0
    assert "current bundle was signed since it was installed: it has serial 6" in capsys.readouterr().err
    assert main(["slots", "--slots", str(slots.folder), "--json"]) == 0
    codes = [notice["code"] for notice in json.loads(capsys.readouterr().out)["notices"]]
    assert codes == ["no-digest", "slot-signed-since"]
    edgead.load(slots.folder / "current")
    slots.install(signed(tmp_path / "7.edgead", key, 7), good_after=0)
    assert slots.previous().serial == 6
    assert slots.rollback().serial == 6 and edgead.load(slots.folder / "current").bundle.signed
    (slots.current().path / "model.onnx").unlink()
    assert main(["slots", "--slots", str(slots.folder)]) == 0
    assert "the current bundle can't be used: " in capsys.readouterr().err
    monkeypatch.delenv(demand.KEYS)
    now = slots.current().path
    shutil.rmtree(now)
    shutil.copytree(other_bundle(tmp_path / "other.edgead"), now)
    assert main(["slots", "--slots", str(slots.folder)]) == 0
    assert "holds another bundle than was installed" in capsys.readouterr().err


def test_a_line_whose_older_bundle_is_not_acceptable_any_more_goes_on(
    tmp_path: Path, key: Path, monkeypatch, caplog
) -> None:
    slots, image = Slots(tmp_path / "slots"), str(GOLDEN / "probes" / "000.png")
    new = revised(tmp_path / "2.edgead", 70.0)
    sign_bundle(new, key, Claim(2, "L1"))
    monkeypatch.setenv(demand.KEYS, str(key.with_suffix(".pub")))
    slots.install(signed(tmp_path / "1.edgead", key, 1), good_after=0)
    slots.install(new, most_starts=0)
    before = slots.previous().path
    whole = Path(shutil.copytree(before, tmp_path / "whole"))

    def damage() -> None:
        (before / "model.onnx").write_bytes(b"x")

    def revise() -> None:
        shutil.copytree(new / "revisions", before / "revisions")

    def expire() -> None:
        def over(said: object, now: object) -> None:
            if said.serial == 1:  # type: ignore[attr-defined]
                raise errors.ExpiredError("its signature expired")

        monkeypatch.setattr(demand, "_check_time", over)

    for break_it, why in ((damage, "model.onnx"), (revise, "its thresholds changed"), (expire, "expired")):
        break_it()
        caplog.clear()
        assert main(["run", str(slots.folder / "current"), image]) == 0
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        (told,) = [line for line in told if "stays current" in line]
        assert "can't be gone back from" in told and why in told and "edgead slots --good" in told
        assert threshold(slots) == 70.0 and slots.went_back() is None and slots.previous() is not None
        shutil.rmtree(before)
        shutil.copytree(whole, before)
    monkeypatch.undo()
    monkeypatch.setenv(demand.KEYS, str(key.with_suffix(".pub")))
    assert slots.start().serial == 1 and threshold(slots) == 100.0  # acceptable again


def test_a_bundle_whose_manifest_has_no_digest_is_installed_with_a_word(slots: Slots, capsys) -> None:
    for version, says in (("v2", True), ("v3", False)):
        path = str(GOLDEN.with_name(f"{version}.edgead"))
        words = ["install", path, "--slots", f"{slots.folder}-{version}"]
        assert main(words) == 0 and ("note: an older edgead" in capsys.readouterr().err) == says
        for more in ([*words, "--json"], ["slots", *words[2:], "--json"]):
            assert main(more) == 0
            notices = json.loads(capsys.readouterr().out)["notices"]
            assert [notice["code"] for notice in notices] == ["no-digest"] * says


# ---------------------------------------------------------------- on trial


def test_enough_frames_mark_a_slot_as_good(slots: Slots) -> None:
    slots.install(GOLDEN, good_after=3)
    slots.frame_judged(10)  # nobody started
    assert slots.start().state == "trial"
    for wanted in ("trial", "trial", "good", "good"):
        slots.frame_judged()
        assert slots.current().state == wanted
    assert slots.current().starts == 1 and slots.start().starts == 1


def test_a_slot_that_never_gets_good_is_left_by_itself(slots: Slots, tmp_path: Path, caplog) -> None:
    slots.install(GOLDEN, good_after=0)
    slots.install(revised(tmp_path / "a.edgead", 70.0), most_starts=2)
    for start in (1, 2):
        assert Slots(slots.folder).start().starts == start and threshold(slots) == 70.0
    with caplog.at_level(logging.WARNING):
        assert Slots(slots.folder).start().state == "good"
    assert threshold(slots) == 100.0
    assert "went back from" in caplog.text and "not marked good in 2 starts" in slots.went_back().why


def test_the_first_bundle_has_nothing_to_go_back_to_and_stays(slots: Slots, caplog) -> None:
    slots.install(GOLDEN, most_starts=1)
    for _ in range(3):
        slots.start()
    assert "nothing to go back to" in caplog.text and threshold(slots) == 100.0
    with pytest.raises(errors.NoSlotError, match="nothing is installed"):
        Slots(slots.folder.with_name("none")).start()


def test_a_bundle_on_trial_is_not_what_the_next_one_goes_back_to(slots: Slots, tmp_path: Path) -> None:
    slots.install(GOLDEN, good_after=0)
    slots.install(revised(tmp_path / "a.edgead", 70.0))
    slots.install(revised(tmp_path / "b.edgead", 60.0))
    slots.rollback()
    assert threshold(slots) == 100.0


def test_frames_of_a_bundle_that_was_replaced_meanwhile_mark_nothing(slots: Slots, tmp_path: Path) -> None:
    slots.install(GOLDEN, good_after=2)
    slots.start()
    slots.install(revised(tmp_path / "a.edgead", 70.0), good_after=2)
    slots.frame_judged(5)
    assert slots.current().state == "trial"


def test_run_counts_starts_and_frames(slots: Slots, tmp_path: Path, capsys) -> None:
    image = str(GOLDEN / "probes" / "000.png")
    current = str(slots.folder / "current")
    slots.install(GOLDEN, good_after=2)
    assert main(["run", current, image]) == 0 and slots.current().state == "trial"
    assert main(["run", current, image, image]) == 0 and slots.current().state == "good"
    slots.install(revised(tmp_path / "a.edgead", 70.0), most_starts=1)
    for wanted in (70.0, 100.0):
        capsys.readouterr()
        assert main(["run", current, image]) == 0
        assert json.loads(capsys.readouterr().out)["threshold"] == wanted


# ---------------------------------------------------------------- two at once, damage, kills


def test_two_installers_at_once_have_one_error_and_a_start_waits(slots: Slots, monkeypatch) -> None:
    slots.install(GOLDEN)
    held = os.open(slots.folder / ".lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    for call in (lambda: slots.install(GOLDEN), slots.rollback, slots.good):
        with pytest.raises(errors.SlotsBusyError, match="another process"):
            call()
    monkeypatch.setattr(slots_module, "WAIT_SECONDS", 0.1)
    with pytest.raises(errors.SlotsBusyError):
        slots.start()
    monkeypatch.setattr(slots_module, "WAIT_SECONDS", 30)
    started: list[str] = []
    thread = threading.Thread(target=lambda: started.append(slots.start().name))
    thread.start()
    os.close(held)
    thread.join(30)
    assert started == [slots.current().name]


def test_many_installers_at_once_leave_one_whole_bundle(slots: Slots, tmp_path: Path) -> None:
    paths = [revised(tmp_path / f"{score}.edgead", score) for score in (50.0, 60.0, 70.0)]
    slots.install(GOLDEN, good_after=0)
    found: list[object] = []

    def install(path: Path) -> None:
        try:
            found.append(Slots(slots.folder).install(path, good_after=0))
        except errors.SlotsBusyError as error:
            found.append(error)

    threads = [threading.Thread(target=install, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 3 and any(not isinstance(each, Exception) for each in found)
    assert threshold(slots) in (50.0, 60.0, 70.0)
    assert listing(slots.folder) == [".lock", "current", "previous", "slots.json"]


def test_damage_of_the_folder_is_said_and_an_install_mends_what_is_gone(slots: Slots, tmp_path: Path) -> None:
    slots.install(GOLDEN, good_after=0)
    state = slots.folder / "slots.json"
    good = state.read_text()
    for text in ("", "{}", "[]", good.replace('"trial"', '"x"').replace('"good"', '"x"'), good[:-5],
                 good.replace("format", "formal"), good.replace('"starts": 0', '"starts": -1')):  # fmt: skip
        state.write_text(text)
        for call in (slots.current, slots.good, lambda: slots.install(GOLDEN)):
            with pytest.raises(errors.SlotStateError, match=r"slots\.json"):
                call()
    state.unlink()  # as the message says
    assert slots.current().state == "good" and slots.previous() is None
    shutil.rmtree(slots.current().path)
    assert slots.current() is None
    slots.install(GOLDEN, good_after=0)
    assert threshold(slots) == 100.0
    current = slots.folder / "current"
    current.unlink()
    current.symlink_to("/etc")
    with pytest.raises(errors.SlotStateError, match="which is no slot"):
        slots.install(GOLDEN)
    current.unlink()
    current.mkdir()
    with pytest.raises(errors.SlotStateError, match="not a link"):
        slots.current()


def test_what_is_not_of_the_slots_stays(slots: Slots) -> None:
    slots.install(GOLDEN)
    for name in ("notes.txt", "a" * 64 + ".x", "b" * 63):
        (slots.folder / name).write_text("mine")
    (slots.folder / ("c" * 64)).mkdir()  # a slot's name that nothing leads to
    (slots.folder / ".current.partial-00").symlink_to("nowhere")
    (slots.folder / ".incoming.partial-00").mkdir()
    slots.good()
    names = {path.name for path in slots.folder.iterdir()}
    assert {"notes.txt", "a" * 64 + ".x", "b" * 63} <= names
    assert not names & {"c" * 64, ".current.partial-00", ".incoming.partial-00"}


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", Path("/proc/slots")):
        with pytest.raises(errors.OutputError):
            Slots(folder).install(GOLDEN)
    for folder in ("", 7):
        with pytest.raises(errors.OptionError):
            Slots(folder)  # type: ignore[arg-type]


def test_what_fails_after_the_new_slot_is_whole_is_undone(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = Slots(tmp_path / "deep" / "slots", trust=key.with_suffix(".pub"))
    with pytest.raises(errors.UnsignedError):
        slots.install(GOLDEN)
    assert not (tmp_path / "deep").exists()  # nor is a folder left that wasn't there
    bundles = [signed(tmp_path / f"{serial}.edgead", key, serial) for serial in (1, 2)]
    slots.install(bundles[0], good_after=0)
    for change, wanted in ((lambda: slots.install(bundles[1], good_after=0), 2), (slots.rollback, 1)):
        before = {
            path.relative_to(slots.folder): path.readlink() if path.is_symlink() else path.read_bytes()
            for path in slots.folder.rglob("*")
            if path.is_symlink() or path.is_file()
        }
        real, links = Path.replace, 0

        def fail(path: Path, to: Path) -> Path:
            if Path(to).name == "current":
                nonlocal links
                links += 1
                raise OSError(5, "the disk's own words")
            return real(path, to)  # noqa: B023

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", fail)
            with pytest.raises(errors.OutputError, match="the disk's own words"):
                change()
        after = {
            path.relative_to(slots.folder): path.readlink() if path.is_symlink() else path.read_bytes()
            for path in slots.folder.rglob("*")
            if path.is_symlink() or path.is_file()
        }
        assert links and after == before
        assert change().serial == wanted


def test_a_flip_that_cannot_be_undone_stands(slots: Slots, tmp_path: Path, monkeypatch, caplog) -> None:
    slots.install(GOLDEN, good_after=0)
    real, turned = Path.replace, []

    def once(path: Path, to: Path) -> Path:
        if Path(to).name == "current" and turned:
            raise OSError(5, "no second time")
        turned.extend([to] if Path(to).name == "current" else [])
        return real(path, to)

    real_sync = slots_folder.sync

    def sync(path: Path) -> None:
        if turned:
            raise OSError(5, "no sync")
        real_sync(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", once)
        patched.setattr(slots_folder, "sync", sync)
        slots.install(revised(tmp_path / "a.edgead", 70.0), good_after=0)
    assert "it can't be undone either" in caplog.text
    assert threshold(slots) == 70.0 and slots.current().state == "good" and slots.previous() is not None
    slots.rollback()
    assert threshold(slots) == 100.0


def test_going_back_works_on_a_disk_that_takes_no_byte(
    slots: Slots, tmp_path: Path, monkeypatch, caplog
) -> None:
    slots.install(GOLDEN, good_after=0)
    slots.install(revised(tmp_path / "a.edgead", 70.0), good_after=0)

    def full(*_: object) -> None:
        raise errors.OutputError("slots.json: can't be written (No space left on device)")

    with monkeypatch.context() as patched:
        for module in (slots_module, settling):
            patched.setattr(module, "write_state", full)
        slots.rollback("false alarms")
    assert threshold(slots) == 100.0 and "why it went back isn't kept" in caplog.text
    assert slots.went_back() is None and slots.good().state == "good"


def test_the_verbs(tmp_path: Path, key: Path, capsys) -> None:
    folder, public = str(tmp_path / "slots"), str(key.with_suffix(".pub"))
    for serial in (1, 2):
        bundle = str(signed(tmp_path / f"{serial}.edgead", key, serial))
        words = ["install", bundle, "--slots", folder, "--trust", public, "--line", "L1"]
        assert main([*words, "--good-after", "0", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["installed"] is True and told["current"]["serial"] == serial
    assert main([*words]) == 0 and "nothing was done" in capsys.readouterr().out
    assert main(["slots", "--slots", folder]) == 0 and "previous" in capsys.readouterr().out
    assert main(["rollback", "--slots", folder, "--trust", public, "--why", "a\nb"]) == 0
    assert main(["slots", "--slots", folder, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert told["went_back"]["why"] == "a b" and told["current"]["serial"] == 1 and told["previous"] is None
    assert main(["rollback", "--slots", folder]) == 2
    assert main(["install", str(GOLDEN), "--slots", folder, "--trust", public]) == 3
    assert main(["install", bundle, "--slots", folder, "--trust", public]) == 0
    assert "on trial" in capsys.readouterr().out
    assert main(["slots", "--slots", folder, "--good", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["current"]["state"] == "good"
    (tmp_path / "empty").mkdir()
    assert main(["slots", "--slots", str(tmp_path / "empty")]) == 0
    assert "nothing is" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_an_error_and_not_made(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("none", "none/deep", "file", "a" * 300):
        folder = tmp_path / name
        for words in (["rollback"], ["slots"], ["slots", "--json"], ["slots", "--good"]):
            assert main([*words, "--slots", str(folder)]) == 2
            told = capsys.readouterr()
            assert told.out == "" and told.err.startswith(f"error: {folder}: no such folder of slots")
        for call in (Slots(folder).rollback, Slots(folder).good, Slots(folder).start):
            with pytest.raises(errors.NoSlotError, match="no such folder of slots"):
                call()
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_empty_name_is_not_the_working_folder(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["install", str(GOLDEN)], ["rollback"], ["slots"]):
        assert main([*words, "--slots", ""]) == 2
        assert "it's empty; give a folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_refused_leaves_nothing_in_a_folder_that_holds_nothing(slots: Slots, tmp_path: Path) -> None:
    (tmp_path / "damaged.edgead").mkdir()
    for made in (False, True):
        if made:
            slots.folder.mkdir()
        for call in (lambda: slots.install(tmp_path / "damaged.edgead"), slots.rollback, slots.good):
            with pytest.raises(errors.EdgeadError):
                call()
        assert slots.folder.exists() == made and not (made and list(slots.folder.iterdir()))


# ---------------------------------------------------------------- a folder that isn't this user's alone


def test_a_folder_that_others_can_change_is_refused(
    slots: Slots, tmp_path: Path, monkeypatch, capsys
) -> None:
    slots.install(GOLDEN)
    calls = (slots.current, slots.previous, slots.went_back, slots.start, slots.good, slots.rollback,
             lambda: slots.install(GOLDEN))  # fmt: skip
    for place, mode in ((slots.folder, 0o777), (slots.folder, 0o775), (slots.folder, 0o1777),
                        (tmp_path, 0o777)):  # fmt: skip
        before = place.stat().st_mode
        place.chmod(mode)
        for call in calls:
            with pytest.raises(errors.SlotsRightsError, match=f"{place} can be written by others"):
                call()
        place.chmod(before)
    monkeypatch.setattr(slots_place, "why_not", lambda folder: f"{folder} belongs to another user")
    for call in calls:
        with pytest.raises(errors.SlotsRightsError, match="belongs to another user"):
            call()
    assert main(["slots", "--slots", str(slots.folder)]) == 3
    with pytest.raises(errors.SlotsRightsError):
        Slots(tmp_path / "new").install(GOLDEN)
    assert not (tmp_path / "new").exists()


def test_what_is_made_is_believed_whatever_the_umask(tmp_path: Path) -> None:
    slots, before = Slots(tmp_path / "deep" / "slots"), os.umask(0)
    try:
        slots.install(GOLDEN, good_after=0)
    finally:
        os.umask(before)
    made = [tmp_path / "deep", *(tmp_path / "deep").rglob("*")]
    state = slots.folder / "slots.json"
    assert not [path for path in made if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert slots.current().state == "good"
    before = os.umask(0)
    try:
        with pytest.raises(RuntimeError), put_back(state):  # nor does what is taken back
            state.unlink()
            raise RuntimeError
    finally:
        os.umask(before)
    assert state.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", [".lock", "slots.json", "serials.json"])
def test_no_file_of_the_folder_is_a_link_or_pipe(name: str, tmp_path: Path, key: Path) -> None:
    slots = Slots(tmp_path / "slots", trust=key.with_suffix(".pub"))
    slots.install(signed(tmp_path / "1.edgead", key, 1))
    file, elsewhere = slots.folder / name, tmp_path / "elsewhere"
    file.replace(elsewhere)
    before = elsewhere.read_bytes()
    error = errors.TrustStateError if name == "serials.json" else errors.SlotStateError
    for make in (lambda: os.mkfifo(file), lambda: file.symlink_to(elsewhere),
                 lambda: file.symlink_to(tmp_path / "nothing")):  # fmt: skip
        make()
        for call in (slots.good, slots.start, lambda: slots.install(GOLDEN)):
            with pytest.raises(error, match=f"{file}: a link or special file"):
                call()
        if name == "slots.json":
            assert main(["slots", "--slots", str(slots.folder)]) == 3
            assert main(["run", str(slots.folder / "current"), str(GOLDEN / "probes" / "000.png")]) == 3
        file.unlink()
    assert elsewhere.read_bytes() == before and not (tmp_path / "nothing").exists()
    elsewhere.replace(file)
    assert slots.good().state == "good"


@pytest.mark.parametrize("words", [["every", "5"], ["8", "3"]])
def test_killed_at_any_step_current_is_whole_and_judges(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "tests.core.kill_installer", str(tmp_path / "device"), *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    if words[0] == "every":
        assert seen["install old"] and seen["install new"] and seen["goback old"] and seen["goback new"]
    else:
        assert seen["kills"] == 8
