"""Teaching a bundle that judges frames in windows: a lesson is a window's, and holds wherever they fall."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.progress import silent
from edgead.windows import windows
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve
from tests.bundles import good_image, make_compiled, write_images

SHAPE, SIZE = (150, 130), (64, 64)


def large(index: int) -> np.ndarray:
    return good_image(index, SHAPE)


def marked(index: int, y: int, x: int) -> np.ndarray:
    image = large(500 + index)
    cv2.circle(image, (x, y), 6, (20, 25, 30), -1)
    return image


@pytest.fixture(scope="module", params=[("openvino", "int8"), ("onnx", "fp32")], ids="-".join)
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    images = write_images(folder / "good", [large(i) for i in range(10)])
    chosen = Settings(size=SIZE, holdout=0.4, windows=True, folds=3)
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    reference = fit(recipe, images, chosen, folder / "r.edgead", silent).bundle
    return make_compiled(reference, *request.param, folder / "w.edgead").bundle.path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "w.edgead")


def places_of(detector, y: int, x: int) -> list[tuple[int, int]]:
    """Where windows begin whose core shows a pixel."""
    margin = detector.bundle.manifest.windows.margin
    return [
        (w.rows.start, w.columns.start)
        for w in windows(SHAPE, SIZE, margin)
        if w.rows.own <= y < w.rows.end and w.columns.own <= x < w.columns.end
    ]


def test_a_false_alarm_passes_in_every_window_and_undoing_leaves_no_trace(path):
    detector = edgead.load(path)
    frame, elsewhere, good = marked(0, 32, 32), marked(1, 100, 90), large(3)
    before = [detector(each) for each in (frame, elsewhere, good)]
    assert [p.is_anomalous for p in before[:2]] == [True, True]
    done = edgead.teach(detector, false_alarms=frame, accept_changes=True)
    assert done.lessons and all(lesson.kind == "false-alarm" for lesson in done.lessons)
    started = places_of(detector, 32, 32)
    assert any(done.lessons[0].image == f"window from row {y}, column {x}" for y, x in started)
    after = [detector(each) for each in (frame, elsewhere, good)]
    assert not after[0].is_anomalous and after[0].score < before[0].score
    assert all((a.anomaly_map <= b.anomaly_map + 1e-6).all() for a, b in zip(after, before, strict=True))
    assert after[2].score == before[2].score and not after[2].is_anomalous
    assert list(detector.map([frame, elsewhere, good])) == after
    assert detector.start(frame).wait() == after[0] and edgead.load(path)(frame) == after[0]
    for _ in done.lessons:
        edgead.teach(detector, undo="last", accept_changes=True)
    for one, other in zip([detector(each) for each in (frame, elsewhere, good)], before, strict=True):
        assert one == other and one.anomaly_map.tobytes() == other.anomaly_map.tobytes()


@pytest.mark.parametrize("with_mask", [True, False])
def test_a_missed_defect_is_found_in_its_place_and_nowhere_else(path, with_mask):
    detector = edgead.load(path, threshold=1e6)  # everything passes
    frame, good = marked(0, 75, 64), large(4)
    file, mask = path.parent / "bad.png", np.zeros(SHAPE, np.uint8)
    cv2.imwrite(str(file), frame)
    cv2.circle(mask, (64, 75), 6, 255, -1)
    cv2.imwrite(str(path.parent / "bad_mask.png"), mask)
    given = {"mask": path.parent / "bad_mask.png"} if with_mask else {}
    done = edgead.teach(detector, missed=file, **given)
    assert all(lesson.image.startswith("bad.png, window from row") for lesson in done.lessons)
    seen = detector(frame)
    assert seen.is_anomalous and seen.lesson in {lesson.number for lesson in done.lessons}
    assert seen.score <= seen.threshold
    ys, xs = np.nonzero(seen.mask)
    assert abs(ys.mean() - 75) < 16 and abs(xs.mean() - 64) < 16
    moved = detector(marked(0, 90, 40))  # the same mark, elsewhere and in other windows
    assert moved.is_anomalous or not with_mask
    assert not detector(good).is_anomalous and detector(good).lesson is None
    assert list(detector.map([frame, good])) == [seen, detector(good)]
    assert detector.start(frame).wait() == seen


def test_a_frame_that_is_judged_right_teaches_nothing(path):
    done = edgead.teach(path, false_alarms=large(2))
    assert not done.lessons and next(n.code for n in done.proposal.notices) == "lesson-no-false-alarm"
    done = edgead.teach(path, missed=marked(0, 75, 64))
    assert not done.lessons and next(n.code for n in done.proposal.notices) == "lesson-no-missed"


def test_what_lies_outside_of_a_region_of_interest_teaches_nothing(tmp_path):
    """A window's core may reach beyond the region: neither an alarm there nor a lesson's defect counts."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 70:] = 255
    cv2.imwrite(str(tmp_path / "roi.png"), mask)
    images = write_images(tmp_path / "good", [large(i) for i in range(10)])
    chosen = Settings(size=SIZE, holdout=0.4, windows=True, folds=0, roi=tmp_path / "roi.png")
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    reference = fit(recipe, images, chosen, tmp_path / "r.edgead", silent).bundle
    path = make_compiled(reference, "onnx", "fp32", tmp_path / "w.edgead").bundle.path
    detector = edgead.load(path)
    frame = marked(0, 75, 64)  # its right edge lies on the region's
    prediction, known = detector(frame), read_bundle(path)
    assert prediction.score == prediction.anomaly_map[mask > 0].max()
    done = edgead.teach(detector, false_alarms=frame, accept_changes=True)
    assert bool(done.lessons) == prediction.is_anomalous and known.lessons.all == ()
    if done.lessons:
        assert detector(frame).score < prediction.score
    else:
        assert done.notices[0].values["score"] == prediction.score


def test_lessons_hold_on_a_web_too(path):
    frame = np.concatenate([large(901), marked(0, 75, 64), large(902)])
    detector = edgead.load(path)

    def at_the_mark() -> list[edgead.WebDefect]:
        web = edgead.Web(detector, width=SHAPE[1])
        found = [*web.feed(frame), *web.finish()]
        return [d for d in found if d.start <= 150 + 75 < d.end and d.left <= 64 < d.right]

    assert at_the_mark()
    edgead.teach(detector, false_alarms=marked(0, 75, 64), accept_changes=True)
    assert not at_the_mark()


def test_what_is_kept_is_a_window(path):
    edgead.teach(path, false_alarms=marked(0, 75, 64), accept_changes=True)
    for lesson in read_bundle(path).lessons.active:
        picture = cv2.imread(str(path / "taught" / lesson.picture.path))
        assert picture.shape == (*SIZE, 3)
    assert edgead.verify(path)
