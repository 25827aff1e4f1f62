"""DMAD's training, in torch: losses, knowledge, the whole graph, resuming, seeds, several products."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from edgead.bundle import read_bundle  # noqa: E402
from edgead.cli import main  # noqa: E402
from edgead.errors import TrainingError  # noqa: E402
from edgead.progress import silent  # noqa: E402
from edgead.runtime.engines import open_session  # noqa: E402
from edgead.types import FittingData  # noqa: E402
from edgead.workbench.fit import Settings, fit  # noqa: E402
from edgead.workbench.recipe import open_backbone, resolve  # noqa: E402
from edgead_plugins.dmad import DMAD, DMADOptions  # noqa: E402
from edgead_plugins.dmad.network import Bank, Mapper, fold, knowledge, loss  # noqa: E402
from edgead_plugins.training.loop import Run  # noqa: E402
from tests.bundles import bad_image, good_image, write_images  # noqa: E402
from tests.graphs import ENGINES  # noqa: E402
from tests.plugins import dmad_oracle as oracle  # noqa: E402

SIZE = (64, 48)
ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "coreset_ratio": 0.1,
    "hidden": 16,
    "steps": 12,
    "batch_size": 64,
    "neighbors": 3,
    "texture_images": 4,
}
WORDS = [f"{name}={value}" for name, value in QUICK.items()]
DIM, GRID, N = 10, (4, 6), 6


def features(seed: int, n: int, offset: float = 0.0):
    rng = np.random.default_rng(seed)
    return [{"patches": (rng.gamma(2, 1, (DIM, *GRID)) + offset).astype(np.float32)} for _ in range(n)]


def training(folder: Path | None = None, seed: int = 0, defects: int = 0) -> FittingData:
    """Features without a backbone; the defective patches are the left half's."""
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :24] = 1
    pairs = [(bad_image(i)[:64, :48].copy(), mask) for i in range(defects)]
    return FittingData(
        backbone=open_backbone("default"),
        shapes={"patches": (DIM, *GRID)},
        n_images=N,
        size=SIZE,
        features=lambda: iter(features(1, N)),
        images=lambda: (good_image(i, SIZE) for i in range(N)),
        seed=seed,
        progress=silent,
        defects=lambda: iter(pairs),
        embed=lambda images: iter(features(2, len(list(images)), 2.0)),
        checkpoint=folder,
    )


def fitted(folder: Path | None = None, seed: int = 0, defects: int = 0, **options):
    return DMAD(DMADOptions(**(QUICK | options))).fit(training(folder, seed, defects))


def arrays(it):
    return [it.head.weights, it.head.bias, it.head.last, np.float32(it.head.top), it.memory.abnormal.rows]


def same(one, other) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(arrays(one), arrays(other), strict=True))


def test_the_loss_is_three_hinges():
    rng = np.random.default_rng(0)
    psi = [rng.normal(0, 1, n) for n in (7, 9, 4)]
    found = loss(*(torch.from_numpy(p) for p in psi), (0.7, 2.0))
    assert float(found) == pytest.approx(oracle.loss(*psi, 0.7, 2.0), rel=1e-6)
    found = loss(torch.from_numpy(psi[0]), torch.from_numpy(psi[1]), None, (0.7, 2.0))
    assert float(found) == pytest.approx(oracle.loss(psi[0], psi[1], None, 0.7, 2.0), rel=1e-6)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("count", "reading"), [(1, "nearest"), (3, "attention"), (9, "taper")])
def test_training_sees_the_formulas_knowledge_without_the_images_own_rows(count, reading, signed):
    rng = np.random.default_rng(1)
    rows, query = (rng.gamma(2, 1, (n, DIM)).astype(np.float32) for n in (40, 15))
    whose, mine = rng.integers(0, 4, 40), rng.integers(0, 4, 15)
    bank = Bank(rows, whose)
    index = bank.search(torch.from_numpy(query), count, torch.from_numpy(mine))
    found = knowledge(bank, torch.from_numpy(query), index, reading, signed).numpy()
    wanted = oracle.knowledge(query, rows, count, reading, mine[:, None] == whose[None], signed)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    alone = bank.search(torch.from_numpy(query), count).numpy()
    assert np.array_equal(alone, oracle.nearest(query.astype(float), rows.astype(float), count))
    assert not np.array_equal(alone, index.numpy())


