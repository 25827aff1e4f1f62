"""Checks of a method: it's fitted on a few small images, exported, and run as a camera runs it."""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import EdgeadError, MissingDependencyError
from edgead.options import parse_options
from edgead.plugins import registry
from edgead.testing.check import CheckFailed, Skipped, require
from edgead.testing.material import defective_image, good_image, hostile_frames
from edgead.testing.running import (
    ENGINES,
    RANDOM,
    apart,
    in_another_process,
    installed_engines,
    opened,
    operators,
    require_agreement,
)
from edgead.testing.workshop import Workshop
from edgead.types import InNumpy

if TYPE_CHECKING:
    from edgead.types import Method

DEFECTS = 40
"""Synthetic defects for the precision gate."""
MAX_LOSS = 0.1
"""AUROC that INT8 may lose on the kit's images: they are few and tiny, so this tells broken from whole, and
export's own gate, on images of the user's, tells good from better."""
WORKBENCH = ("edgead_plugins", "edgead_exporters", "torch", "torchvision", "timm", "onnx", "spox", "nncf")


def names_what_is_registered(workshop: Workshop) -> None:
    """its scorer, post-processor and backbone are registered, and it calls itself what it's registered as"""
    method: Method = registry().get("methods", workshop.method)()
    require(
        method.name == workshop.method,
        f"its factory returns a Method named '{method.name}': give it the registered name",
    )
    registry().entry("scorers", method.scorer)
    registry().entry("postprocessors", method.postprocessor)
    if not method.backbone.endswith(".onnx"):
        registry().entry("backbones", method.backbone.partition(":")[0])


def options_and_presets_are_the_scorers(workshop: Workshop) -> None:
    """its options, and each preset's, are options of its scorer with values that they take"""
    method: Method = registry().get("methods", workshop.method)()
    options = registry().get("scorers", method.scorer).Options
    for values in ({}, *method.presets.values()):
        parse_options(options, [], {**method.options, **values})


def fits(workshop: Workshop) -> None:
    """it fits on a few good images and becomes one graph of the declared shapes"""
    workshop.fit()


def same_seed_same_bytes(workshop: Workshop) -> None:
    """a second fit on the same images with the same seed yields the same bytes"""
    first, second = workshop.graph(), workshop.again()
    if first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True):
        return
    arrays = {i.name: i.SerializeToString(deterministic=True) for i in second.graph.initializer}
    other = [
        i.name
        for i in first.graph.initializer
        if arrays.get(i.name) != i.SerializeToString(deterministic=True)
    ]
    what = f"in {', '.join(other[:3])}" if other else "in its operators"
    raise CheckFailed(
        f"two fits with one seed differ {what}: draw only from np.random.default_rng(data.seed), and "
        "iterate over nothing whose order may change (a set, a folder's listing)"
    )


def declared_outputs(workshop: Workshop) -> None:
    """each engine yields a float32 map of the image's size and one float32 score"""
    graph = workshop.graph()
    image = good_image(500, workshop.size)
    for engine in installed_engines():
        with opened(graph, engine) as session:
            outputs = session(image[None])
        for name, shape in (("anomaly_map", (1, 1, *image.shape[:2])), ("score", (1,))):
            found = outputs[name]
            require(
                found.shape == shape and found.dtype == np.float32,
                f"{ENGINES[engine]} yields '{name}' as {found.dtype} {found.shape}, not float32 {shape}",
            )


def finite_on_hostile_frames(workshop: Workshop) -> None:
    """dark, bright, tiny, strip-shaped and single-channel frames get finite scores and maps, none negative"""
    from edgead.images import as_bgr
    from edgead.resize import ResizeRule

    graph, rule = workshop.graph(), ResizeRule(workshop.size)
    for engine in installed_engines():
        with opened(graph, engine) as session:
            for what, frame in hostile_frames().items():
                outputs = session(rule.apply(as_bgr(frame))[None])
                score, anomaly_map = float(outputs["score"][0]), outputs["anomaly_map"]
                wrong = int((~np.isfinite(anomaly_map)).sum())
                require(
                    np.isfinite(score) and not wrong,
                    f"a frame that is {what} gets score {score} and {wrong} of {anomaly_map.size} map values "
                    f"that aren't finite ({ENGINES[engine]}): look for a division by zero, a root or a "
                    "logarithm of something negative",
                )
                require(
                    anomaly_map.min() >= -1e-3 * abs(anomaly_map).max(),
                    f"a frame that is {what} gets map values down to {anomaly_map.min():.3g}: an anomaly is "
                    "at least 0",
                )


def keeps_nothing_between_frames(workshop: Workshop) -> None:
    """a frame gets the same prediction whatever was judged before it"""
    graph = workshop.graph()
    size = workshop.size
    frame, other = good_image(500, size), defective_image(500, size)
    for engine in installed_engines():
        with opened(graph, engine) as session:
            first = session(frame[None])
            session(other[None])
            second = session(frame[None])
        for name in first:
            if apart(first[name], second[name]) <= 1e-6:
                continue
            random = [kind for kind in operators(graph) if kind in RANDOM]
            cause = (
                f"the graph draws random numbers ({', '.join(random)})" if random else "the graph has a state"
            )
            raise CheckFailed(
                f"the same frame's '{name}' was {_told(first[name])}, then {_told(second[name])} after "
                f"another frame ({ENGINES[engine]}): {cause}; a detector keeps nothing between frames"
            )


