"""A bundle's lessons are refused, and the bundle with them, where anything about them was changed."""

from __future__ import annotations

import contextlib
import json
import shutil

import pytest

import edgead
from edgead.bundle import folder, read_bundle, taught
from edgead.bundle.listing import MAX_RESERVED_BYTES
from edgead.errors import (
    BundleError,
    ChangedLessonError,
    FileSizeError,
    ForeignLessonError,
    LessonError,
    LinkError,
    MissingLessonError,
)
from tests.bundles import bad_image, good_image
from tests.sealed import change_manifest


@pytest.fixture(scope="module")
def three(compiled, tmp_path_factory):
    """A bundle with three lessons: a false alarm, a missed defect, and the second undone."""
    path = tmp_path_factory.mktemp("three") / "part.edgead"
    shutil.copytree(compiled("onnx").bundle.path, path)
    detector = edgead.load(path)
    edgead.teach(detector, false_alarms=bad_image(0), reason="mark", accept_changes=True)
    edgead.teach(detector, missed=good_image(77), accept_changes=True)
    edgead.teach(detector, undo=2, accept_changes=True)
    return path


@pytest.fixture
def path(three, tmp_path):
    target = tmp_path / "part.edgead"
    shutil.copytree(three, target)
    return target


def lesson(path, number):
    return path / "taught" / f"{number:04d}.json"


