from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.demo.product import KINDS, SIZE, make_defective, make_product, write_dataset
from edgead.errors import OutputError, UnknownNameError


@pytest.fixture(scope="module")
def good():
    return [make_product(0, index) for index in range(6)]


def test_equal_seeds_give_equal_parts_and_no_two_parts_are_alike(good):
    assert good[0].shape == (SIZE, SIZE, 3) and good[0].dtype == np.uint8
    assert (make_product(0, 3) == good[3]).all()
    images = {image.tobytes() for image in [*good, make_product(1, 0)]}
    assert len(images) == 7


def test_parts_move_turn_and_are_noisy(good):
    stack = np.stack(good).astype(float)
    rims = [np.argwhere(image.mean(axis=2) > 90).mean(axis=0) for image in good]
    assert np.ptp(rims, axis=0).min() > 2  # pixels
    flat = stack[:, 150:170, 150:170]  # through the bore, on the mat: no texture but the weave
    assert flat.std(axis=(1, 2, 3)).min() > 1
    assert stack.mean() > 40 and (stack == 255).mean() < 0.001


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_is_inside_its_mask_and_nowhere_else(kind, good):
    for index in range(4):
        image, mask = make_defective(0, index, kind)
        again, _ = make_defective(0, index, kind)
        assert (image == again).all()
        assert set(np.unique(mask)) == {0, 1} and 0.0002 < mask.mean() < 0.12
        change = np.abs(image.astype(int) - good[index]).max(axis=2)
        assert change[mask == 1].max() > 10  # noise is the same in both
        outside = cv2.dilate(mask, np.ones((11, 11), np.uint8)) == 0
        assert change[outside].mean() < 0.3
        assert np.quantile(change[outside], 0.999) < 12


def test_some_defects_are_subtle_and_some_are_plain(good):
    change = [
        np.abs(make_defective(0, i, kind)[0].astype(int) - good[i]).max(axis=2)
        for kind in KINDS
        for i in range(6)
    ]
    peaks = [float(np.quantile(c, 0.999)) for c in change]
    assert min(peaks) < 25 < 80 < max(peaks)


def test_the_dataset_has_the_mvtec_layout(tmp_path: Path):
    write_dataset(tmp_path / "réel", n_train=3, n_good=2, n_bad_per_kind=1, seed=5)
    files = sorted(p.relative_to(tmp_path / "réel").as_posix() for p in (tmp_path / "réel").rglob("*.*"))
    assert files == sorted(
        [f"train/good/{i:03}.png" for i in range(3)]
        + [f"test/good/{i:03}.png" for i in range(2)]
        + [f"test/{kind}/000.png" for kind in KINDS]
        + [f"ground_truth/{kind}/000_mask.png" for kind in KINDS]
    )
    pixels = [cv2.imdecode(np.fromfile(tmp_path / "réel" / f, np.uint8), cv2.IMREAD_UNCHANGED) for f in files]
    assert {p.shape for p in pixels} == {(SIZE, SIZE), (SIZE, SIZE, 3)}
    assert all(set(np.unique(p)) == {0, 255} for p in pixels if p.ndim == 2)
    assert len({p.tobytes() for p in pixels if p.ndim == 3}) == 5 + len(KINDS)


def test_bad_input_is_answered_by_one_line(tmp_path: Path):
    with pytest.raises(UnknownNameError, match="scratch"):
        make_defective(0, 0, "scrach")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        write_dataset(tmp_path / "file", 1, 1, 1)
    assert "\n" not in str(caught.value)
