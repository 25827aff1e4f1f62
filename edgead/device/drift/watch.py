"""All that is watched of a line: the score by two shares, the frames' look, how many are judged, how fast.

Of the score two shares are kept, of frames over its median and over its 90 % quantile. They neither ask for
a law of the scores nor mind how far out a defect is. Where the two marks lie is taken from the bundle's
held-out good images as long as the line's first block is anything like them, else from that block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgead.device.drift.channel import LEAST, STEPS, Channel, Kind
from edgead.device.drift.look import Look

MEDIAN, HIGH = "score_median", "score_high"
JUDGED, LATENCY = "judged", "latency"
QUANTILES = (0.5, 0.9)
"""Of the score's two marks."""
KINDS: Mapping[str, Kind] = {
    MEDIAN: Kind("share", 0.0, "share of frames over the usual median"),
    HIGH: Kind("share", 0.0, "share of frames over the usual 90 % quantile"),
    "brightness": Kind("ratio", 0.005, "grey levels"),
    "contrast": Kind("ratio", 0.01, "of the brightness"),
    "sharpness": Kind("ratio", 0.01, "of the contrast"),
    JUDGED: Kind("share", 0.0, "share of frames"),
    LATENCY: Kind("log", 0.02, "seconds"),
}
"""The channels. A share's spread is never less than that of independent frames, which has no floor here."""
MOST_FIRST = 1000
"""Scores of the first block that are kept at most, to find the marks among them."""
FITS = ((0.1, 0.9), (0.02, 0.5))
"""The shares over the bundle's marks in the first block, least and most: beyond them they'd soon be all or
none, and tell nothing more."""
APART, FAR = 3.0, 0.15
"""The line differs from the held-out images where a share is so many spreads, and so far, from its
quantile's."""