def test_the_folded_network_is_the_network():
    torch.manual_seed(0)
    mapper = Mapper(DIM, 8)
    mapper.norm.running_mean.normal_()
    mapper.norm.running_var.uniform_(0.5, 2)
    mapper.norm.weight.data.uniform_(0.5, 2)
    mapper.norm.bias.data.normal_()
    mapper.eval()
    parts = [torch.randn(20, DIM) for _ in range(3)]
    with torch.no_grad():
        found = mapper(mapper.enhance(*parts)).numpy()
    state = {name: value.numpy() for name, value in mapper.state_dict().items()}
    np.testing.assert_allclose(found, oracle.psi(state, *parts), rtol=1e-4, atol=1e-5)
    weights, bias, last = fold(mapper)
    hidden = np.concatenate(parts, axis=1) @ weights + bias
    np.testing.assert_allclose(np.where(hidden > 0, hidden, 0.2 * hidden) @ last, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("defects", [0, 3])
def test_same_seed_same_weights_and_another_seed_others(tmp_path, defects):
    one, two, other = (fitted(tmp_path / str(i), s, defects) for i, s in enumerate((0, 0, 1)))
    assert same(one, two) and not same(one, other)


def test_where_no_other_row_is_left_the_last_one_counts_again():
    bank = Bank(np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]))
    query = torch.tensor([[0.0, 0.0, 1.0, 0.4]])
    assert bank.search(query, 3, torch.tensor([0])).tolist() == [[2, 3, 3]]


