"""docs/write-a-plugin.md: what it tells is true, complete, and works."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgead.types
from edgead import hookspecs
from edgead.cli import main
from edgead.plugins import registry
from edgead.registry import KINDS
from edgead.runtime import session
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.model_bytes import ModelBytes
from edgead.testing import Check, checks
from edgead.testing.catalogue import MODULES
from edgead.testing.template import write_plugin
from tests.core.guide import LANGUAGES, PAGE, apply, blocks
from tests.core.sites import install, on_path

TEXT = PAGE.read_text()
ENGINES = {
    **{name: getattr(session, name) for name in ("Engine", "Session", "Pending")},
    "EngineOptions": EngineOptions,
    "ModelBytes": ModelBytes,
}
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("edgead_register_")}
CROSSING = (
    *("Scorer", "Trainable", "LearnsDefects", "FittedScorer", "Refittable", "Scores", "PostProcessor"),
    *("LearnsPositions", "ChecksCompute", "Compute"),
    "ChoosesImageScore",
    "LinearMap",
    *(
        "GivesNotices",
        "InNumpy",
        "InBulk",
        "KeepsPart",
        "FitsFolds",
        "KeepsNodesInFloat",
        "CarriesImages",
        "TimedElsewhere",
    ),
    *("LearningData", "TrainingData", "FittingData"),
    *("Method", "Backbone", "FeatureInfo", "InputSpec", "Exporter", "Artifact"),
    *("Layout", "Split", "Sample"),
    *("Source", "Grab", "Discovers", "SeenCamera", "Sink", "TellsTriggers", "Verdict", "Times", "Health"),
)


def section(heading: str) -> str:
    found = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", TEXT, re.M | re.S)
    assert found, f"docs/write-a-plugin.md has no section '### {heading}'"
    return found[1]


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_and_every_argument_of_its_is_documented(name: str) -> None:
    hook = HOOKS[name]
    arguments = ", ".join(inspect.signature(hook).parameters)
    text = section(f"{name}({arguments})")
    factory = re.search(r"factory\(([^)]*)\)", inspect.getdoc(hook) or "")
    assert factory, f"{name}: its docstring doesn't show what the factory takes"
    names = [word.partition(":")[0].strip() for word in factory[1].split(",") if word.strip()]
    assert f"`factory({', '.join(names)}) ->" in text
    for argument in names:
        assert f"`{argument}`" in text, f"{name}: the factory's argument '{argument}' isn't explained"


def test_what_register_takes_is_documented() -> None:
    text = TEXT[TEXT.index("## What a plugin registers") :]
    for argument in inspect.signature(edgead.types.Register.__call__).parameters:
        assert argument == "self" or f"* `{argument}`: " in text


@pytest.mark.parametrize("name", (*CROSSING, *ENGINES))
def test_every_field_method_and_argument_that_crosses_is_documented(name: str) -> None:
    kind = ENGINES.get(name) or getattr(edgead.types, name)
    told = " ".join(re.findall(r"^\| (`.*?) \|", section(name), re.M))
    members = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else _members(kind)
    for member in members:
        function = getattr(kind, member, None)
        if inspect.isfunction(function) and not dataclasses.is_dataclass(kind):
            arguments = ", ".join(list(inspect.signature(function).parameters)[1:])
            assert f"`{member}({arguments})`" in told, f"{name}.{member}({arguments})"
        else:
            assert f"`{member}`" in told, f"{name}.{member}"


def _members(protocol: type) -> set[str]:
    own = {name for name in vars(protocol) if not name.startswith("_") and name != "abc"}
    return own | set(getattr(protocol, "__annotations__", {}))


def test_the_kinds_that_cross_are_all_there() -> None:
    """A new protocol or record in edgead.types is documented, or named here with why not."""
    elsewhere = {
        *(
            "Arithmetic",
            "BankPrecision",
            "Defect",
            "Features",
            "GOOD",
            "Image",
            "PRECISIONS",
            "Precision",
            "Resize",
            "Size",
            "Decision",
            "Role",
            "Why",
        ),  # aliases
        *("Placement", "Prediction", "Region"),  # what a detector yields
        *("Progress", "Register"),  # told where they are used
    }
    assert set(edgead.types.__all__) - elsewhere <= set(CROSSING)


def test_every_check_is_listed() -> None:
    import importlib

    for kind in (*KINDS, "plugins"):
        for function in importlib.import_module(MODULES.get(kind, f"edgead.testing.{kind}")).CHECKS:
            assert f"`{function.__name__.replace('_', '-')}`" in TEXT, function.__name__


def test_the_api_and_its_messages_are_the_real_ones() -> None:
    assert f"has a number, {hookspecs.API_VERSION} now; `edgead_api = {hookspecs.API_VERSION}`" in TEXT


def test_every_block_is_run() -> None:
    """Console blocks in a fresh environment, by test_third_party; the others are files, here and there."""
    for block in blocks():
        assert block.language in LANGUAGES
        if block.language == "console":
            assert all(line.startswith("$ ") for line in block.text.splitlines())
        else:
            assert re.fullmatch(
                r"# (pyproject\.toml|(src/edgead_glow|tests)/\w+\.py)", block.text.splitlines()[0]
            )


# ---------------------------------------------------------------- the plugin of the page


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The template for glow with every file of the page, as good as installed."""
    folder, _ = write_plugin("glow", tmp_path_factory.mktemp("guide") / "edgead-glow")
    for block in blocks():
        if block.language != "console":
            apply(block, folder)
    project = (folder / "pyproject.toml").read_text()
    points = "".join(
        re.findall(r"^\[project\.entry-points\..*?(?=^\[(?!project\.entry))", project + "[", re.M | re.S)
    )
    points = points.replace("[project.entry-points.", "[").replace('"', "")
    install(folder / "src", "edgead-glow", points)
    patch = pytest.MonkeyPatch()
    with on_path(patch, folder / "src"):
        yield folder