@dataclass(frozen=True)
class Setting:
    """What is watched for.

    Attributes:
        block: frames of a block, a multiple of STEPS.
        blocks: how many of them are learned before anything is said, 3 or more.
        marks: the two quantiles of the bundle's held-out scores; empty where it has none, or they're equal.
        held_out: how many independent held-out images these rest on.
    """

    block: int
    blocks: int
    marks: tuple[float, ...] = ()
    held_out: int = 0

    @property
    def step(self) -> int:
        """Frames of a step."""
        return self.block // STEPS

    @property
    def kept(self) -> int:
        """Of the first block, one score in so many is kept."""
        return -(-self.block // MOST_FIRST)


@dataclass
class Watch:
    """The state of all channels: plain numbers, so that it can be saved as it is.

    Attributes:
        frames: how many were seen.
        marks: the two scores that shares are over; empty until they're found.
        marks_of: whose quantiles they are.
        first: until then, the scores of each step so far, the newest last.
        line: of the frames since learning began, how many were judged, over the bundle's median and over its
            90 % quantile; a score that equals a mark counts half.
        compared: whether that told the line from the bundle's held-out images.
        channels: by the name in ``KINDS``.
    """

    frames: int = 0
    marks: tuple[float, ...] = ()
    marks_of: Literal["none", "bundle", "line"] = "none"
    first: tuple[tuple[float, ...], ...] = ((),)
    line: tuple[float, ...] = (0.0, 0.0, 0.0)
    compared: Literal["no", "alike", "differs"] = "no"
    channels: Mapping[str, Channel] = field(default_factory=lambda: {name: Channel() for name in KINDS})

    def take(self, score: float, look: Look | None, seconds: float | None, setting: Setting) -> list[str]:
        """Take one frame in, and return the channels in which a change was found by it, nearly always none.

        Args:
            score: NaN of a frame that couldn't be judged.
            seconds: over 0, or None.
        """
        channels, judged = self.channels, math.isfinite(score)
        channels[JUDGED].add(judged)
        if judged and self.marks:
            for name, mark in zip((MEDIAN, HIGH), self.marks, strict=True):
                channels[name].add(_over(score, mark))
        elif judged and self.frames % setting.kept == 0:
            self.first = (*self.first[:-1], (*self.first[-1], score))
        if judged and self.compared == "no" and setting.marks:
            sums = (1.0, *(_over(score, mark) for mark in setting.marks))
            self.line = tuple(a + b for a, b in zip(self.line, sums, strict=True))
        if look is not None:
            channels["brightness"].add(look.level)
            channels["contrast"].add(look.deviation, look.level)
            channels["sharpness"].add(look.detail, look.deviation)
        if seconds is not None:
            channels[LATENCY].add(math.log(seconds))
        self.frames += 1
        return [] if self.frames % setting.step else self._step(setting)

    def least(self, name: str, setting: Setting) -> float:
        """A variance that a channel's blocks have at least, on its scale, beside its kind's floor.

        A share's is that of independent frames. And the share over the high mark varies about as much as that
        over the median, on a scale where the share itself doesn't matter; that it seems not to may only mean
        that it was rare while it was learnt.
        """
        if KINDS[name].scale != "share":
            return 0.0
        independent = 0.25 / setting.block
        if name != HIGH:
            return independent
        return max(independent, self.channels[MEDIAN].variance() / 2)

    def is_learning(self, name: str, setting: Setting) -> bool:
        """Whether it's too early to say anything of a channel."""
        return self.channels[name].blocks_learned < setting.blocks

    def _step(self, setting: Setting) -> list[str]:
        began = self.frames - setting.step
        found = []
        if not self.marks:
            self._first_block(setting)
        else:
            found = [name for name in (MEDIAN, HIGH) if self._end_step(name, began, setting)]
        others = (name for name in KINDS if name not in (MEDIAN, HIGH))
        found += [name for name in others if self._end_step(name, began, setting)]
        if self.compared == "no" and not self.is_learning(MEDIAN, setting) and setting.marks:
            self._compare(setting)
        return found

    def _end_step(self, name: str, began: int, setting: Setting) -> bool:
        least = self.least(name, setting)
        return self.channels[name].step(KINDS[name], setting.step, began, setting.blocks, least)

    def _first_block(self, setting: Setting) -> None:
        """Find the marks once a block of scores is there, and give the channels what they missed."""
        scores = [score for step in self.first for score in step]
        if len(self.first) < STEPS or len(scores) < LEAST * setting.block / setting.kept:
            self.first = (*self.first[1 - STEPS :], ())
            return
        self.marks, self.marks_of = setting.marks, "bundle"
        if not self.marks or not _fit(scores, self.marks):
            median, high = np.quantile(scores, QUANTILES)
            self.marks, self.marks_of = (float(median), float(high)), "line"
        steps, self.first = self.first, ()
        for back, step in enumerate(steps):
            for name, mark in zip((MEDIAN, HIGH), self.marks, strict=True):
                for score in step:
                    for _ in range(setting.kept):  # each stands for those that weren't kept
                        self.channels[name].add(_over(score, mark))
                self._end_step(name, self.frames - (STEPS - back) * setting.step, setting)

    def _compare(self, setting: Setting) -> None:
        """Hold the line's first blocks against the bundle's held-out images, once."""
        seen, *over = self.line
        kind, differs = KINDS[MEDIAN], False
        for name, count, quantile in zip((MEDIAN, HIGH), over, QUANTILES, strict=True):
            channel, expected = self.channels[name], 1 - quantile
            variance = channel.spread(kind, self.least(name, setting)) ** 2 / channel.blocks_learned
            variance += 0.25 / setting.held_out
            share = count / seen
            off = abs(kind.scaled(share) - kind.scaled(expected)) / math.sqrt(variance)
            differs |= off > APART and abs(share - expected) > FAR
        self.compared = "differs" if differs else "alike"


def _over(score: float, mark: float) -> float:
    """1 over the mark, 0 under it; half on it, so that constant scores can still go either way."""
    return 1.0 if score > mark else 0.5 if score == mark else 0.0


def _fit(scores: Sequence[float], marks: Sequence[float]) -> bool:
    shares = (sum(_over(score, mark) for score in scores) / len(scores) for mark in marks)
    return all(least <= share <= most for share, (least, most) in zip(shares, FITS, strict=True))


__all__ = ["HIGH", "JUDGED", "KINDS", "LATENCY", "MEDIAN", "QUANTILES", "Setting", "Watch"]
