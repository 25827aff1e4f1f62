"""The source ``aravis`` with the library's own virtual GigE camera, in a network namespace."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.plugins import gige
from tests.plugins.test_pixels import expected

LACKING = gige.lacking()
pytestmark = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What became of the source alone."""
    return gige.inside("source")


@pytest.fixture(scope="module")
def line() -> dict[str, Any]:
    """What became of a line whose camera loses 5 % of its packets, and is switched off and on."""
    return gige.inside("line", "50", "1.5")


def test_it_conforms(found: dict[str, Any]) -> None:
    assert {name: told for name, told in found["kit"].items() if told[0] != "passed"} == {}
    assert "names-its-cameras" in found["kit"]


@pytest.mark.parametrize("name", ["Mono8", "Mono16", "RGB8", "BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8"])
def test_each_format_that_it_offers_is_its_bytes(found: dict[str, Any], name: str) -> None:
    from edgead_plugins.pixels import by_name

    assert len(found["formats"]) == 7
    grab, pixel_format = found["formats"][name], by_name(name)
    assert pixel_format is not None
    rows = expected(pixel_format, bytes(grab["data"]), 20, 10)
    assert grab["image"] == [[list(p) if isinstance(p, tuple) else p for p in row] for row in rows]
    assert len({str(row) for row in grab["image"]}) > 1, "and there's something to be seen"
    assert grab["ns"] > 10**18 and grab["depth"] is None


def test_the_count_goes_on_where_its_16_bits_end(found: dict[str, Any]) -> None:
    numbers = found["counts"]  # a busy machine loses an image here and there, and its number with it
    assert all(0 < after - before < 10 for before, after in itertools.pairwise(numbers))
    assert numbers[0] <= 65535 < numbers[-1]


def test_an_image_with_lost_packets_is_a_problem_with_its_number(found: dict[str, Any]) -> None:
    numbers = [number for number, _, _ in found["lossy"]]
    while numbers[0] is None:  # of the first, where its first packet is lost, nobody can know
        del numbers[0]
    assert all(after > before for before, after in itertools.pairwise(numbers))
    problems = [problem for _, there, problem in found["lossy"] if not there]
    assert 5 < len(problems) < len(numbers) and all("network" in problem for problem in problems)
    assert all(problem is None for _, there, problem in found["lossy"] if there)


def test_one_that_was_switched_off_is_lost_and_opened_again(found: dict[str, Any]) -> None:
    assert "the camera is gone" in found["restarted"]["error"] and found["restarted"]["again"] == 2


def test_it_sees_the_cameras_that_are_there(found: dict[str, Any]) -> None:
    (seen,) = found["seen"]
    assert seen["options"] == {"camera": "GV01"} and seen["about"]["address"] == gige.ADDRESS
    assert "choose one of GV01" in found["refused"]["camera"]


def test_what_the_camera_has_not_is_said_with_what_it_has(found: dict[str, Any]) -> None:
    refused = found["refused"]
    assert "Mono12p; choose one of" in refused["format"] and "Mono16" in refused["format"]
    assert "by Line1: it offers Line0, Software" in refused["trigger"]
    assert "no Nope" in refused["feature"] and "Width takes integer, not wide" in refused["kind"]


def test_it_triggers_by_software_at_the_rate(found: dict[str, Any]) -> None:
    count, seconds = found["software"]
    assert count == 10 and seconds >= 9 / 20 - 0.05


def test_every_image_that_a_line_loses_has_exactly_one_verdict_and_it_is_the_failsafes(
    line: dict[str, Any],
) -> None:
    assert len(line["openings"]) == 2
    for verdicts in line["openings"]:
        in_order = sorted(
            verdicts, key=lambda each: each["trigger"]
        )  # a lost one's verdict waits for no judge
        numbers = [each["frame_id"] for each in in_order]
        while numbers[0] is None:  # of the first, where its first packet is lost, nobody can know
            del numbers[0]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) > 20
        lost = [each for each in verdicts if each["score"] is None]
        assert lost and {each["decision"] for each in lost} == {"reject"}
        assert {each["why"] for each in lost} <= {"no-image", "stopped"}
    told = [each for verdicts in line["openings"] for each in verdicts]
    triggers = list(range(1, len(told) + 1))
    assert sorted(each["trigger"] for each in told) == triggers
    assert sorted(each["trigger"] for each in line["at_the_sink"]) == triggers


def test_a_line_takes_the_camera_up_again(line: dict[str, Any]) -> None:
    assert "the camera is gone" in line["lost"][0]
    assert any(each["why"] == "score" for each in line["openings"][1])
