"""docs/line.md: every key, every fault and every reason is there, and its files are read."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import get_args

import pytest

from edgead.line import config, faults, log_table
from edgead.notices import SENTENCES
from edgead.options import describe_options
from edgead.types import Why
from edgead_plugins.pixels import FORMATS
from edgead_plugins.sources.camera_options import CameraOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = Path(__file__).parents[2] / "docs" / "line.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)


TABLES = [config.LineTable, config.CameraTable, config.SinkTable]
TABLES += [config.StripTable, config.PageTable]
TABLES += [log_table.LogTable, log_table.ImagesTable, log_table.KeepTable]


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_there_with_its_default_and_what_it_does(table: type) -> None:
    for option in describe_options(table):
        (row,) = [
            line
            for line in TEXT.splitlines()
            if line.startswith(f"| `{option.name}` |") and option.help in line
        ]
        default = "-" if option.default in ("", "none") else option.default
        assert f"| {default} |" in row, row


def test_the_lines_file_that_it_shows_is_read(tmp_path: Path) -> None:
    text = next(block for block in blocks("toml") if "[line]" in block)
    (tmp_path / "line.toml").write_text(text)
    line = config.read_line(tmp_path / "line.toml")
    assert line.table.deadline_ms == 80 and len(line.cameras) == 1 and len(line.sinks) == 2
    assert line.path(line.cameras[0].table.bundle) == tmp_path / "slots"


def test_the_script_that_it_shows_is_read_and_every_fault_is_told(tmp_path: Path) -> None:
    text = next(block for block in blocks("toml") if "[[fault]]" in block)
    (tmp_path / "script.toml").write_text(text)
    assert [f.what for f in faults.read_script(tmp_path / "script.toml")] == ["judge-hang", "camera-gone"]
    assert all(f"`{what}`" in TEXT for what in faults.WHATS)


def test_every_reason_for_a_verdict_is_told() -> None:
    table = TEXT[TEXT.index("## What happens, and the verdict") :]
    assert all(f"(`{why}`)" in table for why in get_args(Why))


def test_every_notice_of_the_line_has_its_sentence() -> None:
    folder = Path(str(config.__file__)).parent
    codes = {
        code
        for file in folder.rglob("*.py")
        for code in re.findall(r'Notice\("(line-[a-z-]+)"', file.read_text())
    }
    codes |= {"line-sink-well", "line-sink-ill"}
    assert codes == {code for code in SENTENCES if code.startswith("line-")}


def test_the_table_of_the_record_that_it_shows_is_the_default() -> None:
    text = next(block for block in blocks("toml") if "[log]" in block)
    assert log_table.log_of(tomllib.loads(text), "a test") == log_table.log_of({"log": {}}, "a test")


def section(heading: str) -> str:
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#)", TEXT, re.M | re.S)
    assert found, heading
    return found.group(2)


@pytest.mark.parametrize(
    ("heading", "module", "name"),
    [
        ("Cameras", "camera_options", "CameraOptions"),
        ("gentl", "gentl", "GentlOptions"),
        ("aravis", "aravis", "AravisOptions"),
        ("pylon", "pylon", "PylonOptions"),
        ("opencv", "opencv", "OpenCVOptions"),
    ],
)
def test_every_option_of_a_camera_is_there(heading: str, module: str, name: str) -> None:
    common = {option.name for option in describe_options(CameraOptions)}
    options_type = getattr(pytest.importorskip(f"edgead_plugins.sources.{module}"), name)
    own = [
        option
        for option in describe_options(options_type)
        if options_type is CameraOptions
        or not issubclass(options_type, CameraOptions)
        or option.name not in common
    ]
    rows = [line for line in section(heading).splitlines() if line.startswith("| `") and line.count("|") > 4]
    assert len(rows) == len(own)
    for row, option in zip(rows, own, strict=True):
        default = "-" if option.default in ("", "none") else option.default
        assert row.startswith(f"| `{option.name}` |") and f"| {default} | {option.help} |" in row, row


def test_every_pixel_format_is_there() -> None:
    table = section("Pixel formats")
    for pixel_format in FORMATS:
        name = pixel_format.name
        bayer = re.fullmatch(r"Bayer(..)(.*)", name)
        words = re.findall(r"\w+", table)
        assert name in words or (bayer and {f"Bayer{bayer[1]}", bayer[1]} & set(words) and bayer[2] in words)
