"""The detector on real bundles: frames of every allowed kind, no state, regions, thresholds, engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgead
from edgead.errors import DeviceError, FrameError, HashMismatchError, OptionError
from tests.bundles import bad_image, good_image

TARGETS = ("openvino", "onnx")
GOLDEN = Path(__file__).parents[1] / "golden" / "v1.edgead"


@pytest.fixture(scope="module", params=TARGETS)
def detector(request, compiled):
    return edgead.load(compiled(request.param).bundle.path)


def test_a_defect_is_seen_where_it_is(detector):
    frame = bad_image(4)  # a blob around x = 40, y = 42
    prediction = detector(frame)
    assert prediction.is_anomalous and prediction.score > prediction.threshold
    assert prediction.anomaly_map.shape == (96, 64) and prediction.anomaly_map.dtype == np.float32
    assert prediction.mask.shape == (96, 64) and prediction.mask.any()
    x, y, width, height = prediction.regions[0].box
    assert x <= 40 <= x + width and y <= 42 <= y + height
    row, column = np.unravel_index(prediction.anomaly_map.argmax(), prediction.anomaly_map.shape)
    assert abs(column * 80 / 64 - 40) < 16 and abs(row * 120 / 96 - 42) < 16, "the peak is elsewhere"
    assert prediction.regions[0].peak == pytest.approx(prediction.anomaly_map.max())


def test_good_frames_are_mostly_good(detector):
    verdicts = [detector(good_image(500 + i)).is_anomalous for i in range(20)]
    assert sum(verdicts) <= 8  # six held-out images, a rate of 10 % aimed at: the bound is wide
    assert all(detector(bad_image(i)).is_anomalous for i in range(8))


def test_no_state_between_frames(detector):
    first = detector(good_image(7))
    detector(bad_image(1))
    detector(np.zeros((50, 300), np.uint16))
    again = detector(good_image(7))
    assert first.score == again.score
    np.testing.assert_array_equal(first.anomaly_map, again.anomaly_map)


def test_earlier_predictions_are_not_overwritten(detector):
    first = detector(good_image(7))
    kept = first.anomaly_map.copy()
    detector(bad_image(1))
    np.testing.assert_array_equal(first.anomaly_map, kept)


def test_frames_of_every_allowed_kind_agree(detector):
    frame = good_image(3)  # grey, so every form says the same
    score = detector(frame).score
    assert detector(frame[..., 0]).score == score
    assert detector(frame[..., :1]).score == score
    assert detector(frame, channel_order="rgb").score == score
    assert detector(frame[..., 0].astype(np.uint16) * 257).score == score
    wide = np.zeros((240, 160, 3), np.uint8)
    wide[::2, ::2] = frame
    assert detector(wide[::2, ::2]).score == score  # not contiguous
    readonly = frame.copy()
    readonly.flags.writeable = False
    assert detector(readonly).score == score


def test_channel_order_matters_for_colour(detector):
    frame = good_image(3)
    frame[..., 0] = 20
    assert detector(frame).score == detector(frame[..., ::-1], channel_order="rgb").score


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((64, 64, 3), np.float32),
        np.full((64, 64, 3), np.nan, np.float32),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 2), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros((2, 64, 64, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((64, 64, 3), np.int64),
        [[0, 1], [2, 3]],
        None,
    ],
    ids=["float", "nan", "rgba", "two channels", "empty", "batch", "one pixel", "int64", "list", "none"],
)
def test_any_other_frame_is_one_clear_line(detector, frame):
    with pytest.raises(FrameError) as error:
        detector(frame)
    assert "\n" not in str(error.value) and "frame" in str(error.value)


def test_map_yields_the_same_in_order(detector):
    frames = [good_image(i) for i in range(5)] + [bad_image(i) for i in range(5)]
    together = list(detector.map(iter(frames)))
    alone = [detector(frame) for frame in frames]
    assert [p.score for p in together] == [p.score for p in alone]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.anomaly_map, b.anomaly_map)


def test_a_threshold_of_ones_own(compiled):
    path = compiled("openvino").bundle.path
    assert not edgead.load(path, threshold=1e9)(bad_image(1)).is_anomalous
    assert edgead.load(path, threshold=0.0)(good_image(1)).is_anomalous
    with pytest.raises(OptionError):
        edgead.load(path, threshold=float("nan"))


def test_threads_and_throughput(compiled):
    path = compiled("openvino").bundle.path
    expected = edgead.load(path)(good_image(1)).score
    for options in ({"threads": 1}, {"throughput": True}):
        assert edgead.load(path, **options)(good_image(1)).score == pytest.approx(expected, rel=1e-5)
    with pytest.raises(OptionError):
        edgead.load(path, threads=0)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_opened_again_for_throughput_the_options_stay(compiled, engine):
    frames = [bad_image(i) for i in range(6)]
    first = edgead.load(compiled("onnx").bundle.path, engine=engine, threads=1, threshold=0.5)
    again = first.with_throughput()
    assert again.runs_on == first.runs_on and again.threshold == 0.5
    expected = [first(frame).score for frame in frames]
    assert [p.score for p in again.map(frames)] == pytest.approx(expected, rel=1e-5)


def test_an_unknown_device_is_named_with_those_that_exist(compiled):
    for target in TARGETS:
        with pytest.raises(DeviceError, match=r"no device 'NPU7'.*CPU"):
            edgead.load(compiled(target).bundle.path, device="NPU7")


def test_the_reference_bundle_runs_too_on_either_engine(reference_bundle):
    scores = [
        edgead.load(reference_bundle.path, engine=e)(bad_image(2)).score for e in ("openvino", "onnxruntime")
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)


def test_a_changed_model_is_refused(compiled, tmp_path):
    import shutil

    copy = shutil.copytree(compiled("onnx").bundle.path, tmp_path / "changed.edgead")
    data = bytearray((copy / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.onnx").write_bytes(data)
    with pytest.raises(HashMismatchError):
        edgead.load(copy)


@pytest.mark.parametrize(
    "words", [{"depth": 12.0}, {"depth": "12"}, {"threads": "2"}, {"cores": 3}, {"threshold": "3"}]
)
def test_options_of_a_wrong_type_are_refused_at_load(words):
    with pytest.raises(OptionError, match=next(iter(words))):
        edgead.load(GOLDEN, **words)


def test_sixteen_bits_are_asked_about_once_where_nobody_said_how_many_count(caplog):
    detector = edgead.load(GOLDEN)
    frame = np.full((30, 40), 3000, np.uint16)
    for _ in range(3):
        detector(frame)
    assert caplog.text.count("uint16 frames are taken for 16 bits") == 1
    caplog.clear()
    edgead.load(GOLDEN, depth=12)(frame)
    detector(frame, depth=12)
    assert "taken for" not in caplog.text
