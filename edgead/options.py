"""Options as frozen dataclasses: read from ``key=value`` words, and described for help and docs.

The dataclass is the one place where an option exists: its field's type reads the word, its default is what
``-o`` may leave out, and the string under the field is its help.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import itertools
import math
import textwrap
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from edgead.errors import EdgeadError, OptionError, one_line

T = TypeVar("T")

_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True)
class OptionHelp:
    """One option, as help and docs show it.

    Attributes:
        name: what stands before the ``=``.
        type: what may stand after it, in words.
        default: the default as the user would type it.
        help: the string under the field, in one line; empty where the source isn't there.
    """

    name: str
    type: str
    default: str
    help: str


def parse_options(options_type: type[T], pairs: Iterable[str], base: Mapping[str, Any] | None = None) -> T:
    """Build the options from ``key=value`` words.

    Args:
        options_type: a frozen dataclass with a default for every field. Types that can be read: ``bool``,
            ``int``, ``float``, ``str``, ``Literal``, tuples of them, and any of them or ``None``.
        pairs: the words. ``layers=layer2,layer3`` is a tuple, ``width=none`` is None, ``layers=`` is empty.
        base: values that replace the class's defaults, a method's own; the words replace them.

    Raises:
        edgead.errors.OptionError: a word without ``=``, an unknown name (with the near matches), a name given
            twice, a value of the wrong type, or one that ``options_type`` itself refuses.
    """
    hints = get_type_hints(options_type)
    known = _fields(options_type)
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise OptionError(f"option '{pair}' has no value: write {name}=VALUE")
        if name in values:
            raise OptionError(f"option '{name}' is given twice: keep one")
        _check_name(name, known)
        values[name] = _read(name, hints[name], text.strip())
    for name in base or {}:
        _check_name(name, known)
    try:
        return options_type(**{**(base or {}), **values})
    except EdgeadError:
        raise
    except (TypeError, ValueError) as error:
        raise OptionError(f"these options can't be used: {one_line(error, 'message')}") from error


def describe_options(options_type: type, base: Mapping[str, Any] | None = None) -> list[OptionHelp]:
    """Describe the fields of an options dataclass, in their order; ``base`` as in ``parse_options``."""
    hints, helps = get_type_hints(options_type), _docstrings(options_type)
    described = []
    for name, field in _fields(options_type).items():
        default = base[name] if base and name in base else _default(field)
        described.append(OptionHelp(name, describe_type(hints[name]), show(default), helps.get(name, "")))
    return described


def describe_type(hint: Any) -> str:
    """Say in words what may stand after the ``=``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "|".join(show(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return "|".join(dict.fromkeys(describe_type(argument) for argument in arguments))
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"{describe_type(arguments[0])},..."
        return ",".join(describe_type(argument) for argument in arguments)
    return {type(None): "none", bool: "true|false", int: "integer", float: "number", str: "text"}.get(
        hint, str(hint)
    )


def show(value: Any) -> str:
    """Write a value as the user would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(show(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------- reading


class _Unreadable(Exception):
    """The text isn't of this type."""


def _read(name: str, hint: Any, text: str) -> Any:
    try:
        return _convert(hint, text)
    except _Unreadable:
        raise OptionError(f"option '{name}' takes {describe_type(hint)}, not '{text}'") from None


def _convert(hint: Any, text: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _first(text, [(type(value), value) for value in arguments])
    if origin in (Union, types.UnionType):
        # None first and str last: "none" is None even where any text would do.
        order = sorted(arguments, key=lambda a: (a is str, a is not type(None)))
        for argument in order:
            try:
                return _convert(argument, text)
            except _Unreadable:
                continue
        raise _Unreadable
    if origin is tuple:
        return _convert_tuple(arguments, text)
    if hint is type(None):
        if text.lower() not in ("none", "null"):
            raise _Unreadable
        return None
    if hint is bool:
        if text.lower() not in _WORDS:
            raise _Unreadable
        return _WORDS[text.lower()]
    if hint in (int, float):
        return _number(hint, text)
    if hint is str:
        return text
    raise TypeError(f"an option can't be of type {hint!r}")


def _first(text: str, candidates: list[tuple[type, Any]]) -> Any:
    for kind, value in candidates:
        try:
            if _convert(kind, text) == value:
                return value
        except _Unreadable:
            continue
    raise _Unreadable


def _convert_tuple(arguments: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    if arguments[-1] is Ellipsis:
        words = text.split(",") if text else []
        return tuple(_convert(arguments[0], word.strip()) for word in words)
    if arguments == (int, int) and "," not in text:
        text = text.lower().replace("x", ",")  # a size is usually typed as 256x256
    words = text.split(",")
    if len(words) != len(arguments):
        raise _Unreadable
    return tuple(_convert(argument, word.strip()) for argument, word in zip(arguments, words, strict=True))


def _number(kind: type, text: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        raise _Unreadable from None
    if not math.isfinite(value):
        raise _Unreadable
    return value


# ---------------------------------------------------------------- the dataclass


def _fields(options_type: type) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(options_type) if field.init}


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _check_name(name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
        raise OptionError(f"no option named '{name}': {hint}")


def _docstrings(options_type: type) -> dict[str, str]:
    """The string under each field, read from the source as Sphinx and editors do."""
    found: dict[str, str] = {}
    for base in reversed(options_type.__mro__):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue  # built in, or its source isn't installed: no help then
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for statement, after in itertools.pairwise(body):
            match statement, after:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value=ast.Constant(str(text))):
                    found[name] = " ".join(text.split())
    return found


__all__ = ["OptionHelp", "describe_options", "describe_type", "parse_options", "show"]
