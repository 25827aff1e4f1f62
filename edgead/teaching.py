"""What a bundle carries so that it can be taught: how its map is made of patch scores, in a small file.

The manifest's ``teaching`` says the rest; ``edgead.bundle.taught`` keeps the lessons, and
``edgead.runtime.lessons`` does their arithmetic.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.bundle import Bundle
from edgead.errors import LessonError, TeachError
from edgead.manifest import TeachingRecord
from edgead.names import shown

FILE = "teaching.f32"
EMBEDDING, PATCH = "patch_embedding", "patch_scores"
"""Names of the graph's tensors; see ``TeachingRecord``."""
SINGLE = np.dtype("<f4")

Floats = NDArray[np.float32]


def write_matrices(folder: Path, vertical: Floats, horizontal: Floats) -> str:
    """Write the file into a bundle in the making; returns its name."""
    parts = (np.ascontiguousarray(matrix, SINGLE).tobytes() for matrix in (vertical, horizontal))
    (folder / FILE).write_bytes(b"".join(parts))
    return FILE


def read_matrices(bundle: Bundle) -> tuple[Floats, Floats]:
    """Return ``vertical`` (H, h) and ``horizontal`` (W, w).

    Raises:
        TeachError: the bundle can't be taught.
        LessonError: the file isn't as the manifest says.
    """
    return read_matrices_of(bundle, required(bundle))


def read_matrices_of(bundle: Bundle, record: TeachingRecord) -> tuple[Floats, Floats]:
    """The same of a bundle that needn't be one to teach; raises LessonError."""
    (height, width), (h, w) = bundle.manifest.input.size, record.grid
    content = bundle.read(record.file)
    wanted = (height * h + width * w) * SINGLE.itemsize
    if len(content) != wanted:
        raise LessonError(
            f"{bundle.path}: '{record.file}' has {len(content)} bytes, its manifest's matrices take "
            f"{wanted}; export the bundle again"
        )
    values = np.frombuffer(content, SINGLE).astype(np.float32)
    if not np.isfinite(values).all():
        raise LessonError(f"{bundle.path}: '{record.file}' holds NaN or infinity; export the bundle again")
    vertical, horizontal = np.split(values, [height * h])
    return vertical.reshape(height, h), horizontal.reshape(width, w)


def required(bundle: Bundle) -> TeachingRecord:
    """Return what teaching takes.

    Raises:
        TeachError: the bundle has none, and what can be done instead.
    """
    manifest = bundle.manifest
    if manifest.kind != "compiled":
        raise TeachError(
            f"{shown(bundle.path)}: fit's bundle isn't taught, what export makes of it is: run `edgead "
            "export` and teach that"
        )
    if manifest.teaching is None:
        raise TeachError(
            f"{shown(bundle.path)}: {manifest.method.name} keeps no bank of good patches that could be "
            "taught, or an older edgead fitted it (then fit and export it again): it's recalibrated only, "
            "with `edgead calibrate BUNDLE --good DIR`"
        )
    return manifest.teaching


__all__ = ["EMBEDDING", "FILE", "PATCH", "read_matrices", "read_matrices_of", "required", "write_matrices"]
