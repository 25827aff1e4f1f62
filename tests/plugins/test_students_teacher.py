"""Uninformed Students' teacher, in torch: networks, dense extraction, losses, pictures, and its file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from edgead.errors import DatasetError, OptionError, TrainingError  # noqa: E402
from edgead.options import parse_options  # noqa: E402
from edgead.progress import silent  # noqa: E402
from edgead.types import TrainingData  # noqa: E402
from edgead.workbench.recipe import open_backbone  # noqa: E402
from edgead_plugins.backbones.generated import generate  # noqa: E402
from edgead_plugins.students import StudentsOptions, losses, pictures, teacher  # noqa: E402
from edgead_plugins.students.fitting import load_teacher  # noqa: E402
from edgead_plugins.students.patch_networks import (  # noqa: E402
    LAYERS,
    PatchNetworks,
    margins,
    mirrored,
    receptive_field,
)
from edgead_plugins.students.teacher_file import from_bytes, read_teachers, to_bytes  # noqa: E402
from edgead_plugins.training.machine import machine_of  # noqa: E402
from tests.bundles import good_image, write_images  # noqa: E402
from tests.plugins import students_oracle as oracle  # noqa: E402

WORDS = ("teacher_steps=3", "teacher_batch=6", "width=0.06", "zoom=32", "metric=0")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))


def find(folder: Path, *words: str, seed: int = 0):
    kept = [w for w in WORDS if w.split("=")[0] not in {x.split("=")[0] for x in words}]
    examples = TrainingData(
        backbone=open_backbone("default"),
        images=lambda: iter(()),
        n_images=0,
        size=(64, 48),
        seed=seed,
        progress=silent,
        checkpoint=folder / "checkpoint",
    )
    options, machine = parse_options(StudentsOptions, [*kept, *words]), machine_of(examples.compute)
    lessons = teacher.to_train(examples, "stage3", options, machine)
    return teacher.find_teachers(examples, "stage3", options, machine, lessons)


# ---------------------------------------------------------------- networks


def on_a_patch(network: PatchNetworks, patch: torch.Tensor) -> torch.Tensor:
    """The plain network as the paper has it: convolutions, leaky ReLUs and halving pools on one patch."""
    x = patch
    for layer, conv in zip(LAYERS[network.scale], network.convolutions, strict=True):
        x = torch.nn.functional.conv2d(x, conv.weight, conv.bias)
        if layer is not LAYERS[network.scale][-1]:
            x = torch.where(x > 0, x, 0.005 * x)
        if layer.pool:
            x = torch.nn.functional.max_pool2d(x, 2)
    assert x.shape == (1, 128, 1, 1)
    return x[0, :, 0, 0]


@pytest.mark.parametrize(("scale", "field"), [(17, 17), (33, 32), (65, 60)])
def test_the_receptive_field_is_what_a_gradient_reaches(scale, field):
    torch.manual_seed(0)
    patch = torch.rand(1, 3, scale, scale, dtype=torch.float64, requires_grad=True)
    on_a_patch(PatchNetworks(scale, 1, 0.1).double(), patch).square().sum().backward()
    reached = patch.grad.abs().sum((0, 1)).numpy() > 0
    assert reached[:field, :field].any(0).all() and not reached[field:].any() and not reached[:, field:].any()
    assert receptive_field(scale) == field


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", [17, 33, 65])
def test_dense_extraction_is_the_sliding_network(scale, stride):
    torch.manual_seed(1)
    network = PatchNetworks(scale, 1, 0.06).double()
    image = torch.randn(1, 3, scale + 19, scale + 13, dtype=torch.float64)
    with torch.no_grad():
        found = network(image, stride)
        rows, columns = (1 + (n - receptive_field(scale)) // stride for n in image.shape[2:])
        assert found.shape == (1, 128, rows, columns)
        for i in range(0, rows, 3):
            for j in range(0, columns, 2):
                y, x = i * stride, j * stride
                patch = image[:, :, y : y + scale, x : x + scale]
                if patch.shape[2:] != (scale, scale):  # what's cut off isn't looked at
                    patch = torch.nn.functional.pad(
                        patch, (0, scale - patch.shape[3], 0, scale - patch.shape[2])
                    )
                torch.testing.assert_close(found[0, :, i, j], on_a_patch(network, patch))


@pytest.mark.parametrize("scale", [17, 33, 65])
def test_networks_side_by_side_are_what_each_is_alone(scale):
    torch.manual_seed(2)
    three = PatchNetworks(scale, 3, 0.06).double()
    image = torch.randn(2, 3, 70, 68, dtype=torch.float64)
    with torch.no_grad():
        together = three(image, 4)
        for i in range(3):
            alone = PatchNetworks(scale, 1, 0.06).double()
            for mine, theirs in zip(alone.convolutions, three.convolutions, strict=True):
                n = len(mine.weight)
                mine.weight.copy_(theirs.weight[i * n : (i + 1) * n])
                mine.bias.copy_(theirs.bias[i * n : (i + 1) * n])
            torch.testing.assert_close(together[:, i * 128 : (i + 1) * 128], alone(image, 4))
    assert not torch.allclose(together[:, :128], together[:, 128:256])


def test_the_papers_channels():
    for scale, widths in {
        33: [128, 256, 256, 128],
        17: [128, 256, 256, 128],
        65: [128, 128, 128, 256, 128],
    }.items():
        network = PatchNetworks(scale)
        assert [conv.out_channels for conv in network.convolutions] == widths
        assert network(torch.zeros(1, 3, scale, scale)).shape == (1, 128, 1, 1)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("scale", [17, 33, 65])
def test_each_cell_has_the_patch_around_its_middle(scale, stride):
    """A spot of light moves the descriptors of the cells whose patches hold it, as many on either side."""
    torch.manual_seed(3)
    network = PatchNetworks(scale, 1, 0.06).double()
    image = torch.zeros(1, 3, 96, 128, dtype=torch.float64)
    spot = image.clone()
    spot[:, :, 48, 64] = 1
    with torch.no_grad():
        plain, moved = (network(mirrored(x, scale, stride), stride) for x in (image, spot))
    assert plain.shape == (1, 128, 96 // stride, 128 // stride)
    changed = (plain != moved).any(1)[0].numpy()
    for axis, at in ((0, 48), (1, 64)):
        cells = np.flatnonzero(changed.any(1 - axis)) * stride + (stride - 1) / 2
        assert abs((cells[0] + cells[-1]) / 2 - at) <= max(1, stride / 2)
        assert abs(cells[-1] - cells[0] + stride - receptive_field(scale)) <= stride


def test_images_that_patches_dont_fit_into_are_refused():
    with pytest.raises(OptionError, match="no multiple of -o stride=4"):
        margins(33, (66, 64), 4)
    with pytest.raises(OptionError, match="patches of 65 don't fit into 64 x 24"):
        margins(65, (64, 24), 4)


# ---------------------------------------------------------------- losses


def test_the_losses_are_the_formulas():
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=(7, 5)) for _ in range(3))
    torch_of = torch.from_numpy
    assert float(losses.distillation(torch_of(a), torch_of(b))) == pytest.approx(oracle.distillation(a, b))
    for near, far in ((a + 0.2 * b, c), (a + 0.2 * b, a + 0.3), (a, a + 9), (a, a)):
        wanted = oracle.triplet(a, near, far)
        assert float(losses.triplet(torch_of(a), torch_of(near), torch_of(far))) == pytest.approx(wanted)
    assert oracle.triplet(a, a, a) == 1 and oracle.triplet(a, a, a + 9) == 0
    mixed = a @ rng.normal(size=(5, 5))
    assert float(losses.compactness(torch_of(mixed))) == pytest.approx(oracle.compactness(mixed))
    assert float(losses.compactness(torch_of(np.c_[a[:, 0], a[:, 0]]))) == pytest.approx(2)
    targets, students = rng.normal(size=(2, 4, 3, 2)), rng.normal(size=(2, 12, 3, 2))
    assert float(losses.regression(torch_of(targets), torch_of(students))) == pytest.approx(
        oracle.regression(targets, students)
    )


def test_the_expert_is_the_backbones_averaged_map(tmp_path):
    backbone = open_backbone("default")
    patches = np.stack([cv2.resize(good_image(i, (40, 40)), (33, 33)) for i in range(5)])
    expert = teacher.Expert(backbone, "stage3", 33, patches)
    assert expert.size == (48, 48) and expert.width == 256
    found = expert(torch.from_numpy(patches)).numpy()
    assert found.var(0).mean() == pytest.approx(1, rel=1e-4)
    import onnxruntime

    session = onnxruntime.InferenceSession(backbone.onnx(["stage3"], (48, 48)).SerializeToString())
    rows = []
    for patch in patches:
        larger = np.clip(np.rint(cv2.resize(patch.astype(np.float32), (48, 48))), 0, 255).astype(np.uint8)
        rows.append(session.run(None, {"image": larger[None]})[0].mean((2, 3))[0])
    rows = np.array(rows) / float(expert.unit)
    assert np.abs(found - rows).max() < 0.1 * np.abs(rows).max()  # the file takes whole grey levels only


# ---------------------------------------------------------------- pictures


def test_patches_come_from_the_step_and_the_seed_alone():
    source = pictures.find_pictures("", 3)
    assert "series 3" in source.identity
    pool = [good_image(i, (128, 128)) for i in range(4)]
    patches = source.patches(pool, 7, 33, 6)
    assert patches.shape == (6, 33, 33, 3) and patches.dtype == np.uint8
    assert np.array_equal(patches, source.patches(pool, 7, 33, 6))
    assert not np.array_equal(patches, source.patches(pool, 8, 33, 6))
    assert not np.array_equal(patches, pictures.find_pictures("", 4).patches(pool, 7, 33, 6))


def test_a_triplets_second_patch_is_near_the_first_and_the_third_of_another_picture():
    pool = [np.full((128, 128, 3), 40 + 50 * i, np.uint8) for i in range(4)]
    anchor, positive, negative = pictures.find_pictures("", 0).triplets(pool, 0, 17, 32)
    means = [x.mean((1, 2, 3)) for x in (anchor, positive, negative)]
    assert np.abs(means[0] / means[1] - 1).max() < 0.3 and positive.std((1, 2, 3)).min() > 2
    assert np.abs(means[0] - means[2]).min() > 40


def test_a_folders_pictures_are_used_and_bad_ones_passed_over(tmp_path):
    write_images(tmp_path / "in" / "deep", [good_image(i) for i in range(3)])
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    source = pictures.find_pictures(str(tmp_path / "in"), 0)
    assert len(source.files) == 4 and len(source.pool(0)) == 3
    assert source.patches(source.pool(0), 0, 33, 2).shape == (2, 33, 33, 3)
    identity = source.identity
    (tmp_path / "in" / "bad.png").unlink()
    assert pictures.find_pictures(str(tmp_path / "in"), 0).identity != identity


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no pictures"):
        pictures.find_pictures(str(tmp_path), 0)
    with pytest.raises(DatasetError, match="no such folder"):
        pictures.find_pictures(str(tmp_path / "none"), 0)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="can be read"):
        pictures.find_pictures(str(tmp_path), 0).pool(0)


# ---------------------------------------------------------------- training and keeping


@pytest.fixture
def few_pictures(monkeypatch):
    monkeypatch.setattr(pictures, "POOL", 6)


def test_the_second_product_finds_the_teacher(tmp_path, few_pictures, monkeypatch):
    first = find(tmp_path)
    write_images(tmp_path / "in", [good_image(0)])
    folder = f"teacher_images={tmp_path / 'in'}"
    find(tmp_path, folder)
    monkeypatch.setattr(teacher, "train", None)  # nothing may be trained any more
    again = find(tmp_path / "other")
    assert to_bytes(again) == to_bytes(first)
    assert find(tmp_path, folder)
    for change in (
        {"seed": 1, "words": (folder,)},
        {"seed": 1},
        {"words": ("compactness=2",)},
        {"words": ("scales=17",)},
    ):
        with pytest.raises(TypeError):
            find(tmp_path, *change.get("words", ()), seed=change.get("seed", 0))


def test_a_damaged_cache_is_no_harm(tmp_path, few_pictures):
    wanted = to_bytes(find(tmp_path / "a"))
    (entry,) = (p for p in (tmp_path / "cache" / "backbones").iterdir())
    entry.write_bytes(entry.read_bytes()[:-5])
    assert to_bytes(find(tmp_path / "b")) == wanted


def test_the_losses_fall_and_each_counts(tmp_path, few_pictures):
    for words in (
        ("metric=1", "compactness=0"),
        ("distillation=0", "metric=1", "compactness=0"),
        ("compactness=0.02",),  # at 1, so few steps are lost in its noise
    ):
        (found,) = find(tmp_path / "-".join(words), "teacher_steps=24", "teacher_learning_rate=0.003", *words)
        assert found.facts["loss"]["last"] < found.facts["loss"]["first"], words


def test_a_file_is_written_and_read_again(tmp_path, few_pictures, monkeypatch):
    file = tmp_path / "t.safetensors"
    first = find(tmp_path, "scales=33,17", f"teacher={file}")
    assert [t.scale for t in first] == [17, 33]
    monkeypatch.setattr(teacher, "train", None)
    monkeypatch.setattr(teacher.cache, "load", lambda key: None)
    assert to_bytes(find(tmp_path, "scales=17,33", f"teacher={file}")) == to_bytes(first) == file.read_bytes()
    (one,) = find(tmp_path, f"teacher={file}", seed=9)
    assert one.scale == 33 and one.facts["backbone"] == "default" and one.facts["seed"] == 0
    with pytest.raises(OptionError, match=r"no teacher for patches of 65, only of 17, 33"):
        read_teachers(file, [65])
    with pytest.raises(OptionError, match=r"width 0\.06, not 0\.5"):
        find(tmp_path, f"teacher={file}", "width=0.5")


@pytest.mark.parametrize("damage", ["half", "text", "nan", "stranger"])
def test_a_file_that_is_no_teacher_is_refused(tmp_path, few_pictures, damage):
    from safetensors.numpy import save

    file = tmp_path / "t.safetensors"
    (good,) = find(tmp_path)
    if damage == "nan":
        next(iter(good.weights.values()))[...] = np.nan
    content = {
        "half": lambda: to_bytes([good])[:-100],
        "text": lambda: b"no teacher",
        "nan": lambda: to_bytes([good]),
        "stranger": lambda: save({"a": np.zeros(3)}),
    }[damage]()
    file.write_bytes(content)
    with pytest.raises(OptionError, match="finite" if damage == "nan" else "not a teacher"):
        find(tmp_path, f"teacher={file}")


def test_a_file_holds_the_same_bytes_for_the_same_teacher(tmp_path, few_pictures):
    (found,) = find(tmp_path)
    content = to_bytes([found])
    again = from_bytes(content, "here")[33]
    assert to_bytes([again]) == content == to_bytes([found])


def test_a_loss_that_is_no_number_is_reported(tmp_path, few_pictures, monkeypatch):
    monkeypatch.setattr(losses, "compactness", lambda descriptors: descriptors.sum() * torch.nan)
    with pytest.raises(
        TrainingError, match=r"teacher 33: the loss is nan at step 1: lower -o teacher_learning"
    ):
        find(tmp_path)


# ---------------------------------------------------------------- the one that comes with edgead


def test_edgeads_own_teacher_is_there_and_tells_pictures_apart(tmp_path):
    (own,) = find(tmp_path, "teacher=default", "width=0.25")
    assert own.scale == 33 and "generated by edgead" in own.facts["pictures"]
    network = load_teacher(own)
    shown = np.stack([generate(10_000, number, (64, 128)) for number in range(40)])
    mean, std = (torch.tensor(own.facts[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    given = (torch.from_numpy(shown[..., ::-1].copy()).permute(0, 3, 1, 2).float() - mean) / std
    with torch.no_grad():
        described = network(given, 4).mean(2)
    spread = described.std((0, 2), keepdim=True)
    left, right = ((half.mean(2) / spread[..., 0]) for half in described.chunk(2, 2))
    nearest = torch.cdist(left, right).argmin(1)
    assert (nearest == torch.arange(40)).float().mean() > 0.5, "a picture's halves are alike, of 40"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("width=0.5",), "'default' holds a teacher of width 0.25, not 0.5: give -o width=0.25"),
        (("width=0.25", "scales=17,33"), "'default' has no teacher for patches of 17, only of 33"),
    ],
)
def test_edgeads_own_teacher_is_of_one_size(tmp_path, words, why):
    with pytest.raises(OptionError, match=why):
        find(tmp_path, "teacher=default", *words)
