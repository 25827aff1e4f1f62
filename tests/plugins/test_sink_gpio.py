"""The GPIO sink, at the edge of gpiod: no chip is here, so that a stand-in takes the request's place."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgead.errors import OptionError, OutputError
from edgead.testing import checks
from edgead_plugins.sinks.gpio import Gpio, GpioOptions
from tests.plugins.sink_support import accept, reject, until

gpiod = pytest.importorskip("gpiod", reason="gpiod isn't installed")
ACTIVE, INACTIVE = gpiod.line.Value.ACTIVE, gpiod.line.Value.INACTIVE


class Chip:
    """Takes requests as gpiod does, and notes the logical level of each line, and when it changed."""

    def __init__(self) -> None:
        self.levels: dict[int, bool] = {}
        self.changes: list[tuple[float, int, bool]] = []
        self.settings: dict[int, Any] = {}
        self.held = False
        self.breaks = False
        self._lock = threading.Lock()

    def request_lines(self, path: str, consumer: str, config: dict[int, Any]) -> Chip:
        if path != "/dev/gpiochip7":
            raise FileNotFoundError(2, "No such file or directory", path)
        assert not self.held and consumer == "edgead"
        self.held, self.settings = True, config
        assert all(each.direction == gpiod.line.Direction.OUTPUT for each in config.values())
        self.set_values({offset: each.output_value for offset, each in config.items()})
        return self

    def set_values(self, values: dict[int, Any]) -> None:
        if self.breaks:
            raise OSError(19, "No such device")
        assert self.held, "set after its release"
        with self._lock:
            for offset, value in values.items():
                assert value in (ACTIVE, INACTIVE)
                if self.levels.get(offset) != (value == ACTIVE):
                    self.levels[offset] = value == ACTIVE
                    self.changes.append((time.monotonic(), offset, value == ACTIVE))

    def release(self) -> None:
        self.held = False

    def pulses(self, offset: int) -> list[bool]:
        return [level for _, line, level in self.changes if line == offset]


ACCEPT, REJECT, READY, BEAT = 3, 5, 8, 13
LINES = {"accept": ACCEPT, "reject": REJECT, "ready": READY, "beat": BEAT}
REST = {ACCEPT: False, REJECT: True, READY: False, BEAT: False}


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Chip:
    made = Chip()
    monkeypatch.setattr(gpiod, "request_lines", made.request_lines)
    return made


def opened(**options: Any) -> Gpio:
    made = Gpio(GpioOptions(chip="/dev/gpiochip7", **{**LINES, "pulse_ms": 30, "gap_ms": 10, **options}))
    made.open()
    return made


WORDS = ["chip=/dev/gpiochip7", *(f"{name}={offset}" for name, offset in LINES.items())]


@pytest.mark.parametrize("check", checks("gpio", options={"gpio": WORDS}), ids=str)
def test_it_conforms(check: Any, chip: Chip) -> None:
    check()
    assert not chip.held


def test_an_accept_is_a_pulse_and_a_reject_is_the_rest(chip: Chip) -> None:
    sink = opened()
    assert chip.levels == REST
    sink.beat(True)
    assert chip.levels == {**REST, READY: True, BEAT: True}
    sink.send(reject(1))
    assert chip.levels[ACCEPT] is False and chip.levels[REJECT] is True
    sink.send(accept(2))
    until(lambda: not chip.levels[ACCEPT])
    assert chip.pulses(ACCEPT) == [False, True, False] and chip.pulses(REJECT) == [True, False, True]
    (up, _, _), (down, _, _) = [each for each in chip.changes if each[1] == ACCEPT][1:]
    assert down - up >= 0.029, "never shorter than it should be"
    sink.close()
    assert not chip.held and chip.levels == REST


def test_each_accept_has_a_pulse_of_its_own_and_a_reject_ends_one(chip: Chip) -> None:
    sink = opened(pulse_ms=200)
    sink.beat(True)
    sink.send(accept(1))
    sink.send(accept(2))
    assert chip.pulses(ACCEPT) == [False, True, False], "it rests before the next"
    until(lambda: chip.levels[ACCEPT])
    (ended, _, _), (began, _, _) = [each for each in chip.changes if each[1] == ACCEPT][2:4]
    assert began - ended >= 0.009
    sink.send(reject(3))
    assert not chip.levels[ACCEPT] and sink.health().counts == {"accept": 2, "reject": 1, "cut": 2}
    time.sleep(0.03)
    assert not chip.levels[ACCEPT]
    sink.close()


def test_an_accept_that_waits_for_its_rest_is_ended_by_a_reject(chip: Chip) -> None:
    sink = opened(pulse_ms=200, gap_ms=40)
    sink.beat(True)
    for verdict in (accept(1), accept(2), reject(3)):
        sink.send(verdict)
    time.sleep(0.08)
    assert chip.pulses(ACCEPT) == [False, True, False]
    sink.close()


def test_without_readiness_everything_is_at_rest(chip: Chip) -> None:
    sink = opened(pulse_ms=5000)
    sink.send(accept(1))
    assert chip.levels == REST, "before the first beat"
    sink.beat(True)
    sink.send(accept(2))
    assert chip.levels[ACCEPT]
    sink.beat(False)
    assert chip.levels == REST
    sink.send(accept(3))
    assert chip.levels == REST and sink.health().counts["withheld"] == 2
    sink.close()


def test_where_the_beat_stops_everything_goes_to_rest(chip: Chip) -> None:
    sink = opened(pulse_ms=5000, silent_ms=50)
    sink.beat(True)
    sink.send(accept(1))
    until(lambda: not chip.levels[ACCEPT] and chip.levels[REJECT] and not chip.levels[READY])
    sink.close()


def test_what_is_active_low_is_for_the_kernel_to_turn(chip: Chip) -> None:
    sink = opened(active_low=("reject",))
    assert {offset for offset, each in chip.settings.items() if each.active_low} == {REJECT}
    assert chip.levels == REST, "logical levels are the same"
    sink.close()


def test_a_chip_that_goes_is_said_and_the_sink_is_opened_again(chip: Chip) -> None:
    sink = opened(pulse_ms=20)
    sink.beat(True)
    sink.send(accept(1))
    chip.breaks = True
    until(lambda: not sink.health().ok)
    with pytest.raises(OutputError, match="No such device"):
        sink.send(accept(2))
    sink.close()
    chip.breaks = False
    sink.open()
    assert chip.levels == REST and sink.health().ok
    sink.close()


def test_a_chip_that_isnt_there_is_said() -> None:
    with pytest.raises(OutputError, match="/dev/gpiochip99: can't take lines 3"):
        Gpio(GpioOptions(chip="/dev/gpiochip99", accept=3)).open()
    with pytest.raises(OutputError, match="no line says a verdict"):
        Gpio(GpioOptions(ready=3)).open()


@pytest.mark.parametrize(
    ("option", "given"), [("accept", -1), ("reject", 3), ("active_low", ("door",)), ("pulse_ms", 0)]
)
def test_an_option_that_means_nothing_is_refused(option: str, given: Any) -> None:
    with pytest.raises(OptionError, match=option):
        GpioOptions(**{"accept": 3, option: given})


def test_a_kernels_own_simulated_chip() -> None:
    if not Path("/sys/kernel/config/gpio-sim").is_dir():
        pytest.skip("this kernel has no gpio-sim, or configfs isn't mounted")
    bank = Path("/sys/kernel/config/gpio-sim/edgead/bank")
    bank.mkdir(parents=True)
    try:
        (bank / "num_lines").write_text("16")
        (bank.parent / "live").write_text("1")
        name, device = (
            (bank / "chip_name").read_text().strip(),
            (bank.parent / "dev_name").read_text().strip(),
        )
        line = Path(f"/sys/devices/platform/{device}/{name}/sim_gpio{ACCEPT}/value")
        sink = Gpio(GpioOptions(chip=f"/dev/{name}", accept=ACCEPT, pulse_ms=5000))
        sink.open()
        sink.beat(True)
        assert line.read_text().strip() == "0"
        sink.send(accept(1))
        assert line.read_text().strip() == "1"
        sink.close()
    finally:
        (bank.parent / "live").write_text("0")
        bank.rmdir()
        bank.parent.rmdir()
