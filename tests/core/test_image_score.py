"""The image score: in NumPy against plain loops, in the graph against NumPy, and chosen by evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spox
import spox.opset.ai.onnx.v18 as op
from spox import Tensor

from edgead.bundle import read_bundle
from edgead.errors import OptionError
from edgead.image_score import MAXIMUM, PAPER, TOP_SHARE, ImageScore, parse, score_of
from edgead.manifest import ImageScoreRecord
from edgead.plugins import registry
from edgead.progress import silent
from edgead.runtime.exact import ExactSession
from edgead.types import ChoosesImageScore, Scores
from edgead.workbench.fit import Settings, fit
from edgead.workbench.image_choice import candidates_of, choose
from edgead.workbench.recipe import resolve
from edgead.workbench.unseen import Unseen
from edgead_plugins.destseg.upsampling import Bilinear
from edgead_plugins.postprocessors import Gaussian
from tests.bundles import SIZE, good_image, write_images


@pytest.mark.parametrize("share", [0.01, 0.2, 1.0])
def test_a_top_share_is_the_mean_of_the_highest_patches(share: float) -> None:
    patch = np.random.default_rng(0).random((13, 17), np.float32)
    found = score_of(patch, np.zeros((5, 5), np.float32), 5.0, ImageScore("top-share", share))
    highest = sorted(patch.ravel(), reverse=True)[: max(1, round(share * 13 * 17))]
    assert found == pytest.approx(sum(map(float, highest)) / len(highest), rel=1e-6)


def test_paper_and_maximum() -> None:
    patch, anomaly_map = np.random.default_rng(0).random((2, 8, 8), np.float32)
    assert score_of(patch, anomaly_map, 5.0, PAPER) == 5.0
    assert score_of(patch, anomaly_map, 5.0, MAXIMUM) == anomaly_map.max()


@pytest.mark.parametrize("postprocessor", [Gaussian(), Bilinear()])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("image_score", [PAPER, MAXIMUM, TOP_SHARE, ImageScore("top-share", 0.3)])
def test_the_graph_yields_what_numpy_does(postprocessor, own: bool, image_score: ImageScore) -> None:
    patch = np.random.default_rng(1).random((1, 1, 6, 9), np.float32) * 7
    x = spox.argument(Tensor(np.float32, patch.shape))
    image = op.reshape(op.const(np.float32(3.5)), op.const([1])) if own else None
    assert isinstance(postprocessor, ChoosesImageScore)
    chosen = postprocessor.with_image_score(image_score)
    anomaly_map, score = chosen.graph(Scores(x, image), (6, 9), (48, 70))
    model = spox.build({"x": x}, {"anomaly_map": anomaly_map, "score": score})
    outputs = ExactSession(model.SerializeToString()).run({"x": patch})
    plain = outputs["anomaly_map"][0, 0]
    wanted = score_of(patch[0, 0], plain, 3.5 if own else float(plain.max()), image_score)
    assert outputs["score"].shape == (1,)
    assert outputs["score"][0] == pytest.approx(wanted, rel=1e-5)


def test_what_the_user_may_write() -> None:
    assert parse("paper") == PAPER
    assert parse("maximum") == MAXIMUM
    assert parse("top") == TOP_SHARE
    assert parse("0.03") == ImageScore("top-share", 0.03)
    for wrong in ("0", "-1", "1.5", "nan", "highest"):
        with pytest.raises(OptionError, match="image score"):
            parse(wrong)


def unseen(own: np.ndarray, other: np.ndarray, third: np.ndarray, n: int) -> Unseen:
    """Each (n + m,): the good images' scores, then the defects'."""
    scores = np.stack([own, other, third], 1)
    m = len(own) - n
    areas = np.resize([0.001, 0.01, 0.1], m)
    return Unseen((PAPER, MAXIMUM, TOP_SHARE), scores[:n], scores[:n, 0], scores[n:], areas)


def test_another_image_score_is_chosen_where_it_is_clearly_better() -> None:
    rng = np.random.default_rng(0)
    is_bad = np.arange(300) >= 140
    good_one, noise = is_bad * 3.0 + rng.normal(size=300), rng.normal(size=300)
    choice = choose(unseen(noise, good_one, noise, 140), None, PAPER, 0)
    assert choice.image_score == MAXIMUM
    assert choice.by == "synthetic-defects"
    assert choice.separations[MAXIMUM] > 0.95


def test_the_methods_own_stays_where_the_other_is_ahead_by_chance() -> None:
    rng = np.random.default_rng(0)
    base = (np.arange(60) >= 20) * 1.0 + rng.normal(size=60)
    for draw in range(5):
        others = [base + rng.normal(0, 0.3, 60) for _ in range(2)]
        choice = choose(unseen(base, *others, 20), None, PAPER, draw)
        assert (choice.image_score, choice.by) == (PAPER, "method")


def test_what_the_user_asks_for_is_taken_whatever_the_defects_say() -> None:
    assert candidates_of(TOP_SHARE, PAPER) == (TOP_SHARE,)
    assert candidates_of(None, TOP_SHARE) == (TOP_SHARE, PAPER, MAXIMUM)
    rng = np.random.default_rng(0)
    one = Unseen((TOP_SHARE,), rng.random((9, 1)), rng.random(9), rng.random((9, 1)), rng.random(9))
    choice = choose(one, TOP_SHARE, PAPER, 0)
    assert (choice.image_score, choice.by) == (TOP_SHARE, "user")


@pytest.mark.parametrize(
    ("preset", "image_score", "by", "said"),
    [
        (None, None, None, ""),
        (None, PAPER, "user", "as asked for"),
        ("paper", None, "preset", "as the preset has it"),
        ("paper", PAPER, "user", "as asked for"),
    ],
)
def test_who_chose_is_told_apart(
    preset: str | None, image_score: ImageScore | None, by: str | None, said: str, tmp_path: Path
) -> None:
    recipe = resolve(
        "patchcore", "default", options=["coreset_ratio=0.05"], preset=preset, image_score=image_score
    )
    assert (recipe.asked, recipe.asked_by) == (PAPER if by else None, by or "user")
    if by is None or (image_score is not None and preset):
        return
    images = write_images(tmp_path / "good", [good_image(i) for i in range(16)])
    settings = Settings(size=SIZE, holdout=0.4, false_positive_rate=0.1)
    bundle = fit(recipe, images, settings, tmp_path / "b.edgead", silent).bundle
    record = read_bundle(bundle.path).manifest.method.image_score  # type: ignore[union-attr]
    assert record is not None and (record.image_score, record.chosen) == (PAPER, by)
    assert str(record.notices()[1]) == said


def test_a_post_processor_without_a_choice_is_no_users(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        def graph(self, scores: Scores, grid: tuple[int, int], size: tuple[int, int]) -> None: ...

    names = registry()
    get = names.get
    monkeypatch.setattr(
        names, "get", lambda kind, name: Fixed if kind == "postprocessors" else get(kind, name)
    )
    recipe = resolve("patchcore")
    assert (recipe.asked, recipe.asked_by) == (PAPER, "postprocessor")
    assert "only one" in str(ImageScoreRecord("paper", 0.01, recipe.asked_by).notices()[1])
