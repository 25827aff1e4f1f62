"""A bundle that judges frames in windows: from fitting to verdicts, on each engine, against numpy."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.cli import main
from edgead.errors import DatasetError, ManifestError, OptionError
from edgead.images import read_image
from edgead.manifest import Manifest
from edgead.notices import say
from edgead.progress import silent
from edgead.window_rule import WindowRule
from edgead.windows import windows
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve
from tests.bundles import good_image, make_compiled, write_images

SHAPE, SIZE = (150, 130), (64, 64)


def large(index: int) -> np.ndarray:
    return good_image(index, SHAPE)


def defective(index: int, y: int, x: int, radius: int = 6) -> np.ndarray:
    image = large(500 + index)
    cv2.circle(image, (x, y), radius, (20, 25, 30), -1)
    return image


def fitted(folder: Path, method: str = "patchcore", options: list[str] | None = None, **settings: object):
    images = write_images(folder / "good", [large(i) for i in range(10)])
    recipe = resolve(method, options=options if options is not None else ["coreset_ratio=0.05"])
    chosen = Settings(**({"size": SIZE, "holdout": 0.4, "windows": True, "folds": 3} | settings))
    return fit(recipe, images, chosen, folder / "w.edgead", silent).bundle


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="module", params=[("openvino", "int8"), ("onnx", "fp32")], ids="-".join)
def detector(request, reference, tmp_path_factory):
    out = tmp_path_factory.mktemp("compiled") / "w.edgead"
    return edgead.load(make_compiled(reference, *request.param, out).bundle)


def test_the_manifest_says_how_and_counts_frames(reference):
    manifest = reference.manifest
    record = manifest.windows
    assert manifest.input.size == SIZE and record.scale == 1 and manifest.teaching is not None
    assert record.margin in record.distances and record.distances == (0, 8)
    assert (
        record.changes[0] >= record.changes[1] > 0
        and record.change == record.changes[record.distances.index(record.margin)]
    )
    assert manifest.threshold.n_images == 10 and manifest.held_out.n_images == 10
    assert manifest.method.image_score.rule == "maximum" and manifest.method.image_score.chosen == "windows"
    cut = len(windows(SHAPE, SIZE, record.margin))
    (notice,) = (n for n in manifest.notices if n.code == "windows-learned")
    assert notice.values["windows"] == 10 * cut and notice.values["images"] == 10
    assert len(manifest.reference.probe_groups) == 4 * cut
    assert json.loads(Manifest.from_json(manifest.to_json()).to_json())["windows"]["margin"] == record.margin


def test_a_map_is_its_windows_cores_and_the_score_its_maximum(detector):
    frame = defective(0, 75, 64)
    prediction = detector(frame)
    margin = detector.bundle.manifest.windows.margin
    expected = np.zeros(SHAPE, np.float32)
    for window in windows(SHAPE, SIZE, margin):
        y, x = window.rows.start, window.columns.start
        outputs = detector._state.session(np.ascontiguousarray(frame[None, y : y + 64, x : x + 64]))
        expected[window.core] = outputs["anomaly_map"][0, 0][window.core_inside]
    np.testing.assert_array_equal(prediction.anomaly_map, expected)
    assert prediction.score == expected.max()
    assert prediction.is_anomalous == (prediction.score > detector.threshold)


def test_every_way_of_judging_gives_the_same_bits(detector):
    frames = [defective(i, 20 + 12 * i, 15 + 11 * i) for i in range(8)] + [
        large(900)[:40],
        large(901)[:, :30],
    ]
    called = [detector(frame) for frame in frames]
    for held in (False, True):
        mapped = list(detector.map(iter(frames), held=held))
        assert [p.score for p in mapped] == [p.score for p in called]
        for one, other in zip(mapped, called, strict=True):
            np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
    started = [detector.start(frame) for frame in frames]
    for pending, other in zip(started, called, strict=True):
        got = pending.wait()
        assert pending.done and got.score == other.score and pending.wait(0).score == other.score
        np.testing.assert_array_equal(got.anomaly_map, other.anomaly_map)
    assert [p.anomaly_map.shape for p in called[-2:]] == [(40, 130), (150, 30)]


def test_a_frame_of_many_windows_can_be_polled_and_waited_for_by_several_threads(detector, monkeypatch):
    import time
    from concurrent.futures import ThreadPoolExecutor

    from edgead.runtime import in_windows

    monkeypatch.setattr(in_windows, "UNDER_WAY", 2)  # fewer than the frame has windows
    frame = defective(4, 60, 60)
    expected = detector(frame)
    polled = detector.start(frame)
    for _ in range(6000):
        if polled.done:
            break
        time.sleep(0.01)
    assert polled.done and polled.wait(0).score == expected.score
    shared = detector.start(frame)
    with ThreadPoolExecutor(4) as pool:
        waited = list(pool.map(lambda _: shared.wait(), range(4)))
    for prediction in waited:
        np.testing.assert_array_equal(prediction.anomaly_map, expected.anomaly_map)


def test_a_frame_on_which_nothing_is_left_to_judge_is_refused():
    from edgead.errors import FrameError
    from edgead.roi import Roi

    thin = np.zeros((640, 640), bool)
    thin[:, 300] = True
    rule = WindowRule(SIZE, 8, 8.0, Roi(thin, (0, 0, 0)))
    with pytest.raises(FrameError, match="nothing of the region of interest is left"):
        rule.apply(np.zeros((640, 640, 3), np.uint8))


def test_a_defect_is_found_wherever_it_lies_and_marked_there(detector):
    for y, x in ((75, 64), (32, 32), (64, 100), (10, 120), (140, 66), (48, 48)):
        prediction = detector(defective(1, y, x))
        assert prediction.is_anomalous, (y, x)
        left, top, width, height = prediction.regions[0].box
        assert left <= x <= left + width and top <= y <= top + height
    assert sum(detector(large(800 + i)).is_anomalous for i in range(8)) <= 2


def test_the_placement_tells_a_viewer_where_the_map_lies(detector):
    placement = detector(large(3)).placement
    assert placement.frame_size == SHAPE and placement.box == (0, 0, SHAPE[1], SHAPE[0])


def test_a_window_without_a_number_gives_no_verdict(detector, monkeypatch):
    from edgead.errors import NotFiniteError
    from edgead.runtime import in_windows

    monkeypatch.setattr(
        in_windows, "stitched", lambda shape, parts: [list(parts), np.full(shape[:2], np.nan)][1]
    )
    with pytest.raises(NotFiniteError):
        detector(large(1))


def test_calibrating_and_evaluating_go_by_frames(detector, tmp_path):
    from edgead.manifest import DEFAULT

    bundle = detector.bundle.path
    good = write_images(tmp_path / "d" / "train" / "good", [large(i) for i in range(10)])
    write_images(tmp_path / "d" / "test" / "good", [large(700 + i) for i in range(6)])
    bad = [defective(i, 20 + 15 * i, 110 - 10 * i) for i in range(6)]
    write_images(tmp_path / "d" / "test" / "spot", bad)
    masks = []
    for i in range(6):
        mask = np.zeros(SHAPE, np.uint8)
        cv2.circle(mask, (110 - 10 * i, 20 + 15 * i), 6, 255, -1)
        masks.append(mask)
    folder = write_images(tmp_path / "d" / "ground_truth" / "spot", masks)
    for file in folder.iterdir():
        file.rename(file.with_name(f"{file.stem}_mask.png"))
    found = edgead.evaluate(bundle, tmp_path / "d")
    metrics = found.metrics
    assert metrics["image_auroc"].value == 1 and metrics["pixel_auroc"].value > 0.9
    import shutil

    copy = shutil.copytree(bundle, tmp_path / "copy.edgead")
    edgead.calibrate(copy, good=[good], false_positive_rate=0.2)
    limits = edgead.load(copy).bundle.manifest.thresholds[DEFAULT]
    assert limits.n_images == 10


def test_a_web_takes_the_margin_that_was_measured(detector):
    frame = np.concatenate([defective(0, 75, 64), large(901), defective(1, 40, 100)])
    web = edgead.Web(detector, width=SHAPE[1])
    assert not web.notices
    found = [*web.feed(frame[:111]), *web.feed(frame[111:]), *web.finish()]
    for y, x in ((75, 64), (340, 100)):
        assert any(d.start <= y < d.end and d.left <= x < d.right for d in found)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [("padim", [], "learns what is usual at each place"), ("spade", ["gallery=position"], "each place")],
)
def test_a_method_that_learns_places_is_refused(tmp_path, method, options, said):
    with pytest.raises(OptionError, match=said):
        fitted(tmp_path, method, options)
    assert not (tmp_path / "w.edgead").exists()


def test_what_doesnt_go_together_is_refused(tmp_path):
    from edgead.image_score import TOP_SHARE

    images = write_images(tmp_path / "good", [large(i) for i in range(6)])
    small = write_images(tmp_path / "small", [good_image(i, (60, 60)) for i in range(6)])
    with pytest.raises(OptionError, match="maximum of its map"):
        fit(
            resolve("patchcore", image_score=TOP_SHARE),
            images,
            Settings(size=SIZE, windows=True),
            tmp_path / "a",
            silent,
        )
    with pytest.raises(DatasetError, match="no image is larger than a window"):
        fit(resolve("patchcore"), small, Settings(size=SIZE, windows=True), tmp_path / "b", silent)
    with pytest.raises(OptionError, match="ask for --windows"):
        Settings(scale=2.0)
    with pytest.raises(OptionError, match="leave --defects out"):
        fit(
            resolve("dmad"),
            images,
            Settings(size=SIZE, windows=True),
            tmp_path / "c",
            silent,
            [tmp_path / "x"],
        )


def test_frames_are_shrunk_first_where_asked(tmp_path):
    bundle = fitted(tmp_path, scale=1.5, folds=0, precisions=("fp32",))
    detector = edgead.load(make_compiled(bundle, "onnx", "fp32", tmp_path / "c.edgead").bundle)
    with pytest.raises(OptionError, match=r"shrinks frames by 1\.5"):
        edgead.Web(detector, width=130)
    prediction = detector(defective(2, 75, 64, 9))
    assert prediction.anomaly_map.shape == (100, 87) and bundle.manifest.windows.scale == 1.5
    left, top, width, height = prediction.regions[0].box
    assert left <= 64 <= left + width and top <= 75 <= top + height
    assert bundle.manifest.threshold.n_images == 4  # the held-out frames


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("margin", 33),
        ("margin", -1),
        ("scale", 0.5),
        ("scale", 1e9),
        ("changes", [-1.0, 0.0]),
        ("distances", [0]),
    ],
)
def test_a_record_out_of_range_is_refused(reference, field, value):
    document = json.loads(reference.manifest.to_json())
    del document["digest"]
    document["format"] = 2
    document["windows"][field] = value
    with pytest.raises(ManifestError, match="windows"):
        Manifest.from_json(json.dumps(document))


def test_the_command_says_it_and_so_does_inspect(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_images(Path("good"), [large(i) for i in range(8)])
    words = [
        "fit",
        "patchcore",
        "good",
        "-q",
        "--windows",
        "--size",
        "64",
        "--folds",
        "0",
        "--out",
        "w.edgead",
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "frames are judged in windows of 64 x 64 pixels that overlap" in out
    assert "windows of 64 x 64 pixels (height x width), as asked for; images usually have 150 x 130" in out
    assert main(["inspect", "w.edgead"]) == 0
    assert "frames are judged in windows" in capsys.readouterr().out
    assert main(["inspect", "w.edgead", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["windows"]["scale"] == 1
    assert read_bundle(Path("w.edgead")).manifest.windows is not None


def test_bench_says_how_many_windows_its_frames_are(detector, capsys):
    assert main(["bench", str(detector.bundle.path), "--frames", "3", "--json", "-q"]) == 0
    printed = capsys.readouterr()
    (told,) = json.loads(printed.out)["bundles"]
    assert "bench-windows" in {notice["code"] for notice in told["notices"]}
    assert "frames of 64 x 64 are judged here, 1 window each" in printed.err


def test_windows_are_chosen_by_the_images_where_no_size_is_asked_for(tmp_path):
    images = write_images(tmp_path / "good", [good_image(i, (700, 90)) for i in range(4)])
    recipe, settings = resolve("patchcore"), Settings(windows=True, folds=0, precisions=("fp32",))
    made = fit(recipe, images, settings, tmp_path / "w.edgead", silent)
    assert made.bundle.manifest.input.size == (512, 96)
    assert "windows of 512 x 96 pixels" in say(made.why)
    frame = read_image(next(images.iterdir()))
    assert frame.shape == (700, 90, 3)


def test_outside_of_a_region_of_interest_nothing_is_judged_and_its_windows_are_left_out(tmp_path):
    region = np.zeros(SHAPE, np.uint8)
    region[:, :50] = 255
    cv2.imwrite(str(tmp_path / "roi.png"), region)
    bundle = fitted(tmp_path, roi=tmp_path / "roi.png", folds=2, precisions=("fp32",))
    detector = edgead.load(make_compiled(bundle, "onnx", "fp32", tmp_path / "c.edgead").bundle)
    frame = defective(3, 70, 20)
    rule = detector.rule
    assert 0 < len(rule.places(SHAPE)) < len(windows(SHAPE, SIZE, rule.margin))
    inside, outside = detector(frame), detector(defective(3, 70, 100))
    assert inside.is_anomalous and not outside.is_anomalous
    assert not inside.anomaly_map[:, 50:].any() and inside.anomaly_map[:, :50].any()
    spoilt = frame.copy()
    spoilt[:, 52:] = 255 - spoilt[:, 52:]
    spoilt[:, 50:52] = 0
    np.testing.assert_array_equal(detector(spoilt).anomaly_map, inside.anomaly_map)
    assert bundle.manifest.roi is not None and bundle.manifest.threshold.n_images == 10
    with pytest.raises(OptionError, match="has a region of interest, drawn on a frame"):
        edgead.Web(detector, width=SHAPE[1])


def test_a_small_region_is_learned_and_decides_the_score(tmp_path):
    """Its synthetic defects lie inside, and what lies outside has no part in a score."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[60:90, 50:84] = 255
    cv2.imwrite(str(tmp_path / "roi.png"), mask)
    made = make_compiled(fitted(tmp_path, roi=tmp_path / "roi.png", folds=0), "onnx", "fp32", tmp_path / "c")
    assert "roi-small-windows" in {notice.code for notice in made.bundle.notices}
    detector = edgead.load(made.bundle.path)
    for frame in (np.zeros((*SHAPE, 3), np.uint8), large(1), defective(0, 75, 64), defective(0, 56, 46)):
        found = detector(frame)
        assert found.score == found.anomaly_map.max() == found.anomaly_map[mask > 0].max()
        assert detector.start(frame).wait() == found and list(detector.map([frame])) == [found]


