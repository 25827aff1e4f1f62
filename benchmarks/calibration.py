"""What thresholds promise, checked by drawing scores from known laws, and on real images by splitting them.

    python benchmarks/calibration.py [--draws 1000] [--law groups]
    python benchmarks/calibration.py --good FOLDER [--size 128] [--splits 1000]

Without images, of each law, n and asked rate: the true rate at the threshold, on the average, and how often
it is under the stated bound; beside it, in brackets, those of the order statistic alone. Then the share of
sets whose tail was fitted, what plugged-in estimators would do beyond the largest score, and how often the
check of a fit refuses what is a generalised Pareto law.

With a folder of good images: a third of the parts is learned, the others are scored and split in two at
random, again and again; one half calibrates, the other judges. What is seen of so few scatters about the true
rate, so it's under a bound of the rate less often: by chance as often as the last column says, for the score
just under the threshold, where the bound is exact.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.conformal import between, expected_rate, rank, upper_rate
from edgead.device.calibrate import largest_by_group, quantile
from edgead.tail import MOST_MISFIT, fit_tail

RATES = (0.001, 0.01, 0.03, 0.05, 0.1)
COUNTS = (20, 50, 100, 200, 1000)
IMAGES = 5
"""Of a group."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """``draw(rng, n)``: the scores of n parts, part by part; ``over(scores)``: an image's rate over each."""

    name: str
    draw: Callable[[np.random.Generator, int], Floats]
    over: Callable[[Floats], Floats]
    images: int = 1


def over_normal(x: Floats) -> Floats:
    return np.array([math.erfc(v / math.sqrt(2)) / 2 for v in np.ravel(x)]).reshape(np.shape(x))


def over_t3(x: Floats) -> Floats:
    """Of the absolute value of Student's t with three degrees of freedom."""
    a = np.maximum(x, 0) / math.sqrt(3)
    return 1 - 2 / math.pi * (a / (1 + a**2) + np.arctan(a))


def bimodal(share: float, name: str) -> Law:
    return Law(
        name,
        lambda rng, n: rng.normal(size=n) + 6 * (rng.uniform(size=n) < share),
        lambda x: (1 - share) * over_normal(x) + share * over_normal(x - 6),
    )


def draw_groups(rng: np.random.Generator, n: int) -> Floats:
    """The scores of n parts: a level of its own, and images that follow one another (AR(1), 0.8)."""
    scores = np.empty((n, IMAGES))
    scores[:, 0] = rng.normal(size=n)
    for image in range(1, IMAGES):
        scores[:, image] = 0.8 * scores[:, image - 1] + 0.6 * rng.normal(size=n)
    scores += rng.normal(size=n)[:, None]
    return scores.ravel()


