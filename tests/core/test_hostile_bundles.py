"""What a stranger's manifest may hold: each is one clean error, or said within bounds, and nothing hangs."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import edgead
from edgead.cli import cli, main
from edgead.errors import BundleError, CarriedImageError, EdgeadError, ImageError
from edgead.images import decode_image
from edgead.notices import LONGEST, Notice, say
from tests.sealed import change_manifest

GOLDEN = Path(__file__).parents[1] / "golden"
LONE = "\ud800"


def hostile(tmp_path: Path, version: int, change: Callable[[dict[str, Any]], None]) -> Path:
    path = shutil.copytree(GOLDEN / f"v{version}.edgead", tmp_path / f"v{version}.edgead")
    change_manifest(path, change)
    return path


def ours(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        value["threshold"] |= {"rule": "split conformal quantile", "false_positive_rate": 0.01, **changes}

    return change


def aimed(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["thresholds"]["default"].update(rule="split-conformal", **changes)


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


REFUSED = {
    "images beyond counting": (1, ours(n_images=10**400)),
    "as many in format 2": (2, aimed(n_images=10**400)),
    "a billion and one": (2, aimed(n_images=10**9 + 1)),
    "a rate of nothing": (2, aimed(false_positive_rate=0.0, expected_rate=0.5)),
    "a rate of next to nothing": (2, aimed(false_positive_rate=1e-320, expected_rate=0.5)),
    "a number too large": (2, lambda v: v["facts"].update(x=[10**400])),
    "nested too deeply": (2, lambda v: v["facts"].update(x=deep(900))),
    "a model of a thousand megapixels": (2, lambda v: v["input"].update(size=[32768, 32768])),
    "a model of one row too many": (2, lambda v: v["input"].update(size=[8193, 8192])),
    "half a character": (2, lambda v: v["facts"].update(x=LONE)),
    "half a character in a name": (2, lambda v: v["facts"].update({LONE: 1})),
    "a seed too large": (2, lambda v: v["method"].update(seed=1 << 63)),
}


@pytest.mark.parametrize(("version", "change"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_one_line(version: int, change: Any, tmp_path: Path) -> None:
    path = hostile(tmp_path, version, change)
    with pytest.raises(BundleError) as caught:
        edgead.read_bundle(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    for verb in ("inspect", "verify"):
        result = CliRunner().invoke(cli, [verb, str(path)])
        assert isinstance(result.exception, EdgeadError), (verb, result.exception)


@pytest.mark.parametrize("n", [1, 10**6, 10**9])
@pytest.mark.parametrize("rate", [1e-9, 0.01, 0.5, 1 - 1e-9])
def test_a_rate_follows_from_any_number_of_images_at_once(n: int, rate: float, tmp_path: Path) -> None:
    threshold = edgead.read_bundle(hostile(tmp_path, 1, ours(n_images=n, false_positive_rate=rate))).manifest
    found = threshold.threshold
    assert 0 <= found.expected_rate <= 1 and 0 <= found.upper_rate <= 1


def test_what_is_beyond_the_arithmetic_is_taken_for_set_by_hand(tmp_path: Path) -> None:
    for version, changes in enumerate(({"n_images": 10**12}, {"false_positive_rate": 1e-300})):
        folder = tmp_path / str(version)
        folder.mkdir()
        try:
            found = edgead.read_bundle(hostile(folder, 1, ours(**changes))).manifest.threshold
        except BundleError:
            continue
        assert found.rule == "given"


def test_a_sentence_is_bounded_whatever_it_is_made_of() -> None:
    for notice in (
        Notice("x", {"a": "A" * 1_500_000}, "{a}" * 600_000),
        Notice("x", {}, "y" * 3_000_000),
        Notice("x" * 3_000_000),
        Notice("x", {f"n{i}": "v" * 1000 for i in range(20_000)}),
        Notice("mask-most", {"share": 10**400, "count": 1, "total": 1, "example": "a"}),
        Notice("x", {"a": 10**400}, "{a:.2f}"),
        Notice("x", {"a": [[[]]] * 10**5}, "{a}"),
    ):
        assert len(say(notice)) <= LONGEST


@pytest.mark.parametrize("reports", [{"forms": 5}, {"forms": [5]}, {"forms": [{"misses": 5, "parity": 3}]}])
def test_odd_reports_are_shown_somehow(reports: Any, tmp_path: Path) -> None:
    path = hostile(tmp_path, 2, lambda value: value.update(reports=reports, provenance={"images": 3}))
    assert CliRunner().invoke(cli, ["inspect", str(path)]).exit_code == 0
    pytest.importorskip("jinja2", reason="needs the [report] extra")
    from edgead.evaluation.report.about import about

    assert about(edgead.read_bundle(path))["name"] == "v2.edgead"


def test_control_characters_reach_no_terminal(tmp_path: Path) -> None:
    path = hostile(tmp_path, 2, lambda v: v["facts"].update(x="a\x9b31m\u2028b\u202ec\x1b[31m"))
    for words in (["inspect", str(path)], ["inspect", str(path), "--json"]):
        out = CliRunner().invoke(cli, words).output
        assert not set(out) & set("\x9b\u2028\u202e\x1b"), words
    facts = json.loads(CliRunner().invoke(cli, ["inspect", str(path), "--json"]).output)["facts"]
    assert facts["x"] == "a\x9b31m\u2028b\u202ec\x1b[31m", "a script gets the text itself"


def test_no_text_of_a_manifest_reaches_a_terminal_as_it_is(tmp_path: Path) -> None:
    """Every string that a bundle of the newest format may choose, through every verb that tells of it."""
    evil = "a\x1b]0;owned\x07\x1b[2J\x9b31m\r\u2028\u202eb"

    def change(value: dict[str, Any]) -> None:
        value["edgead"] = value["target"] = value["engine"] = evil
        value["method"] |= {"name": evil, "scorer": evil, "postprocessor": evil, "options": {evil: evil}}
        value["notices"] = [{"code": evil, "sentence": evil, "values": {evil: evil}}]
        value["notices"].append(
            {"code": "near-copies", "values": {"images": evil, "parts": evil, "names": evil}}
        )
        value["provenance"] = value["facts"] = {evil: [evil, {evil: evil}]}
        value["reports"] = {evil: evil, "forms": [{"precision": evil, "failure": evil, evil: evil}]}

    path = hostile(tmp_path, 3, change)
    for words in (["inspect"], ["inspect", "--json"], ["verify"], ["verify", "--json"], ["run", str(GOLDEN)]):
        verb, *rest = words
        result = CliRunner().invoke(cli, [verb, str(path), *rest])
        told = result.output + str(result.exception or "")
        assert not set(told) & set("\x1b\x07\x9b\r\u2028\u202e"), words
    for field in ("kind", "model", "precision"):
        assert (
            main(["inspect", str(hostile(tmp_path / field, 3, lambda v, f=field: v.update({f: evil})))]) == 3
        )


def test_errors_about_a_manifest_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2Jb"
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda v: v.update({evil: 1}),
        lambda v: v["thresholds"].update({evil: v["thresholds"]["default"]}),
        lambda v: v.update(model=evil),
        lambda v: v["files"][0].update(path=evil),
        lambda v: v["method"].update(kind=evil),
    ]
    for number, change in enumerate(changes):
        path = hostile(tmp_path / str(number), 3, change)
        assert main(["inspect", str(path)]) == 3
        assert "\x1b" not in (told := capsys.readouterr().err) and told.startswith("error: ")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_it_is_said_where_a_manifest_has_no_digest(version: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = GOLDEN / f"v{version}.edgead"
    bundle = edgead.read_bundle(path)
    codes = [notice.code for notice in bundle.notices]
    assert ("no-digest" in codes) == (version < 3)
    assert main(["verify", str(path)]) == 0
    told = capsys.readouterr().out
    assert ("carries no digest" in told) == (version < 3) and f"SHA-256 {bundle.digest}" in told
    assert main(["inspect", str(path)]) == 0
    assert f"SHA-256 {bundle.digest}" in capsys.readouterr().out
    for verb in ("verify", "inspect"):
        assert main([verb, str(path), "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        record = record[0] if verb == "verify" else record
        assert record["manifest_sha256"] == bundle.digest
        assert verb == "verify" or ("digest" in record) == (version == 3)
        assert ("no-digest" in [each["code"] for each in record.get("notices", ())]) == (version < 3)


def bomb(height: int, width: int) -> bytes:
    """A PNG of black pixels, small as a file."""
    packed, row = zlib.compressobj(9), bytes(1 + width)
    pixels = b"".join(packed.compress(row * 1000) for _ in range(height // 1000)) + packed.flush()
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", pixels),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


def test_a_carried_image_of_another_size_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = shutil.copytree(GOLDEN / "v3.edgead", tmp_path / "b.edgead")
    content, name = bomb(9000, 9000), "probes/000.png"
    assert len(content) < 1 << 20
    (path / name).write_bytes(content)

    def change(value: dict[str, Any]) -> None:
        for record in value["files"]:
            if record["path"] == name:
                record.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    change_manifest(path, change)
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr("edgead.images.check_content", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(
        CarriedImageError, match=r"9000 x 9000 pixels, not the model's size; export the bundle"
    ):
        edgead.load(path)
    with pytest.raises(ImageError, match="not the model's size; replace the file"):  # a lesson's, too
        decode_image(content, path / name, (24, 32))
    assert main(["verify", str(path), "--on-device", "--images", str(GOLDEN / "v3.edgead" / "probes")]) == 3
    assert "not the model's size" in capsys.readouterr().err


@pytest.mark.parametrize("version", [1, 2, 3])
def test_it_is_logged_once_where_a_manifest_has_no_digest(version: int, monkeypatch, caplog) -> None:
    path = GOLDEN / f"v{version}.edgead"

    def told(use: Callable[[], object]) -> list[str]:
        monkeypatch.setattr("edgead.bundle.reading._told", set())
        caplog.clear()
        use()
        use()
        return [
            f"{record.levelname} {record.getMessage()}"
            for record in caplog.records
            if "carries no digest" in record.getMessage()
        ]

    for use in (
        lambda: edgead.load(path),
        lambda: edgead.read_bundle(path),
        lambda: edgead.verify(path),
        lambda: main(["bench", str(path), "--frames", "2", "-q"]),
    ):
        found = told(use)
        assert len(found) == (version < 3) and all(line.startswith(f"WARNING {path}: ") for line in found)
    for shows in ("inspect", "verify"):  # in what it prints, and not a second time
        assert told(lambda shows=shows: main([shows, str(path)])) == []
