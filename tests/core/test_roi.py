"""A region of interest by itself: drawn as a mask or as polygons, at other sizes, and painted round."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead import coverage
from edgead.coverage import by_area
from edgead.errors import FrameError, ImageError, RoiError
from edgead.resize import ResizeRule
from edgead.roi import Roi, RoiRule, read_roi
from edgead.roi.polygons import MAX_POLYGONS, MAX_VERTICES, drawn, read_polygons

FILL = (10, 130, 250)


def disc(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (y - 0.45 * height) ** 2 + (x - 0.55 * width) ** 2 < (0.3 * min(height, width)) ** 2


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# ---------------------------------------------------------------- polygons


def is_inside(x: float, y: float, polygon) -> bool:
    """By the angle that the polygon goes round a point: an odd number of turns is inside."""
    turned = 0.0
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        a, b = math.atan2(y0 - y, x0 - x), math.atan2(y1 - y, x1 - x)
        turned += (b - a + math.pi) % (2 * math.pi) - math.pi
    return round(turned / (2 * math.pi)) % 2 == 1


def is_on_edge(x: float, y: float, polygon) -> bool:
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        along, off = (x1 - x0, y1 - y0), (x - x0, y - y0)
        if abs(along[0] * off[1] - along[1] * off[0]) < 1e-9:
            return True
    return False


@pytest.mark.parametrize("seed", range(12))
def test_polygons_cover_the_pixels_whose_centres_they_go_round(seed: int) -> None:
    """Convex, hollow and self-crossing ones, on whole pixels and between them."""
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(5, 18)), int(rng.integers(5, 18))
    polygons = []
    for _ in range(int(rng.integers(1, 4))):
        points = rng.uniform(0, 1, (int(rng.integers(3, 9)), 2)) * (width, height)
        points = np.round(points) if seed % 2 else points
        polygons.append([tuple(map(float, point)) for point in points])
    found, looked_at = drawn(polygons, (height, width)), 0
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            if not any(is_on_edge(x, y, polygon) for polygon in polygons):  # there it may be either
                assert found[row, column] == any(is_inside(x, y, polygon) for polygon in polygons)
                looked_at += 1
    assert looked_at > height * width / 2


def test_a_pentagram_is_hollow_and_overlapping_polygons_arent() -> None:
    star = [
        (20 + 18 * math.sin(4 * math.pi * k / 5), 20 - 18 * math.cos(4 * math.pi * k / 5)) for k in range(5)
    ]
    assert not drawn([star], (40, 40))[20, 20] and drawn([star], (40, 40))[6, 20]
    square = [(10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0)]
    assert drawn([star, square], (40, 40))[20, 20]


def test_holes_are_outside_whatever_polygon_covers_them() -> None:
    found = read_polygons(json.dumps({
        "width": 12, "height": 10, "polygons": [[[0, 0], [12, 0], [12, 10], [0, 10]]] * 2,
        "holes": [[[2, 3], [6, 3], [6, 7], [2, 7]]],
    }).encode()).mask()  # fmt: skip
    wanted = np.ones((10, 12), bool)
    wanted[3:7, 2:6] = False
    assert found.dtype == bool and (found == wanted).all()


def test_neighbouring_polygons_share_no_pixel_and_leave_none_out() -> None:
    left, right = [(0, 0), (7.5, 0), (4.5, 10), (0, 10)], [(7.5, 0), (12, 0), (12, 10), (4.5, 10)]
    one, other = drawn([left], (10, 12)), drawn([right], (10, 12))
    assert (one ^ other).all()


SQUARE = [[1, 1], [9, 1], [9, 9], [1, 9]]
MOST = [[1, 1], [9, 1], [9, 9]]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "not valid JSON"),
        ('{"width": 9, "width": 9}', "given twice"),
        ("[1]", "not a JSON object"),
        ({"width": 10, "height": 10}, "'polygons' is missing"),
        ({"width": 10, "height": 10, "polygons": [SQUARE], "depth": 1}, "'depth' is unknown"),
        ({"width": 10.5, "height": 10, "polygons": [SQUARE]}, "'width' must be a whole number"),
        ({"width": True, "height": 10, "polygons": [SQUARE]}, "'width' must be a whole number"),
        ({"width": 3, "height": 10, "polygons": [SQUARE]}, "width 3 and height 10 must be from 8 to 32768"),
        ({"width": 1 << 20, "height": 10, "polygons": [SQUARE]}, "must be from 8 to 32768"),
        ({"width": 30000, "height": 30000, "polygons": [SQUARE]}, "over the limit of 100 megapixels"),
        ({"width": 10, "height": 10, "polygons": []}, "no polygon is in it"),
        ({"width": 10, "height": 10, "polygons": [SQUARE[:2]]}, r"polygons\[0\] has 2 vertices"),
        ({"width": 10, "height": 10, "polygons": [[[1, 1, 1]]]}, r"polygons\[0\]\[0\]' must have 2 values"),
        ({"width": 10, "height": 10, "polygons": [[["1", 1]]]}, "must be a number, not a string"),
        ('{"width": 10, "height": 10, "polygons": [[[NaN, 1], [2, 2], [1, 2]]]}', "not a finite number"),
        ('{"width": 10, "height": 10, "polygons": [[[1e999, 1], [2, 2], [1, 2]]]}', "not a finite number"),
        (
            {"width": 10, "height": 10, "polygons": [SQUARE], "holes": [[[1, 1], [10.5, 1], [2, 2]]]},
            r"holes\[0\]\[1\] at x 10.5, y 1 lies outside of the 10 x 10 pixels",
        ),
        ({"width": 10, "height": 10, "polygons": [[[-1, 1], [2, 1], [2, 2]]]}, "at x -1, y 1 lies outside"),
        ({"width": 10, "height": 10, "polygons": [MOST] * (MAX_POLYGONS + 1)}, "1001 polygons and holes are"),
        ({"width": 10, "height": 10, "polygons": [SQUARE * (MAX_VERTICES // 4 + 1)]}, "10004 vertices are"),
        ({"width": 9, "height": 9, "polygons": [[[1.1, 1.1], [1.3, 1.1], [1.3, 1.3]]]}, "nothing is inside"),
        ({"width": 10, "height": 10, "polygons": [SQUARE], "holes": [SQUARE]}, "nothing is inside"),
        ('{"width": ' + "[" * 5000 + "]" * 5000 + "}", "nested too deeply|valid JSON|whole number"),
        (b"\xff\xfe{", "no UTF-8"),
        (
            {"width": 10000, "height": 10000, "polygons": [[[0, 0], [1e4, 0], [1e4, 1e4], [0, 1e4]]] * 21},
            "take too long to draw",
        ),
    ],
)  # fmt: skip
def test_polygons_that_say_nothing_are_refused(document, says: str, tmp_path: Path) -> None:
    file = tmp_path / "roi.json"
    text = json.dumps(document) if isinstance(document, dict | list) else document
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RoiError, match=says) as refused:
        read_roi(file)
    assert str(refused.value).startswith(f"{file}: ") and "\n" not in str(refused.value)


def test_a_file_of_polygons_that_cant_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RoiError, match=r"none\.json: no such file"):
        read_roi(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(RoiError, match="a folder is no region of interest"):
        read_roi(tmp_path / "folder.json")
    (tmp_path / "long.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(RoiError, match="over the limit of"):
        read_roi(tmp_path / "long.json")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.json")
        with pytest.raises(RoiError, match="not a regular file"):
            read_roi(tmp_path / "pipe.json")


# ---------------------------------------------------------------- mask images


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_mask_is_inside_where_it_isnt_0(ending: str, value: int, channels: int, tmp_path: Path) -> None:
    mask = disc(40, 60)
    file = tmp_path / f"roi.{ending}"
    cv2.imwrite(str(file), np.repeat(mask[..., None] * np.uint8(value), channels, 2))
    found = read_roi(file)
    assert (found.mask == mask).all() and not found.notices


def test_a_lossy_mask_is_read_and_told(tmp_path: Path) -> None:
    mask = disc(80, 96)
    for name, channels in (("grey.jpg", 1), ("colour.jpg", 3)):
        cv2.imwrite(str(tmp_path / name), np.repeat(mask[..., None] * np.uint8(255), channels, 2))
        found = read_roi(tmp_path / name)
        assert np.mean(found.mask != mask) < 0.02
        assert [notice.code for notice in found.notices] == ["mask-lossy"]


def test_a_picture_is_no_region_of_interest(tmp_path: Path) -> None:
    colours = np.repeat(disc(40, 60)[..., None] * np.uint8(255), 3, 2)
    colours[5, 5] = 0, 0, 1
    cv2.imwrite(str(tmp_path / "coloured.png"), colours)
    with pytest.raises(RoiError, match=r"coloured\.png: a picture with colours is no region of interest"):
        read_roi(tmp_path / "coloured.png")
    cv2.imwrite(str(tmp_path / "photo.jpg"), cv2.resize(noise((5, 5, 3)), (60, 40)))
    with pytest.raises(RoiError, match="a picture with colours"):
        read_roi(tmp_path / "photo.jpg")
    ramp = np.tile(np.arange(256, dtype=np.uint8), (60, 1))
    cv2.imwrite(str(tmp_path / "grey.png"), ramp)
    assert [notice.code for notice in read_roi(tmp_path / "grey.png").notices] == ["mask-grey"]


def test_a_mask_of_nothing_is_refused_and_one_of_everything_is_told(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "none.png"), np.zeros((30, 30), np.uint8))
    with pytest.raises(RoiError, match=r"none\.png: nothing is inside"):
        read_roi(tmp_path / "none.png")
    cv2.imwrite(str(tmp_path / "all.png"), np.full((30, 30), 255, np.uint8))
    (notice,) = read_roi(tmp_path / "all.png").notices
    assert notice.code == "roi-all" and "all.png" in str(notice)
    few = np.zeros((30, 30), np.uint8)
    few[:2] = 255
    cv2.imwrite(str(tmp_path / "few.png"), few)
    (notice,) = read_roi(tmp_path / "few.png").notices
    assert notice.code == "roi-small" and "6.7%" in str(notice)
    cv2.imwrite(str(tmp_path / "tiny.png"), np.full((3, 30), 255, np.uint8))
    with pytest.raises(RoiError, match="30 x 3 pixels is too small"):
        read_roi(tmp_path / "tiny.png")


def test_a_damaged_mask_is_refused(tmp_path: Path) -> None:
    whole = cv2.imencode(".png", disc(40, 60) * np.uint8(255))[1].tobytes()
    for name, data in (("cut.png", whole[:60]), ("empty.png", b""), ("text.png", b"no image at all")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=name):
            read_roi(tmp_path / name)
    with pytest.raises(ImageError, match="can't be read"):
        read_roi(tmp_path / "none.png")


# ---------------------------------------------------------------- other sizes


@pytest.mark.parametrize(
    ("old", "new"),
    [((6, 8), (3, 4)), ((5, 7), (3, 4)), ((4, 6), (10, 9)), ((9, 5), (4, 11)), ((8, 8), (8, 8))],
)
def test_a_pixel_counts_where_half_of_its_area_does(old, new, monkeypatch) -> None:
    """Both sizes divide a common one, on which areas are counted; in one block or in several."""
    for seed in range(10):
        mask = np.random.default_rng(seed).random(old) < 0.5
        tall, wide = math.lcm(old[0], new[0]), math.lcm(old[1], new[1])
        large = np.repeat(np.repeat(mask, tall // old[0], 0), wide // old[1], 1)
        blocks = large.reshape(new[0], tall // new[0], new[1], wide // new[1])
        wanted = 2 * blocks.sum((1, 3)) >= blocks.shape[1] * blocks.shape[3]
        assert (by_area(mask, new) == wanted).all()
        with monkeypatch.context() as patched:
            patched.setattr(coverage, "_BLOCK", 1)
            assert (by_area(mask, new) == wanted).all()


@pytest.mark.parametrize("size", [(40, 60), (80, 120), (20, 30), (40, 59)])
def test_everything_outside_is_painted_and_nothing_else(size) -> None:
    roi, frame = Roi(disc(40, 60), FILL), noise((*size, 3))
    before, inside = frame.copy(), roi.inside(size)
    painted = roi.painted(frame)
    assert (painted == np.where(inside[..., None], frame, np.array(FILL, np.uint8))).all()
    assert (frame == before).all() and not np.may_share_memory(painted, frame)
    assert inside.any() and not inside.all() and not inside.flags.writeable
    strided = np.repeat(frame, 2, 1)[:, ::2]
    assert (roi.painted(strided) == painted).all()


def test_the_region_knows_which_rows_and_columns_it_touches() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    roi = Roi(mask, FILL)
    assert roi.touches(slice(0, 11), slice(0, 31), (40, 60)) and roi.touches(
        slice(19, 40), slice(49, 60), (40, 60)
    )
    assert not roi.touches(slice(0, 10), slice(0, 60), (40, 60))
    assert not roi.touches(slice(0, 40), slice(50, 60), (40, 60))
    assert roi.touches(slice(0, 22), slice(0, 62), (80, 120)) and not roi.touches(
        slice(0, 20), slice(0, 120), (80, 120)
    )
    assert roi.box((40, 60)) == (slice(10, 20), slice(30, 50)) and roi.box((80, 120)) == (
        slice(20, 40),
        slice(60, 100),
    )


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("frame_size", [(90, 120), (180, 240), (30, 40), (61, 81), (24, 32)])
def test_no_pixel_outside_has_any_part_in_the_input(mode, frame_size) -> None:
    """Shrunk and enlarged, by whole factors and between: whatever is drawn outside, the input is the same."""
    roi = Roi(disc(90, 120), FILL)
    rule = RoiRule((32, 48), mode, roi=roi)
    outside = ~roi.inside(frame_size)
    first = noise((*frame_size, 3))
    wanted, kept = rule.apply(first), first.copy()
    for seed in range(1, 6):
        other = np.where(outside[..., None], noise(first.shape, seed), first)
        assert (other[outside] != first[outside]).any() and (rule.apply(other) == wanted).all()
    assert (first == kept).all()
    inside = rule.inside(frame_size)
    area = rule.valid_area(frame_size)
    shown = np.zeros(inside.shape, bool)
    shown[area] = True
    assert (wanted[shown & ~inside] == FILL).all() and not inside[~shown].any() and inside.any()


def test_inside_the_input_is_what_the_plain_rule_makes_but_at_the_border() -> None:
    roi, frame = Roi(disc(90, 120), FILL), noise((90, 120, 3))
    rule = RoiRule((45, 60), roi=roi)
    wholly = cv2.resize((~roi.mask).astype(np.float32), (60, 45), interpolation=cv2.INTER_AREA) == 0
    assert wholly.sum() > 300
    assert (rule.apply(frame)[wholly] == ResizeRule((45, 60)).apply(frame)[wholly]).all()


def test_frames_of_another_aspect_are_refused_with_both_sizes() -> None:
    rule = RoiRule((32, 32), roi=Roi(disc(90, 120), FILL))
    for good in ((90, 120), (180, 240), (450, 601), (90, 121)):
        rule.check(good)
    for bad in ((90, 122), (120, 90), (32, 32), (91, 119)):
        with pytest.raises(FrameError, match=f"drawn on 90 x 120, and this frame of {bad[0]} x {bad[1]} "):
            rule.apply(noise((*bad, 3)))
    assert rule.plain_size == (90, 120) and RoiRule((30, 40), roi=rule.roi).plain_size == (30, 40)
    assert ResizeRule((32, 32)).plain_size == (32, 32) and ResizeRule((32, 32)).inside((9, 9)) is None


def test_a_frame_on_which_nothing_of_it_is_left_is_refused() -> None:
    mask = np.zeros((400, 400), bool)
    mask[:, 200:203] = True
    with pytest.raises(FrameError, match="nothing of it is left on a frame of 40 x 40"):
        RoiRule((200, 200), roi=Roi(mask, FILL)).apply(noise((40, 40, 3)))


def test_a_mask_that_cant_be_read_is_named_as_the_region(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"nothing")
    for name in ("none.png", "text.png"):
        with pytest.raises(ImageError, match=rf"{name}: .*given as the region of interest"):
            read_roi(tmp_path / name)
