"""Good images that stand out are named, held out or not; where none does, nothing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgead.images import list_images
from edgead.notices import say
from edgead.progress import silent
from edgead.resize import ResizeRule
from edgead.workbench.fit import Settings, fit
from edgead.workbench.good_images import GoodImages, read_known
from edgead.workbench.recipe import resolve
from edgead.workbench.standouts import Standouts, deviations, find_standouts, held_out_notices, odd_score
from tests.bundles import SIZE, bad_image, good_image, write_images


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def test_the_score_is_that_of_plain_loops():
    rng = np.random.default_rng(0)
    vectors, others = unit(rng.normal(size=(100, 8))), unit(rng.normal(size=(20, 30, 8)))
    quorum = []
    for vector in vectors.astype(float):
        to_image = sorted(min(np.linalg.norm(vector - other) for other in image) for image in others)
        quorum.append(to_image[2])  # 15 % of twenty images: the third nearest
    expected = np.mean(sorted(quorum)[-2:])  # 1.5 % of a hundred vectors, rounded
    assert odd_score(vectors, others) == pytest.approx(expected, rel=1e-4)


def test_a_few_images_with_the_same_defect_do_not_vouch_for_each_other():
    rng = np.random.default_rng(1)
    usual = unit(np.abs(rng.normal(size=(30, 40, 8))) + 2)
    defect = unit(np.array([5.0, -5, 5, -5, 5, -5, 5, -5]))
    planted = usual.copy()
    planted[:3, 0] = defect
    scores = [odd_score(planted[i], np.delete(planted, i, 0)) for i in range(30)]
    assert set(np.argsort(scores)[-3:].tolist()) == {0, 1, 2}
    assert min(scores[:3]) > 2 * max(scores[3:])


def test_deviations_are_robust_and_on_a_logarithmic_scale():
    scores = np.exp(np.array([-1.0, -1, -0.5, 0, 0, 0.5, 1, 1, 9]))
    expected = (np.log(scores) - 0) / (1.4826 * 1.0)  # median 0; the median of |x| is 1
    assert deviations(scores, 0.02) == pytest.approx(expected)
    assert deviations(np.full(9, 3.0), 0.02) == pytest.approx(np.zeros(9))


USUAL = range(2, 26)
"""Good images of which none stands out; 0 and 1 are lit as few others are."""


def frames(images, folder: Path) -> GoodImages:
    return GoodImages(tuple(list_images(write_images(folder, images))), ResizeRule(SIZE))


def test_planted_defects_are_named_and_clean_images_are_not(tmp_path):
    backbone = resolve("patchcore").backbone
    good = [good_image(i) for i in USUAL]
    clean = frames(good, tmp_path / "clean")
    assert find_standouts(clean, np.arange(24), backbone, 0, silent) == Standouts()
    mixed = frames([*good, bad_image(0), bad_image(3)], tmp_path / "mixed")
    found = find_standouts(mixed, np.arange(26), backbone, 0, silent)
    (notice,) = found.notices
    assert {row["image"] for row in notice.values["images"]} == {"024.png", "025.png"}
    assert "024.png" in say(notice) and "look at them" in say(notice)
    assert all(row["deviation"] > 3 > notice.values["next"] for row in notice.values["images"])
    # Copies of one defective part don't judge each other, so they can't hide it.
    copies = frames([*good, *[bad_image(0)] * 5], tmp_path / "copies")
    (notice,) = find_standouts(copies, np.array([*range(24), *[24] * 5]), backbone, 0, silent).notices
    assert len(notice.values["images"]) == 5


def test_too_few_images_say_nothing(tmp_path):
    few = frames([good_image(i) for i in range(6)] + [bad_image(0)], tmp_path / "few")
    assert find_standouts(few, np.arange(7), resolve("patchcore").backbone, 0, silent) == Standouts()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_defect_among_good_images_is_named_whichever_way_the_split_falls(tmp_path, seed):
    folder = write_images(tmp_path / "good", [good_image(i) for i in USUAL] + [bad_image(1)])
    settings = Settings(size=SIZE, holdout=0.3, false_positive_rate=0.1, precisions=("fp32",), seed=seed)
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    manifest = fit(recipe, folder, settings, tmp_path / "p.edgead", silent).bundle.manifest
    (notice,) = (n for n in manifest.notices if n.code == "stands-out")
    assert [row["image"] for row in notice.values["images"]] == ["024.png"]


def test_held_out_scores_that_say_little_or_stand_out_are_told():
    paths = [Path(f"{i}.png") for i in range(8)]
    usual = np.array([4.0, 4.4, 4.1, 4.9, 4.6, 5.0, 4.2, 4.5])
    assert held_out_notices(paths, usual) == []
    (one,) = held_out_notices(paths[:1], usual[:1])
    assert one.code == "one-held-out" and one.values == {"image": "0.png", "score": 4.0}
    for flat in (np.zeros(8), np.full(8, 3.0), 3.0 + np.arange(8) * 1e-5):
        (notice,) = held_out_notices(paths, flat)
        assert notice.code == "flat-scores"
    (out,) = held_out_notices(paths, np.array([*usual[:7], 11.3]))
    assert out.code == "held-out-stands-out" and "7.png 11.3, next 5.0" in say(out)
    names, scores = [Path("nut") / path for path in paths], np.array([*usual[:7], 11.3])
    (out,) = held_out_notices(names, scores, [*names, Path("bolt/7.png")])  # which isn't held out
    assert "nut/7.png 11.3, next 5.0" in say(out)


def test_cracked_cookies_among_good_ones_are_named(shared_data):
    good = list_images(shared_data / "cookie" / "train" / "good")
    cracked = list_images(shared_data / "cookie" / "test" / "crack")
    recipe = resolve("patchcore")
    for chosen in ((0, 9, 17, 25), (3, 12, 20, 28)):
        planted = [cracked[i] for i in chosen]
        known, _ = read_known(good, None, recipe.backbone.input.multiple, silent)
        images = GoodImages((*good, *planted), known.rule)  # as a reader of files would refuse them
        (notice,) = find_standouts(images, np.arange(len(images)), recipe.backbone, 0, silent).notices
        named = {row["image"] for row in notice.values["images"]}
        assert len(named & {f"crack/{p.name}" for p in planted}) >= 3
        assert named - {f"crack/{p.name}" for p in planted} <= {"024.jpg"}  # lit otherwise
