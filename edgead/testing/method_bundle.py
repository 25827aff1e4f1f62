"""Checks of a method's reference bundle: whole, independent of the plugin, and its INT8 form good."""

from __future__ import annotations

import platform
import shutil

import numpy as np

from edgead.plugins import registry
from edgead.resize import ResizeRule
from edgead.testing.check import Skipped, require
from edgead.testing.material import good_image
from edgead.testing.running import ENGINES, apart, in_another_process, installed_engines, opened
from edgead.testing.workshop import Workshop

DEFECTS = 40
"""Synthetic defects for the precision gate."""
MAX_LOSS = 0.1
"""AUROC that INT8 may lose on the kit's images: they are few and tiny, so this tells broken from whole, and
export's own gate, on images of the user's, tells good from better."""
WORKBENCH = ("edgead_plugins", "edgead_exporters", "torch", "torchvision", "timm", "onnx", "spox", "nncf")


def bundle_is_written(workshop: Workshop) -> None:
    """``edgead fit`` writes its bundle: facts that are JSON, a threshold that is a number"""
    workshop.write_bundle()


def bundle_round_trips(workshop: Workshop) -> None:
    """copied elsewhere and read again, the bundle is whole and gives the same score"""
    from edgead.bundle import read_bundle
    from edgead.runtime.detector import Detector
    from edgead.runtime.engine_options import EngineOptions

    bundle = workshop.bundle()
    copy = workshop.folder / "copy.edgead"
    shutil.copytree(bundle.path, copy, dirs_exist_ok=True)
    again = read_bundle(copy)
    require(again.manifest == bundle.manifest, "the manifest reads differently from what was written")
    frame = good_image(500)
    one, other = workshop.detector()(frame).score, Detector(again, EngineOptions(threads=2))(frame).score
    require(one == other, f"the same frame scores {one} in the bundle, and {other} in its copy")


def runs_without_the_plugin(workshop: Workshop) -> None:
    """the bundle runs in a process where the plugin and the workbench can't be imported"""
    bundle, frame = workshop.bundle(), workshop.folder / "frame.png"
    import cv2

    image = good_image(500)
    cv2.imwrite(str(frame), image)
    owner = registry().entry("methods", workshop.method).distribution
    own = [plugin.packages for plugin in registry().plugins if plugin.distribution == owner]
    hidden = (*WORKBENCH, *sorted(frozenset().union(*own)))
    code = (
        "import json, cv2, edgead\n"
        f"detector = edgead.load({str(bundle.path)!r}, threads=2)\n"
        f"print(json.dumps(detector(cv2.imread({str(frame)!r})).score))"
    )
    score, here = in_another_process(code, hidden), workshop.detector()(image).score
    require(
        apart(np.array(score), np.array(here)) < 1e-5, f"the same frame scores {here} here, {score} there"
    )


def int8_passes_the_gates(workshop: Workshop) -> None:
    """its INT8 form passes both gates (precision: within 10 points of AUROC, on the kit's tiny images)"""
    import onnx

    from edgead.device.calibrate import calibrate
    from edgead.device.parity import check_parity, probe_images
    from edgead.runtime.exact import ExactSession
    from edgead.workbench.export import MAX_LOSS as EXPORTS
    from edgead.workbench.precision import compare, defective_images, run_trial

    lacking = workshop.lacking("int8")
    require(lacking is None, f"there is no INT8 form: {lacking}")
    good = workshop.held_out()
    bad = list(defective_images(good, 0, DEFECTS))
    files = workshop.form("fp32"), workshop.form("int8")
    plain, int8 = map(onnx.load, files)
    engine = installed_engines()[-1]
    with opened(plain, engine) as session:
        fp32 = run_trial(session, good, bad)
    reference = ExactSession(files[1])
    with opened(int8, engine) as session:
        trial = run_trial(session, good, bad)
        threshold = calibrate(trial.good.tolist(), trial.good_maxima.tolist(), 0.1)
        probes = probe_images(good, ResizeRule(workshop.size), 0)
        parity = check_parity(session, reference, probes, threshold, "int8")
    loss = compare(trial, fp32, MAX_LOSS if workshop.wishes.folder is None else EXPORTS, 0)
    require(
        parity.passed,
        f"parity: {ENGINES[engine]}: {parity}: round once, and use the rounded value in every term",
    )
    require(
        loss.passed,
        f"precision: INT8 is expected to lose {loss.expected_loss:.2%} AUROC, lost {loss.measured_loss:.2%}, "
        f"{loss.max_loss:.2%} is allowed: give INT8 the range that the values have, and implement refit(), "
        "so that all forms keep what FP32 chose",
    )


def int8_is_the_same_on_old_processors(workshop: Workshop) -> None:
    """its INT8 form gives the same numbers on processors without VNNI"""
    import onnx

    from edgead.device.parity import probe_images
    from edgead.runtime.exact import ExactSession
    from edgead.runtime.proof import compare
    from edgead.workbench.saturation import PAIR, unsafe_layers

    if workshop.lacking("int8") is not None:
        raise Skipped("it has no INT8 form")
    file = workshop.form("int8")
    unsafe = unsafe_layers(onnx.load(file))
    require(
        not unsafe,
        f"two neighbouring weights add up to {max(unsafe.values(), default=0)} in {', '.join(unsafe)}, "
        f"{PAIR} is the most that a processor without VNNI adds up: round them with "
        "edgead.workbench.integer_weights.round_pairs",
    )
    if "openvino" not in installed_engines() or not _on_x86():
        raise Skipped("no engine here can be held to AVX2")
    images = np.stack(probe_images(workshop.held_out(), ResizeRule(workshop.size), 0))
    np.save(workshop.folder / "probes.npy", images)
    code = (
        "import json, numpy as np\n"
        "from pathlib import Path\n"
        "from edgead.runtime.engine_options import EngineOptions\n"
        "from edgead.runtime.engines import open_session\n"
        f"session = open_session(Path({str(file)!r}), 'openvino', EngineOptions(threads=2))\n"
        f"found = [session(image[None]) for image in np.load({str(workshop.folder / 'probes.npy')!r})]\n"
        "print(json.dumps([[float(o['score'][0]), float(o['anomaly_map'].max())] for o in found]))"
    )
    there = in_another_process(code, variables={"ONEDNN_MAX_CPU_ISA": "AVX2"})
    exact = ExactSession(file)
    here = [exact(image[None]) for image in images]
    pairs = [
        (score, np.array(peak), float(o["score"][0]), np.array(o["anomaly_map"].max()))
        for (score, peak), o in zip(there, here, strict=True)
    ]
    limits = workshop.bundle().manifest.threshold
    parity = compare(pairs, limits.score, limits.pixel, "int8")
    require(parity.passed, f"held to AVX2, OpenVINO: {parity}: an integer sum saturates somewhere")


def _on_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


__all__ = [
    "bundle_is_written",
    "bundle_round_trips",
    "int8_is_the_same_on_old_processors",
    "int8_passes_the_gates",
    "runs_without_the_plugin",
]
