"""The tables of docs/methods.md, of what `edgead benchmark --grid benchmarks/methods.toml` wrote.

    python benchmarks/methods_table.py methods.jsonl

For each data set a table of the methods, in FP32 and in the form that ``auto`` took, and then one table of
what INT8 really costs beside what the precision gate expected. Means over the seeds that the file has, with
the image AUROC's standard deviation; what isn't in the file yet is a dash. Seconds and milliseconds are the
processor's, of fitting with all that it prepares, and of one frame on one core.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgead.evaluation.grid import Line, read_lines
from edgead.evaluation.grid_table import names, value

METRICS = ("image_auroc", "pixel_auroc", "aupro_30", "image_f1")
INT8 = "int8"


@dataclass
class Runs:
    """One method on one data set: the seeds' results by the precision that was asked for."""

    by_seed: dict[str, dict[int, Mapping[str, Any]]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    """Why INT8 isn't to be had, by seed."""

    def of(self, asked: str) -> list[Mapping[str, Any]]:
        """The results of one precision, by rising seed."""
        found = self.by_seed.get(asked, {})
        return [found[seed] for seed in sorted(found)]

    def losses(self) -> list[float]:
        """What INT8 lost of the image AUROC against FP32, in points, for each seed that has both."""
        fp32, int8 = self.by_seed.get("fp32", {}), self.by_seed.get(INT8, {})
        both = sorted(fp32.keys() & int8.keys())
        return [100 * (fp32[seed]["image_auroc"] - int8[seed]["image_auroc"]) for seed in both]

    def expected(self) -> list[float]:
        """What the gate expected INT8 to lose, in points, for each seed; refused ones too."""
        forms = (form for result in self.of("auto") for form in result["forms"])
        found = (form["separation"] for form in forms if form["precision"] == INT8)
        return [100 * separation["expected_loss"] for separation in found if separation]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    lines = read_lines(parser.parse_args().results)
    runs = gathered(lines)
    methods = list(dict.fromkeys(method for method, _ in runs))
    datasets = list(dict.fromkeys(data for _, data in runs))
    kinds = sorted({line["result"].get("processor", "unknown") for line in lines if "result" in line})
    print(f"image AUROC / pixel AUROC / PRO / F1 at the shipped threshold, in %; on {', '.join(kinds)}\n")
    for data in datasets:
        print("\n".join(table(data, {m: runs[m, data] for m in methods if (m, data) in runs})) + "\n")
    print("\n".join(losses(runs, methods, datasets)))


def gathered(lines: Sequence[Line]) -> dict[tuple[str, str], Runs]:
    """The lines by method and data set, of each cell the last; failures only where a gate refuses INT8."""
    runs: dict[tuple[str, str], Runs] = {}
    for line, data in zip(lines, names(lines), strict=True):
        making = line["cell"]["making"]
        found = runs.setdefault((making["method"], data), Runs())
        asked, seed = making["precision"], making["seed"]
        if "result" in line:
            found.by_seed.setdefault(asked, {})[seed] = line["result"]
            if asked == INT8:
                found.refused.pop(seed, None)
        elif asked == INT8:
            found.refused[seed] = line["error"]
    return runs


def table(data: str, of: Mapping[str, Runs]) -> list[str]:
    """One data set's table as lines of Markdown."""
    counted = next((runs.of("fp32")[0] for runs in of.values() if runs.of("fp32")), None)
    judged = "" if counted is None else f" ({counted['good']} good, {counted['bad']} defective judged)"
    rows = [
        f"| {data}{judged} | seeds | FP32 | auto | its form | fit, s | MiB | ms |",
        "|" + " --- |" * 8,
    ]
    for method, runs in of.items():
        fp32, auto = runs.of("fp32"), runs.of("auto")
        forms = Counter(str(result["precision"]) for result in auto)
        taken = [name if count == len(auto) else f"{name} {count}x" for name, count in forms.items()]
        rows.append(
            f"| {method} | {max(len(fp32), len(auto))} | {_scores(fp32)} | {_scores(auto)} | "
            f"{', '.join(taken) or '-'} | {_mean(fp32, 'fit_cpu_seconds', '.0f')} | "
            f"{_both(fp32, auto, 'mib')} | {_both(fp32, auto, 'cpu_ms')} |"
        )
    return rows


def losses(
    runs: Mapping[tuple[str, str], Runs], methods: Iterable[str], datasets: Sequence[str]
) -> list[str]:
    """What INT8 lost beside what was expected, in points of image AUROC, as lines of Markdown."""
    rows = [f"| expected / lost | {' | '.join(datasets)} | mean lost |", "|" + " --- |" * (len(datasets) + 2)]
    for method in methods:
        cells, means = [], []
        for data in datasets:
            found = runs.get((method, data), Runs())
            lost, expected = found.losses(), found.expected()
            refused = f", {len(found.refused)} refused" if found.refused else ""
            cells.append(f"{_number(expected)} / {_number(lost)}{refused}")
            means += [float(np.mean(lost))] if lost else []
        rows.append(f"| {method} | {' | '.join(cells)} | {_number(means)} |")
    return rows


def _scores(results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return "-"
    columns = [np.array([value(result, metric) for result in results], float) for metric in METRICS]
    image = f"{columns[0].mean():.1f}" + (f" ± {columns[0].std(ddof=1):.1f}" if len(results) > 1 else "")
    return " / ".join([image, *(f"{column.mean():.1f}" for column in columns[1:])])


def _both(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], cost: str) -> str:
    return f"{_mean(one, cost, '.1f')}, {_mean(other, cost, '.1f')}"


def _mean(results: Sequence[Mapping[str, Any]], cost: str, style: str) -> str:
    found = np.array([value(result, cost) for result in results], float)
    return format(float(found.mean()), style) if len(found) else "-"


def _number(values: Sequence[float]) -> str:
    return f"{np.mean(values) + 0.0:.1f}".replace("-0.0", "0.0") if values else "-"


if __name__ == "__main__":
    main()
