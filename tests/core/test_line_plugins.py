"""A foreign source or sink: found without an import, named where it's at fault, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgead.discovery import registering
from edgead.errors import MissingDependencyError, OptionError, PluginError, UnknownNameError
from edgead.line.child import made_of
from edgead.plugins import registry
from tests.core.sites import install, on_path

PLUGIN = """
from edgead import hookimpl
edgead_api = 1
@hookimpl
def edgead_register_sinks(register):
    register("acme-gate", "acme_gate:Gate", "opens and closes")
    register("acme-absent", "acme_gate:Absent")
    register("file", "acme_gate:Gate")
@hookimpl
def edgead_register_sources(register):
    register("acme-eye", "acme_eye:Eye")
"""
GATE = """
from dataclasses import dataclass
@dataclass(frozen=True)
class Options:
    level: int = 1
    '''The level.'''
class Gate:
    Options = Options
    def __init__(self, options):
        self.level = 10 // options.level
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    modules = {"acme_plugin": PLUGIN, "acme_gate": GATE, "acme_eye": "import onnx_that_is_not_there"}
    install(tmp_path, "acme-line", "[edgead]\nmain = acme_plugin\n", **modules)
    with on_path(monkeypatch, tmp_path):
        yield tmp_path


def test_who_registers_a_name_is_known_without_importing_anything(site: object) -> None:
    assert registering("edgead_register_sinks", "acme-gate") == ["acme-line 1.0"]
    assert registering("edgead_register_sources", "acme-eye") == ["acme-line 1.0"]
    assert registering("edgead_register_sources", "acme-gate") == []
    assert "acme_plugin" not in sys.modules


def test_names_are_imported_when_they_are_used(site: object) -> None:
    assert "acme-gate" in registry().names("sinks") and "acme_gate" not in sys.modules
    assert made_of("sinks", "acme-gate", {"level": 5}).level == 2


def test_a_name_of_edgeads_own_stays_so(site: object) -> None:
    assert registry().entry("sinks", "file").distribution == "edgead"
    assert any("acme-line 1.0: sink 'file' is edgead's own" in problem for problem in registry().problems)


@pytest.mark.parametrize(
    ("kind", "name", "options", "error", "said"),
    [
        ("sinks", "acme-gate", {"level": 0}, PluginError, "acme-line 1.0: 'acme-gate' can't be made"),
        ("sinks", "acme-gate", {"levl": 0}, OptionError, "no option named 'levl': did you mean level?"),
        ("sinks", "acme-gate", {"level": "high"}, OptionError, "'level' takes integer, not the text 'high'"),
        ("sinks", "acme-absent", {}, PluginError, "acme-line 1.0: sink 'acme-absent' can't be loaded"),
        ("sources", "acme-eye", {}, PluginError, "acme-line 1.0: source 'acme-eye' can't be loaded"),
        ("sources", "acme-gate", {}, UnknownNameError, "no source named 'acme-gate'"),
    ],
)
def test_a_fault_names_whose_it_is(
    site: object, kind: str, name: str, options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as raised:
        made_of(kind, name, options)  # type: ignore[arg-type]
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert not isinstance(raised.value, MissingDependencyError)


def test_the_lines_own_process_imports_no_plugin(site: object) -> None:
    import subprocess

    code = (
        "import sys, edgead.line.core, edgead.line.config, edgead.line.simulate\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"edgead_plugins", "edgead_exporters", "acme_plugin", "cv2", "onnx", "openvino", "onnxruntime"}
    assert "edgead" in done.stdout.split() and not heavy & {*done.stdout.split()}
