"""One watched quantity: its mean over a sliding block of frames, against what such means usually are.

Neighbouring parts are alike, so frames aren't independent, and a test that takes them to be cries wolf. Here
nothing is assumed of how alike they are: the spread that counts is that of the blocks' own means, learnt on
the line.

A block is ten steps, and slides by a step; the spread over the overlapping blocks is estimated as in batch
means for simulations (Meketon and Schmeiser 1984), which gives half as many degrees of freedom again as
blocks that don't overlap. What is far out is judged by the t distribution, so that three blocks are trusted
less than ten. Where adjacent blocks are more alike than blocks far apart (von Neumann's ratio, 1941), the
line wanders slowly, and what is seen of it isn't all: then the spread is widened. And a block that is far out
must be borne out by the next seven steps, none of which were in it, and by the last of them: odd parts in a
row pass by, a drift stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

STEPS = 10
"""Steps of a block."""
NORMAL, SPREADS = 3.2, 4.2
"""How far out a block must be: as rare as so many spreads of a normal law that is known for sure, and so many
spreads at least. The first rules where fewer than ten blocks are learned; the second sets how often there's a
false alarm in the long run. benchmarks/drift.py is what they were chosen on."""
LATER = 7
"""So many steps after it must bear it out."""
BORNE_OUT = ((LATER, 0.6), (4, 1 / 3))
"""All of them together must be over this share of the limit on the same side, in spreads of so many steps;
and the newest of them over that, or it's over already."""
LONGER = 4
"""Learning goes on for so many times the blocks that are asked for, beside the watching."""
SETTLED = 0.5
"""Von Neumann's ratio, halved: 1 of independent blocks, under this of blocks that wander. 1 % of independent
sets of ten blocks are under it."""
LEAST = 0.2
"""Share of a block's frames that must tell of a quantity, for the block to count."""

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class Kind:
    """How a quantity is compared.

    Attributes:
        scale: ``share``: a share of frames, 0 to 1, is compared as ``asin(sqrt(share))``, whose spread
            doesn't hang on the share. ``ratio``: a quantity over 0 is compared as its logarithm, so as a
            relative change. ``log``: the mean of logarithms is compared as it is.
        floor: the smallest spread that is believed, on that scale: changes of less than a few of it matter to
            nobody, though a steady line would show them.
        unit: what a value is in, for people.
    """

    scale: Literal["share", "ratio", "log"]
    floor: float
    unit: str

    def scaled(self, value: float) -> float:
        """A mean over frames as it's compared."""
        if self.scale == "share":
            return math.asin(math.sqrt(min(max(value, 0.0), 1.0)))
        return math.log(max(value, 1e-9)) if self.scale == "ratio" else value

    def value(self, scaled: float) -> float:
        """The value in the unit, of one as it's compared."""
        if self.scale == "share":
            return math.sin(min(max(scaled, 0.0), math.pi / 2)) ** 2
        return math.exp(min(max(scaled, -50.0), 50.0))


def limit(blocks: float) -> float:
    """How many spreads a block may be from the mean of so many blocks, more than 2.

    The t quantile for NORMAL's probability (Gaver and Kafadar's approximation, 1984), at 1.5 degrees of
    freedom for each block after the first, and widened as the mean itself isn't known for sure.
    """
    freedom = 1.5 * (blocks - 1)
    exponent = NORMAL**2 * (freedom - 1.5) / (freedom - 1) ** 2
    return max(math.sqrt(freedom * math.expm1(exponent) * (1 + 1 / blocks)), SPREADS)


