"""A prediction draws, saves and shows itself, and says little of its arrays."""

from __future__ import annotations

import base64
import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgead
from edgead.errors import FrameError, OptionError, OutputError
from edgead.types import Placement, Prediction, Region
from tests.mean_bundle import picture, write_mean_bundle

INFERNO = {0.0: (4, 0, 0), 1.0: (164, 255, 252)}
"""The ends of matplotlib's inferno, BGR."""


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory):
    """Detectors whose map is the frame's brightness, threshold 100, by resize mode."""
    folder = tmp_path_factory.mktemp("mean")
    return {
        mode: edgead.load(write_mean_bundle(folder / f"{mode}.edgead", resize=mode))
        for mode in ("stretch", "letterbox")
    }


@pytest.fixture
def judged(detectors):
    frame = picture(200)
    return detectors["stretch"](frame), frame


def made(**changes) -> Prediction:
    anomaly_map = np.arange(12, dtype=np.float32).reshape(3, 4)
    values = {
        "score": 11.0,
        "is_anomalous": True,
        "threshold": 5.0,
        "anomaly_map": anomaly_map,
        "mask": anomaly_map > 8,
        "regions": (Region((0, 2, 4, 1), 3, 11.0),),
        "placement": Placement((30, 40), (0, 0, 4, 3), 8.0),
    }
    return Prediction(**(values | changes))


