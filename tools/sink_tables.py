"""Write the tables of docs/line.md that sinks and sources have: their options, and the registers for Modbus.

    python tools/sink_tables.py

A table stands between ``<!-- options NAME -->`` or ``<!-- registers -->``, and the same with a slash.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgead.options import describe_options
from edgead.plugins import registry
from edgead_plugins.sinks.modbus_map import MAP

PAGE = Path(__file__).parents[1] / "docs" / "line.md"


def options_table(name: str) -> str:
    """The options of a sink, or of a source where no sink has the name, in Markdown."""
    kind = "sinks" if name in registry().names("sinks") else "sources"
    rows = ["| option | takes | default | |", "| --- | --- | --- | --- |"]
    for option in describe_options(registry().get(kind, name).Options):
        default = option.default if option.default not in ("", "none") else "-"
        takes, told = option.type.replace("|", ", "), option.help.replace("|", "\\|")
        rows.append(f"| `{option.name}` | {takes} | {default} | {told} |")
    return "\n".join(rows) + "\n"


def registers_table() -> str:
    """The map of the Modbus sink in Markdown."""
    rows = ["| register | name | type | |", "| --- | --- | --- | --- |"]
    for entry in MAP:
        span = f"{entry.at}-{entry.at + entry.size - 1}" if entry.size > 1 else str(entry.at)
        rows.append(f"| {span} | `{entry.name}` | {entry.type} | {entry.help} |")
    return "\n".join(rows) + "\n"


def written(page: str) -> str:
    """The page with every table as it is now."""
    for mark, name in re.findall(r"<!-- (options (\S+)) -->", page):
        page = _put(page, mark, "options", options_table(name))
    return _put(page, "registers", "registers", registers_table())


def _put(page: str, begin: str, end: str, table: str) -> str:
    before, mark, rest = page.partition(f"<!-- {begin} -->\n")
    _, closing, after = rest.partition(f"<!-- /{end} -->")
    if not mark or not closing:
        raise SystemExit(f"docs/line.md: put '<!-- {begin} -->' and '<!-- /{end} -->' where its table goes")
    return f"{before}{mark}{table}{closing}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
