"""Small trees in the published layouts. Image content is never looked at, except the Kolektor masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def put(root: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def put_mask(file: Path, value: int, size: int = 16) -> None:
    """A mask whose upper left quarter has a value."""
    mask = np.zeros((size, size), np.uint8)
    mask[: size // 2, : size // 2] = value
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), mask)


def mvtec(root: Path) -> Path:
    put(root, *(f"train/good/{i:03}.png" for i in range(3)), "test/good/000.png", "test/good/001.png")
    put(root, "test/crack/000.png", "test/crack/001.png", "test/a_hole/000.png", "readme.txt", "license.txt")
    put(root, "ground_truth/crack/000_mask.png", "ground_truth/crack/001_mask.png")
    put(root, "ground_truth/a_hole/000_mask.png")
    return root


def visa_converted(root: Path) -> Path:
    put(root, "train/good/0836.JPG", "test/good/0007.JPG", "test/bad/000.JPG", "ground_truth/bad/000.png")
    return root


def loco(root: Path) -> Path:
    put(root, "train/good/000.png", "validation/good/000.png", "test/good/000.png", "defects_config.json")
    put(root, "test/logical_anomalies/000.png", "test/structural_anomalies/000.png")
    put(root, *(f"ground_truth/logical_anomalies/000/{i:03}.png" for i in range(3)))
    put(root, "ground_truth/structural_anomalies/000/000.png")
    return root


def ad2(root: Path) -> Path:
    put(root, "train/good/000_regular.png", "validation/good/000_regular.png")
    put(root, "test_public/good/000_regular.png", "test_public/good/000_overexposed.png")
    put(root, "test_public/bad/000_regular.png", "test_public/bad/000_shift_1.png")
    put(root, *(f"test_public/ground_truth/bad/000_{light}_mask.png" for light in ("regular", "shift_1")))
    put(root, "test_private/000_regular.png", "test_private_mixed/000_mixed.png")
    return root


def btad(root: Path) -> Path:
    put(
        root,
        "train/ok/0000.bmp",
        "train/ok/0001.bmp",
        "test/ok/0000.bmp",
        "test/ko/0000.bmp",
        "test/ko/0001.bmp",
    )
    put(root, "ground_truth/ko/0000.png", "ground_truth/ko/0001.bmp")
    return root


VISA_ROWS = (
    "candle,train,normal,candle/Data/Images/Normal/0836.JPG,",
    "candle,train,normal,candle/Data/Images/Normal/0451.JPG,",
    "candle,test,normal,candle/Data/Images/Normal/0007.JPG,",
    "candle,test,anomaly,candle/Data/Images/Anomaly/001.JPG,candle/Data/Masks/Anomaly/001.png",
    "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png",
    "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,",
    "pcb1,test,normal,pcb1/Data/Images/Normal/0001.JPG,",
    "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/000.JPG,pcb1/Data/Masks/Anomaly/000.png",
)


def visa(root: Path) -> Path:
    """The whole data set, two categories; returns the category candle."""
    put(root, *(name for row in VISA_ROWS for name in row.split(",")[3:] if name))
    write_visa_csv(root, *VISA_ROWS)
    return root / "candle"


def write_visa_csv(root: Path, *rows: str, header: str = "object,split,label,image,mask") -> None:
    file = root / "split_csv" / "1cls.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join((header, *rows)) + "\n")


def kolektor(root: Path) -> Path:
    """Two commutators of four parts; kos01/Part1 and kos02/Part0 are defective, with other mask values."""
    for item in ("kos01", "kos02"):
        for part in range(4):
            put(root, f"{item}/Part{part}.jpg")
            bad = (item, part) in (("kos01", 1), ("kos02", 0))
            put_mask(root / item / f"Part{part}_label.bmp", (1 if item == "kos01" else 255) if bad else 0)
    return root


def kolektor2(root: Path) -> Path:
    """In train, 10001 is defective; in test, 20000 is. The archive's stray copies are there too."""
    for part, numbers, bad in (("train", range(10000, 10004), 10001), ("test", range(20000, 20003), 20000)):
        for number in numbers:
            put(root, f"{part}/{number}.png")
            put_mask(root / part / f"{number}_GT.png", 255 if number == bad else 0)
    put(root, "train/10301 (copy).png", "train/10301_GT (copy).png")
    return root
