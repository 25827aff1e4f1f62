"""Ten ways to write a plugin wrongly, and what its author is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgead.cli import main
from edgead.testing import checks
from edgead.testing.material import good_image, write_images
from tests.core.sites import install, on_path

PLUGIN = """
from edgead import hookimpl
from edgead.types import Method

edgead_api = 1

@hookimpl
def edgead_register_scorers(register):
    register("acme", "acme_scorer:Acme")

@hookimpl
def edgead_register_methods(register):
    register("acme", lambda: Method("acme", scorer="acme"))
"""

SCORER = '''
from dataclasses import dataclass
from typing import Annotated
import numpy as np
import spox.opset.ai.onnx.v18 as op
from edgead.options import Range, check_options
from edgead.types import Scores
from edgead.workbench.graph import parameter

@dataclass(frozen=True)
class Options:
    weight: Annotated[float, Range(0)] = 1.0
    """A factor of the scores."""

    def __post_init__(self):
        check_options(self)

class Acme:
    Options = Options

    def __init__(self, options=None):
        self.options = options or Options()

    def feature_maps(self, backbone):
        return list(backbone.feature_info)[-1:]

    def embed(self, maps):
        return {"map": list(maps.values())[0]}

    def fit(self, data):
        mean = np.mean([maps["map"].mean((1, 2)) for maps in data.features()], axis=0)
        return Fitted(mean.astype(np.float32))

class Fitted:
    facts = {}

    def __init__(self, mean):
        self.mean = mean

    def graph(self, maps, bank):
        off = op.sub(maps["map"], parameter("mean", self.mean[None, :, None, None]))
        patch = op.sqrt(op.reduce_sum_square(off, op.const([1])))
        return Scores(patch=patch)
'''

MISTAKES = {
    "a method is missing": (
        "scorer",
        ("def embed", "def embeds"),
        "has-every-method",
        "Acme lacks embed; see edgead.types.method.Scorer",
    ),
    "a range that is never checked": (
        "scorer",
        ("check_options(self)", "pass"),
        "options-keep-their-range",
        "Options(weight=-1) isn't refused with one line that names the option, number at least 0: call "
        "edgead.options.check_options(self) in __post_init__",
    ),
    "a default out of its range": (
        "scorer",
        ("= 1.0", "= -1.0"),
        "options-keep-their-range",
        "the defaults are refused: option 'weight' takes number at least 0, not -1: ",
    ),
    "a wrong shape": (
        "scorer",
        ("op.const([1])", "op.const([2, 3])"),
        "fits",
        "a scorer's patch scores must be (1, 1, h, w), not (1, ",
    ),
    "a fit that isn't deterministic": (
        "scorer",
        ("axis=0)", "axis=0) + np.random.normal()"),
        "same-seed-same-bytes",
        "two fits with one seed differ in mean: draw only from np.random.default_rng(data.seed)",
    ),
    "a name clash": (
        "plugin",
        ('register("acme", lambda: Method("acme"', 'register("padim", lambda: Method("padim"'),
        "loads-without-problems",
        "acme-edgead 1.0: method 'padim' is edgead's own, which is used; register another name",
    ),
    "an import error": (
        "plugin",
        ("edgead_api = 1", "import acme_numerics"),
        "loads-without-problems",
        "acme-edgead 1.0: entry point 'acme = acme_plugin' can't be imported: ModuleNotFoundError: No module "
        "named 'acme_numerics'",
    ),
    "torch at import": (
        "scorer",
        ("import numpy as np", "import numpy as np, torch"),
        "import-leaves-torch-out",
        "importing these imports torch: acme_scorer (torch): import it in the functions that use it",
    ),
    "an operator that an engine lacks": (
        "scorer",
        ("return Scores(patch=patch)", "return Scores(patch=op.add(patch, op.det(patch)))"),
        "declared-outputs",
        "OpenVINO can't run this graph",
    ),
    "state kept between frames": (
        "scorer",
        ("patch=patch", "patch=op.abs(op.add(patch, op.random_normal_like(patch)))"),
        "keeps-nothing-between-frames",
        "the graph draws random numbers (RandomNormalLike); a detector keeps nothing between frames",
    ),
    "output that isn't a number": (
        "scorer",
        ("patch=patch", "patch=op.div(patch, op.sub(patch, patch))"),
        "finite-on-hostile-frames",
        "aren't finite (ONNX Runtime): look for a division by zero, a root or a logarithm of something "
        "negative",
    ),
    "an API that is too old": (
        "plugin",
        ("edgead_api = 1", "edgead_api = 0"),
        "loads-without-problems",
        "acme-edgead 1.0: it is written for plugin API 0, this edgead has 1: upgrade the plugin",
    ),
}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``written(which, old, new)``: the plugin is installed with one thing wrong."""
    site = tmp_path / "site"
    site.mkdir()

    def write(which: str = "", old: str = "", new: str = "") -> None:
        sources = {"plugin": PLUGIN, "scorer": SCORER}
        if which:
            assert old in sources[which]
            sources[which] = sources[which].replace(old, new)
        if "torch" in new:
            (site / "torch.py").write_text("")  # as if it were installed
        modules = {"acme_plugin": sources["plugin"], "acme_scorer": sources["scorer"]}
        install(site, "acme-edgead", "[edgead]\nacme = acme_plugin\n", **modules)

    with on_path(monkeypatch, site):
        yield write


