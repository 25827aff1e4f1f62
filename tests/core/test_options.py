"""Options from words: every type, every refusal, and the help that comes from the dataclass itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from edgead.errors import InputError, OptionError
from edgead.options import Range, check_options, describe_options, describe_type, parse_options, show


@dataclass(frozen=True)
class Options:
    layers: tuple[str, ...] = ("layer2", "layer3")
    """Feature maps
    to use."""
    width: int | None = None
    ratio: float = 0.01
    """Share kept."""
    exact: bool = True
    mode: Literal["fast", "slow"] = "fast"
    size: tuple[int, int] = (256, 256)
    label: str | None = None
    level: Literal[1, 2] = 1
    extra: tuple[float, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.ratio > 1:
            raise ValueError("ratio must be at most 1")


@pytest.mark.parametrize(
    "word, value",
    [
        ("layers=layer1", ("layer1",)),
        ("layers=layer2, layer3", ("layer2", "layer3")),
        ("layers=", ()),
        ("width=1024", 1024),
        ("width=none", None),
        ("ratio=0.25", 0.25),
        ("ratio=1", 1.0),
        ("exact=no", False),
        ("exact=TRUE", True),
        ("mode=slow", "slow"),
        ("size=256x640", (256, 640)),
        ("size=256,640", (256, 640)),
        ("label=a=b", "a=b"),
        ("label=none", None),
        ("level=2", 2),
        ("extra=1,2.5", (1.0, 2.5)),
    ],
)
def test_a_word_becomes_a_value(word: str, value: object) -> None:
    parsed = getattr(parse_options(Options, [word]), word.partition("=")[0])
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    "word, message",
    [
        ("ratio", "option 'ratio' has no value: write ratio=VALUE"),
        ("ration=1", "no option named 'ration': did you mean ratio"),
        ("zzz=1", "no option named 'zzz': known: layers, width"),
        ("ratio=lots", "option 'ratio' takes number, not 'lots'"),
        ("ratio=nan", "option 'ratio' takes number"),
        ("ratio=1e999", "option 'ratio' takes number"),
        ("width=1.5", r"option 'width' takes integer\|none, not '1.5'"),
        ("exact=maybe", r"option 'exact' takes true\|false"),
        ("mode=medium", r"option 'mode' takes fast\|slow, not 'medium'"),
        ("level=3", r"option 'level' takes 1\|2"),
        ("size=1,2,3", "option 'size' takes integer,integer, not '1,2,3'"),
        ("ratio=2", "ratio must be at most 1"),
        ("=1", "no option named ''"),
    ],
)
def test_a_word_is_refused(word: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        parse_options(Options, [word])
    assert "\n" not in str(caught.value)


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(OptionError, match="option 'ratio' is given twice"):
        parse_options(Options, ["ratio=0.1", "ratio=0.2"])


def test_hyphens_are_underscores() -> None:
    @dataclass(frozen=True)
    class Long:
        patch_size: int = 3

    assert parse_options(Long, ["patch-size=5"]).patch_size == 5


def test_the_base_replaces_defaults_and_words_replace_the_base() -> None:
    options = parse_options(Options, ["ratio=0.5"], base={"ratio": 0.1, "width": 7})
    assert (options.ratio, options.width) == (0.5, 7)
    with pytest.raises(OptionError, match="no option named 'heigth'"):
        parse_options(Options, [], base={"heigth": 1})


def test_an_error_of_the_dataclass_passes_through() -> None:
    @dataclass(frozen=True)
    class Strict:
        n: int = 1

        def __post_init__(self) -> None:
            raise InputError("as it is")

    with pytest.raises(InputError, match="as it is"):
        parse_options(Strict, [])


def test_the_help_is_the_dataclass() -> None:
    described = {option.name: option for option in describe_options(Options, base={"ratio": 0.1})}
    assert list(described) == [
        "layers", "width", "ratio", "exact", "mode", "size", "label", "level", "extra"
    ]  # fmt: skip
    assert described["layers"].help == "Feature maps to use."
    assert described["layers"].type == "text,..."
    assert described["ratio"].help == "Share kept."
    assert described["ratio"].default == "0.1"
    assert described["width"].default == "none"
    assert described["width"].help == ""


@pytest.mark.parametrize("value", [("a", "b"), None, True, 0.01, 3, "fast", (256, 640)])
def test_what_is_shown_can_be_typed(value: object) -> None:
    @dataclass(frozen=True)
    class One:
        value: object = None

    One.__annotations__["value"] = {
        tuple: tuple[str, ...] if value == ("a", "b") else tuple[int, ...],
        type(None): None | int,
    }.get(type(value), type(value))
    assert parse_options(One, [f"value={show(value)}"]).value == value


# ---------------------------------------------------------------- ranges


@dataclass(frozen=True)
class Ranged:
    count: Annotated[int, Range(1, 64)] = 8
    share: Annotated[float, Range(0, 1, open_low=True)] = 0.5
    momentum: Annotated[float, Range(0, 1, open_high=True)] = 0.9
    limit: Annotated[float, Range(high=2.5)] | None = None
    sides: tuple[Annotated[int, Range(16)], ...] = (32,)
    size: Annotated[tuple[int, int], Range(8, 512)] = (64, 64)
    mode: Literal["fast", "slow"] = "fast"
    exact: bool = True
    free: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        check_options(self)


@pytest.mark.parametrize(
    "values",
    [
        {"count": 1}, {"count": 64}, {"share": 1}, {"share": 5e-324}, {"momentum": 0.0}, {"limit": None},
        {"limit": 2.5}, {"limit": -1e308}, {"sides": ()}, {"sides": (16, 10**400)}, {"size": (8, 512)},
        {"free": -7}, {"mode": "slow"},
    ],
)  # fmt: skip
def test_a_value_inside_is_taken_from_python_and_from_words(values: dict[str, Any]) -> None:
    assert Ranged(**values) == parse_options(Ranged, [f"{n}={show(v)}" for n, v in values.items()])


@pytest.mark.parametrize(
    "name, value, range_",
    [
        ("count", 0, "integer from 1 to 64"),
        ("count", 65, "integer from 1 to 64"),
        ("share", 0, "number over 0, at most 1"),
        ("share", 1.0000001, "number over 0, at most 1"),
        ("momentum", 1, "number at least 0, under 1"),
        ("momentum", -0.1, "number at least 0, under 1"),
        ("limit", 2.6, "number at most 2.5|none"),
        ("sides", (32, 15), "integer at least 16,..."),
        ("size", (64, 600), "integer,integer from 8 to 512"),
    ],
)
def test_a_value_outside_is_refused_in_one_line_that_names_the_option(
    name: str, value: Any, range_: str
) -> None:
    text = show(value) if isinstance(value, tuple) else value
    said = f"option '{name}' takes {range_}, not {text}: choose such a value, or leave it out for"
    for make in (
        lambda: Ranged(**{name: value}),
        lambda: parse_options(Ranged, [f"{name}={text}"]),
        lambda: parse_options(Ranged, [], base={name: value}),
    ):
        with pytest.raises(OptionError) as caught:
            make()
        assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, value",
    [
        ("count", True), ("count", 2.0), ("count", "8"), ("count", None), ("share", True),
        ("share", float("nan")), ("limit", float("inf")), ("limit", float("-inf")), ("free", float("nan")),
        ("sides", 32), ("sides", (32.0,)), ("size", (64,)), ("mode", "medium"), ("exact", 1), ("name", 3),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^option '{name}' takes "):
        Ranged(**{name: value})


def test_a_range_is_checked_from_words_even_where_its_author_forgot() -> None:
    @dataclass(frozen=True)
    class Forgotten:
        count: Annotated[int, Range(1)] = 1

    assert Forgotten(count=0).count == 0
    with pytest.raises(OptionError, match="option 'count' takes integer at least 1, not 0"):
        parse_options(Forgotten, ["count=0"])


def test_options_without_ranges_are_taken_as_they_come() -> None:
    @dataclass(frozen=True)
    class Loose:
        count: int = 1
        ratio: float = None  # type: ignore[assignment]

    assert parse_options(Loose, ["count=-5"]) == Loose(-5)


def test_help_shows_the_range_in_words_and_as_numbers() -> None:
    described = {option.name: option for option in describe_options(Ranged)}
    assert described["count"].type == "integer from 1 to 64" and described["count"].range == Range(1, 64)
    assert described["sides"].range == Range(16) and described["limit"].range == Range(high=2.5)
    assert described["free"].range is None and described["mode"].range is None
    assert describe_type(Annotated[int, "a note of somebody else"]) == "integer"


@pytest.mark.parametrize("text", ["64x32", "64,32"])
def test_a_size_with_a_range_is_typed_as_any_size(text: str) -> None:
    assert parse_options(Ranged, [f"size={text}"]).size == (64, 32)
