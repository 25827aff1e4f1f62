"""Discovery, with real distributions: folders on sys.path with a .dist-info and its entry_points.txt."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

from edgead.discovery import commands
from edgead.errors import MissingDependencyError, PluginError, UnknownNameError
from edgead.plugins import KINDS, Registry, load_registry

SCORER = """
from edgead.hookspecs import hookimpl
@hookimpl
def edgead_register_scorers(register):
    register("{name}", "{factory}", summary="{summary}")
"""


class Site:
    """A folder that looks like site-packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, source: str, entry: str = "", version: str = "1.0") -> None:
        module = name.replace("-", "_") + "_module"
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[edgead]\n{entry or f'main = {module}'}\n")
        importlib.invalidate_caches()

    def scorer(self, name: str, scorer: str, factory: str = "math:sqrt", summary: str = "") -> None:
        self.install(name, SCORER.format(name=scorer, factory=factory, summary=summary))

    def verb(self, name: str, verb: str, value: str = "acme_verbs:polish") -> None:
        (self.folder / "acme_verbs.py").write_text(
            "import click\n@click.command()\ndef polish():\n    'Polish it.'\n"
        )
        info = self.folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[edgead.commands]\n{verb} = {value}\n")
        importlib.invalidate_caches()

    def load(self) -> Registry:
        return load_registry(distributions(path=[str(self.folder)]))

    def problem(self) -> str:
        (plugin,) = self.load().plugins
        assert plugin.problem is not None
        assert "\n" not in plugin.problem
        return plugin.problem


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if name.endswith(("_module", "_verbs")):
            del sys.modules[name]


def test_a_plugin_registers_a_name(site: Site) -> None:
    site.scorer("acme-edgead", "acme", summary="Acme's own")
    registry = site.load()
    (entry,) = registry.entries("scorers")
    assert (entry.name, entry.summary) == ("acme", "Acme's own")
    assert (entry.distribution, entry.version) == ("acme-edgead", "1.0")
    assert registry.get("scorers", "acme") is __import__("math").sqrt
    assert registry.problems == ()


def test_every_kind_and_a_callable_factory(site: Site) -> None:
    kinds = tuple(kind for kind in KINDS if kind != "commands")
    hooks = "".join(f"@hookimpl\ndef edgead_register_{k}(register): register('a', dict)\n" for k in kinds)
    site.install("acme", "from edgead.hookspecs import hookimpl\n" + hooks)
    registry = site.load()
    for kind in kinds:
        assert registry.names(kind) == ["a"]
        assert registry.get(kind, "a") is dict


def test_commands_are_collected(site: Site) -> None:
    site.verb("acme", "polish")
    site.scorer("rival", "shiny")
    for registry in (site.load(), commands(distributions(path=[str(site.folder)]))):
        assert [(e.name, e.distribution) for e in registry.entries("commands")] == [("polish", "acme")]
        assert "acme_verbs" not in sys.modules
    assert registry.get("commands", "polish").help == "Polish it."


def test_the_string_is_imported_only_when_used(site: Site) -> None:
    site.scorer("acme", "lazy", factory="no_such_module_anywhere:Thing")
    registry = site.load()
    assert registry.names("scorers") == ["lazy"]
    assert registry.problems == ()
    with pytest.raises(PluginError, match=r"acme 1\.0: scorer 'lazy' .*no_such_module_anywhere"):
        registry.get("scorers", "lazy")


def test_a_string_that_names_nothing(site: Site) -> None:
    site.scorer("acme", "lazy", factory="math:squirt")
    with pytest.raises(PluginError, match=r"acme 1\.0.*math:squirt.*AttributeError"):
        site.load().get("scorers", "lazy")


def test_a_missing_package_of_an_extra_names_the_extra(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.folder / "needs_module.py").write_text("import spox\n")
    monkeypatch.setitem(sys.modules, "spox", None)
    site.scorer("acme", "composed", factory="needs_module:Thing")
    with pytest.raises(MissingDependencyError, match=r"scorer 'composed' needs .*edgead\[fit\]"):
        site.load().get("scorers", "composed")


def test_an_unknown_name_gets_the_near_matches(site: Site) -> None:
    site.scorer("acme", "patchcore")
    with pytest.raises(UnknownNameError, match="no scorer named 'pathcore': did you mean patchcore"):
        site.load().get("scorers", "pathcore")


def test_an_unknown_name_points_at_broken_plugins(site: Site) -> None:
    site.install("acme", "raise RuntimeError('broken')")
    with pytest.raises(UnknownNameError, match="edgead plugins"):
        site.load().get("scorers", "acme")


