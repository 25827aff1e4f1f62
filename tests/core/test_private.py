"""What trust rests on, keys and numbers, is believed only where nobody but root and this user may write."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgead.cli import main
from edgead.errors import KeyFileError, OutputError, TrustStateError
from edgead.private import why_not
from edgead.trust import Trust, floors
from edgead.trust.keys import make_keys, read_public

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other rights")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away"
)
STRANGER = 12345
MARK = floors.Mark("L1", 5, "digest")


def allow_back(file: Path, said: floors.Mark) -> None:
    with floors.allowed_back(file, said):
        pass


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """outer/inner/qa.pub and outer/inner/serials.json, which are believed."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True, mode=0o755)
    make_keys(inner / "qa.key", inner / "qa.pub")
    floors.raise_floor(inner / "serials.json", MARK)
    believed(inner)
    return inner


def believed(inner: Path) -> None:
    assert why_not(inner / "qa.pub") is why_not(inner) is why_not(inner / "serials.json") is None
    assert read_public([inner / "qa.pub"]) == read_public([inner])
    floors.check_floor(inner / "serials.json", MARK)


def refused(inner: Path, why: str, keys: bool = True, state: bool = True) -> None:
    """By all that reads the files of this folder, in one line."""
    told = []
    if keys:
        for path in (inner / "qa.pub", inner):
            with pytest.raises(KeyFileError) as key_error:
                Trust(path)
            told.append(str(key_error.value))
    if state:
        for act in (floors.check_floor, floors.raise_floor, allow_back):
            with pytest.raises(TrustStateError) as state_error:
                act(inner / "serials.json", MARK)
            told.append(str(state_error.value))
    for text in told:
        assert why in text and "\n" not in text


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o722])
@pytest.mark.parametrize("which", [".", "outer", "outer/inner"])
def test_a_folder_that_others_can_write_is_refused(place: Path, tmp_path: Path, mode: int, which) -> None:
    folder = tmp_path / which
    folder.chmod(mode)
    refused(place, f"{folder} can be written by others (chmod go-w {folder})")
    folder.chmod(mode & ~0o022)  # the remedy
    believed(place)


@pytest.mark.parametrize("mode", [0o664, 0o666, 0o646, 0o1666])
def test_a_file_that_others_can_write_is_refused(place: Path, mode: int) -> None:
    for name, what in (("qa.pub", {"state": False}), ("serials.json", {"keys": False})):
        (place / name).chmod(mode)
        refused(place, f"{place / name} can be written by others (chmod go-w {place / name})", **what)
        (place / name).chmod(0o644)
    believed(place)


def test_one_above_may_be_open_to_all_where_it_is_sticky(place: Path) -> None:
    place.parent.chmod(0o1777)
    believed(place)
    place.chmod(0o1777)  # anybody could put another key into this one; no file in it can be exchanged
    with pytest.raises(KeyFileError, match="can be written by others"):
        read_public([place])
    assert read_public([place / "qa.pub"])


@as_root
@pytest.mark.parametrize("which", [".", "outer", "outer/inner"])
def test_another_user_s_folder_is_refused(place: Path, tmp_path: Path, which: str) -> None:
    os.chown(tmp_path / which, STRANGER, 0)
    refused(place, f"{tmp_path / which} belongs to another user (chown 0 {tmp_path / which})")
    os.chown(tmp_path / which, 0, STRANGER)  # whose group it is doesn't matter where that can't write
    believed(place)


@as_root
def test_another_user_s_file_is_refused(place: Path) -> None:
    for name, what in (("qa.pub", {"state": False}), ("serials.json", {"keys": False})):
        os.chown(place / name, STRANGER, STRANGER)
        refused(place, f"{place / name} belongs to another user", **what)
        os.chown(place / name, 0, 0)
    believed(place)


@as_root
def test_root_s_files_are_believed_by_others_and_a_third_user_s_are_not(place: Path, tmp_path: Path) -> None:
    """A child that has become another user asks; the folders above are root's, and open to look at."""
    folder = Path("/var/tmp") / f"edgead-private-{os.getpid()}"
    folder.mkdir(mode=0o755)
    program = (
        "import os, sys; from pathlib import Path; from edgead.private import why_not\n"
        "os.setuid(int(sys.argv[1])); print(why_not(Path(sys.argv[2])))"
    )
    try:
        (folder / "qa.pub").write_text("")
        (folder / "qa.pub").chmod(0o644)
        for owner, who, why in (
            (0, STRANGER, "None"),
            (STRANGER, STRANGER, "None"),
            (STRANGER, STRANGER + 1, "belongs to another user"),
        ):
            os.chown(folder / "qa.pub", owner, owner)
            words = [sys.executable, "-c", program, str(who), str(folder / "qa.pub")]
            done = subprocess.run(words, capture_output=True, text=True)
            assert why in done.stdout, done.stderr
    finally:
        shutil.rmtree(folder)


