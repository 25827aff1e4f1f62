"""Folds: every good image is judged once, by a fit that hasn't learned it; forms carry those figures over."""

from __future__ import annotations

import dataclasses
from itertools import islice

import numpy as np
import pytest

from edgead.errors import OptionError, PluginError
from edgead.held_out import HeldOut, read_held_out
from edgead.image_score import MAXIMUM, PAPER, TOP_SHARE
from edgead.progress import silent
from edgead.workbench.features import fitting_data, training_data
from edgead.workbench.fit import Settings, fit
from edgead.workbench.folds import KeptFeatures, by_folds, by_holdout, fold_of_each
from edgead.workbench.form_scores import Curve, form_figures
from edgead.workbench.good_images import read_known
from edgead.workbench.precision import Trial
from edgead.workbench.recipe import Recipe, resolve
from edgead.workbench.unseen import DRAWN, by_size, draw, separations
from tests.bundles import SIZE, good_image, write_images

N = 13
CANDIDATES = (PAPER, MAXIMUM, TOP_SHARE)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("good")
    write_images(folder, [good_image(i) for i in range(N)])
    frames, _ = read_known(folder, SIZE, 32, silent)
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"], image_score=PAPER)
    data = training_data(recipe.backbone, frames, 3, silent, folder)
    graph = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), data.size)
    return recipe, graph, data, frames


def kept(offer, recipe: Recipe, frames) -> KeptFeatures:
    return KeptFeatures(offer, recipe.scorer, frames)


def patch_scores(fitted, offer, image: np.ndarray) -> np.ndarray:
    """The distance of each patch of one image to a bank, in plain NumPy."""
    bank = fitted.bank.astype(np.float64)
    (maps,) = offer.embed([image])
    patches = maps["patches"].reshape(bank.shape[1], -1).T.astype(np.float64)
    return np.sqrt(((patches[:, None] - bank[None]) ** 2).sum(-1).min(1))


def of_images(offer, images: list[np.ndarray]):
    """The same data, of these images alone."""
    return dataclasses.replace(
        offer,
        images=lambda: iter(images),
        n_images=len(images),
        features=lambda: offer.embed(images),
    )


def test_each_image_is_judged_by_a_fit_on_all_other_folds(material) -> None:
    recipe, graph, data, frames = material
    labels, images = np.arange(N), list(frames)
    fold_of = fold_of_each(labels, 4, data.seed)
    with fitting_data(graph, recipe.scorer, data) as offer:
        unseen = by_folds(recipe, offer, frames, labels, CANDIDATES, 4, kept(offer, recipe, frames))
        folds = [of_images(offer, [images[i] for i in np.flatnonzero(fold_of == fold)]) for fold in range(4)]
        fits = list(recipe.scorer.fit_folds(folds))
        for i in (0, 7):
            patch = patch_scores(fits[fold_of[i]], offer, images[i])
            count = max(1, round(0.01 * patch.size))
            assert unseen.good[i, 2] == pytest.approx(np.sort(patch)[-count:].mean(), rel=1e-4)
    assert unseen.folds == 4 and unseen.groups is None and unseen.good.shape == (N, 3)
    assert len(unseen.bad) == len(unseen.areas) == DRAWN
    assert (unseen.maxima == unseen.good[:, 1]).all()
    assert unseen.bad[:, 2].mean() > unseen.good[:, 2].mean()


def test_features_that_find_no_room_are_calculated_for_each_fold(material, monkeypatch) -> None:
    recipe, graph, data, frames = material
    with fitting_data(graph, recipe.scorer, data) as offer:
        there = by_folds(recipe, offer, frames, np.arange(N), (TOP_SHARE,), 3, kept(offer, recipe, frames))
        monkeypatch.setattr("edgead.workbench.folds.CACHE_BYTES", 0)
        empty = kept(offer, recipe, frames)
        assert empty.bytes == 0
        anew = by_folds(recipe, offer, frames, np.arange(N), (TOP_SHARE,), 3, empty)
    np.testing.assert_allclose(there.good, anew.good, rtol=1e-4)
    np.testing.assert_allclose(there.bad, anew.bad, rtol=1e-4)