BROKEN = {
    "import fails": ("import no_such_module_anywhere", r"main = acme_module.*no_such_module_anywhere"),
    "import exits": ("raise SystemExit(3)", r"can't be imported: SystemExit"),
    "syntax": ("def (", r"can't be imported: SyntaxError"),
    "misspelt hook": (
        "from edgead.hookspecs import hookimpl\n@hookimpl\ndef edgead_register_scorer(register): 0",
        r"no hook 'edgead_register_scorer': did you mean edgead_register_scorers",
    ),
    "misspelt and unmarked": (
        "def edgead_register_method(register): 0",
        r"no hook 'edgead_register_method': did you mean edgead_register_methods",
    ),
    "marked under another name": (
        "from edgead.hookspecs import hookimpl\n@hookimpl\ndef register_scorers(register): 0",
        r"no hook 'register_scorers': did you mean edgead_register_scorers",
    ),
    "unmarked": ("def edgead_register_scorers(register): 0", r"edgead_register_scorers.*@edgead\.hookimpl"),
    "signature": (
        "from edgead.hookspecs import hookimpl\n@hookimpl\ndef edgead_register_scorers(registry): 0",
        r"wrong signature.*registry",
    ),
    "old API": ("edgead_api = 0", r"plugin API 0, this edgead has 1: upgrade the plugin"),
    "new API": ("edgead_api = 2", r"plugin API 2, this edgead has 1: upgrade edgead"),
    "a verb by a hook": (
        "from edgead.hookspecs import hookimpl\n@hookimpl\ndef edgead_register_commands(cli): 0",
        r"group 'edgead\.commands'",
    ),
    "expected failures without a reason": (
        SCORER.format(name="a", factory="math:sqrt", summary="") + "edgead_expected_failures = ['a']",
        r"edgead_expected_failures must be a dict",
    ),
    "strange API": ("edgead_api = 'one'", r"plugin API 'one'"),
    "hook raises": (
        "from edgead.hookspecs import hookimpl\n"
        "@hookimpl\ndef edgead_register_scorers(register): raise ValueError('no\\nluck')",
        r"raised ValueError: no luck",
    ),
    "no hook": ("x = 1", r"'main' implements no hook"),
    "bad name": (
        SCORER.format(name="My_Scorer", factory="math:sqrt", summary=""),
        r"scorer name 'My_Scorer'",
    ),
    "bad factory": (
        SCORER.format(name="a", factory="math.sqrt", summary=""),
        r"package\.module:Name.*math\.sqrt",
    ),
}


@pytest.mark.parametrize("source, message", BROKEN.values(), ids=BROKEN)
def test_a_fault_is_one_line_naming_the_distribution(site: Site, source: str, message: str) -> None:
    site.install("acme", source)
    assert re.match(rf"acme 1\.0: .*{message}", site.problem())


def test_broken_plugins_stop_nobody(site: Site) -> None:
    for number, (source, _) in enumerate(BROKEN.values()):
        site.install(f"broken{number}", source)
    site.scorer("acme", "works")
    registry = site.load()
    assert registry.names("scorers") == ["works"]
    assert len(registry.problems) == len(BROKEN)


def test_an_unreadable_entry_point_list(site: Site) -> None:
    site.install("acme", "", entry="this line has no equals sign")
    site.scorer("other", "works")
    registry = site.load()
    assert registry.names("scorers") == ["works"]
    (text,) = registry.problems
    assert text.startswith("acme 1.0: its entry_points.txt can't be read")


def test_a_plugin_that_imports_itself_is_no_misspelt_hook(site: Site) -> None:
    (site.folder / "edgead_acme_module.py").write_text("")
    site.install(
        "acme", "import edgead_acme_module\n" + SCORER.format(name="a", factory="math:sqrt", summary="")
    )
    assert site.load().problems == ()


def test_two_third_parties_with_one_name(site: Site) -> None:
    site.scorer("acme", "shiny")
    site.scorer("rival", "shiny")
    site.scorer("third", "dull")
    registry = site.load()
    assert registry.names("scorers") == ["dull"]
    for plugin in registry.plugins:
        assert (plugin.problem is None) == (plugin.distribution == "third")
    with pytest.raises(PluginError, match=r"scorer 'shiny' is registered by acme 1\.0 and by rival 1\.0"):
        registry.get("scorers", "shiny")


def test_edgead_keeps_its_own_name(site: Site) -> None:
    site.scorer("acme", "patchcore", factory="math:cos")
    site.scorer("edgead", "patchcore", factory="math:sqrt")
    registry = site.load()
    assert registry.get("scorers", "patchcore") is __import__("math").sqrt
    first, acme = registry.plugins
    assert first.distribution == "edgead" and first.problem is None
    assert acme.problem is not None and acme.problem.startswith(
        "acme 1.0: scorer 'patchcore' is edgead's own"
    )