def test_the_colours_lie_on_the_defect_and_nowhere_else(judged):
    prediction, frame = judged
    before = frame.copy()
    drawn = prediction.draw(frame)
    assert drawn.shape == frame.shape and drawn.dtype == np.uint8
    assert (frame == before).all()
    changed = (drawn != frame).any(axis=2)
    spot = frame[..., 0] == 200
    near = cv2.dilate(spot.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert changed[spot].all() and not changed[~near].any()
    expected = 0.4 * 200 + 0.6 * np.array(INFERNO[1.0])
    np.testing.assert_allclose(drawn[30, 40], expected, atol=1)
    assert (drawn[near] == 255).all(axis=1).any(), "no outline"


@pytest.mark.parametrize("size", [(200, 40), (40, 200), (64, 96)])
def test_a_letterbox_puts_the_colours_where_the_defect_is(detectors, size):
    """The padding is over the threshold: taken for the frame, it would colour the edges."""
    height, width = size
    frame = np.full((height, width, 3), 50, np.uint8)
    y, x = 3 * height // 5, width // 5
    frame[y : y + height // 5, x : x + width // 5] = 220
    drawn = detectors["letterbox"](frame).draw(frame)
    changed = (drawn != frame).any(axis=2)
    rows, columns = np.nonzero(changed)
    pixel = max(height / 32, width / 48) + 3
    assert changed[y + height // 10, x + width // 10]
    assert y - pixel <= rows.min() and rows.max() <= y + height // 5 + pixel
    assert x - pixel <= columns.min() and columns.max() <= x + width // 5 + pixel


def test_where_a_letterbox_shows_the_frame_is_counted_by_hand(detectors):
    tall = detectors["letterbox"](np.full((200, 40, 3), 50, np.uint8))
    assert tall.placement == Placement((200, 40), (21, 0, 6, 32), 100.0)
    stretched = detectors["stretch"](np.full((200, 40, 3), 50, np.uint8))
    assert stretched.placement == Placement((200, 40), (0, 0, 48, 32), 100.0)


def test_a_frame_that_passes_has_colours_and_no_outline(detectors):
    detector = edgead.load(detectors["stretch"].bundle.path, threshold=250)
    prediction = detector(picture(200))
    assert not prediction.is_anomalous
    drawn = prediction.draw(picture(200))
    assert (drawn != picture(200)).any() and not (drawn == 255).all(axis=2).any()


def test_frames_of_every_kind_are_drawn_as_they_were_judged(detectors):
    detector, frame = detectors["stretch"], picture(200)
    drawn = detector(frame).draw(frame)
    assert (detector(frame[..., 0]).draw(frame[..., 0]) == drawn).all()
    deep = frame[..., 0].astype(np.uint16) * 257
    assert (detector(deep).draw(deep) == drawn).all()
    twelve = (frame[..., 0].astype(np.float64) * 4095 / 255).round().astype(np.uint16)
    assert (detector(twelve, depth=12).draw(twelve, depth=12) == drawn).all()
    told = edgead.load(detector.bundle.path, depth=12)
    assert (told(twelve).draw(twelve) == drawn).all(), "the detector's depth isn't remembered"
    frame[..., 2] = 90
    mirrored = np.ascontiguousarray(frame[..., ::-1])
    by_rgb = detector(mirrored, channel_order="rgb").draw(mirrored, channel_order="rgb")
    assert (by_rgb == detector(frame).draw(frame)).all()


def test_map_and_call_give_the_same_placement(detectors):
    frames = [picture(200), np.full((200, 40, 3), 50, np.uint8)]
    detector = detectors["letterbox"]
    assert list(detector.map(frames)) == [detector(frame) for frame in frames]


def test_a_copy_in_another_size_is_drawn_and_another_frame_refused(judged):
    prediction, frame = judged
    for factor in (0.4, 0.97, 3.1):
        copy = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        assert prediction.draw(copy).shape == copy.shape
    for other in (frame.transpose(1, 0, 2), frame[:-3], frame[:, 10:]):
        with pytest.raises(FrameError, match="draw on that one") as caught:
            prediction.draw(other)
        assert "64 x 96" in str(caught.value)
    with pytest.raises(FrameError):
        prediction.draw(frame.astype(np.float32))
    with pytest.raises(OptionError):
        prediction.draw(frame, opacity=2)


def test_what_is_saved_is_what_is_drawn(judged, tmp_path: Path):
    prediction, frame = judged
    for name in ("a.png", "größe.PNG"):
        assert prediction.save(tmp_path / name, frame) == tmp_path / name
        read = cv2.imdecode(np.frombuffer((tmp_path / name).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert (read == prediction.draw(frame)).all()
    prediction.save(str(tmp_path / "a.jpg"), frame)
    assert (tmp_path / "a.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.png", "größe.PNG"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a", "no ending says what to write; give a name that ends in .png"),
        ("a.gif", "'.gif' is no picture's ending; give a name that ends in .png"),
        ("missing/a.png", "create the folder first"),
        ("a\nb.txt", "'.txt' is no picture's ending"),
    ],
)
def test_what_cannot_be_saved_is_told_in_one_line(judged, tmp_path: Path, name: str, told: str):
    prediction, frame = judged
    with pytest.raises(OutputError, match=re.escape(told)) as caught:
        prediction.save(tmp_path / name, frame)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_picture_too_long_for_a_jpeg_is_told(tmp_path: Path):
    long = made(placement=Placement((8, 70_000), (0, 0, 4, 3), 8.0))
    with pytest.raises(OutputError, match=re.escape("70000 x 8 can't be a .jpg; name it .png")):
        long.save(tmp_path / "a.jpg", np.zeros((8, 70_000), np.uint8))
    assert not list(tmp_path.iterdir())


def test_an_older_picture_stays_where_drawing_fails(judged, tmp_path: Path):
    prediction, frame = judged
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(FrameError):
        prediction.save(tmp_path / "a.png", frame[:40])
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_equal_is_equal_in_every_value():
    assert made() == made()
    other_map, other_mask = made().anomaly_map.copy(), ~made().mask
    other_map[0, 0] = 0.5
    changes = {
        "score": 12.0,
        "is_anomalous": False,
        "threshold": 4.0,
        "anomaly_map": other_map,
        "mask": other_mask,
        "regions": (),
        "placement": None,
        "lesson": 3,
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Prediction)}
    for name, value in changes.items():
        assert made() != made(**{name: value}), name
    assert made() != made(anomaly_map=made().anomaly_map[:2]) and made() != "a prediction"
    with pytest.raises(TypeError):
        hash(made())


def test_the_repr_is_one_line_without_arrays():
    assert repr(made()) == "Prediction(anomalous: score 11 > threshold 5, 1 region)"
    good = made(score=3.0, is_anomalous=False, regions=())
    assert repr(good) == "Prediction(good: score 3 <= threshold 5)"
    like = made(score=3.0, lesson=2)
    assert repr(like) == (
        "Prediction(anomalous: score 3 <= threshold 5, 1 region, like the defect of lesson 2)"
    )
    assert "like the defect of lesson 2" in like._repr_html_()


def test_a_notebook_shows_verdict_and_map_and_fetches_nothing(judged):
    prediction, _ = judged
    html = prediction._repr_html_()
    assert "anomalous" in html and f"{prediction.score:.6g}" in html
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    (encoded,) = re.findall(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)"', html)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (32, 48, 3)
    assert tuple(image[0, 0]) == INFERNO[0.0] and tuple(image[15, 20]) == INFERNO[1.0]
    assert base64.b64decode(encoded) == prediction._repr_png_()


def test_a_notebook_leaves_out_a_letterbox_border(detectors):
    png = detectors["letterbox"](np.full((200, 40, 3), 50, np.uint8))._repr_png_()
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (32, 6, 3) and (image == INFERNO[0.0]).all()


def test_a_notebook_shows_the_map_in_the_frames_aspect(detectors):
    """The model's input is 32 x 48; a tall frame's map isn't shown as a wide one."""
    frame = np.full((100, 50, 3), 50, np.uint8)
    frame[60:80] = 200
    png = detectors["stretch"](frame)._repr_png_()
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (48, 24, 3)
    assert (image[33] == INFERNO[1.0]).all() and (image[:26] == INFERNO[0.0]).all()


def test_a_notebook_names_a_few_of_many_regions():
    many = made(regions=tuple(Region((i, 0, 1, 1), 4, 9.0) for i in range(9)))
    html = many._repr_html_()
    assert html.count("pixels at x") == 5 and "and 4 regions more" in html


def test_a_prediction_of_no_detector_says_so():
    bare = made(placement=None)
    with pytest.raises(OptionError, match=r"edgead\.heatmap\.overlay"):
        bare.draw(np.zeros((30, 40, 3), np.uint8))
    assert "<img" not in bare._repr_html_() and "anomalous" in bare._repr_html_()
    assert bare._repr_png_() is None
