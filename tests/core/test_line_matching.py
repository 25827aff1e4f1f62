"""Which image is which trigger's: event by event, where the arbiter's own deadline would hide a slip."""

from __future__ import annotations

import pytest

from edgead.line.events import Shot
from edgead.line.matching import MOST_EARLY, MOST_GAP, MOST_WAITING, ByImage, ByTrigger, Matches

WINDOW = 30


def shot(number: int | None, slot: int = 0) -> Shot:
    return Shot(slot, 0, frame_id=number)


def synchronised() -> ByTrigger:
    """After trigger 1 with image 40."""
    matching = ByTrigger(WINDOW)
    matching.opened(0)
    assert matching.trigger(100, 1, 100) == Matches()
    assert matching.shot(105, shot(40)) == Matches(found=[(1, shot(40))])
    assert matching.synchronised
    return matching


def test_a_trigger_whose_image_was_left_out_fails_at_once() -> None:
    matching = synchronised()
    assert matching.shot(200, shot(42)) == Matches()
    assert matching.trigger(201, 2, 201) == Matches(failed=[(2, "no-image")])
    assert matching.trigger(202, 3, 202) == Matches(found=[(3, shot(42))])


def test_the_same_number_twice_is_not_believed() -> None:
    matching = synchronised()
    assert matching.shot(200, shot(41, slot=1)) == Matches()
    found = matching.shot(201, shot(41, slot=2))
    assert found == Matches(dropped=[shot(41, slot=1), shot(41, slot=2)], reopen=True)


def test_a_first_trigger_without_an_image_opens_the_camera_anew() -> None:
    matching = ByTrigger(WINDOW)
    matching.opened(0)
    matching.trigger(100, 1, 100)
    assert matching.next_at == 130
    assert matching.expire(129) == Matches()
    assert matching.expire(130) == Matches(failed=[(1, "no-image")], reopen=True)
    assert matching.trigger(140, 2, 140) == Matches(failed=[(2, "no-image")]), "it isn't open"


@pytest.mark.parametrize("at", [WINDOW, WINDOW + 1])
def test_an_image_right_after_opening_may_be_of_a_trigger_before(at: int) -> None:
    matching = ByTrigger(WINDOW)
    matching.opened(0)
    found = matching.shot(at, shot(1))
    assert found == (Matches(dropped=[shot(1)], reopen=True) if at == WINDOW else Matches())


def test_a_second_image_before_any_trigger_is_not_chosen_from() -> None:
    matching = ByTrigger(WINDOW)
    matching.opened(0)
    matching.shot(100, shot(1, slot=1))
    assert matching.shot(110, shot(2, slot=2)).dropped == [shot(1, slot=1), shot(2, slot=2)]


def test_images_wait_for_their_triggers_and_not_for_ever() -> None:
    matching = synchronised()
    for number in range(MOST_EARLY):
        assert matching.shot(200 + number, shot(41 + number)) == Matches()
    assert matching.next_at == 230
    assert len(matching.shot(210, shot(41 + MOST_EARLY)).dropped) == MOST_EARLY + 1
    assert not matching.synchronised


def test_one_that_waits_for_too_long_takes_along_what_waited_with_it() -> None:
    matching = synchronised()
    matching.trigger(190, 2, 190)
    matching.shot(200, shot(43, slot=3))
    found = matching.expire(230)
    assert found == Matches(dropped=[shot(43, slot=3)], reopen=True)
    matching = synchronised()
    matching.trigger(190, 2, 190)
    matching.trigger(195, 3, 195)
    assert matching.shot(200, shot(41, slot=1)).found == [(2, shot(41, slot=1))]
    assert matching.expire(225).failed == [(3, "no-image")]


@pytest.mark.parametrize("jump", [MOST_GAP, MOST_GAP + 1])
def test_a_jump_is_believed_up_to_a_limit(jump: int) -> None:
    matching = synchronised()
    matching.trigger(200, 2, 200)
    found = matching.shot(201, shot(42 + jump))
    assert found.failed == [(2, "no-image")] and found.reopen == (jump > MOST_GAP)
    seen = ByImage()
    seen.missing(shot(0))
    assert (len(seen.missing(shot(jump))), seen.doubtful) == (
        (jump - 1, False) if jump == MOST_GAP else (0, True)
    )


def test_triggers_wait_in_the_order_they_are_told_of() -> None:
    matching = synchronised()
    matching.trigger(200, 2, 200)
    matching.trigger(202, 3, 180)
    assert matching.expire(215) == Matches(), "the second isn't let go of before the first"
    assert matching.expire(230).failed == [(2, "no-image"), (3, "no-image")]


def test_no_more_wait_than_may() -> None:
    matching = synchronised()
    for trigger in range(MOST_WAITING):
        assert not matching.trigger(200, 2 + trigger, 200).failed
    found = matching.trigger(200, 9999, 200)
    assert (
        len(found.failed) == MOST_WAITING + 1 and found.failed[-1] == (9999, "uncorrelated") and found.reopen
    )


def test_a_lost_camera_ends_the_match() -> None:
    matching = synchronised()
    matching.trigger(200, 2, 200)
    matching.shot(201, shot(42, slot=2))
    assert matching.lost() == Matches(failed=[], dropped=[shot(42, slot=2)])
    assert matching.shot(202, shot(43)) == Matches(dropped=[shot(43)]) and not matching.synchronised