def test_one_distribution_with_a_name_twice(site: Site) -> None:
    twice = SCORER.format(name="a", factory="math:sqrt", summary="") + "    register('a', 'math:cos')\n"
    site.install("acme", twice)
    with pytest.raises(PluginError, match=r"acme 1\.0: scorer 'a' is registered 2 times"):
        site.load().get("scorers", "a")


def test_the_same_name_of_another_kind_is_no_clash(site: Site) -> None:
    both = SCORER.format(name="a", factory="math:sqrt", summary="")
    site.install(
        "acme", both + "@hookimpl\ndef edgead_register_methods(register): register('a', 'math:cos')\n"
    )
    assert site.load().problems == ()


def test_a_hidden_older_copy_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, version in (("near", "2.0"), ("far", "1.0")):
        (tmp_path / folder).mkdir()
        source = SCORER.format(name="a", factory="math:sqrt", summary="")
        Site(tmp_path / folder).install("Ac.me", source, entry="main = acme_twice_module", version=version)
        (tmp_path / folder / "acme_twice_module.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path / "near"))
    registry = load_registry(distributions(path=[str(tmp_path / "near"), str(tmp_path / "far")]))
    assert [(p.distribution, p.version) for p in registry.plugins] == [("ac-me", "2.0")]
    assert registry.problems == ()


# ---------------------------------------------------------------- manners


@pytest.mark.parametrize(
    "text, names",
    [("acme", ["shiny"]), ("Acme , rival", ["dull", "shiny"]), ("", []), (None, ["dull", "shiny"])],
)
def test_the_allow_list(
    site: Site, monkeypatch: pytest.MonkeyPatch, text: str | None, names: list[str]
) -> None:
    site.scorer("acme", "shiny")
    site.scorer("rival", "dull")
    site.verb("polisher", "polish")
    if text is None:
        monkeypatch.delenv("EDGEAD_PLUGINS", raising=False)
    else:
        monkeypatch.setenv("EDGEAD_PLUGINS", text)
    registry = site.load()
    assert registry.names("scorers") == names
    assert registry.names("commands") == (["polish"] if text is None else [])
    off = [plugin.distribution for plugin in registry.plugins if plugin.switched_off]
    assert off == [] if text is None else set(off) == {"acme", "rival"} - set(off_of(text))
    for name in off:
        assert f"{name}_module" not in sys.modules, "what isn't allowed mustn't even be imported"


def off_of(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",")]


def test_edgeads_own_are_always_allowed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.scorer("edgead", "patchcore")
    monkeypatch.setenv("EDGEAD_PLUGINS", "")
    assert site.load().names("scorers") == ["patchcore"]


def test_a_misspelt_allowed_name_is_a_problem(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.scorer("acme", "shiny")
    monkeypatch.setenv("EDGEAD_PLUGINS", "acmee")
    registry = site.load()
    (text,) = registry.problems
    assert text.startswith("EDGEAD_PLUGINS names 'acmee'") and "did you mean acme?" in text
    with pytest.raises(UnknownNameError, match="leaves out acme"):
        registry.get("scorers", "shiny")


def test_load_time_and_module_are_told(site: Site) -> None:
    site.install(
        "acme", "import time; time.sleep(0.02)\n" + SCORER.format(name="a", factory="a:b", summary="")
    )
    (plugin,) = site.load().plugins
    assert plugin.load_seconds >= 0.02
    assert plugin.module == "acme_module"


def test_a_deprecated_api_works_and_says_until_when(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgead.hookspecs.API_VERSION", 2)
    monkeypatch.setattr("edgead.hookspecs.DEPRECATED_APIS", {1: "0.9"})
    site.install("acme", "edgead_api = 1\n" + SCORER.format(name="a", factory="math:sqrt", summary=""))
    registry = site.load()
    assert registry.names("scorers") == ["a"] and registry.problems == ()
    (notice,) = registry.plugins[0].notices
    assert notice.startswith("acme 1.0: it is written for plugin API 1, which works up to edgead 0.9")


@pytest.mark.parametrize(
    "verb, value, said",
    [("Polish", "a:b", "command name 'Polish'"), ("polish", "a.b", "needs 'package.module")],
)
def test_a_verb_that_cannot_be_used(site: Site, verb: str, value: str, said: str) -> None:
    site.verb("acme", verb, value)
    assert said in site.problem()