def test_frames_far_larger_than_the_good_images_are_told(detector, reference):
    assert reference.manifest.windows.pixels == SHAPE[0] * SHAPE[1]
    one = edgead.load(detector.bundle.path)
    one(large(1))
    assert one.size_notice() is None
    one.with_throughput()(good_image(1, (310, 260)))
    notice = one.size_notice()
    assert notice.code == "frames-larger" and notice.values["times"] == pytest.approx(310 * 260 / (150 * 130))
    assert "4.1 times the area" in say(notice)


def test_a_threshold_set_since_then_says_nothing_of_the_good_images_size(detector, tmp_path):
    import shutil

    path, frame = shutil.copytree(detector.bundle.path, tmp_path / "w.edgead"), good_image(1, (310, 260))
    given = edgead.load(path, threshold=1e6)
    given(frame)
    assert given.size_notice() is None
    good = write_images(tmp_path / "large", [good_image(i, (310, 260)) for i in range(10)])
    edgead.calibrate(path, good=[good], false_positive_rate=0.2)
    calibrated = edgead.load(path)
    calibrated(frame)
    assert calibrated.size_notice() is None


def test_a_frame_that_takes_too_much_memory_is_refused_by_itself(detector, monkeypatch):
    from edgead.errors import FrameError
    from edgead.runtime import in_windows

    def full(*given):
        raise MemoryError("Unable to allocate")

    expected = detector(large(1))
    with monkeypatch.context() as patch:
        patch.setattr(in_windows, "stitched", full)
        for judge in (detector, lambda f: detector.start(f).wait(), lambda f: next(detector.map([f]))):
            with pytest.raises(FrameError, match="takes more memory than there is here"):
                judge(large(1))
    with monkeypatch.context() as patch:
        error = cv2.error("Insufficient memory")
        error.code = -4
        patch.setattr("edgead.runtime.detector.judge", lambda *given: (_ for _ in ()).throw(error))
        with pytest.raises(FrameError, match=r"a frame of 150 x 130 \(height x width\) takes more memory"):
            detector(large(1))
    assert detector(large(1)) == expected


def test_what_cant_be_judged_in_windows_is_told_before_an_image_is_read(tmp_path):
    recipe = resolve("padim")
    with pytest.raises(OptionError, match="each place"):
        fit(recipe, tmp_path / "nothing", Settings(windows=True), tmp_path / "w.edgead", silent)
    with pytest.raises(OptionError, match=r"size 16 x 48: .* use 32x48"):
        Settings(size=(16, 48), windows=True)
