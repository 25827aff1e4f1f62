"""VisA as published: which image is in which part is written in a CSV file beside the categories."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgead.errors import DatasetError, cut
from edgead.files import is_file, read_plain
from edgead.types import GOOD, Sample, Split

SPLIT = Path("split_csv", "1cls.csv")
"""The publisher's division for learning from good images only, in the data set's root."""

MOST_BYTES = 1 << 28
_COLUMNS = ("object", "split", "label", "image", "mask")
_PARTS, _LABELS = ("train", "test"), ("normal", "anomaly")


@dataclass(frozen=True)
class VisA:
    """``Data/Images/Normal``, ``Data/Images/Anomaly`` and ``Data/Masks/Anomaly`` in each category's folder.

    ``../split_csv/1cls.csv`` divides them. Its columns are object (the category), split (train, test), label
    (normal, anomaly; both in upper or lower case), image and mask, both relative to the root. A mask's
    values are small numbers, one for each kind of defect.
    """

    refines: tuple[str, ...] = ()

    def recognises(self, folder: Path) -> bool:
        return (folder / "Data" / "Images" / "Normal").is_dir()

    def read(self, folder: Path) -> Split:
        root = folder.parent
        train: list[Path] = []
        good: list[Sample] = []
        bad: list[Sample] = []
        left_out = 0
        for where, row in _rows(root / SPLIT, folder.name):
            image = _file(root, row["image"], where)
            masks = (_file(root, row["mask"], where),) if row["mask"] else ()
            match row["split"].lower(), row["label"].lower():
                case part, label if part in _PARTS and label not in _LABELS:
                    raise DatasetError(
                        f"{where}: the label is '{cut(row['label'])}'; it must be normal or anomaly"
                    )
                case "train", "normal":
                    train.append(image)
                case "train", _:
                    left_out += 1
                case "test", "normal":
                    good.append(Sample(image, GOOD))
                case "test", label:
                    bad.append(Sample(image, label, masks))
                case _:
                    raise DatasetError(
                        f"{where}: the split is '{cut(row['split'])}'; it must be train or test"
                    )
        bad.sort(key=lambda sample: (sample.defect, sample.image))
        note = f"{left_out} defective training images are not used"
        return Split(
            train=tuple(sorted(train)),
            test=(*sorted(good, key=lambda sample: sample.image), *bad),
            notes=(note,) if left_out else (),
        )


def _rows(file: Path, category: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (file and line, row) of a category."""
    objects: set[str] = set()
    for line, row in _table(file):
        objects.add(row["object"])
        if row["object"] == category:
            yield f"{file}, line {line}", row
    if category not in objects:
        known = ", ".join(sorted(objects)) or "nothing"
        raise DatasetError(
            f"{file}: nothing of '{category}' in it, only of {cut(known)}; rename the folder to match"
        )


def _table(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV file with VisA's columns."""
    try:
        text = read_plain(file, MOST_BYTES).decode("utf-8-sig")
        with io.StringIO(text, newline="") as lines:
            reader = csv.DictReader(lines)
            absent = set(_COLUMNS) - set(reader.fieldnames or ())
            if absent:
                raise DatasetError(
                    f"{file}: no column '{min(absent)}'; the first line is {','.join(_COLUMNS)}"
                )
            for row in reader:
                if None in row or None in row.values():
                    raise DatasetError(f"{file}, line {reader.line_num}: must have {len(_COLUMNS)} values")
                yield reader.line_num, {name: row[name].strip() for name in _COLUMNS}
    except FileNotFoundError:
        raise DatasetError(
            f"{file}: not there, so nobody knows which images are for testing; keep VisA's split_csv folder "
            "beside its categories"
        ) from None
    except OSError as error:
        raise DatasetError(f"{file}: can't be read ({error.strerror}); check the rights") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file}: not a CSV file in UTF-8 ({error}); get it again") from None


def _file(root: Path, entry: str, where: str) -> Path:
    """Return the file that an entry names, inside the root."""
    inside = PurePosixPath(entry)
    outside = inside.is_absolute() or ".." in inside.parts or "\\" in entry or ":" in entry
    if not entry or outside:
        raise DatasetError(
            f"{where}: '{cut(entry)}' isn't a plain path inside the data set; get the CSV file again"
        )
    path = root / inside
    if not is_file(path):
        raise DatasetError(
            f"{where}: {cut(str(path))} isn't there; restore the file or get the data set again"
        )
    return path


__all__ = ["SPLIT", "VisA"]