@pytest.mark.parametrize("which, change, check, said", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_so_that_a_stranger_understands(
    written: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    which: str,
    change: tuple[str, str],
    check: str,
    said: str,
) -> None:
    written(which, *change)
    assert main(["plugins", "check", "acme-edgead", "--only", check]) == 6
    out = " ".join(capsys.readouterr().out.split())
    assert f"/{check} " in out and said in out


def test_without_a_mistake_nothing_is_told(
    written: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    written()
    names = sorted({check for _, _, check, _ in MISTAKES.values()})
    only = [word for name in names for word in ("--only", name)]
    assert main(["plugins", "check", "acme-edgead", *only]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.endswith(f"{len(names)} passed\n")


def _fits(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the scorer's ``fit`` write a line each time."""
    monkeypatch.setenv("ACME_LOG", str(log))
    log.write_text("")


COUNTED = (
    "scorer",
    "        mean = np",
    "        import os; open(os.environ['ACME_LOG'], 'a').write('fit\\n')\n        mean = np",
)


def test_a_method_is_fitted_twice_in_fp32_however_many_checks_there_are(
    written: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice is what comparing two fits takes; a scorer without ``refit`` is fitted for INT8 besides."""
    written(*COUNTED)
    _fits(tmp_path / "log", monkeypatch)
    found = [check for check in checks("acme") if check.kind == "method"]
    assert len(found) > 12
    results = {check.name: check.run() for check in found}
    assert {name for name, r in results.items() if r.outcome == "failed"} == set(), results
    assert (tmp_path / "log").read_text().count("fit") == 3


WRONG_TWICE = (
    "        return Fitted(mean.astype(np.float32))",
    "        Fitted.facts = {'mean': object()}\n"
    "        return Fitted((mean + np.random.normal()).astype(np.float32))",
)


def test_two_fits_are_compared_even_where_no_bundle_can_be_written(
    written: Callable[..., None], tmp_path: Path
) -> None:
    written("scorer", *WRONG_TWICE)
    results = {check.name: check.run() for check in checks("acme") if check.kind == "method"}
    assert results["bundle-is-written"].outcome == "failed"
    assert "differ in mean" in results["same-seed-same-bytes"].message
    assert results["bundle-round-trips"].outcome == "skipped"


def test_images_that_are_grouped_are_split_alike_in_both_fits(
    written: Callable[..., None], tmp_path: Path
) -> None:
    """Copies of one photo are held out together, by ``edgead fit`` and so by the kit."""
    written()
    photos = [good_image(i // 4) for i in range(24)]
    folder = write_images(tmp_path / "good", photos)
    found = {
        check.name: check for check in checks("acme", folders={"acme": folder}) if check.kind == "method"
    }
    result = found["same-seed-same-bytes"].run()
    assert result.outcome == "passed", result


IN_USE = {
    "a method is missing": (
        "scorer",
        ("def embed", "def embeds"),
        r"acme-edgead 1\.0: scorer 'acme' lacks embed",
    ),
    "a fault inside": (
        "scorer",
        ("mean = np", "mean = data.pictures, np"),
        r"unexpected AttributeError in the plugin acme-edgead: .*pictures.*plugins check acme-edgead`",
    ),
    "notices that are text": (
        "scorer",
        ("        return Fitted", "        Fitted.notices = 'mind the gap'\n        return Fitted"),
        r"acme-edgead 1\.0: scorer 'acme': its notices must be a tuple of",
    ),
    "notices that JSON can't say": (
        "scorer",
        (
            "        return Fitted",
            "        from edgead.notices import Notice\n"
            "        Fitted.notices = (Notice('acme-x', {'a': mean}, '{a}'),)\n        return Fitted",
        ),
        r"acme-edgead 1\.0: scorer 'acme': its notices can't be kept as JSON",
    ),
    "facts that are a list": (
        "scorer",
        ("        return Fitted", "        Fitted.facts = [1]\n        return Fitted"),
        r"acme-edgead 1\.0: scorer 'acme': its facts are list, give a mapping",
    ),
    "facts that aren't numbers": (
        "scorer",
        ("        return Fitted", "        Fitted.facts = {'a': float('nan')}\n        return Fitted"),
        r"acme-edgead 1\.0: scorer 'acme': its facts can't be kept as JSON",
    ),
    "warnings that are one text": (
        "scorer",
        ("        return Fitted", "        Fitted.facts = {'warnings': 'abc'}\n        return Fitted"),
        r"its facts' warnings must be a list of sentences",
    ),
    "a name that it doesn't register": (
        "plugin",
        ("edgead_api = 1", "edgead_api = 0"),
        r"no method named 'acme': .*some plugins have problems, see `edgead plugins`",
    ),
}


@pytest.mark.parametrize("which, change, said", IN_USE.values(), ids=IN_USE)
def test_who_uses_a_wrong_plugin_learns_whose_fault_it_is(
    written: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    which: str,
    change: tuple[str, str],
    said: str,
) -> None:
    written(which, *change)
    images = write_images(tmp_path / "good", map(good_image, range(4)))
    assert main(["fit", "acme", str(images), "--size", "64", "--out", str(tmp_path / "a.edgead")]) in (2, 6)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(said, line)