def laws() -> list[Law]:
    return [
        Law("light: normal", lambda rng, n: rng.normal(size=n), over_normal),
        Law("skewed: log-normal, 0.5", lambda rng, n: np.exp(rng.normal(size=n) / 2),
            lambda x: over_normal(2 * np.log(np.maximum(x, 1e-300)))),
        Law("heavy: Student's t, 3", lambda rng, n: np.abs(rng.standard_t(3, n)), over_t3),
        bimodal(0.15, "bimodal: 15 % apart"),
        bimodal(0.03, "bimodal: 3 % apart"),
        Law("groups", draw_groups, lambda x: over_normal(x / math.sqrt(2)), IMAGES),
    ]  # fmt: skip


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def simulate(draws: int, only: list[str]) -> None:
    asked = [f"{rate:.1%}" for rate in RATES]
    bounds = [[str(n), *(f"{upper_rate(n, between(n, rate)[0]):.2%}" for rate in RATES)] for n in COUNTS]
    table("Bound on the rate", ["n", *asked], bounds)
    means, covered, fitted = [], [], []
    for number, law in enumerate(laws()):
        if not law.name.startswith(tuple(only or [""])):
            continue
        for n in COUNTS:
            rng = np.random.default_rng([number, n])
            true, alone = np.empty((draws, len(RATES))), np.empty((draws, len(RATES)))
            below, tails = np.zeros_like(true), np.zeros(len(RATES))
            for draw in range(draws):
                scores = law.draw(rng, n)
                ordered = np.sort(scores.reshape(n, law.images).max(1))
                parts = np.repeat(np.arange(n), law.images).tolist() if law.images > 1 else None
                found = [quantile(scores.tolist(), rate, parts) for rate in RATES]
                true[draw] = law.over(np.array([each.threshold for each in found]))
                alone[draw] = law.over(np.array([ordered[rank(n, rate) - 1] for rate in RATES]))
                below[draw] = true[draw] <= [each.upper_rate for each in found]
                tails += [each.rule == "generalised-pareto" for each in found]
            bound = [upper_rate(n, rank(n, rate)) for rate in RATES]
            means.append([law.name, str(n), *pairs(true.mean(0), alone.mean(0), ".3g")])
            covered.append([law.name, str(n), *pairs(below.mean(0), (alone <= bound).mean(0), ".1f")])
            if tails.any():
                fitted.append(
                    [law.name, str(n), *(f"{share:.0%}" if share else "" for share in tails / draws)]
                )
    table("True rate at the threshold, mean, % (order statistic alone)", ["law", "n", *asked], means)
    table("True rate under the bound, % of draws (order statistic alone)", ["law", "n", *asked], covered)
    table("Sets whose threshold is beyond the largest score, by a fitted tail", ["law", "n", *asked], fitted)


def pairs(these: Floats, others: Floats, how: str) -> list[str]:
    return [f"{100 * a:{how}} ({100 * b:{how}})" for a, b in zip(these, others, strict=True)]


def plugged_in(excesses: Floats) -> dict[str, tuple[float, float]]:
    """Shape and scale by the two estimators that ``edgead.tail`` speaks of."""
    x, n = np.sort(excesses), len(excesses)
    mean, second = x.mean(), (x * (1 - (np.arange(1, n + 1) - 0.35) / n)).mean()
    moments = 2 - mean / (mean - 2 * second), 2 * mean * second / (mean - 2 * second)
    count = 30 + int(n**0.5)
    tried = 1 / x[-1] + (1 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))) / (3 * x[int(n / 4 + 0.5) - 1])
    shapes = np.array([np.log1p(-each * x).mean() for each in tried])
    likelihood = n * (np.log(-tried / shapes) - shapes - 1)
    steepness = tried @ (1 / np.exp(likelihood[None, :] - likelihood[:, None]).sum(1))
    shape = np.log1p(-steepness * x).mean()
    return {"moments": moments, "Zhang and Stephens": (shape, -shape / steepness)}


def compare(draws: int, ratio: float = 0.2) -> None:
    names = ["this", "Zhang and Stephens", "moments"]
    rows = []
    for number, law in enumerate(laws()[:3]):
        for n in (50, 200):
            rng = np.random.default_rng([number, n, 1])
            found: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(draws):
                scores = np.sort(law.draw(rng, n))
                if not (tail := fit_tail(scores)):
                    continue
                found["this"].append(tail.score(ratio))
                start, largest = scores[n - tail.exceedances - 1], scores[-1]
                for name, (shape, scale) in plugged_in(scores[n - tail.exceedances :] - start).items():
                    beyond = max(scale + shape * (largest - start), 0)
                    further = beyond * (ratio**-shape - 1) / shape if shape else -beyond * math.log(ratio)
                    found[name].append(largest + further)
            means = (law.over(np.array(found[name])).mean() * (n + 1) for name in names)
            rows.append([law.name, str(n), *(f"{mean:.2f}" for mean in means)])
    table(f"Mean rate over the largest's expected one, {ratio} asked for", ["law", "n", *names], rows)