@dataclass
class Channel:
    """A quantity's state: plain numbers, so that it can be saved as it is.

    A frame adds to ``above`` and ``below``; the quantity is their quotient over a block.

    Attributes:
        count: frames of the step under way that told of the quantity.
        above, below: their sums.
        steps: count, above and below of the steps of the block, the newest last.
        blocks: the last ten blocks' values on the scale, a step from each other.
        learned: how many (overlapping) blocks are learned.
        mean, squares: their mean, and the sum of their squared differences from it.
        start: the mean when it was first held to.
        pairs, apart: how many pairs of adjacent blocks, and the sum of their squared differences.
        suspected: which way a block was far out that isn't borne out yet, or None.
        waited: steps since then.
        changed: which way it has changed, or None.
        since: the frame where that began.
        value: the newest block's, on the scale.
        rise, fall: how far the newest steps in a row are over, or under, the mean together.
        risen, fallen: the frames where that began.
    """

    count: int = 0
    above: float = 0.0
    below: float = 0.0
    steps: tuple[tuple[int, float, float], ...] = ()
    blocks: tuple[float, ...] = ()
    learned: int = 0
    mean: float = 0.0
    squares: float = 0.0
    start: float = 0.0
    pairs: int = 0
    apart: float = 0.0
    suspected: Direction | None = None
    waited: int = 0
    changed: Direction | None = None
    since: int = 0
    value: float = 0.0
    rise: float = 0.0
    fall: float = 0.0
    risen: int = 0
    fallen: int = 0

    def add(self, above: float, below: float = 1.0) -> None:
        """Take one frame in."""
        self.count += 1
        self.above += above
        self.below += below

    @property
    def blocks_learned(self) -> float:
        """As many blocks side by side as the overlapping ones span."""
        return (self.learned - 1) / STEPS + 1 if self.learned else 0.0

    @property
    def steadiness(self) -> float:
        """Von Neumann's ratio, halved: adjacent blocks' mean square difference over twice the variance."""
        plain = self._variance()
        return self.apart / self.pairs / (2 * plain) if self.pairs and plain > 0 else 1.0

    def variance(self) -> float:
        """Of a block's value, as learnt, and widened where the line wanders; 0 before two blocks."""
        return self._variance() / math.sqrt(min(max(self.steadiness, 0.05), 1.0))

    def _variance(self) -> float:
        blocks = self.blocks_learned
        return self.squares / (self.learned * (1 - 1 / blocks)) if blocks > 1 else 0.0

    def spread(self, kind: Kind, least: float = 0.0) -> float:
        """A block's usual distance from the mean, on the scale.

        Args:
            least: a variance that it has at least, known from elsewhere.
        """
        return math.sqrt(max(self.variance(), kind.floor**2, least))

    def over_last(self, kind: Kind, steps: int) -> float:
        """The value over the block's last few steps, on the scale; the block's where they tell nothing."""
        _, above, below = (sum(column) for column in zip(*self.steps[-max(steps, 1) :], strict=True))
        return kind.scaled(above / below) if below > 0 else self.value

    def step(self, kind: Kind, size: int, began: int, blocks: int, least: float = 0.0) -> bool:
        """End a step; True where a change was found that wasn't there before.

        Args:
            size: frames of a step.
            began: the number of its first frame.
            blocks: blocks to learn before anything is said.
            least: as for ``spread``.
        """
        newest = (self.count, self.above, self.below)
        self.steps = (*self.steps[1 - STEPS :], newest)
        self.count, self.above, self.below = 0, 0.0, 0.0
        is_known = self.blocks_learned >= blocks
        if is_known:
            self._follow(kind, newest, began, size, least)
        counts, above, below = (sum(column) for column in zip(*self.steps, strict=True))
        if len(self.steps) < STEPS or counts < LEAST * STEPS * size or below <= 0:
            self.blocks, self.suspected = (), None
            return False
        before = self.blocks[0] if len(self.blocks) == STEPS else None
        self.value = kind.scaled(above / below)
        self.blocks = (*self.blocks[1 - STEPS :], self.value)
        found = is_known and self._judge(kind, began, least)
        if not (self.changed or self.suspected) and self.blocks_learned < LONGER * blocks:
            self._learn(before)
            self.start = self.start if is_known else self.mean
        return found

    def _judge(self, kind: Kind, began: int, least: float) -> bool:
        far = (self.value - self.mean) / self.spread(kind, least)
        most = limit(self.blocks_learned)
        if self.changed is not None:
            if abs(far) < most / 2:  # well inside, or it would come and go
                self.changed, self.rise, self.fall = None, 0.0, 0.0
            return False
        if self.suspected is not None:
            self.waited += 1
            if self.waited == LATER:
                return self._decide(kind, most, began, least)
        elif abs(far) > most:
            self.suspected, self.waited = ("up" if far > 0 else "down"), 0
        return False

    def _decide(self, kind: Kind, most: float, began: int, least: float) -> bool:
        """Whether the steps since the block that was far out bear it out."""
        way, self.suspected = self.suspected, None
        sign, usual = 1 if way == "up" else -1, self.spread(kind, least)
        for steps, share in BORNE_OUT:
            far = sign * (self.over_last(kind, steps) - self.mean) / (usual * math.sqrt(STEPS / steps))
            if far <= share * most:
                return False
        self.changed = way
        self.since = min(self.risen if way == "up" else self.fallen, began)
        return True

    def _learn(self, before: float | None) -> None:
        self.learned += 1
        off = self.value - self.mean
        self.mean += off / self.learned
        self.squares += off * (self.value - self.mean)
        if before is not None:
            self.pairs += 1
            self.apart += (self.value - before) ** 2

    def _follow(
        self, kind: Kind, newest: tuple[int, float, float], began: int, size: int, least: float
    ) -> None:
        """Page's sums (1954) over the steps, which are 0 until a change begins: they say since when."""
        count, above, below = newest
        if not count or below <= 0:
            return
        usual = self.spread(kind, least) * math.sqrt(STEPS)
        far = (kind.scaled(above / below) - self.mean) / usual
        slack = limit(self.blocks_learned) / math.sqrt(STEPS) / 2
        if not self.rise:
            self.risen = began
        if not self.fall:
            self.fallen = began
        self.rise = min(max(self.rise + far - slack, 0.0), 1e6)
        self.fall = min(max(self.fall - far - slack, 0.0), 1e6)


__all__ = [
    "LATER",
    "LEAST",
    "LONGER",
    "NORMAL",
    "SETTLED",
    "SPREADS",
    "STEPS",
    "Channel",
    "Direction",
    "Kind",
    "limit",
]