def test_negatives_in_the_projected_space_are_normal_patches_with_noise_there():
    """psi's input at one step: the second half is the first with noise of the deviation asked for."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgead_plugins.dmad.fitting.announce", lambda *given: 0.0)
        patch.setattr(Mapper, "forward", lambda self, x, f=Mapper.forward: seen.append(x) or f(self, x))
        fitted(negatives="projected", projected_noise=0.25, steps=1)
    normal, noisy = seen[0].detach().chunk(2)
    assert normal.shape == (64, 3 * DIM)
    assert float((noisy - normal).std()) == pytest.approx(0.25, rel=0.1)


def test_without_defects_there_is_noise_or_mixtures_and_with_them_observed_and_foreign_patches():
    alone, semi = fitted(), fitted(defects=3)
    assert alone.memory.parts == (0, 0, 14) and alone.reading == semi.reading == "taper"
    assert semi.memory.parts == (3 * 12, 3 * 12, 10)  # the left half of 4 x 6, and a tenth of 4 x 24
    foreign = np.concatenate([f["patches"].reshape(DIM, -1).T for f in features(2, 4, 2.0)])
    assert all((foreign == row).all(1).any() for row in semi.memory.abnormal.rows[72:])
    assert fitted(reading="paper").reading == "attention"
    assert fitted(defects=3, reading="paper").reading == "nearest"
    assert alone.facts["abnormal_bank"]["fused"] == 14
    assert fitted(pseudo="noise").facts["abnormal_bank"]["noise"] == 14
    assert fitted(pseudo="fused", texture_images=0).facts["abnormal_bank"]["noise"] == 14
    assert fitted(defects=3, texture_images=0).facts["abnormal_bank"]["noise"] == 14
    assert not same(alone, fitted(pseudo="noise"))
    wanted = [f["patches"][:, :, :3].reshape(DIM, -1).T for f in features(2, 3, 2.0)]
    assert np.array_equal(semi.memory.abnormal.rows[:36], np.concatenate(wanted))
    assert semi.facts["knowledge"] == "taper" and semi.facts["abnormal_bank"]["observed"] == 36


def test_training_tells_observed_defects_from_normal_patches():
    it = fitted(defects=3, steps=150)
    first, last = it.told["loss"]["first"], it.told["loss"]["last"]
    assert last < first

    def mean_score(maps):
        query = np.concatenate([m["patches"].reshape(DIM, -1).T for m in maps]).astype(float)
        banks = (it.memory.normal, it.memory.abnormal)
        said = [oracle.knowledge(query, bank.rows, 3, "taper") for bank in banks]
        hidden = np.concatenate([query, *said], axis=1) @ it.head.weights + it.head.bias
        return np.maximum(0, it.head.top - np.where(hidden > 0, hidden, 0.2 * hidden) @ it.head.last).mean()

    assert mean_score(features(8, 2, 2.0)) > mean_score(features(9, 2)) + 0.5


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr("edgead_plugins.dmad.fitting.announce", lambda *given: 0.0)
    whole = fitted(tmp_path / "whole", defects=2)
    monkeypatch.setattr(Run.__init__, "__defaults__", (0.0, "lower the learning rate"))
    steps = 0

    def stop(self, x, original=Mapper.forward):
        nonlocal steps
        steps += 1
        if steps == 5:
            raise KeyboardInterrupt
        return original(self, x)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Mapper, "forward", stop)
        fitted(tmp_path / "parts", defects=2)
    (file,) = (tmp_path / "parts").glob("*.pt")
    assert torch.load(file, weights_only=True)["state"]["done"] == 4
    assert same(fitted(tmp_path / "parts", defects=2), whole)
    assert not same(fitted(tmp_path / "parts", defects=1), whole)


def test_a_loss_that_is_no_number_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(Mapper, "forward", lambda self, x, f=Mapper.forward: f(self, x) * torch.nan)
    with pytest.raises(TrainingError, match=r"dmad: the loss is nan at step 1: lower -o learning_rate"):
        fitted(tmp_path)


def coloured(index: int) -> np.ndarray:
    """Another product: blue, with columns in place of lines."""
    image = good_image(500 + index).transpose(1, 0, 2)
    return np.ascontiguousarray(cv2.resize(image, (80, 120)) // np.array([1, 2, 3], np.uint8))


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Two products' good images, one's annotated defects, and both as data sets."""
    folder = tmp_path_factory.mktemp("products")
    write_images(folder / "a" / "train" / "good", [good_image(i) for i in range(8)])
    write_images(folder / "b" / "train" / "good", [coloured(i) for i in range(8)])
    mask = np.zeros((120, 80, 3), np.uint8)
    for i, name in enumerate("ab"):
        mine = good_image if name == "a" else coloured
        write_images(folder / name / "test" / "good", [mine(50 + k) for k in range(3)])
        bad = [cv2.circle(mine(60 + k), (40, 30 + 20 * k), 9, (20, 25, 30), -1) for k in range(2)]
        write_images(folder / name / "test" / "blob", bad)
        masks = [cv2.circle(mask.copy(), (40, 30 + 20 * k), 9, (255,) * 3, -1) for k in range(2)]
        truth = write_images(folder / name / "ground_truth" / "blob", masks)
        for file in sorted(truth.iterdir()):
            file.rename(file.with_name(f"{file.stem}_mask.png"))
        write_images(folder / "defects" / "images", [bad_image(i) for i in range(3)])
    blob = [cv2.circle(mask.copy(), (40, 30 + 3 * i), 9, (255,) * 3, -1) for i in range(3)]
    write_images(folder / "defects" / "masks", blob)
    return folder


FIT = ("--size", "64x48", "--holdout", "0.3", "-q", *(w for word in WORDS for w in ("-o", word)))