def rewrite(path, number, seal=False, **fields):
    """Change a lesson's fields, with its digest made anew where ``seal`` says so."""
    file = lesson(path, number)
    document = json.loads(file.read_text()) | fields
    if seal:
        found = taught.read(taught.Lesson, document)
        document = taught.plain(found.sealed())
    file.write_text(json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


def listed(path, number, what):
    return path / "taught" / json.loads(lesson(path, number).read_text())[what]["path"]


def test_it_reads_what_was_taught(path):
    found = read_bundle(path)
    assert [each.kind for each in found.lessons.all] == ["false-alarm", "missed", "undo"]
    assert found.taught == 1 and found.lessons.undone == {2: 3} and found.unchecked == ()
    assert [notice.code for notice in found.notices if notice.code == "taught"] == ["taught"]


def flipped(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def break_rows(path):
    flipped(listed(path, 1, "array"), 5)


def break_picture(path):
    flipped(listed(path, 2, "picture"), -20)


def truncate_rows(path):
    file = listed(path, 1, "array")
    file.write_bytes(file.read_bytes()[:-4])


def change_reason(path):
    rewrite(path, 1, reason="none")


def change_and_seal(path):
    rewrite(path, 1, seal=True, reason="none")


def unknown_field(path):
    rewrite(path, 3, more=1)


def no_json(path):
    lesson(path, 3).write_text("{")


def no_finite_level(path):
    rewrite(path, 1, level=1e999)


def swap(path):
    one, two = lesson(path, 1).read_bytes(), lesson(path, 2).read_bytes()
    lesson(path, 1).write_bytes(two)
    lesson(path, 2).write_bytes(one)


def drop_first(path):
    lesson(path, 1).unlink()


def drop_middle(path):
    lesson(path, 2).unlink()


def drop_rows(path):
    listed(path, 1, "array").unlink()


def other_bundle(path):
    change_manifest(path, lambda value: value.update(edgead="0.0.9"))


def too_large(path):
    lesson(path, 3).write_bytes(b" " * (taught.MAX_LESSON_BYTES + 1))


def too_much(path):
    with (path / "taught" / f"{'0' * 32}.png").open("wb") as file:
        file.truncate(MAX_RESERVED_BYTES + 1)


def too_many(path):
    for number in range(4, taught.MAX_LESSONS + 2):
        lesson(path, number).write_text("{}")


def a_link(path):
    file = listed(path, 1, "picture")
    file.rename(path.parent / "elsewhere.png")
    file.symlink_to(path.parent / "elsewhere.png")


def undoes_nothing(path):
    rewrite(path, 3, seal=True, undoes=9)


def rows_of_an_undoing(path):
    rewrite(path, 3, seal=True, rows=2)


def climbs_out(path):
    document = json.loads(lesson(path, 2).read_text())
    rewrite(path, 2, seal=True, picture=document["picture"] | {"path": "../manifest.json"})
    rewrite(path, 3, seal=True, previous=json.loads(lesson(path, 2).read_text())["digest"])


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (break_rows, ChangedLessonError, "was changed"),
        (break_picture, ChangedLessonError, "was changed"),
        (truncate_rows, ChangedLessonError, "was changed"),
        (change_reason, ChangedLessonError, "0001.json was changed"),
        (change_and_seal, ChangedLessonError, "0002.json doesn't follow"),
        (unknown_field, ChangedLessonError, "'more' is unknown"),
        (no_json, ChangedLessonError, "isn't a lesson"),
        (no_finite_level, ChangedLessonError, "isn't a lesson"),
        (swap, ChangedLessonError, "0001.json doesn't follow"),
        (drop_first, MissingLessonError, "lesson 1 of taught/ is missing"),
        (drop_middle, MissingLessonError, "lesson 2 of taught/ is missing"),
        (drop_rows, MissingLessonError, "which is missing"),
        (other_bundle, ForeignLessonError, "another bundle"),
        (too_large, FileSizeError, "over the limit"),
        (too_much, FileSizeError, "bytes"),
        (too_many, FileSizeError, "lessons are over the limit"),
        (a_link, LinkError, "link"),
        (undoes_nothing, LessonError, "no lesson of edgead's"),
        (rows_of_an_undoing, LessonError, "no lesson of edgead's"),
        (climbs_out, LessonError, "no lesson of edgead's"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_was_changed_is_refused_and_never_untaught(fault, error, said, path):
    fault(path)
    with pytest.raises(BundleError) as refused:
        read_bundle(path)
    assert type(refused.value) is error and said in str(refused.value) and str(path) in str(refused.value)
    with pytest.raises(error):
        edgead.load(path)
    with pytest.raises(error):
        edgead.teach(path, undo="last")


def test_a_running_detector_keeps_on_as_it_was_where_the_lessons_are_broken(path):
    detector = edgead.load(path)
    before = detector(bad_image(0))
    break_rows(path)
    with pytest.raises(ChangedLessonError):
        detector.reload_lessons()
    assert detector(bad_image(0)) == before and not before.is_anomalous


def test_what_a_killed_teacher_left_is_overlooked_and_strangers_are_told(path):
    (path / "taught" / ".0004.json.partial-0123456789ab").write_bytes(b"{")
    assert read_bundle(path).unchecked == ()
    (path / "taught" / f"{'a' * 32}.f32").write_bytes(b"rows of no lesson")
    assert read_bundle(path).unchecked == (f"taught/{'a' * 32}.f32",)
    assert read_bundle(path).taught == 1


def test_no_flipped_bit_of_a_lesson_is_accepted(path, monkeypatch):
    """Of its JSON and of every file that it lists; what is read is flipped, not what lies there."""
    bundle = read_bundle(path)
    names = [file.name for file in (path / "taught").iterdir()]
    read, flip = folder.OpenFolder.read, {}

    def damaged(self, name, most):
        content = bytearray(read(self, name, most))
        if name in flip:
            content[flip[name] // 8] ^= 1 << flip[name] % 8
        return bytes(content)

    monkeypatch.setattr(folder.OpenFolder, "read", damaged)
    with folder.open_folder(path) as opened:
        for name in names:
            bits = 8 * (path / "taught" / name).stat().st_size
            accepted = []
            for bit in range(0, bits, 7 if name.endswith(".json") else bits // 60 + 1):
                flip.clear()
                flip[f"taught/{name}"] = bit
                with contextlib.suppress(BundleError):
                    accepted.append((bit, taught.read_lessons(opened, bundle.digest, names)))
            assert accepted == [], name
        flip.clear()
        assert taught.read_lessons(opened, bundle.digest, names) == bundle.lessons
