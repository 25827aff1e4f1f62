"""Checks of a distribution's plugins as a whole: that they load, cheaply, and say which API they're for."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from edgead.hookspecs import StatesItsApi
from edgead.registry import Plugin
from edgead.testing.check import require
from edgead.testing.running import in_another_process

TORCH = ("torch", "torchvision", "timm", "tensorflow", "jax")
WORKBENCH = ("onnx", "spox", "nncf", "onnxruntime", "openvino")


@dataclass(frozen=True, eq=False)
class Distribution:
    """One distribution.

    Attributes:
        name: normalised.
        plugins: its entry points, as they were loaded.
        known: the names of all checks of what it registers.
    """

    name: str
    plugins: tuple[Plugin, ...]
    known: tuple[str, ...]


def loads_without_problems(distribution: Distribution) -> None:
    """every entry point loads, every hook is right, every name is its own"""
    problems = [text for plugin in distribution.plugins for text in plugin.problems]
    require(not problems, "; ".join(problems))


def states_its_api(distribution: Distribution) -> None:
    """each entry point states the plugin API that it's written for, the current one"""
    for plugin in distribution.plugins:
        if plugin.module and not plugin.problems:
            target = _target(plugin.module)
            require(
                isinstance(target, StatesItsApi),
                f"{plugin.module} states no API: add `edgead_api = 1`, so that a later edgead knows",
            )
        require(not plugin.notices, "; ".join(plugin.notices))


def import_leaves_torch_out(distribution: Distribution) -> None:
    """importing its modules, and those that its names stand for, imports no torch"""
    found = [
        f"{module} ({', '.join(p for p in new if p in TORCH)})" for module, new in _imported(distribution)
    ]
    found = [text for text in found if not text.endswith("()")]
    require(
        not found,
        f"importing these imports torch: {'; '.join(found)}: import it in the functions that use it, since "
        "`edgead` loads every plugin's module, on machines without torch too",
    )


def import_is_light(distribution: Distribution) -> None:
    """importing the module that its entry point names imports no engine and no package of the workbench"""
    modules = {plugin.module.partition(":")[0] for plugin in distribution.plugins}
    for module, new in _imported(distribution):
        heavy = [package for package in new if package in WORKBENCH]
        require(
            module not in modules or not heavy,
            f"importing {module} imports {', '.join(heavy)}: register factories as strings, "
            "'package.module:Name', so that their modules are imported when they're used",
        )


def expected_failures_exist(distribution: Distribution) -> None:
    """each check that it states to fail is one that is made"""
    for plugin in distribution.plugins:
        for name in plugin.expected_failures:
            near = difflib.get_close_matches(name, distribution.known, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else "see `edgead plugins check`"
            require(name in distribution.known, f"there is no check '{name}' to fail: {hint}")


def _target(value: str) -> object:
    module, _, attribute = value.partition(":")
    target: object = importlib.import_module(module)
    for name in attribute.split(".") if attribute else ():
        target = getattr(target, name)
    return target


@functools.lru_cache(maxsize=4)
def _imported(distribution: Distribution) -> Sequence[tuple[str, list[str]]]:
    """Each module of a distribution's plugins, with the packages that its import adds in a fresh process."""
    plugins = distribution.plugins
    modules = [name for plugin in plugins if plugin.registers for name in plugin.modules]
    code = (
        "import importlib, json, sys, edgead.plugins, edgead.types\n"
        "found = []\n"
        f"for name in {list(dict.fromkeys(modules))!r}:\n"
        "    before = set(sys.modules)\n"
        "    try: importlib.import_module(name)\n"
        "    except ModuleNotFoundError: pass\n"
        "    new = {m.partition('.')[0] for m in set(sys.modules) - before if sys.modules[m]}\n"
        "    found.append((name, sorted(new)))\n"
        "print(json.dumps(found))"
    )
    return [(name, new) for name, new in in_another_process(code)]


CHECKS = (
    loads_without_problems,
    states_its_api,
    import_leaves_torch_out,
    import_is_light,
    expected_failures_exist,
)
