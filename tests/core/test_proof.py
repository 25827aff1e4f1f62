"""A bundle proves itself where it's loaded: other numbers are refused, and a proof is asked for once."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

import edgead
from edgead.bundle import read_bundle
from edgead.errors import ParityError
from edgead.images import read_image
from edgead.runtime import proof
from edgead.runtime.exact import ExactSession
from tests.bundles import bad_image
from tests.sealed import change_manifest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "proven"


@pytest.fixture
def bundle(compiled, tmp_path):
    return shutil.copytree(compiled("onnx", "int8").bundle.path, tmp_path / "copy.edgead")


def change(bundle, **values):
    """Let the manifest say something else of its probes."""

    def probes(manifest):
        for probe in manifest["probes"]:
            probe.update({name: new(probe[name]) for name, new in values.items()})

    change_manifest(bundle, probes)


def test_what_is_recorded_is_exact_arithmetic_on_changed_images(bundle):
    found = read_bundle(bundle)
    exact = ExactSession(found.file(found.manifest.model))
    assert {p.change for p in found.manifest.probes} == {"none", "inverted", "dark", "turned"}
    for probe in found.manifest.probes:
        image = cv2.imread(str(found.file(probe.file))).astype(int)
        changed = {
            "none": image,
            "inverted": 255 - image,
            "dark": image // 8,
            "turned": np.rot90(image, 2),
        }[probe.change].astype(np.uint8)
        outputs = exact(changed[None])
        assert probe.score == pytest.approx(float(outputs["score"][0]), rel=1e-6)
        plane = outputs["anomaly_map"][0, 0]
        h, w = plane.shape
        blocks = plane.reshape(4, h // 4, 4, w // 4).max((1, 3)).ravel()
        np.testing.assert_allclose(probe.peaks, blocks, rtol=1e-6)


def test_a_bundle_is_proven_once(bundle, cache, monkeypatch):
    runs = []
    monkeypatch.setattr(proof, "replay", lambda *a, real=proof.replay: runs.append(1) or real(*a))
    for _ in range(3):
        edgead.load(bundle)
    assert len(runs) == 1 and len(list(cache.glob("*.kept"))) == 1
    assert '"flips": 0' in next(cache.glob("*.kept")).read_text()
    assert edgead.load(bundle)(bad_image(1)).is_anomalous


@pytest.mark.parametrize(
    "elsewhere",
    [
        lambda m: m.setattr(proof, "cpu", lambda real=proof.cpu: replace(real(), identity="another")),
        lambda m: m.setattr("onnxruntime.__version__", "9.9"),
        lambda m: m.setenv("ONEDNN_MAX_CPU_ISA", "AVX2"),
    ],
    ids=["processor", "engine", "instructions"],
)
def test_elsewhere_it_is_proven_anew(bundle, cache, monkeypatch, elsewhere):
    edgead.load(bundle)
    elsewhere(monkeypatch)
    edgead.load(bundle)
    assert len(list(cache.glob("*.kept"))) == 2
    edgead.load(bundle, threshold=1.5)
    assert len(list(cache.glob("*.kept"))) == 3, "another threshold gives other verdicts"


@pytest.mark.parametrize(
    "values",
    [
        {"score": lambda s: s * 1.2},
        {"peaks": lambda p: [v * 1.3 for v in p]},
        {"peaks": lambda p: p[::-1]},
    ],
    ids=["score", "map", "elsewhere in the map"],
)
def test_a_machine_with_other_numbers_is_refused_and_not_remembered(bundle, cache, values):
    change(bundle, **values)
    for _ in range(2):
        with pytest.raises(ParityError, match=r"gives other numbers here .* export it again on this machine"):
            edgead.load(bundle)
    assert not cache.exists() or not list(cache.iterdir())


def test_a_verdict_that_flips_is_refused_even_within_the_tolerance_of_a_score():
    parity = proof.compare([(1.02, np.ones(1), 0.98, np.ones(1))], 1.0, 1.0, "int8")
    assert not parity.flips, "both are as near to the threshold as rounding goes"
    wide = proof.compare([(1.06, np.ones(1), 0.90, np.ones(1))], 1.0, 1.0, "int8")
    assert wide.flips == 1 and not wide.passed


def test_a_cache_that_others_can_write_is_not_believed(bundle, cache, caplog):
    edgead.load(bundle)
    cache.chmod(0o777)
    change(bundle, score=lambda s: s * 1.2)
    with pytest.raises(ParityError):
        edgead.load(bundle)
    assert "can be written by others" in caplog.text


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_costs_a_proof_each_time(bundle, cache):
    cache.parent.mkdir(parents=True)
    cache.parent.chmod(0o500)
    edgead.load(bundle)
    assert not cache.exists()


def test_a_bundle_without_probes_still_loads(bundle):
    change_manifest(bundle, lambda manifest: manifest.update(probes=[]))
    assert edgead.load(bundle)(bad_image(1)).is_anomalous


def test_the_carried_images_are_few_and_nearest_to_the_threshold(compiled, reference_bundle):
    found = compiled("onnx", "int8").bundle
    carried = {probe.file for probe in found.manifest.probes}
    assert len(carried) == 2
    session = ExactSession(reference_bundle.file("forms/int8.onnx"))  # whatever this processor rounds
    names = [f.path for f in reference_bundle.manifest.files if f.path.startswith("probes/")]
    scores = {n: float(session(read_image(reference_bundle.file(n))[None])["score"][0]) for n in names}
    assert carried == set(sorted(scores, key=scores.get)[-2:])
