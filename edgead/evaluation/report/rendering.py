"""Records to a page, through the templates: Jinja with everything escaped and nothing undefined."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from types import ModuleType
from typing import Any

from edgead.evaluation.table import TITLES, interval, percent
from edgead.extras import missing
from edgead.names import shown
from edgead.options import show

SCRIPTS = ("threshold.js", "plots.js", "gallery.js", "viewer.js")
"""One script in the page, in this order."""


def import_jinja2() -> ModuleType:
    """Return Jinja; called before any work that ends in a report, so that it isn't done in vain.

    Raises:
        edgead.errors.MissingDependencyError: it isn't installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise missing(error, "a report") or error from None
    return jinja2


def render(values: Mapping[str, Any]) -> str:
    """Return the page. The templates turn numbers into text; a value that they lack is an error.

    Args:
        values: what ``templates/page.html`` and what it includes go by.
    """
    jinja2 = import_jinja2()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # In a script element: ``tojson`` leaves no "<" in it, and ASCII alone.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= FILTERS
    style, script = _asset("page.css"), "\n".join(_asset(name) for name in SCRIPTS)
    own = {"style": style, "script": script, "style_hash": _hash(style), "script_hash": _hash(script)}
    text: str = environment.get_template("page.html").render(values, **own)
    return text


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """What the page's security policy knows its own script and style by; the browser runs no other."""
    digest = hashlib.sha256(f"\n{text}\n".encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def number(value: float | None, spec: str, unit: str = "", factor: float = 1) -> str:
    """The value times the factor, by a format's specification and with its unit; a dash for None."""
    return "-" if value is None else f"{value * factor:{spec}}{unit}"


def flat(value: Any, name: str = "") -> str:
    """A nested JSON value in one line."""
    if isinstance(value, Mapping):
        inside = ((f"{name} {key}".replace("_", " ").strip(), inner) for key, inner in value.items())
        return ", ".join(flat(inner, path) for path, inner in inside)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=list)
    return f"{name} {text}".strip()


FILTERS = {
    "flat": flat,
    "interval": interval,
    "name": lambda metric: TITLES.get(metric, metric),
    "number": number,
    "option": show,
    "percent": percent,
    "shown": shown,
}
"""What the templates format values with."""

__all__ = ["flat", "import_jinja2", "number", "render"]
