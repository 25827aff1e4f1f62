"""``edgead datasets``: what a folder was recognised as, and what is in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.output import json_option, print_entries, print_json, print_table
from edgead.names import shown

if TYPE_CHECKING:
    from edgead.datasets import Dataset


@click.command("datasets")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--layout", metavar="NAME", help="Read FOLDER in this layout instead of recognising it.")
@json_option
def command(folder: Path | None, layout: str | None, as_json: bool) -> None:
    """Show what is in the data set or the categories in FOLDER, or list the known layouts.

    docs/datasets.md says what each layout expects.
    """
    if folder is None and layout is not None:
        raise click.UsageError("--layout is for a FOLDER: give one, or leave it out")
    if folder is None:
        _list_layouts(as_json)
        return
    from edgead.datasets import find_categories, open_dataset
    from edgead.errors import InputError

    categories = find_categories(folder, layout)
    if not categories:
        found = open_dataset(folder, layout)
        if as_json:
            print_json({"folder": str(folder), "datasets": [_record(found)]})
        else:
            _print(found)
        return
    records: list[dict[str, Any]] = []
    for category in categories:
        try:
            records.append(_record(open_dataset(folder, layout, category)))
        except InputError as error:  # one broken category doesn't hide the others
            records.append({"category": category, "problem": str(error)})
    if as_json:
        print_json({"folder": str(folder), "datasets": records})
    else:
        _print_all(records)


def _list_layouts(as_json: bool) -> None:
    from edgead.plugins import registry

    print_entries(registry().entries("layouts"), as_json)


def _record(found: Dataset) -> dict[str, Any]:
    defects = Counter(sample.defect for sample in found.test if not sample.is_good)
    masked = Counter(sample.defect for sample in found.test if not sample.is_good and sample.masks)
    return {
        "name": found.name,
        "layout": found.layout,
        "category": found.category,
        "folder": str(found.folder),
        "train": len(found.train),
        "validation": len(found.validation),
        "good": sum(sample.is_good for sample in found.test),
        "defective": sum(defects.values()),
        "with_mask": sum(masked.values()),
        "defects": {name: {"images": n, "with_mask": masked[name]} for name, n in defects.items()},
        "notes": list(found.notes),
        "notices": [notice.record() for notice in found.notices],
    }


def _print(found: Dataset) -> None:
    record = _record(found)
    kinds = record["defects"]
    print_table([
        ("data set", shown(found.name)),
        ("layout", found.layout),
        ("train", f"{record['train']} good"),
        *([("validation", f"{record['validation']} good")] if found.validation else []),
        ("test", f"{record['good']} good, {record['defective']} defective"),
        *((f"  {shown(name)}", f"{n['images']}, {n['with_mask']} with a mask") for name, n in kinds.items()),
    ])  # fmt: skip
    for note in found.notes:
        click.echo(f"note: {shown(note)}")


def _print_all(records: list[dict[str, Any]]) -> None:
    columns = ("layout", "train", "validation", "good", "defective", "with_mask")
    read = [record for record in records if "problem" not in record]
    rows = [(shown(record["category"]), *(str(record[column]) for column in columns)) for record in read]
    print_table(rows, ("category", *columns[:-1], "with mask"))
    for note in dict.fromkeys(note for record in read for note in record["notes"]):
        about = [record["category"] for record in read if note in record["notes"]]
        click.echo(shown(f"note: {note}" + ("" if len(about) == len(records) else f" ({', '.join(about)})")))
    for record in records:
        if "problem" in record:
            click.echo(shown(f"problem: {record['problem']}"))
