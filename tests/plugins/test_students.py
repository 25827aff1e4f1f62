"""Uninformed Students without torch: the score against plain numpy in both engines, options, held-out."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from edgead.errors import OptionError, TrainingError
from edgead.options import parse_options
from edgead.plugins import registry
from edgead.progress import silent
from edgead.types import FeatureInfo, FittingData, InputSpec, TrainingData
from edgead_plugins.students import StudentsOptions, UninformedStudents
from edgead_plugins.students.options import held_out
from tests.graphs import ENGINES, run
from tests.plugins import students_oracle as oracle

D, H, W = 8, 6, 5


class Network:
    """Stands for a backbone where only its description is asked for."""

    name, input = "net", InputSpec()
    provenance: ClassVar = {"training": "a test", "trained_from_name": "x", "loss": {"33": "low"}}
    feature_info: ClassVar = {"teacher_33": FeatureInfo(D, 4), "students_33": FeatureInfo(3 * D, 4)}

    def onnx(self, feature_maps, size):
        raise AssertionError("only its description counts")


def descriptors(seed: int, scales, students=3):
    rng = np.random.default_rng(seed)
    found = {}
    for scale in scales:
        teacher = rng.normal(0, 1, (1, D, H, W)).astype(np.float32)
        near = teacher[:, None] * 0.8 + rng.normal(0, 0.3, (1, students, D, H, W))
        found[f"teacher_{scale}"] = teacher
        found[f"students_{scale}"] = near.reshape(1, -1, H, W).astype(np.float32)
    return found


def embedded(maps, engine="onnxruntime"):
    scorer = UninformedStudents()
    return {n: v[0] for n, v in run(engine, lambda **given: scorer.embed(given), **maps).items()}


def fitted(scales, students=3, n=10, seed=0, words=()):
    """Image i has the descriptors of seed i; its one grey level says which it is."""

    def embed(images):
        for image in images:
            yield embedded(descriptors(int(image[0, 0, 0]), scales, students))

    shapes = {name: value.shape for name, value in embedded(descriptors(0, scales, students)).items()}
    training = FittingData(
        backbone=Network(),
        shapes=shapes,
        n_images=n,
        size=(24, 20),
        features=lambda: iter(()),
        images=lambda: (np.full((24, 20, 3), i, np.uint8) for i in range(n)),
        seed=seed,
        progress=silent,
        embed=embed,
    )
    return UninformedStudents(parse_options(StudentsOptions, words)).fit(training)


def split(maps, scale):
    return maps[f"teacher_{scale}"][0], maps[f"students_{scale}"].reshape(-1, D, H, W)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scales", [(33,), (17, 33, 65)])
def test_the_map_is_the_oracles_raised_by_a_constant(engine, scales):
    head = fitted(scales)
    given = descriptors(100, scales)

    def part(**maps):
        return {"patch": head.graph(UninformedStudents().embed(maps), "fp32").patch}

    found = run(engine, part, **given)["patch"]
    assert found.shape == (1, 1, H, W) and found.min() >= 0
    usual = [descriptors(int(i), scales) for i in np.flatnonzero(held_out(10, 0.2, 0))]
    assert len(usual) == 2
    wanted = oracle.anomaly_map(
        {s: oracle.error_and_variance(*split(given, s)) for s in scales},
        {s: [oracle.error_and_variance(*split(maps, s)) for maps in usual] for s in scales},
    )
    np.testing.assert_allclose(found[0, 0] - head.facts["raised_by"], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_each_position_may_be_measured_against_itself_and_the_variance_weighted(engine, weight):
    head = fitted((33,), words=["usual=position", f"variance_weight={weight}"])
    given = descriptors(100, (33,))

    def part(**maps):
        return {"patch": head.graph(UninformedStudents().embed(maps), "fp32").patch}

    found = run(engine, part, **given)["patch"]
    usual = [descriptors(int(i), (33,)) for i in np.flatnonzero(held_out(10, 0.2, 0))]
    wanted = oracle.map_by_position(
        oracle.error_and_variance(*split(given, 33)),
        [oracle.error_and_variance(*split(maps, 33)) for maps in usual],
        weight,
    )
    assert wanted.std() > 0.5
    np.testing.assert_allclose(found[0, 0] - head.facts["raised_by"], wanted, rtol=1e-3, atol=2e-3)
    nothing = {name: np.zeros_like(value) for name, value in given.items()}
    assert 0 <= run(engine, part, **nothing)["patch"].min() < 1e-3, "raised by no more than it takes"


@pytest.mark.parametrize("engine", ENGINES)
def test_error_and_variance_are_the_oracles(engine):
    maps = descriptors(4, (17, 65))
    found = embedded(maps, engine)
    assert list(found) == ["error_17", "variance_17", "error_65", "variance_65"]
    for scale in (17, 65):
        for name, wanted in zip(
            ("error", "variance"), oracle.error_and_variance(*split(maps, scale)), strict=True
        ):
            np.testing.assert_allclose(found[f"{name}_{scale}"][0], wanted, rtol=1e-4)


def test_the_image_score_may_be_the_maps_mean():
    head = fitted((33,), words=["image_score=mean"])

    def part(**maps):
        scores = head.graph(UninformedStudents().embed(maps), "fp32")
        return {"patch": scores.patch, "image": scores.image}

    found = run("onnxruntime", part, **descriptors(100, (33,)))
    assert found["image"].shape == (1,) and found["image"][0] == pytest.approx(
        found["patch"].mean(), rel=1e-5
    )


def test_one_student_has_no_variance():
    head = fitted((33,), students=1)
    assert list(head.usual) == ["error_33"]
    given = descriptors(5, (33,), 1)
    assert list(embedded(given)) == ["error_33"]
    teacher, student = split(given, 33)
    np.testing.assert_allclose(
        embedded(given)["error_33"][0], ((student[0] - teacher) ** 2).sum(0), rtol=1e-4
    )


def test_what_is_usual_is_the_held_out_images_alone():
    maps = [embedded(descriptors(int(i), (33,))) for i in np.flatnonzero(held_out(10, 0.2, 0))]
    for name, (mean, deviation) in fitted((33,)).usual.items():
        values = np.stack([m[name] for m in maps]).astype(np.float64)
        assert mean.item() == pytest.approx(values.mean(), rel=1e-6)
        assert deviation.item() == pytest.approx(values.std(), rel=1e-6)


def test_students_that_are_right_everywhere_are_reported():
    same = {
        "teacher_33": np.ones((1, D, H, W), np.float32),
        "students_33": np.ones((1, 3 * D, H, W), np.float32),
    }
    data = FittingData(
        backbone=Network(),
        shapes={"error_33": (1, H, W), "variance_33": (1, H, W)},
        n_images=2,
        size=(24, 20),
        features=lambda: iter(()),
        images=lambda: (np.zeros((24, 20, 3), np.uint8) for _ in range(2)),
        seed=0,
        progress=silent,
        embed=lambda images: (embedded(same) for _ in images),
    )
    with pytest.raises(TrainingError, match="error_33"):
        UninformedStudents().fit(data)


def test_facts_tell_what_was_measured_and_trained():
    facts = fitted((33,)).facts
    assert set(facts["usual"]) == {"error_33", "variance_33"} and facts["held_out"] == 2
    assert facts["training"] == "a test" and facts["loss"] == {"33": "low"}
    assert "trained_from_name" not in facts
    assert not fitted((33,)).notices and fitted((33,), n=1).notices[0].code == "students-one-image"


@pytest.mark.parametrize(
    ("n", "share", "count"), [(1, 0.2, 1), (2, 0.2, 1), (2, 0.9, 1), (10, 0.2, 2), (9, 0.5, 4)]
)
def test_some_images_are_held_out_and_some_are_left(n, share, count):
    found = held_out(n, share, 3)
    assert found.shape == (n,) and found.sum() == count
    assert np.array_equal(found, held_out(n, share, 3))
    assert n < 9 or any(not np.array_equal(found, held_out(n, share, seed)) for seed in range(4, 12))


@pytest.mark.parametrize(
    "word",
    ["scales=", "scales=33,40", "students=0", "width=0", "steps=0", "crop=-1", "heldout=1", "zoom=8",
     "metric=-1", "compactness=-1", "teacher_steps=0", "teacher_batch=1", "learning_rate=0",
     "batch_size=0", "batch_size=2"],
)  # fmt: skip
def test_options_out_of_range(word):
    with pytest.raises(OptionError, match=word.split("=")[0]):
        parse_options(StudentsOptions, [word])


def test_a_teacher_with_nothing_to_learn_is_refused():
    with pytest.raises(OptionError, match="learns nothing"):
        parse_options(StudentsOptions, ["distillation=0", "metric=0"])


def test_both_presets_are_options_of_the_method():
    method = registry().get("methods", "uninformed-students")()
    assert set(method.presets) == {"quick", "paper"}
    quick = parse_options(StudentsOptions, [], method.presets["quick"])
    assert quick != parse_options(StudentsOptions, [], method.presets["paper"])


def test_an_unknown_layer_is_refused_before_torch_is_needed(tmp_path):
    data = TrainingData(
        backbone=Network(),
        images=lambda: iter(()),
        n_images=0,
        size=(24, 20),
        seed=0,
        progress=silent,
        checkpoint=tmp_path,
    )
    with pytest.raises(OptionError, match=r"no map 'stage9'.*teacher_33"):
        UninformedStudents(StudentsOptions(layer="stage9")).train(data)