def larger_is_more_anomalous(workshop: Workshop) -> None:
    """parts with a defect that nobody overlooks score higher than good ones"""
    from edgead.metrics.scores import auroc

    graph, size = workshop.graph(), workshop.size
    if workshop.wishes.folder is not None:
        raise Skipped("the images are yours, and the kit's defects are drawn on its own")
    with opened(graph, installed_engines()[0]) as session:
        good, bad = (
            np.array([float(session(draw(i, size)[None])["score"][0]) for i in range(900, 912)])
            for draw in (good_image, defective_image)
        )
    value = auroc(good, bad)
    require(
        value is not None and value >= 0.75,
        f"good parts score {np.median(good):.4g}, parts with an obvious defect {np.median(bad):.4g} (AUROC "
        f"{value}): larger must mean more anomalous",
    )


def numpy_agrees(workshop: Workshop) -> None:
    """the graph yields the patch scores that the scorer's own ``in_numpy`` calculates"""
    from edgead.testing.parts import run_part

    workshop.graph()
    fitted = workshop.fit()
    if not isinstance(fitted.scorer, InNumpy):
        raise Skipped("its fitted scorer has no in_numpy(maps), which is optional")
    for maps in fitted.maps:
        found = run_part(
            lambda **given: {"patch": fitted.scorer.graph(given, "fp32").patch},
            {name: array[None] for name, array in maps.items()},
        )["patch"]
        off = apart(found[0, 0], np.asarray(fitted.scorer.in_numpy(maps)))
        require(
            off <= 1e-3,
            f"in_numpy() and graph() are {off:.2%} of the largest patch score apart: one of them is wrong",
        )


def engines_agree(workshop: Workshop) -> None:
    """ONNX Runtime and OpenVINO yield the same maps and scores in FP32"""
    size = workshop.size
    require_agreement(workshop.graph(), [good_image(500, size), defective_image(1, size)])


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
    from edgead.testing.plugins import packages_of

    bundle, frame = workshop.bundle(), workshop.folder / "frame.png"
    import cv2

    image = good_image(500)
    cv2.imwrite(str(frame), image)
    hidden = (*WORKBENCH, *packages_of(registry().entry("methods", workshop.method).distribution))
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

    bundle, (_, held_out) = workshop.bundle(), workshop.frames()
    reference = workshop.reference()
    require("int8" not in reference.lacking, f"there is no INT8 form: {workshop.why_not('int8')}")
    good = list(held_out)
    bad = list(defective_images(good, 0, DEFECTS))
    plain, int8 = (onnx.load(bundle.file(reference.forms[form])) for form in ("fp32", "int8"))
    engine = installed_engines()[-1]
    with opened(plain, engine) as session:
        fp32 = run_trial(session, good, bad)
    exact = ExactSession(bundle.file(reference.forms["int8"]))
    with opened(int8, engine) as session:
        trial = run_trial(session, good, bad)
        threshold = calibrate(trial.good.tolist(), trial.good_maxima.tolist(), 0.1)
        probes = probe_images(good, held_out.rule, 0)
        parity = check_parity(session, exact, probes, threshold, "int8")
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

    bundle, (_, held_out) = workshop.bundle(), workshop.frames()
    reference = workshop.reference()
    if "int8" in reference.lacking:
        raise Skipped("it has no INT8 form")
    file = bundle.file(reference.forms["int8"])
    unsafe = unsafe_layers(onnx.load(file))
    require(
        not unsafe,
        f"two neighbouring weights add up to {max(unsafe.values(), default=0)} in {', '.join(unsafe)}, "
        f"{PAIR} is the most that a processor without VNNI adds up: round them with "
        "edgead.workbench.integer_weights.round_pairs",
    )
    if "openvino" not in installed_engines() or not _on_x86():
        raise Skipped("no engine here can be held to AVX2")
    images = np.stack(probe_images(list(held_out), held_out.rule, 0))
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
    limits = bundle.manifest.threshold
    parity = compare(pairs, limits.score, limits.pixel, "int8")
    require(parity.passed, f"held to AVX2, OpenVINO: {parity}: an integer sum saturates somewhere")


def _on_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def compiles_for_every_target(workshop: Workshop) -> None:
    """every target whose engine is installed compiles its FP32 form, with the reference's numbers"""
    from edgead.runtime.engines import open_session
    from edgead.runtime.proof import TOLERANCE

    graph, image = workshop.graph(), defective_image(1, workshop.size)[None]
    with opened(graph, "onnxruntime") as session:
        reference = session(image)
    for target in registry().names("exporters"):
        try:
            folder = workshop.folder / target
            folder.mkdir()
            artifact = registry().get("exporters", target)().compile(graph, "fp32", folder)
            outputs = open_session(folder / artifact.model, artifact.engine)(image)
        except MissingDependencyError:
            continue
        except EdgeadError as error:
            raise CheckFailed(
                f"target {target}: {error}; operators: {', '.join(operators(graph))}"
            ) from error
        for name in reference:
            off = apart(outputs[name], reference[name])
            require(off <= TOLERANCE["fp32"], f"target {target}: '{name}' is {off:.2%} off the reference")


def _told(array: NDArray[Any]) -> str:
    return f"{float(array.max()):.6g}"


CHECKS = (
    names_what_is_registered,
    options_and_presets_are_the_scorers,
    fits,
    same_seed_same_bytes,
    declared_outputs,
    finite_on_hostile_frames,
    keeps_nothing_between_frames,
    larger_is_more_anomalous,
    numpy_agrees,
    engines_agree,
    bundle_is_written,
    bundle_round_trips,
    runs_without_the_plugin,
    int8_passes_the_gates,
    int8_is_the_same_on_old_processors,
    compiles_for_every_target,
)
