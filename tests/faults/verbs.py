"""The verbs whose every write, fsync, rename, link, mkdir and open is failed in turn: a row each.

A verb works in a folder that ``prepare`` fills once and that's copied for each try.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIDE = 32


@dataclass(frozen=True)
class Verb:
    """A command line and what it may change.

    Attributes:
        words: after ``edgead``; paths are relative to the folder that it's run in.
        bundles: what must be there, read and verify, however the verb ended.
        grows: files and folders that fill while it works. Where the verb fails, each file there is as it was
            before, or whole rows or documents of what a success writes; nothing else may have changed.
        made: what else a success makes, changes or removes; a failure changes nothing there.
        keeps: what is kept for next time, and may be missing.
        again: whether it's run once more afterwards, and must print what it does without a fault: what was
            kept of a failed try mustn't be believed.
        then: a command line that must do afterwards, however the verb ended.
        demands: what the environment says, in all of these.
    """

    name: str
    words: tuple[str, ...]
    bundles: tuple[str, ...]
    grows: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ("home/.cache",)
    again: bool = False
    made: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    demands: tuple[tuple[str, str], ...] = ()


def _slots(folder: str, name: str, *words: str) -> Verb:
    """A row of a verb that changes a folder of slots: what's current verifies and judges in any case."""
    demands: tuple[tuple[str, str], ...] = ()
    if folder.startswith("trusted"):
        demands = (("EDGEAD_TRUST", "qa.pub"), ("EDGEAD_TRUST_STATE", f"{folder}/serials.json"))
    return Verb(
        name,
        (*words, "--slots", folder),
        ("openvino.edgead", "onnx.edgead", f"{folder}/current"),
        made=(folder,),
        then=("run", f"{folder}/current", "bad/0.png"),
        demands=demands,
    )


FIT = ("--size", f"{SIDE}x{SIDE}", "--folds", "0", "-o", "coreset_ratio=0.1", "--holdout", "0.4")
FORM = ("--precision", "fp32", "--max-loss", "100")

VERBS = (
    Verb(
        "calibrate", ("calibrate", "openvino.edgead", "--fpr", "0.2", "--why", "test"), ("openvino.edgead",)
    ),
    Verb(
        "calibrate-images",
        ("calibrate", "onnx.edgead", "--good", "more", "--fpr", "0.2", "--plot", "out/plot.svg"),
        ("onnx.edgead",),
        grows=("out/plot.svg", "onnx.edgead/revisions"),
    ),
    Verb("teach", ("teach", "openvino.edgead", "--false-alarm", "bad/1.png", "--yes"), ("openvino.edgead",)),
    Verb(
        "run",
        (
            *("run", "openvino.edgead", "bad", "--out", "out/maps", "--csv", "out/v.csv"),
            *("--drift", "out/drift.json"),
        ),
        ("openvino.edgead",),
        grows=("out/maps", "out/v.csv", "out/drift.json"),
    ),
    Verb("cache", ("run", "openvino.edgead", "bad", "--cache"), ("openvino.edgead",), again=True),
    Verb("sign", ("sign", "onnx.edgead", "--key", "qa.key"), ("onnx.edgead",)),
    Verb("keys", ("keys", "new", "lab", "--out", "out"), (), made=("out/lab.key", "out/lab.pub")),
    _slots("slots", "install", "install", "openvino.edgead"),
    Verb(
        "install-first",
        ("install", "1.edgead", "--slots", "new/slots", "--trust", "qa.pub"),
        ("1.edgead",),
        made=("new",),
    ),
    _slots("two", "rollback", "rollback", "--why", "a test"),
    _slots("trial", "good", "slots", "--good"),
    _slots("trusted", "install-signed", "install", "2.edgead"),
    _slots("trusted-two", "rollback-signed", "rollback"),
    Verb(
        "eval",
        (
            *("eval", "onnx.edgead", "test", "--draws", "20", "--csv", "out/m.csv"),
            *("--verdicts", "out/v.csv", "--report", "out/page.html"),
        ),
        ("onnx.edgead",),
        grows=("out/m.csv", "out/v.csv", "out/page.html"),
    ),
    Verb(
        "export-onnx",
        ("export", "patchcore.edgead", "--target", "onnx", *FORM, "--out", "onnx.edgead"),
        ("patchcore.edgead", "onnx.edgead"),
    ),
    Verb(
        "export-openvino",
        ("export", "patchcore.edgead", "--target", "openvino", *FORM, "--out", "openvino.edgead"),
        ("patchcore.edgead", "openvino.edgead"),
    ),
    Verb("fit", ("fit", "patchcore", "good", *FIT, "--out", "patchcore.edgead"), ("patchcore.edgead",)),
)

WRONG = Verb("leaves-something", ("run", "onnx.edgead", "bad", "--drift", "out/drift.json"), ("onnx.edgead",))
"""Says less than it writes, to see that the driver notices; it's tried where it's named."""


def prepare(folder: Path) -> None:
    """Draw images, fit them and compile the bundle for both engines."""
    import edgead
    from edgead.trust.keys import make_keys
    from tests.bundles import bad_image, good_image, write_images

    write_images(folder / "good", [good_image(i) for i in range(12)])
    write_images(folder / "more", [good_image(100 + i) for i in range(6)])
    write_images(folder / "test" / "good", [good_image(200 + i) for i in range(3)])
    write_images(folder / "test" / "spot", [bad_image(i) for i in range(3)])
    (folder / "bad").mkdir()
    for index in range(2):
        image = np.clip(bad_image(index).astype(int) + index, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "bad" / f"{index}.png"), image)
    for name in ("out/maps", "home", "tmp"):
        (folder / name).mkdir(parents=True)
    options = {"coreset_ratio": 0.1}
    fitted = edgead.fit(
        "patchcore",
        folder / "good",
        folder / "patchcore.edgead",
        size=SIDE,
        holdout=0.4,
        folds=0,
        options=options,
    )
    for target in ("openvino", "onnx"):
        edgead.export(fitted, target, folder / f"{target}.edgead", precision="fp32", max_loss=1)
    make_keys(folder / "qa.key", folder / "qa.pub")
    edgead.Slots(folder / "slots").install(folder / "onnx.edgead", good_after=0)
    shutil.copytree(folder / "slots", folder / "two", symlinks=True)
    edgead.Slots(folder / "two").install(folder / "openvino.edgead", good_after=0)
    edgead.Slots(folder / "trial").install(folder / "onnx.edgead", good_after=9, most_starts=9)
    for serial, target in enumerate(("onnx", "openvino"), 1):
        bundle = Path(shutil.copytree(folder / f"{target}.edgead", folder / f"{serial}.edgead"))
        edgead.sign(bundle, folder / "qa.key", serial=serial)
        if serial == 2:
            shutil.copytree(folder / "trusted-two", folder / "trusted", symlinks=True)
        edgead.Slots(folder / "trusted-two", trust=folder / "qa.pub").install(bundle, good_after=0)
    shutil.copy(folder / "bad" / "0.png", folder / "out" / "plot.svg")  # older outputs, of whatever content
    for name in ("v.csv", "m.csv", "page.html"):
        (folder / "out" / name).write_text("older\n")


__all__ = ["SIDE", "VERBS", "WRONG", "Verb", "prepare"]