@pytest.mark.parametrize("method", ["patchcore", "padim"])
def test_a_fold_knows_nothing_of_its_own_images(method: str, material) -> None:
    _, _, data, frames = material
    recipe = resolve(method, image_score=PAPER)
    graph = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), data.size)
    images = list(frames)
    with fitting_data(graph, recipe.scorer, data) as offer:
        folds = [of_images(offer, images[:4]), of_images(offer, images[4:9]), of_images(offer, images[9:])]
        changed = [folds[0], of_images(offer, [255 - image for image in images[4:9]]), folds[2]]
        (maps,) = offer.embed(images[:1])
        before, after = (
            [fitted.in_bulk([maps])[0] for fitted in list(recipe.scorer.fit_folds(each))[1:]]
            for each in (folds, changed)
        )
    # The second fold's own images were changed; padim takes them out of sums, which rounds.
    np.testing.assert_allclose(before[0], after[0], rtol=1e-4 if method == "padim" else 0)
    assert np.abs(before[1] / after[1] - 1).max() > (0.005 if method == "padim" else 0.05)


@pytest.mark.parametrize("method", ["patchcore", "padim"])
def test_images_judged_together_get_the_scores_that_each_gets_of_its_folds_graph(
    method: str, material, monkeypatch
) -> None:
    _, _, data, frames = material
    recipe = resolve(method, image_score=PAPER)
    graph = recipe.backbone.onnx(recipe.scorer.feature_maps(recipe.backbone), data.size)
    with fitting_data(graph, recipe.scorer, data) as offer:
        together = by_folds(recipe, offer, frames, np.arange(N), CANDIDATES, 2, kept(offer, recipe, frames))
        monkeypatch.setattr("edgead.workbench.folds.InBulk", type("Nothing", (), {}))
        monkeypatch.setattr("edgead.workbench.folds.KeepsPart", type("Nothing", (), {}))
        alone = by_folds(recipe, offer, frames, np.arange(N), CANDIDATES, 2, kept(offer, recipe, frames))
    for name in ("good", "bad", "maxima"):
        np.testing.assert_allclose(getattr(together, name), getattr(alone, name), rtol=2e-4)


def test_a_scorer_that_yields_too_few_fits_is_named(material) -> None:
    _, graph, data, frames = material

    class Short(type(material[0].scorer)):
        def fit_folds(self, folds):
            return islice(super().fit_folds(folds), 1)

    recipe = dataclasses.replace(material[0], scorer=Short(material[0].scorer.options))
    told = pytest.raises(PluginError, match=r"'patchcore'.* of 3 folds yields 1")
    with fitting_data(graph, recipe.scorer, data) as offer, told:
        by_folds(recipe, offer, frames, np.arange(N), (TOP_SHARE,), 3, kept(offer, recipe, frames))


def test_no_group_is_torn() -> None:
    labels = np.repeat(np.arange(9), [1, 5, 2, 1, 1, 4, 3, 2, 1])
    fold_of = fold_of_each(labels, 4, 0)
    assert all(len(set(fold_of[labels == group])) == 1 for group in range(9))
    assert sorted(np.bincount([fold_of[labels == group][0] for group in range(9)])) == [2, 2, 2, 3]
    assert set(fold_of_each(np.arange(3), 10, 0)) == {0, 1, 2}  # a group each, where there are fewer
    assert len(set(fold_of_each(np.zeros(8, int), 4, 0))) == 4  # one part: images then


def test_held_out_images_are_judged_by_the_fit_that_there_is(material) -> None:
    recipe, graph, data, frames = material
    some = frames.subset(list(range(4, N)))
    part = training_data(recipe.backbone, some, 3, silent, data.checkpoint)
    with fitting_data(graph, recipe.scorer, part) as offer:
        fitted = recipe.scorer.fit(offer)
        unseen = by_holdout(recipe, offer, fitted, frames.subset([0, 1, 2, 3]), (0, 0, 1, 2), (TOP_SHARE,))
        patch = patch_scores(fitted, offer, list(frames)[2])
    count = max(1, round(0.01 * patch.size))
    assert unseen.good[2, 0] == pytest.approx(np.sort(patch)[-count:].mean(), rel=1e-4)
    assert unseen.folds == 0 and unseen.groups == (0, 0, 1, 2)


