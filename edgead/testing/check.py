"""A check: a name, what it says, and a function that raises where it isn't so."""

from __future__ import annotations

import traceback
import unittest
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgead.errors import EdgeadError, MissingDependencyError, one_line

Outcome = Literal["passed", "failed", "expected", "skipped"]


class CheckFailed(AssertionError):
    """A check isn't met; the message says what was found and what to do about it."""


class Skipped(Exception):
    """A check can't be made here; the message says why."""


@dataclass(frozen=True)
class Result:
    """What became of a check.

    Attributes:
        outcome: ``expected`` is a failure that the plugin states with a reason; a check that is stated to
            fail and doesn't has ``failed``.
        message: one line; empty where it passed.
    """

    outcome: Outcome
    message: str = ""


@dataclass(frozen=True)
class Check:
    """One check of one registered name. Call it in a test: it raises where it fails.

    Attributes:
        kind: what is checked: plugin, backbone, scorer, post-processor, method, target, layout, source, sink
            or command.
        subject: the registered name, or the distribution's.
        name: of the check, in words with hyphens.
        says: what holds where it passes, in a sentence.
        expected: why it's expected to fail, or None.
    """

    kind: str
    subject: str
    name: str
    says: str
    function: Callable[[], None] = field(repr=False)
    expected: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}/{self.subject}/{self.name}"

    def run(self) -> Result:
        """Make the check; anything that it raises, but for an interrupt, becomes part of the result."""
        try:
            self.function()
        except Skipped as error:
            return Result("skipped", str(error))
        except MissingDependencyError as error:
            return Result("skipped", str(error))
        except Exception as error:
            if self.expected is not None:
                return Result("expected", f"fails as stated: {self.expected} ({explain(error)})")
            return Result("failed", explain(error))
        if self.expected is not None:
            stated = f"passes, though it's stated to fail ('{self.expected}'): remove '{self}' from the list"
            return Result("failed", stated)
        return Result("passed")

    def __call__(self) -> None:
        """Make the check, as a test.

        Raises:
            CheckFailed: it isn't met.
            unittest.SkipTest: it can't be made here, or fails as stated; pytest shows it as skipped.
        """
        result = self.run()
        if result.outcome == "failed":
            raise CheckFailed(f"{self}: {result.message}")
        if result.outcome != "passed":
            raise unittest.SkipTest(result.message)


def require(holds: object, message: str) -> None:
    """Fail the check where something doesn't hold."""
    if not holds:
        raise CheckFailed(message)


def explain(error: BaseException) -> str:
    """An exception in one line; one that nobody raised on purpose comes with the line that raised it."""
    if isinstance(error, CheckFailed | EdgeadError):
        return one_line(error, "message", 2000)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return one_line(error) + where


__all__ = ["Check", "CheckFailed", "Outcome", "Result", "Skipped", "explain", "require"]