def test_it_registers_what_the_page_says(plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert registry().problems == ()
    mine = {
        e.kind: e.name for p in registry().plugins if p.distribution == "edgead-glow" for e in p.registers
    }
    assert set(mine) == set(KINDS)
    image = plugin / "image.png"
    cv2.imwrite(str(image), np.full((20, 20, 3), (10, 20, 30), np.uint8))
    assert main(["glow-colours-of", str(image)]) == 0
    assert capsys.readouterr().out == "10.0 20.0 30.0\n"
    assert main(["--no-plugins", "glow-colours-of", str(image)]) == 2


def test_it_conforms(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where its sink writes by default
    for name in ("good_1", "good_2", "bad_1"):
        (tmp_path / f"{name}.png").touch()
    found = checks("edgead-glow", folders={"glow-flat": tmp_path})
    results = {str(check): check.run() for check in found}
    optional = "method/glow/folds-are-like-fits"
    assert results.pop(optional).outcome == "skipped"
    assert {name: r for name, r in results.items() if r.outcome != "passed"} == {}
    assert len(results) > 45


def test_its_own_tests_pass(plugin: Path) -> None:
    import subprocess
    import sys

    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_scorer.py"]
    path = {"PYTHONPATH": f"{plugin / 'src'}:{PAGE.parents[1]}"}
    done = subprocess.run(words, cwd=plugin, env={**__import__("os").environ, **path}, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


def test_the_failure_that_it_shows_as_expected_is_a_check(plugin: Path) -> None:
    from edgead_glow.expected import EXPECTED

    (key,) = EXPECTED
    found = checks("edgead-glow", expected=EXPECTED)
    (stated,) = [check for check in found if check.expected]
    assert str(stated) == key
    result = stated.run()
    assert result.outcome == "failed" and "remove" in result.message, "it passes, so the statement is a lie"


def test_a_stated_failure_counts_as_expected() -> None:
    def fails() -> None:
        raise ValueError("no")

    result = Check("method", "a", "b", "it works", fails, expected="it's new").run()
    assert (
        result.outcome == "expected" and "it's new" in result.message and "ValueError: no" in result.message
    )