@pytest.mark.parametrize("n", [3, 50, DRAWN, 400])
def test_defects_are_spread_evenly_over_the_images(n: int) -> None:
    image = good_image(0)
    drawn = list(draw(((i, image) for i in range(n)), n, 0))
    counts = np.bincount([each.base for each in drawn], minlength=n)
    assert abs(len(drawn) - DRAWN) <= 1
    assert counts.max() - counts.min() <= 1
    again = list(draw(((i, image) for i in (1, 2)), n, 0))  # a fold's images alone get the same ones
    same = [each for each in drawn if each.base in (1, 2)]
    assert [each.area for each in again] == [each.area for each in sorted(same, key=lambda e: e.base)]


def test_separation_weighs_sizes_alike() -> None:
    good, bad = np.array([[0.0], [1.0]]), np.array([[2.0], [2.0], [2.0], [-1.0]])
    areas = np.array([0.001, 0.001, 0.001, 0.2])
    assert set(by_size(areas)) == {"small", "large"}
    assert separations(good, bad, areas) == [0.5]  # 1 of the small, 0 of the large


def trial(good: np.ndarray, bad: np.ndarray) -> Trial:
    return Trial(good, good * 2, bad, bad * 2)


def test_a_form_gets_the_folds_scores_on_its_own_scale() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.uniform(1, 2, 40), rng.uniform(1.5, 6, 80)
    known = HeldOut(
        scores=rng.uniform(1, 2, 100).astype(np.float32),
        maxima=rng.uniform(2, 4, 100).astype(np.float32),
        folds=10,
        defects=rng.uniform(2, 5, 9).astype(np.float32),
        areas=np.full(9, 0.1, np.float32),
    )
    noise = rng.normal(0, 0.02, 40)
    form = form_figures(known, trial(1.5 * good + 0.3 + noise, 1.5 * bad + 0.3), trial(good, bad), ())
    np.testing.assert_allclose(form.defects, 1.5 * known.defects + 0.3, atol=0.02)
    off = form.scores - (1.5 * known.scores + 0.3)
    assert np.abs(off.mean()) < 0.02
    assert np.std(off) == pytest.approx(0.02, rel=0.4)  # the form's own scatter is in its scores
    assert form.folds == 10
    same = form_figures(known, trial(good, bad), trial(good, bad), ())
    np.testing.assert_array_equal(same.scores, known.scores)


def test_a_form_of_a_hold_out_keeps_its_own_scores() -> None:
    good, bad = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])
    known = HeldOut(
        np.float32([1, 2, 3]), np.float32([2, 4, 6]), defects=np.float32([4.5]), areas=np.float32([0.1])
    )
    form = form_figures(known, trial(2 * good, 2 * bad), trial(good, bad), (0, 0, 1))
    np.testing.assert_allclose(form.scores, [2, 4, 6])
    np.testing.assert_allclose(form.defects, [9.0], rtol=1e-5)
    assert form.groups == (0, 0, 1)
    old = form_figures(None, trial(2 * good, 2 * bad), trial(good, bad), ())
    assert len(old.defects) == 0


def test_a_curve_where_nothing_of_the_order_is_left() -> None:
    x = np.array([1.0, 2.0, 3.0])
    assert Curve.between((x, x), (-x, -x)).slope == 1.0


def test_what_a_bundle_keeps_of_it(tmp_path) -> None:
    write_images(tmp_path / "good", [good_image(i) for i in range(N)])
    settings = Settings(size=SIZE, precisions=("fp32",))
    recipe = resolve("patchcore", options=["coreset_ratio=0.05"])
    bundle = fit(recipe, tmp_path / "good", settings, tmp_path / "b.edgead", silent).bundle
    figures = read_held_out(bundle)
    assert figures is not None
    assert bundle.manifest.held_out is not None and bundle.manifest.held_out.folds == figures.folds == 10
    assert len(figures.scores) == N and bundle.manifest.threshold.n_images == N
    assert len(figures.defects) == len(figures.areas) == DRAWN
    assert bundle.manifest.method.image_score.rule in ("paper", "maximum", "top-share")
    held = fit(
        recipe, tmp_path / "good", dataclasses.replace(settings, folds=0), tmp_path / "h.edgead", silent
    ).bundle
    assert held.manifest.held_out.folds == 0
    assert held.manifest.threshold.n_images == held.manifest.provenance["images"]["held_out"] < N


def test_folds_out_of_range() -> None:
    for wrong in (1, -1, 101):
        with pytest.raises(OptionError, match="folds"):
            Settings(folds=wrong)
