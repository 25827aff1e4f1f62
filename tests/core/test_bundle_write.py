"""Writing bundles: whole or not at all, whatever happens to the writer, the disk or the neighbours."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from edgead import files, leftovers
from edgead.bundle import read_bundle, reading, write_bundle, writing
from edgead.errors import BundleError, FileSizeError, LinkError, ManifestError, OutputError, UnsafePathError
from edgead.files import write_file

MANIFEST = read_bundle(Path(__file__).parents[1] / "golden" / "v1.edgead").manifest
ROOT = Path(__file__).parents[2]


def make(path: Path, model: bytes = b"model", overwrite: bool = True) -> Path:
    with write_bundle(path, overwrite) as staging:
        (staging.folder / "model.onnx").write_bytes(model)
        (staging.folder / "probes").mkdir()
        (staging.folder / "probes" / "0.png").write_bytes(b"probe")
        staging.finish(MANIFEST)
    return path


def model(path: Path) -> bytes:
    return read_bundle(path).file("model.onnx").read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def tree(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def refused(path: Path, says: str, **arguments: bool) -> None:
    with pytest.raises(OutputError, match=says) as caught:
        make(path, **arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


# ---------------------------------------------------------------- what is fine


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one = make(tmp_path / "one.edgead")
    os.utime(one / "model.onnx", (0, 0))
    two = make(tmp_path / "two.edgead")
    assert tree(one) == tree(two) and set(tree(one)) == {"manifest.json", "model.onnx", "probes/0.png"}


def test_what_finish_returns_is_what_is_read(tmp_path: Path) -> None:
    with write_bundle(tmp_path / "x.edgead") as staging:
        (staging.folder / "model.onnx").write_bytes(b"m")
        (staging.folder / "empty").mkdir()  # an exporter's leftover: not part of a bundle
        assert names(tmp_path) == [staging.folder.name]
        written = staging.finish(MANIFEST)
        assert names(tmp_path) == ["x.edgead"]
    assert read_bundle(tmp_path / "x.edgead") == written
    assert names(tmp_path / "x.edgead") == ["manifest.json", "model.onnx"]


def test_an_older_bundle_is_replaced(tmp_path: Path) -> None:
    path = make(tmp_path / "x.edgead", b"old")
    (path / "probes" / "0.png").unlink()  # even a damaged one
    make(path, b"new")
    assert model(path) == b"new" and names(tmp_path) == ["x.edgead"]


def test_an_older_bundle_is_replaced_where_names_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    path = make(tmp_path / "x.edgead", b"old")
    make(path, b"new")
    assert model(path) == b"new" and names(tmp_path) == ["x.edgead"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "x.edgead").mkdir()
    assert model(make(tmp_path / "x.edgead")) == b"model"


def test_a_relative_path_and_the_current_folder_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert model(make(Path("x.edgead"))) == b"model"
    (tmp_path / "y").mkdir()
    monkeypatch.chdir(tmp_path / "y")
    make(Path())
    assert model(tmp_path / "y") == b"model"


# ---------------------------------------------------------------- what is in the way


def test_a_users_folder_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"x")
    refused(folder, "in the way")
    (folder / "manifest.json").write_text('{"name": "a web app"}')
    refused(folder, "in the way")
    assert names(folder) == ["holiday.jpg", "manifest.json"] and names(tmp_path) == ["images"]


@pytest.mark.parametrize("where", ["notes.txt", "probes/mine.png", "folder/x"])
def test_a_bundle_with_a_file_of_the_users_is_not_replaced(tmp_path: Path, where: str) -> None:
    path = make(tmp_path / "x.edgead", b"old")
    (path / where).parent.mkdir(exist_ok=True)
    (path / where).write_bytes(b"mine")
    refused(path, where.split("/")[0])
    assert (path / where).read_bytes() == b"mine"


def test_a_bundle_of_a_newer_format_is_not_replaced(tmp_path: Path) -> None:
    path = make(tmp_path / "x.edgead")
    (path / "manifest.json").write_text('{"format": 99}')
    refused(path, "format 99")


def test_files_links_and_existing_bundles_where_asked_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path / "file", "a file is in the way")
    path = make(tmp_path / "x.edgead", b"old")
    (tmp_path / "link.edgead").symlink_to(path)
    refused(tmp_path / "link.edgead", "a link is in the way")
    refused(path, "already exists", overwrite=False)
    assert model(path) == b"old"


def test_what_gets_in_the_way_while_writing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.edgead"
    with pytest.raises(OutputError, match="in the way"), write_bundle(path) as staging:
        (staging.folder / "model.onnx").write_bytes(b"m")
        path.mkdir()
        (path / "thesis.tex").write_bytes(b"mine")
        staging.finish(MANIFEST)
    assert names(path) == ["thesis.tex"] and names(tmp_path) == ["x.edgead"]


def test_a_parent_that_is_missing_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path / "nowhere" / "x.edgead", "create the folder")
    refused(tmp_path / "file" / "x.edgead", "can't be written")
    refused(tmp_path / ("n" * 300), "name")


# ---------------------------------------------------------------- what can't be a bundle


def test_what_could_not_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "x.edgead", b"old")

    def write(name: str, kind: type[BundleError]) -> None:
        with pytest.raises(kind) as caught, write_bundle(path) as staging:
            (staging.folder / "model.onnx").write_bytes(b"m")
            if name == "link":
                (staging.folder / name).symlink_to("/etc/passwd")
            else:
                (staging.folder / name).write_bytes(b"x" * 6)
            staging.finish(MANIFEST)
        assert str(caught.value).startswith(f"{path}: ") and ".partial-" not in str(caught.value)
        assert model(path) == b"old" and names(tmp_path) == ["x.edgead"]

    write("link", LinkError)
    write("odd name", UnsafePathError)
    write(".hidden", UnsafePathError)
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 5)
    write("too-long", FileSizeError)


def test_a_bundle_without_its_model_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="model"), write_bundle(tmp_path / "x.edgead") as staging:
        staging.finish(MANIFEST)
    assert names(tmp_path) == []


# ---------------------------------------------------------------- interrupted


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), FileNotFoundError(2, "x", "y")]
)
def test_an_exception_or_interrupt_leaves_the_old_one_and_passes_on(
    tmp_path: Path, error: BaseException
) -> None:
    path = make(tmp_path / "x.edgead", b"old")
    with pytest.raises(type(error)) as caught, write_bundle(path) as staging:
        (staging.folder / "model.onnx").write_bytes(b"new")
        raise error
    assert caught.value is error
    assert model(path) == b"old" and names(tmp_path) == ["x.edgead"]


def test_a_block_without_finish_leaves_the_old_one(tmp_path: Path) -> None:
    path = make(tmp_path / "x.edgead", b"old")
    with write_bundle(path) as staging:
        (staging.folder / "model.onnx").write_bytes(b"new")
    assert model(path) == b"old" and names(tmp_path) == ["x.edgead"]


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
@pytest.mark.parametrize(("stride", "how"), [(1, "exchange"), (3, "two renames")])
def test_kill_9_at_any_step_leaves_the_old_one_or_none(quick_folder: Path, stride: int, how: str) -> None:
    if how == "exchange" and not sys.platform.startswith("linux"):
        pytest.skip("names can be exchanged on Linux only")
    command = [sys.executable, str(Path(__file__).with_name("kill_writer.py"))]
    done = subprocess.run(
        [*command, str(quick_folder / "x.edgead"), str(stride), how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    # The kills must have met every stage, or the test proves nothing.
    assert seen["steps"] > 200 and seen["leftovers"] > 20
    assert seen["none"] and seen["old"] and seen["new"]


# ---------------------------------------------------------------- neighbours


def write_often(path: Path, name: bytes) -> None:
    for i in range(15):
        make(path, name * (i + 1))


def test_concurrent_writers_leave_one_whole_bundle(tmp_path: Path) -> None:
    path = tmp_path / "x.edgead"
    context = get_context("spawn")
    writers = [context.Process(target=write_often, args=(path, name)) for name in (b"a", b"b", b"c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert model(path) in (b"a" * 15, b"b" * 15, b"c" * 15)
    assert names(tmp_path) == ["x.edgead"]


def test_a_bundle_that_is_replaced_while_it_is_looked_at_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgead.bundle import writing

    path, looks = tmp_path / "x.edgead", []
    make(path, b"first")

    def walk(*given, honest=writing.walk):
        looks.append(given)
        if len(looks) <= 2:  # twice another writer comes first
            path.rename(tmp_path / f"old-{len(looks)}")
            with monkeypatch.context() as patch:
                patch.setattr(writing, "walk", honest)
                make(path, b"other")
            raise FileNotFoundError(2, "No such file", "probes/0.png")
        return honest(*given)

    monkeypatch.setattr(writing, "walk", walk)
    make(path, b"mine")
    assert model(path) == b"mine" and len(looks) > 2

    def gone(*given):
        raise FileNotFoundError(2, "No such file", "probes/0.png")

    monkeypatch.setattr(writing, "walk", gone)  # and nobody replaces it
    with pytest.raises(OutputError, match="No such file"):
        make(path, b"again")


def test_a_living_writers_folder_is_left_alone_and_a_dead_ones_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.edgead"
    (tmp_path / ".x.edgead.partial-dead").mkdir()
    (tmp_path / ".x.edgead.partial-dead" / "model.onnx").write_bytes(b"half")
    (tmp_path / ".y.edgead.partial-other").mkdir()
    with write_bundle(path) as slow:
        (slow.folder / "model.onnx").write_bytes(b"slow")
        make(path, b"quick")
        assert model(path) == b"quick"
        slow.finish(MANIFEST)
    assert model(path) == b"slow"
    assert names(tmp_path) == [".y.edgead.partial-other", "x.edgead"]


def test_without_locks_only_old_leftovers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "lock", lambda *_: None)
    monkeypatch.setattr(leftovers, "lock", lambda *_: None)
    for name, age in (("young", 60), ("old", leftovers.STALE_SECONDS + 60)):
        folder = tmp_path / f".x.edgead.partial-{name}"
        folder.mkdir()
        then = folder.stat().st_mtime - age
        os.utime(folder, (then, then))
    make(tmp_path / "x.edgead")
    assert names(tmp_path) == [".x.edgead.partial-young", "x.edgead"]


# ---------------------------------------------------------------- disks


def test_a_full_disk_at_any_write_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "x.edgead", b"old")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for module, name in (
        (writing, "sync"),
        (writing, "swap_into_place"),
        (os, "fsync"),
        (Path, "write_bytes"),
        (Path, "mkdir"),
    ):

        def fail(*_: object, **__: object) -> None:
            raise full

        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            refused(path, "No space left on device.*free some space")
        assert model(path) == b"old" and names(tmp_path) == ["x.edgead"]


def mounted(folder: Path, options: str) -> Path:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here ({done.stderr.decode().strip()})")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = mounted(tmp_path / "disk", "size=64k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk(small_disk: Path) -> None:
    path = make(small_disk / "x.edgead", b"old")
    for size in (40_000, 60_000, 200_000):
        try:
            make(path, b"n" * size)
        except OutputError as error:
            assert "No space left" in str(error) and "\n" not in str(error)
            break
    else:
        pytest.fail("the disk took everything")
    assert read_bundle(path) and names(small_disk) == ["x.edgead"]


def test_a_really_full_disk_while_the_manifest_is_written(small_disk: Path) -> None:
    path = make(small_disk / "x.edgead", b"old")
    with pytest.raises(OutputError, match="No space left"), write_bundle(path) as staging:
        (staging.folder / "model.onnx").write_bytes(b"m")
        with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(bytes(1024))
        staging.finish(MANIFEST)
    assert model(path) == b"old" and names(small_disk) == ["filler", "x.edgead"]


def test_a_read_only_disk(small_disk: Path) -> None:
    path = make(small_disk / "x.edgead", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused(path, "Read-only file system")
    refused(small_disk / "new.edgead", "Read-only file system")
    assert model(path) == b"old"
    with pytest.raises(OutputError, match="Read-only file system"):
        write_file(small_disk / "report.html", b"x")


def test_a_folder_without_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "posix" and os.geteuid() != 0:
        tmp_path.chmod(0o555)
    else:  # root may write everywhere, so the system's answer is played

        def denied(self: Path, *_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))

        monkeypatch.setattr(Path, "mkdir", denied)
    try:
        refused(tmp_path / "x.edgead", "Permission denied.*may write")
    finally:
        tmp_path.chmod(0o755)


# ---------------------------------------------------------------- single files


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["report.html"]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_file(path, b"newer")
    assert str(caught.value).startswith(str(path))
    assert path.read_bytes() == b"new" and names(tmp_path) == ["report.html"]
    with pytest.raises(OutputError, match="create the folder"):
        write_file(tmp_path / "nowhere" / "x", b"")
    with pytest.raises(OutputError):
        write_file(tmp_path, b"")
