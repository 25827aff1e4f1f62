"""Folders of images: what is listed, and what is left out though it looks like an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from edgead.errors import DatasetError
from edgead.notices import Notice

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Files that are listed, in upper or lower case."""
OTHER_IMAGES = (
    ".arw", ".avif", ".cr2", ".cr3", ".dcm", ".dib", ".dng", ".exr", ".fits", ".gif", ".hdr", ".heic",
    ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jxl", ".jxr", ".nef", ".npy", ".orf", ".pam", ".pbm", ".pcx",
    ".pfm", ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".raf", ".ras", ".raw", ".rw2", ".tga",
)  # fmt: skip
"""Endings of files that are likely images, of kinds that aren't read."""
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""Videos that are read, each given by itself."""
OTHER_VIDEOS = (
    ".3gp", ".asf", ".flv", ".h264", ".h265", ".m2ts", ".m2v", ".mjpeg", ".mts", ".ogv", ".ts", ".vob",
)  # fmt: skip
"""Endings of files that are likely videos, of kinds that aren't read."""
GOOD_FOLDERS = ("good", "ok", "normal", "nominal", "pass")
"""Usual names of the folder of good images, the first the most usual; in upper or lower case."""
_MASK_FOLDERS = ("ground_truth", "masks", "mask")
_NAMED = 3
_LOOKED_AT = 100_000
"""Entries of subfolders that are looked at, so that a whole disk isn't."""


def list_images(folder: Path, *, good: bool = False) -> list[Path]:
    """Return the images directly in ``folder``, sorted by name; hidden files and subfolders are left out.

    Args:
        good: whether good images are wanted, so that an error names the subfolder that likely holds them.

    Raises:
        DatasetError: the folder doesn't exist, can't be read or holds no image.
    """
    folder = Path(folder)
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
        images = [p for p in entries if _is_image_name(p.name) and not p.is_dir()]
        if images:
            return images
        hint = _where_instead(folder, entries, good)
    except FileNotFoundError:
        raise DatasetError(f"{folder}: no such folder; give the folder that holds the images") from None
    except NotADirectoryError:
        raise DatasetError(f"{folder}: a file, not a folder; give the folder that holds the images") from None
    except OSError as error:
        raise DatasetError(f"{folder}: can't be read ({error.strerror}); check the path and rights") from None
    raise DatasetError(f"{folder}: no images in this folder; {hint}")


def left_out(folder: Path) -> tuple[Notice, ...]:
    """Return what ``list_images`` leaves out of a folder and likely shouldn't: nothing that isn't an image.

    The notices are ``left-out-subfolders``, ``left-out-files`` and ``left-out-videos``. Names in them are
    without the way to them.
    """
    try:
        entries = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: p.name)
    except OSError:
        return ()
    counts = {p.name: n for p in entries if p.is_dir() and (n := _count_images(p))}
    others = [p.name for p in entries if p.name.lower().endswith(OTHER_IMAGES) and not p.is_dir()]
    endings = (*VIDEO_SUFFIXES, *OTHER_VIDEOS)
    videos = [p.name for p in entries if p.name.lower().endswith(endings) and not p.is_dir()]
    found = []
    if counts:
        names = {"folder": folder.name, "names": name_some(list(counts))}
        found.append(Notice("left-out-subfolders", {**names, "images": sum(counts.values())}))
    if others:
        kinds = sorted({Path(name).suffix.lower() for name in others})
        names = {"folder": folder.name, "names": name_some(others)}
        found.append(Notice("left-out-files", {**names, "files": len(others), "kinds": " ".join(kinds)}))
    if videos:
        values = {"folder": folder.name, "names": name_some(videos), "files": len(videos)}
        found.append(Notice("left-out-videos", values))
    return tuple(found)


def name_some(names: Sequence[str], limit: int = _NAMED) -> str:
    """Return up to three names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _where_instead(folder: Path, entries: Sequence[Path], good: bool) -> str:
    """Say what else to give: where only other kinds are, or which subfolder holds images."""
    inside = [p for p in entries if p.is_dir() and not p.name.startswith(".")]
    below = [q for p in inside for q in _subfolders(p)]
    holding = [p for p in (*inside, *below) if _holds_images(p)]
    if holding:
        order = sorted(holding, key=_unlike_good if good else _unlike_images)
        inner = [path.relative_to(folder).as_posix() for path in order]
        if good or len(inner) == 1:
            return f"its subfolder '{inner[0]}' has some, give that"
        return f"its subfolders {name_some(inner)} have some, give one of them"
    others = sorted({p.suffix.lower() for p in entries if p.name.lower().endswith(OTHER_IMAGES)})
    if not others and any(p.name.lower().endswith(VIDEO_SUFFIXES) for p in entries):
        return "it holds videos: give each by itself to be judged, and images to learn from"
    return f"{f'{chr(32).join(others)} is not read, ' if others else ''}known are {' '.join(SUFFIXES)}"


def _unlike_good(folder: Path) -> tuple[int, int]:
    """Order folders: train/good, then good, then what may be anything, and test images last."""
    name, parent = folder.name.lower(), folder.parent.name.lower()
    rank = GOOD_FOLDERS.index(name) if name in GOOD_FOLDERS else len(GOOD_FOLDERS)
    part = 0 if parent == "train" or name == "train" else 2 if parent.startswith("test") else 1
    return rank, part


def _unlike_images(folder: Path) -> tuple[bool, bool, Path]:
    """Order folders by name, but those of training images first, and of masks last."""
    names = {folder.name.lower(), folder.parent.name.lower()}
    return not names.isdisjoint(_MASK_FOLDERS), "train" not in names, folder


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in islice(folder.iterdir(), _LOOKED_AT) if p.is_dir() and p.name[0] != ".")
    except OSError:
        return []


def _holds_images(folder: Path) -> bool:
    try:
        return any(_is_image_name(p.name) for p in folder.iterdir())
    except OSError:
        return False


def _count_images(folder: Path) -> int:
    return sum(_is_image_name(path.name) for path in islice(_below(folder), _LOOKED_AT))


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; links to folders aren't followed, which may lead round in a circle."""
    try:
        for path in folder.iterdir():
            if not path.is_dir():
                yield path
            elif not path.is_symlink() and not path.name.startswith("."):
                yield from _below(path)
    except OSError:
        return


__all__ = [
    "GOOD_FOLDERS",
    "OTHER_IMAGES",
    "SUFFIXES",
    "VIDEO_SUFFIXES",
    "left_out",
    "list_images",
    "name_some",
]