def check_the_check(draws: int) -> None:
    rows = []
    for shape in (-0.4, -0.2, -0.1, 0.1, 0.2, 0.4):
        row = [f"{shape}"]
        for count in (10, 42, 95):
            rng = np.random.default_rng(count)
            refused = 0
            for _ in range(draws):
                excesses = np.sort((rng.uniform(size=count) ** -shape - 1) / shape)
                refused += not _passes(excesses)
            row.append(f"{refused / draws:.0%}")
        rows.append(row)
    table(f"Generalised Pareto sets refused (A^2 over {MOST_MISFIT})", ["shape", "10", "42", "95"], rows)


def _passes(excesses: Floats) -> bool:
    from edgead.tail import _fit

    return _fit(np.concatenate([[0.0], excesses])) is not None


def score_parts(folder: Path, size: int) -> tuple[Floats, Floats]:
    """Scores and parts of the images that weren't learned: a third of the parts is."""
    import edgead
    from edgead.images import read_image
    from edgead.progress import silent
    from edgead.workbench.good_images import read_good
    from edgead.workbench.groups import group

    frames = read_good(folder, (size, size), 32, silent).images
    parts = group(frames, None, silent).labels
    shuffled = np.random.default_rng(0).permutation(parts.max() + 1)
    learned = np.isin(parts, shuffled[: len(shuffled) // 3])
    files = [frames.paths[i] for i in np.flatnonzero(learned)]
    with tempfile.TemporaryDirectory() as place:
        fitted = edgead.fit("patchcore", files, Path(place) / "x.edgead", size=size)
        detector = edgead.load(fitted.path)
        scores = [detector(read_image(frames.paths[i])).score for i in np.flatnonzero(~learned)]
    return np.array(scores), parts[~learned]


def seen_under(bound: float, n: int, k: int, others: int) -> float:
    """How often the share of other scores over the k-th smallest of n is under a bound, by chance."""
    over, all_of = n + 1 - k, n + 1
    logs = [
        math.lgamma(others + 1) - math.lgamma(m + 1) - math.lgamma(others - m + 1)
        + math.lgamma(m + over) + math.lgamma(others - m + k) - math.lgamma(others + all_of)
        + math.lgamma(all_of) - math.lgamma(over) - math.lgamma(k)
        for m in range(math.floor(bound * others) + 1)
    ]  # fmt: skip
    return sum(map(math.exp, logs))


def split_in_two(scores: Floats, parts: Floats, splits: int) -> None:
    counted = np.array(largest_by_group(scores.tolist(), parts.tolist()))
    half = len(counted) // 2
    print(f"\n{len(scores)} images of {len(counted)} parts, {half} to calibrate, {splits} splits")
    rows = []
    for rate in RATES:
        rng = np.random.default_rng(0)
        seen, bounds, rules = [], [], []
        for _ in range(splits):
            order = rng.permutation(len(counted))
            found = quantile(counted[order[:half]].tolist(), rate)
            seen.append(np.mean(counted[order[half:]] > found.threshold))
            bounds.append(found.upper_rate)
            rules.append(found.rule == "generalised-pareto")
        rows.append([
            f"{rate:.1%}", f"{np.mean(rules):.0%}", f"{np.mean(seen):.2%}",
            f"{expected_rate(half, rank(half, rate)):.2%}", f"{bounds[0]:.1%}",
            f"{np.mean(np.array(seen) <= np.array(bounds)):.1%}",
            f"{seen_under(bounds[0], half, between(half, rate)[0], len(counted) - half):.1%}",
        ])  # fmt: skip
    heads = ["asked", "fitted", "seen, mean", "order statistic alone", "bound", "seen under it", "by chance"]
    table("Of the other half's parts over the threshold", heads, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument(
        "--law", dest="laws", action="append", default=[], help="its name's beginning: groups, light ..."
    )
    parser.add_argument("--good", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--splits", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.good:
        scores, parts = score_parts(arguments.good, arguments.size)
        split_in_two(scores, parts, arguments.splits)
        return
    simulate(arguments.draws, arguments.laws)
    if arguments.laws:
        return
    compare(arguments.draws)
    check_the_check(arguments.draws)


if __name__ == "__main__":
    main()