def test_two_products_on_the_command_line(products, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [str(products / name / "train" / "good") for name in "ab"]
    assert main(["fit", "dmad", *folders, *FIT, "--defects", str(products / "defects")]) == 0
    assert "fitted on 11 good images and 3 defects" in capsys.readouterr().out
    manifest = read_bundle(Path("dmad.edgead")).manifest
    assert set(manifest.reference.forms) == {"fp32", "bf16", "mixed", "int8"}
    assert manifest.facts["abnormal_bank"]["observed"] > 0 and manifest.provenance["images"]["defects"] == 3
    assert not Path("dmad.edgead.checkpoint").exists()
    words = [str(products / name) for name in "ab"]
    assert main(["eval", "dmad.edgead", *words, "--json", "--draws", "0", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    values = [found["classes"][name]["pixel_auroc"] for name in "ab"]
    assert found["mean"]["pixel_auroc"] == pytest.approx(np.mean(values)) and min(values) > 0.5
    assert main(["eval", "dmad.edgead", *words, "--draws", "0", "-q"]) == 0
    rows = capsys.readouterr().out.splitlines()
    starts = [row.split()[0] for row in rows if row]
    assert starts[starts.index("a") :][:3] == ["a", "b", "mean"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("semi", [False, True])
def test_the_whole_graph_equals_torch(products, tmp_path, engine, semi, monkeypatch):
    """The bundle's graph against the torch module and banks as they were at the end of training: 1e-3."""
    from edgead_plugins.dmad import fitting
    from edgead_plugins.training.onnx_module import OnnxModule

    lessons = []
    monkeypatch.setattr(fitting, "_head", lambda it, f=fitting._head: lessons.append(it) or f(it))
    recipe = resolve("dmad", options=WORDS)
    settings = Settings(size=SIZE, holdout=0.3, precisions=("fp32",))
    defects = [products / "defects"] if semi else []
    good = products / "a" / "train" / "good"
    bundle = fit(recipe, good, settings, tmp_path / "dmad.edgead", silent, defects).bundle
    (lesson,) = lessons
    maps = recipe.scorer.feature_maps(recipe.backbone)
    backbone = OnnxModule("default", recipe.backbone.onnx(maps, SIZE))
    session = open_session(bundle.file(bundle.manifest.model), engine)
    for image in (good_image(50, SIZE), cv2.circle(good_image(51, SIZE), (20, 30), 8, (20, 25, 30), -1)):
        with torch.no_grad():
            found = list(backbone(torch.from_numpy(image[None])).values())
            query = torch.cat([
                torch.nn.functional.interpolate(
                    torch.nn.functional.avg_pool2d(m, 3, 1, 1), found[0].shape[2:], mode="bilinear"
                )
                for m in found
            ], dim=1)  # fmt: skip
            h, w = query.shape[2:]
            rows = np.ascontiguousarray(query[0].flatten(1).T.numpy())
            psi = lesson.mapper(lesson.enhanced(rows)).numpy()
        top = float(fitting._head(lesson).top)
        wanted = oracle.image_score(np.maximum(0, top - psi))
        outputs = session(image[None])
        assert outputs["score"][0] == pytest.approx(wanted, rel=1e-3)
        from edgead_plugins.postprocessors import bilinear_matrix, gaussian_matrix

        v, u = (
            gaussian_matrix(m, 4.0, 33) @ bilinear_matrix(n, m) for n, m in zip((h, w), SIZE, strict=True)
        )
        whole = v @ np.maximum(0, top - psi).reshape(h, w) @ u.T
        np.testing.assert_allclose(outputs["anomaly_map"][0, 0], whole, rtol=1e-3, atol=1e-3 * whole.max())


PROGRAM = """
import sys
from pathlib import Path
from edgead.progress import silent
from edgead.workbench.fit import Settings, fit
from edgead.workbench.recipe import resolve
from edgead_plugins.training.loop import Run
out, good, seconds, *words = sys.argv[1:]
Run.__init__.__defaults__ = (float(seconds), "lower it")
settings = Settings(size=(64, 48), holdout=0.3, precisions=("fp32",))
fit(resolve("dmad", options=words), Path(good), settings, Path(out), silent)
"""


def test_a_fit_killed_in_the_middle_goes_on(products, tmp_path):
    """kill -9 while it trains; the same fit then writes the bytes of one that was left alone."""
    options = [word if word != "steps=12" else "steps=400" for word in WORDS]
    good = str(products / "a" / "train" / "good")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}

    def start(out: str, save_every: str) -> subprocess.Popen:
        command = [sys.executable, "-c", PROGRAM, out, good, save_every, *options]
        return subprocess.Popen(command, env=environment, cwd=tmp_path)

    child = start("killed.edgead", "0")
    checkpoint = tmp_path / "killed.edgead.checkpoint" / "first" / "dmad.pt"
    until = time.monotonic() + 120
    while not checkpoint.exists() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert child.poll() is None, "it ended before it could be killed"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert 0 < torch.load(checkpoint, weights_only=True)["state"]["done"] < 400
    assert not (tmp_path / "killed.edgead").exists()
    for out in ("killed.edgead", "whole.edgead"):
        assert start(out, "20").wait() == 0
    one, other = (read_bundle(tmp_path / name) for name in ("killed.edgead", "whole.edgead"))
    assert [f.sha256 for f in one.manifest.files] == [f.sha256 for f in other.manifest.files]
