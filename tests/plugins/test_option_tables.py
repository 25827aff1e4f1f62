"""The option tables in docs/methods are those of the options themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edgead.plugins import registry

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("option_tables", ROOT / "tools" / "option_tables.py")
assert _spec is not None and _spec.loader is not None
option_tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(option_tables)

METHODS = [e.name for e in registry().entries("methods") if e.distribution == "edgead"]


def test_every_method_has_a_page():
    assert sorted(METHODS) == sorted(page.stem for page in option_tables.PAGES.glob("*.md"))


@pytest.mark.parametrize("name", METHODS)
def test_a_pages_table_is_up_to_date(name):
    page = (option_tables.PAGES / f"{name}.md").read_text("utf-8")
    assert option_tables.written(page, name) == page, "run: python tools/option_tables.py"


def test_a_table_has_ranges_defaults_presets_and_help():
    head, _, *rows = option_tables.table("mkd").splitlines()
    assert head == "| option | takes | default | `quick` | `paper` | what it does |"
    (steps,) = [row for row in rows if row.startswith("| `steps`")]
    assert steps.startswith("| `steps` | integer at least 1, none | `none` | `500` |  | Training steps, ")
    assert option_tables.table("padim").startswith("| option | takes | default | `paper` | what it does |")
    assert "`--preset paper`: --size 128x128, --backbone timm:vgg16." in rows
    assert any(row.startswith("`--preset quick`: gives up 500 steps") for row in rows)


def test_a_page_without_a_place_is_refused_by_name():
    with pytest.raises(SystemExit, match=r"mkd\.md: put '<!-- options -->'"):
        option_tables.written("# MKD\n", "mkd")
