"""Options as frozen dataclasses: read from ``key=value`` words, checked, and described for help and docs.

The dataclass is the one place where an option exists: its field's type reads the word, a ``Range`` in that
type says which numbers are taken, its default is what ``-o`` may leave out, and the string under the field is
its help::

    @dataclass(frozen=True)
    class GlowOptions:
        floor: Annotated[float, Range(0, open_low=True)] = 0.1
        '''Least spread of a channel, as a share of the mean spread.'''

        def __post_init__(self) -> None:
            check_options(self)
"""

from __future__ import annotations

import ast
import difflib
import inspect
import itertools
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, TypeVar, get_type_hints

from edgead.errors import EdgeadError, OptionError, cut, one_line
from edgead.option_types import Range, UnreadableError, convert, describe_type, fits, range_of, show

T = TypeVar("T")


@dataclass(frozen=True)
class OptionHelp:
    """One option, as help and docs show it.

    Attributes:
        name: what stands before the ``=``.
        type: what may stand after it, in words, the range included.
        default: the default as the user would type it.
        help: the string under the field, in one line; empty where the source isn't there.
        range: which numbers are taken, of a tuple's elements too; None where the type doesn't say.
    """

    name: str
    type: str
    default: str
    help: str
    range: Range | None = None


def parse_options(options_type: type[T], pairs: Iterable[str], base: Mapping[str, Any] | None = None) -> T:
    """Build the options from ``key=value`` words; ``check_options`` has a say in them.

    Args:
        options_type: a frozen dataclass with a default for every field. Types that can be read: ``bool``,
            ``int``, ``float``, ``str``, ``Literal``, tuples of them, any of them or ``None``, and numbers
            with a ``Range``.
        pairs: the words. ``layers=layer2,layer3`` is a tuple, ``width=none`` is None, ``layers=`` is empty.
        base: values that replace the class's defaults, a method's own; the words replace them.

    Raises:
        edgead.errors.OptionError: a word without ``=``, an unknown name (with the near matches), a name given
            twice, a value of the wrong type or out of its range, or one that ``options_type`` itself refuses.
    """
    hints = _hints(options_type)
    known = _fields(options_type)
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise OptionError(f"option '{cut(pair)}' has no value: write {cut(name)}=VALUE")
        if name in values:
            raise OptionError(f"option '{cut(name)}' is given twice: keep one")
        _check_name(name, known)
        values[name] = _read(name, hints[name], text.strip())
    for name in base or {}:
        _check_name(name, known)
    try:
        options = options_type(**{**(base or {}), **values})
    except EdgeadError:
        raise
    except (TypeError, ValueError) as error:
        raise OptionError(f"these options can't be used: {one_line(error, 'message')}") from error
    if any(range_of(hint) is not None for hint in hints.values()):  # its author need not have called it
        check_options(options)
    return options


def check_options(options: Any) -> None:
    """Check each option against its type and its ``Range``; for ``__post_init__``, before rules of your own.

    True is no number here, and NaN and infinity are in no range. A type that ``parse_options`` can't read is
    left alone.

    Raises:
        edgead.errors.OptionError: naming the first option that doesn't fit.
    """
    hints = _hints(type(options))
    for name, field in _fields(type(options)).items():
        value = getattr(options, name)
        if not fits(hints[name], value):
            default = show(_default(field))
            raise OptionError(
                f"option '{name}' takes {describe_type(hints[name])}, not {_given(value)}: choose such a "
                f"value, or leave it out{default and f' for {default}'}"
            )


def describe_options(options_type: type, base: Mapping[str, Any] | None = None) -> list[OptionHelp]:
    """Describe the fields of an options dataclass, in their order; ``base`` as in ``parse_options``."""
    hints, helps = _hints(options_type), _docstrings(options_type)
    described = []
    for name, field in _fields(options_type).items():
        default = base[name] if base and name in base else _default(field)
        hint = hints[name]
        described.append(
            OptionHelp(name, describe_type(hint), show(default), helps.get(name, ""), range_of(hint))
        )
    return described


def _read(name: str, hint: Any, text: str) -> Any:
    try:
        return convert(hint, text)
    except UnreadableError:
        raise OptionError(f"option '{name}' takes {describe_type(hint)}, not '{cut(text)}'") from None


def _hints(options_type: type) -> dict[str, Any]:
    return get_type_hints(options_type, include_extras=True)


def _fields(options_type: type) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(options_type) if field.init}


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _given(value: Any) -> str:
    """A value that doesn't fit: a text that looks like a number is told from the number."""
    if isinstance(value, str):
        return f"the text '{cut(value)}'"
    if isinstance(value, tuple | list) and any(isinstance(item, str) for item in value):
        return cut(f"[{', '.join(_given(item) for item in value)}]")
    given = show(value)
    if isinstance(value, float) and float(given) != value:  # it needs more digits
        given = repr(value)
    return cut(given)


def _check_name(name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
        raise OptionError(f"no option named '{cut(name)}': {hint}")


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


__all__ = [
    "OptionHelp",
    "Range",
    "check_options",
    "describe_options",
    "describe_type",
    "parse_options",
    "show",
]
