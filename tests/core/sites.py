"""Plugins that are really installed: folders on sys.path with a .dist-info and its entry_points.txt."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgead.plugins import registry


def install(site: Path, name: str, entry_points: str, **modules: str) -> None:
    """Write a distribution's metadata and its modules, by module name."""
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


@contextmanager
def on_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> Iterator[None]:
    """Put folders on sys.path, and forget afterwards what was imported from them."""
    before = set(sys.modules)
    for folder in folders:
        monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    registry.cache_clear()
    try:
        yield
    finally:
        monkeypatch.undo()
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if any(Path(file).is_relative_to(folder) for folder in folders):
                del sys.modules[name]
        registry.cache_clear()
