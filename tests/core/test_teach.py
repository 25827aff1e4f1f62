"""Teaching: lessons correct verdicts, cost what's told, are undone without a trace and never half there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import edgead
from edgead.bundle import read_bundle, taught, write_bundle
from edgead.bundle.signing import sign_bundle
from edgead.cli import cli, main
from edgead.device import teach as device
from edgead.errors import DatasetError, GraphError, ImageError, OptionError, OutputError, TeachError
from edgead.trust.keys import make_keys
from tests.bundles import bad_image, good_image, write_images
from tests.mean_bundle import write_mean_bundle
from tests.sealed import change_manifest

TARGETS = [("openvino", "int8"), ("onnx", "fp32"), ("jetson", "int8")]


def copy(bundle, folder: Path) -> Path:
    target = folder / "part.edgead"
    shutil.copytree(bundle.path, target)
    return target


@pytest.fixture(params=TARGETS, ids=lambda p: p[0])
def path(request, compiled, tmp_path):
    return copy(compiled(*request.param).bundle, tmp_path)


@pytest.fixture
def onnx(compiled, tmp_path):
    return copy(compiled("onnx").bundle, tmp_path)


def run(*words):
    return CliRunner().invoke(cli, ["teach", *map(str, words)])


def faint(index: int) -> np.ndarray:
    """A good image with a spot that passes."""
    image = good_image(500 + index)
    image[50:56, 30:36] += np.uint8(9)
    return image


def content(bundle: Path) -> dict[str, str]:
    """Every file of a bundle but what it was taught, by its hash."""
    files = (f for f in bundle.rglob("*") if f.is_file() and "taught" not in f.parts)
    return {str(f.relative_to(bundle)): sha256(f.read_bytes()).hexdigest() for f in files}


def test_a_false_alarm_and_its_like_pass_and_undoing_leaves_no_trace(path):
    detector, before = edgead.load(path), content(path)
    frames = [good_image(3), *map(bad_image, range(4))]
    first = [detector(frame) for frame in frames]
    assert [p.is_anomalous for p in first] == [False, True, True, True, True]
    done = edgead.teach(detector, false_alarms=frames[1], reason="a mark", by="me", accept_changes=True)
    (lesson,) = done.lessons
    assert (lesson.number, lesson.kind, lesson.reason, lesson.by) == (1, "false-alarm", "a mark", "me")
    assert 0 < lesson.rows <= 32 and detector.bundle.taught == 1
    judged = [detector(frame) for frame in frames]
    assert not judged[1].is_anomalous and judged[1].score < judged[1].threshold < first[1].score
    assert judged[1].anomaly_map.max() < first[1].anomaly_map.max()
    fresh = edgead.load(path)
    assert [fresh(frame) for frame in frames] == judged
    assert list(fresh.map(frames)) == judged and fresh.start(frames[1]).wait() == judged[1]
    assert list(fresh.with_throughput().map(frames))[1].is_anomalous is False
    assert content(path) == before
    edgead.teach(detector, undo="last", accept_changes=True)
    for one, other in zip([detector(frame) for frame in frames], first, strict=True):
        assert one == other and one.anomaly_map.tobytes() == other.anomaly_map.tobytes()
    assert [lesson.kind for lesson in read_bundle(path).lessons.all] == ["false-alarm", "undo"]
    assert content(path) == before


def test_a_missed_defect_is_found_with_its_lesson_named(path):
    detector = edgead.load(path, threshold=1e6)  # everything passes
    frame, other = bad_image(1), good_image(1)
    assert not detector(frame).is_anomalous
    mask = np.zeros((120, 80), np.uint8)
    cv2.circle(mask, (40, 33), 9, 255, -1)
    file, marked = path.parent / "bad.png", path.parent / "bad_mask.png"
    cv2.imwrite(str(file), frame)
    cv2.imwrite(str(marked), mask)
    done = edgead.teach(detector, missed=file, mask=marked)
    assert done.lessons[0].image == "bad.png"
    assert done.lessons[0].image_sha256 == sha256(file.read_bytes()).hexdigest()
    judged = detector(frame)
    assert judged.is_anomalous and judged.lesson == 1 and judged.score <= judged.threshold
    x, y, width, height = judged.regions[0].box
    assert x <= 40 <= x + width and y <= 33 <= y + height  # where it was marked
    assert detector(other).lesson is None and not detector(other).is_anomalous
    assert run(path, "--list", "--json").exit_code == 0


def test_a_radius_holds_no_good_patch_that_is_known(onnx):
    detector = edgead.load(onnx)
    edgead.teach(detector, false_alarms=bad_image(0), accept_changes=True)
    edgead.teach(detector, missed=faint(0), accept_changes=True)
    known = detector._state.taught
    session = detector.teaching_session()
    good = device._good_patches(detector.bundle, session, known)
    for row, radius in zip(known.defects.rows, known.defects.radii, strict=True):
        assert np.linalg.norm(good.astype(np.float64) - row, axis=1).min() >= 1.99 * radius
    assert not any(
        c.after for c in device.propose_undo(detector.bundle, session, detector.threshold, 1).changes
        if c.wanted is False and not c.image.startswith("lesson")
    )  # fmt: skip


def test_the_command_shows_the_cost_takes_lists_and_undoes(onnx, tmp_path):
    files = write_images(tmp_path / "alarms", [bad_image(0), good_image(1), bad_image(1)])
    found = run(onnx, "--false-alarm", files, "--dry-run")
    assert found.exit_code == 0 and "nothing was written" in found.output
    assert "001.png passes already" in found.output and not (onnx / "taught").exists()
    found = run(onnx, "--false-alarm", files, "--yes", "--json", "--reason", "new lot", "--by", "Ann")
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert [image["image"] for image in record["images"]] == ["000.png", "002.png"]
    assert [image["after"] for image in record["images"]] == [False, False]
    assert len(record["lessons"]) == 2 and record["lessons"][1]["previous"] == record["lessons"][0]["digest"]
    assert {notice["code"] for notice in record["notices"]} >= {"lesson-no-false-alarm", "lesson-cost"}
    assert record["others"] and record["changed"] == sum(o["before"] != o["after"] for o in record["others"])
    told = json.loads(run(onnx, "--undo", 1, "--dry-run", "--json").stdout)
    (second,) = [other for other in told["others"] if other["image"] == "lesson 2's image 002.png"]
    assert not second["before"] and told["changed"] == sum(o["before"] != o["after"] for o in told["others"])
    if second["after"]:  # the second leant on the first one's rows
        assert isinstance(run(onnx, "--undo", 1).exception, TeachError)
    found = run(onnx, "--undo", 1, "--yes")
    assert found.exit_code == 0 and "undoes lesson 1" in found.output
    found = run(onnx, "--list")
    assert "undone by 3" in found.output and "new lot" in found.output and "Ann" in found.output
    found = run(onnx, "--undo", 1, "--yes")
    assert isinstance(found.exception, TeachError) and "undone by lesson 3" in str(found.exception)
    for words in (("inspect", onnx), ("verify", onnx)):
        shown = CliRunner().invoke(cli, [*map(str, words)])
        assert shown.exit_code == 0 and "taught 1 lesson" in shown.output, shown.output
    judged = CliRunner().invoke(cli, ["run", str(onnx), str(files / "002.png")])
    assert "taught 1 lesson" in judged.stderr
    assert json.loads(judged.stdout)["is_anomalous"] is second["after"]  # as the undoing told


def test_flips_are_told_from_what_stays(onnx):
    proposal = edgead.teach(onnx, false_alarms=bad_image(0), dry_run=True).proposal
    flipped = device.Change("x", False, True, 1.0, 2.0, None)
    told = device.Proposal(proposal.bundle, "false-alarm", proposal.drafts, None, (flipped,), 4.0)
    assert told.flips == (flipped,) and told.largest_move == pytest.approx(0.25)
    from edgead.api.teach import finish

    with pytest.raises(TeachError, match="x from good to anomalous"):
        finish(told, "", "", dry_run=False, accept_changes=False)
    assert not (onnx / "taught").exists()
    assert finish(told, "", "", dry_run=False, accept_changes=True).lessons


def test_a_method_without_a_bank_says_what_can_be_done(tmp_path):
    bundle = write_mean_bundle(tmp_path / "mean.edgead")
    with pytest.raises(TeachError, match=r"recalibrated only.*edgead calibrate"):
        edgead.teach(bundle, false_alarms=good_image(0))
    cv2.imwrite(str(tmp_path / "a.png"), good_image(0))
    assert isinstance(run(bundle, "--missed", tmp_path / "a.png").exception, TeachError)
    assert edgead.load(bundle).bundle.taught == 0


def test_a_reference_bundle_is_not_taught(reference_bundle):
    with pytest.raises(TeachError, match="edgead export"):
        edgead.teach(reference_bundle, false_alarms=good_image(0))


def test_what_cannot_be_meant_is_refused(onnx, tmp_path):
    with pytest.raises(OptionError, match="one of"):
        edgead.teach(onnx)
    with pytest.raises(OptionError, match="mask"):
        edgead.teach(onnx, false_alarms=good_image(0), mask="m.png")
    with pytest.raises(OptionError, match="no image"):
        edgead.teach(onnx, missed=3)
    with pytest.raises(TeachError, match="nothing to undo"):
        edgead.teach(onnx, undo="last")
    images = write_images(tmp_path / "bad", [faint(0)])
    (tmp_path / "masks").mkdir()
    with pytest.raises(DatasetError, match=r"000_mask\.png"):
        edgead.teach(onnx, missed=images, mask=tmp_path / "masks")
    cv2.imwrite(str(tmp_path / "masks" / "000_mask.png"), np.zeros((120, 80), np.uint8))
    with pytest.raises(ImageError, match="marks nothing"):
        edgead.teach(onnx, missed=images, mask=tmp_path / "masks")
    for words in (("--list", "--missed"), (), ("--undo", "x"), ("--false-alarm",), ("--list", images)):
        assert run(onnx, *words).exit_code == 2
    assert not (onnx / "taught").exists()


def test_the_rows_are_bounded(onnx, monkeypatch):
    monkeypatch.setattr("edgead.device.lesson_rows.CAPACITY", 2)
    done = edgead.teach(onnx, false_alarms=[bad_image(0), bad_image(1)], accept_changes=True)
    assert sum(lesson.rows for lesson in done.lessons) <= 2
    with pytest.raises(TeachError, match="are used"):
        edgead.teach(onnx, false_alarms=[bad_image(i) for i in range(6)], accept_changes=True)
    monkeypatch.setattr("edgead.device.taking.MAX_LESSONS", len(done.lessons))
    with pytest.raises(TeachError, match="no room"):
        edgead.teach(onnx, undo="last", accept_changes=True)


def test_of_two_teachers_the_later_is_told_and_no_lesson_is_lost(onnx):
    one, other = (edgead.teach(onnx, false_alarms=bad_image(i), dry_run=True).proposal for i in (0, 1))
    device.take(one)
    with pytest.raises(TeachError, match="another lesson was taken meanwhile"):
        device.take(other)
    assert [lesson.number for lesson in read_bundle(onnx).lessons.all] == [1]
    # The same where both have read before either writes: the name is taken.
    lessons = read_bundle(onnx).lessons
    assert taught.write_lesson(onnx, lessons.next(kind="undo", time="", undoes=1))
    assert not taught.write_lesson(onnx, lessons.next(kind="undo", time="", undoes=1, by="other"))
    assert read_bundle(onnx).lessons.all[1].by == ""


def test_threads_that_teach_at_once_lose_nothing(onnx):
    taken, refused = [], []
    proposals = [edgead.teach(onnx, false_alarms=bad_image(i), dry_run=True).proposal for i in range(6)]
    start = threading.Barrier(len(proposals))

    def teach(proposal):
        start.wait()
        try:
            taken.extend(device.take(proposal))
        except TeachError:
            refused.append(proposal)

    threads = [threading.Thread(target=teach, args=(proposal,)) for proposal in proposals]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(taken) == 1 and len(refused) == 5
    assert read_bundle(onnx).lessons.all == tuple(taken)


def test_a_running_detector_judges_wholly_before_or_wholly_after(path):
    detector = edgead.load(path, threads=1)
    frames = [bad_image(0), good_image(2)]
    before = [detector(frame) for frame in frames]
    found, ended, faults = [], threading.Event(), []

    def judge():
        try:
            while not ended.is_set():
                for index, frame in enumerate(frames):
                    found.append((index, detector(frame)))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=judge) for _ in range(3)]
    [thread.start() for thread in threads]
    running = detector.map(frame for _ in range(3) for frame in frames)
    under_way = [next(running)]
    edgead.teach(detector, false_alarms=frames[0], accept_changes=True)
    after = [detector(frame) for frame in frames]
    under_way += running
    edgead.teach(detector, undo="last", accept_changes=True)
    ended.set()
    [thread.join() for thread in threads]
    assert not faults and under_way == before * 3
    assert before[0].is_anomalous and not after[0].is_anomalous
    assert all(prediction in (before[index], after[index]) for index, prediction in found)
    assert [detector(frame) for frame in frames] == before


def test_a_kill_leaves_the_lesson_whole_or_none(onnx, tmp_path):
    edgead.teach(onnx, false_alarms=bad_image(0), accept_changes=True)
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, str(Path(__file__).with_name("teach_writer.py")), str(onnx), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["faults"] and found["kills"] > 50 and found["with"] > 1 and found["without"] > 20


def test_what_was_taught_is_not_replaced_and_an_export_starts_anew(onnx, compiled):
    edgead.teach(onnx, false_alarms=bad_image(0), accept_changes=True)
    with pytest.raises(OutputError, match="taught"), write_bundle(onnx):
        pass
    assert compiled("onnx").bundle.taught == 0 and read_bundle(onnx).taught == 1


def test_a_detector_takes_up_what_another_process_taught(onnx):
    detector = edgead.load(onnx)
    assert detector(bad_image(0)).is_anomalous
    edgead.teach(onnx, false_alarms=bad_image(0), accept_changes=True)
    assert detector(bad_image(0)).is_anomalous
    detector.reload_lessons()
    assert not detector(bad_image(0)).is_anomalous


def test_a_size_that_is_not_the_graphs_is_refused_before_an_image_is_resized(
    onnx, tmp_path, monkeypatch, capsys
):
    change_manifest(onnx, lambda value: value["input"].update(size=[8192, 8192]))
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), faint(0))
    monkeypatch.setattr("edgead.resize.ResizeRule.apply", lambda *_: pytest.fail("an image was resized"))
    for words in (("--false-alarm",), ("--missed",)):
        assert main(["teach", str(onnx), str(image), *words]) == 3
        assert "its manifest says (1, 8192, 8192, 3)" in capsys.readouterr().err
    with pytest.raises(GraphError, match="its manifest says"):
        edgead.teach(onnx, false_alarms=faint(0))


def test_who_teaches_a_signed_bundle_is_told_by_text_and_json_that_the_signature_does_not_cover_it(
    onnx, tmp_path
):
    pytest.importorskip("cryptography", reason="needs the [sign] extra")
    make_keys(tmp_path / "qa.key", tmp_path / "qa.pub")
    sign_bundle(onnx, tmp_path / "qa.key")
    files = write_images(tmp_path / "alarms", [bad_image(0)])
    words = [onnx, "--false-alarm", files, "--yes"]
    told = json.loads(run(*words, "--dry-run", "--json").stdout)
    assert "signature-outdated" not in {notice["code"] for notice in told["notices"]}
    told = json.loads(run(*words, "--json").stdout)
    assert "signature-outdated" in {notice["code"] for notice in told["notices"]}
    assert "doesn't cover that: sign it again" in run(onnx, "--undo", "last", "--yes").output
