"""Every paper preset starts and steps: the published widths, batches and rates, for two steps.

What the trained methods' own tests make small, so that they take seconds, stays as published here. Their
conversion to ONNX is theirs to test, and left out.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytestmark = pytest.mark.torch

from edgead.plugins import registry  # noqa: E402
from edgead.progress import silent  # noqa: E402
from edgead.workbench.fit import Settings, fit  # noqa: E402
from edgead.workbench.recipe import resolve  # noqa: E402
from edgead_plugins.cutpaste import fitting as cutpaste  # noqa: E402
from edgead_plugins.destseg import fitting as destseg  # noqa: E402
from edgead_plugins.dmad import fitting as dmad  # noqa: E402
from edgead_plugins.fyd import fitting as fyd  # noqa: E402
from edgead_plugins.mkd import fitting as mkd  # noqa: E402
from edgead_plugins.students import fitting as students  # noqa: E402
from edgead_plugins.students import pictures, teacher  # noqa: E402
from edgead_plugins.training import loop  # noqa: E402
from tests.bundles import good_image, write_images  # noqa: E402

SHORT = {
    "cutpaste": (64, "steps=2", "frozen_steps=1", "patch_stride=32"),
    "destseg": (32, "student_steps=1", "steps=1"),
    "dmad": (32, "steps=2", "texture_images=2"),
    "fyd": (32, "epochs=1"),
    "mkd": (32, "epochs=2", "pool=no"),
    "uninformed-students": (32, "scales=33", "steps=2", "teacher_steps=2"),
}
"""Side of the images, and how long, which is all that is less than published; one of CutPaste's two steps is
one of its frozen first ones."""


SGD, ADAM = torch.optim.SGD, torch.optim.Adam
RUN = {
    "cutpaste": [("cutpaste image", SGD, 32, 0.03, 3e-5), ("cutpaste patch", SGD, 32, 0.03, 3e-5)],
    "destseg": [("destseg student", SGD, 32, 0.4, 1e-4), ("destseg segmentation", SGD, 32, 0.1, 1e-4)],
    "dmad": [("dmad", torch.optim.AdamW, 4096, 2e-4, 1e-5)],
    "fyd": [("fyd", SGD, 32, 1e-4, 0)],
    "mkd": [("mkd", ADAM, 64, 1e-3, 0)],
    "uninformed-students": [("teacher 33", ADAM, 64, 2e-4, 1e-5), ("students 33", ADAM, 1, 1e-4, 1e-5)],
}
"""What runs: each training's optimiser, images in a step (of so many as there are), rate and weight decay."""
MOMENTUM = 0.9
"""Of each SGD."""


def test_every_method_with_presets_is_tried():
    names = registry()
    methods = {name: names.get("methods", name)() for name in names.names("methods")}
    assert {name for name, method in methods.items() if "quick" in method.presets} == set(SHORT)
    assert all(set(methods[name].presets) == {"quick", "paper"} for name in SHORT)


class Trained(Exception):
    """Raised in place of the conversion."""


@pytest.mark.parametrize("method", SHORT)
def test_the_paper_preset_starts_and_steps(method, tmp_path, monkeypatch):
    def converted(*given, **named):
        raise Trained

    monkeypatch.setenv("EDGEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pictures, "POOL", 4)
    for module in (cutpaste, destseg, fyd, mkd, students):
        monkeypatch.setattr(module, "to_backbone", converted)
    side, *short = SHORT[method]
    write_images(tmp_path / "good", [good_image(i, (side, side)) for i in range(5)])
    recipe = resolve(method, "default", options=short, preset="paper")
    settings = Settings((side, side), holdout=0.4, false_positive_rate=0.3, precisions=("fp32",))
    ran, images = [], []

    def watched(run, module, optimiser, step, steps, *, original=loop.train, **kept):
        rates = {(group["lr"], group["weight_decay"]) for group in optimiser.param_groups}
        assert all(group.get("momentum", MOMENTUM) == MOMENTUM for group in optimiser.param_groups)
        ran.append((run.name, type(optimiser), step.size, rates))
        images.append(len(step.make(0)[0]))
        return original(run, module, optimiser, step, steps, **kept)

    for module in (cutpaste, destseg, dmad, fyd, mkd, students, teacher):
        monkeypatch.setattr(module, "train", watched)
    with nullcontext() if method == "dmad" else pytest.raises(Trained):  # DMAD trains no network of images
        fit(recipe, tmp_path / "good", settings, tmp_path / "m.edgead", silent)
    few = {"dmad": 3 * 4 * 4, "uninformed-students": 64}.get(method, 3)  # of five images two are held out
    assert len(ran) == len(RUN[method])
    for (name, kind, size, rates), drawn, wanted in zip(ran, images, RUN[method], strict=True):
        batch = min(wanted[2], few)
        assert (name, kind, size, drawn) == (*wanted[:2], batch, batch)
        assert (wanted[3], wanted[4]) in rates