def test_links_are_followed_and_what_they_lead_through_counts(place: Path, tmp_path: Path) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    links = tmp_path / "links"
    links.mkdir()
    makers: list[Callable[[], None]] = [
        lambda: (links / "qa.pub").symlink_to(open_folder / "qa.pub"),
        lambda: (links / "qa.pub").symlink_to("../open/qa.pub"),
        lambda: (links / "qa.pub").symlink_to(open_folder / ".." / "open" / "." / "qa.pub"),
        lambda: (links / "qa.pub").symlink_to(tmp_path / "through" / "qa.pub"),
    ]
    (tmp_path / "through").symlink_to(open_folder)
    shutil.copy(place / "qa.pub", open_folder / "qa.pub")
    for make in makers:
        make()
        open_folder.chmod(0o755)
        assert why_not(links / "qa.pub") is None and read_public([links / "qa.pub"])
        open_folder.chmod(0o777)
        for path in (links / "qa.pub", links, tmp_path / "through"):
            with pytest.raises(KeyFileError, match=f"{open_folder} can be written by others"):
                read_public([path])
        (links / "qa.pub").unlink()
    # a link's ".." is that of where it leads to, not of where it lies
    (open_folder / "deep").mkdir()
    (links / "deep").symlink_to(open_folder / "deep")
    assert why_not(links / "deep" / ".." / "qa.pub") is not None
    (links / "round").symlink_to("round")
    assert "too many links" in str(why_not(links / "round"))


@as_root
def test_another_user_s_link_is_refused(place: Path, tmp_path: Path) -> None:
    """In a folder such as /tmp anybody may have put it."""
    link = tmp_path / "qa.pub"
    link.symlink_to(place / "qa.pub")
    tmp_path.chmod(0o1777)
    assert read_public([link])
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(KeyFileError, match=r"belongs to another user \(chown -h 0 "):
        read_public([link])


def test_a_relative_path_is_taken_from_where_the_process_is(place: Path, monkeypatch) -> None:
    monkeypatch.chdir(place)
    assert why_not(Path("qa.pub")) is why_not(Path("../inner/qa.pub")) is None
    place.parent.chmod(0o777)
    assert str(place.parent) in str(why_not(Path("qa.pub")))


def test_a_file_of_numbers_that_is_not_there_yet_needs_a_good_folder_too(place: Path) -> None:
    (place / "serials.json").unlink()
    place.chmod(0o777)
    refused(place, "can be written by others", keys=False)
    assert not (place / "serials.json").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_file_of_numbers_that_is_no_plain_file_is_refused_and_not_waited_for(
    place: Path, make: Callable[..., None]
) -> None:
    (place / "serials.json").unlink()
    make(place / "serials.json", 0o600)
    refused(place, "serials.json: can't be read (", keys=False)


def test_a_lock_that_another_process_keeps_is_not_waited_for_for_ever(place: Path, monkeypatch) -> None:
    import fcntl

    monkeypatch.setattr(floors, "LOCK_SECONDS", 0.1)
    held = os.open(place, os.O_RDONLY)  # looking into the folder is all that it takes
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another process has held its folder's lock"):
            floors.raise_floor(place / "serials.json", floors.Mark("L1", 6, "later"))
        floors.check_floor(place / "serials.json", MARK)
    finally:
        os.close(held)
    floors.raise_floor(place / "serials.json", floors.Mark("L1", 6, "later"))


@pytest.mark.parametrize("umask", [0, 0o002, 0o077])
def test_what_edgead_makes_is_believed_whatever_the_umask(tmp_path: Path, umask: int, capsys) -> None:
    before = os.umask(umask)
    try:
        assert main(["keys", "new", "qa", "--out", str(tmp_path)]) == 0
        floors.raise_floor(tmp_path / "serials.json", MARK)
    finally:
        os.umask(before)
    assert read_public([tmp_path / "qa.pub"])
    floors.check_floor(tmp_path / "serials.json", MARK)
    assert stat.S_IMODE((tmp_path / "qa.key").stat().st_mode) == 0o600
