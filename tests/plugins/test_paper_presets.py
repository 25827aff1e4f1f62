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
from edgead_plugins.fyd import fitting as fyd  # noqa: E402
from edgead_plugins.mkd import fitting as mkd  # noqa: E402
from edgead_plugins.students import fitting as students  # noqa: E402
from edgead_plugins.students import pictures  # noqa: E402
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
    with nullcontext() if method == "dmad" else pytest.raises(Trained):  # DMAD trains no network of images
        fit(recipe, tmp_path / "good", settings, tmp_path / "m.edgead", silent)
