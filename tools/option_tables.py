"""Write the option tables in docs/methods, one page a method, from the options themselves.

    python tools/option_tables.py

A page says where its table goes with two marks, ``<!-- options -->`` and ``<!-- end of options -->``; what
stands between them is written anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgead.cli.methods import preset_words
from edgead.options import describe_options, show
from edgead.plugins import registry

PAGES = Path(__file__).parents[1] / "docs" / "methods"
BEGIN, END = "<!-- options -->", "<!-- end of options -->"


def table(name: str) -> str:
    """A method's options in Markdown: what each takes, its default, its value in each preset, its help.

    Below are each preset's size and backbone, and what is to be known of it.
    """
    method = registry().get("methods", name)()
    options = describe_options(registry().get("scorers", method.scorer).Options, method.options)
    same = [f"`{preset}`" for preset, values in method.presets.items() if not values]
    presets = {preset: values for preset, values in method.presets.items() if values}
    default = f"default ({', '.join(same)})" if same else "default"
    head = ["option", "takes", default, *(f"`{preset}`" for preset in presets), "what it does"]
    rows = [head, ["---"] * len(head)]
    for option in options:
        given = [_code(show(v[option.name])) if option.name in v else "" for v in presets.values()]
        takes = option.type.replace("|", ", ")
        told = option.help.replace("|", "\\|")
        rows.append([f"`{option.name}`", takes, _code(option.default), *given, told])
    told = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    for preset in method.presets:
        if besides := preset_words(method, preset):
            told += f"\n`--preset {preset}`: {besides}.\n"
    return told


def written(page: str, name: str) -> str:
    """A page with the method's table in its place.

    Raises:
        SystemExit: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"docs/methods/{name}.md: put '{BEGIN}' and '{END}' where its option table goes")
    return f"{before}{BEGIN}\n{table(name)}{END}{after}"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def main() -> int:
    """Write every page whose table has changed."""
    for page in sorted(PAGES.glob("*.md")):
        old = page.read_text("utf-8")
        new = written(old, page.stem)
        if new != old:
            page.write_text(new, "utf-8")
            print(f"written: docs/methods/{page.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
