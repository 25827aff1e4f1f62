"""A trained teacher as a file: safetensors, the weights by scale and what they come from.

The same bytes lie in a file that the user names and in the user's cache (``backbones.cache``), there under
the hash of everything that decides how the training ends: the second product finds them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import MissingDependencyError, OptionError
from edgead.extras import install
from edgead.files import write_file
from edgead_plugins.backbones.weights import check_file

KIND = "edgead uninformed-students teacher 1"
_METADATA = "edgead"


@dataclass(frozen=True)
class Teacher:
    """One scale's teacher.

    Attributes:
        scale: side of its patches.
        width: factor on its channels.
        weights: parameters by name, float32.
        facts: strings for the manifest: backbone, pictures, training, loss; ``channel_order``, ``mean`` and
            ``std`` of its input, in 0..255 units.
    """

    scale: int
    width: float
    weights: Mapping[str, NDArray[np.float32]] = field(repr=False)
    facts: Mapping[str, Any]


def to_bytes(teachers: Sequence[Teacher]) -> bytes:
    """The file's content; the same for the same teachers."""
    from safetensors.numpy import save

    tensors = {
        f"{t.scale}.{name}": np.ascontiguousarray(value)
        for t in teachers
        for name, value in sorted(t.weights.items())
    }
    about = {str(t.scale): {"width": t.width, **t.facts} for t in teachers}
    content: bytes = save(tensors, {_METADATA: json.dumps({"kind": KIND, "scales": about}, sort_keys=True)})
    return content


def from_bytes(content: bytes, where: str) -> dict[int, Teacher]:
    """The teachers by scale.

    Args:
        where: for messages.

    Raises:
        OptionError: not whole, not a teacher's, or with values that aren't finite.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise MissingDependencyError(
            f"a teacher is kept with safetensors, which isn't installed: {install('fit')}"
        ) from error
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_METADATA])
        if about["kind"] != KIND:
            raise KeyError(about["kind"])
        found = {int(scale): dict(facts) for scale, facts in about["scales"].items()}
        widths = {scale: float(facts.pop("width")) for scale, facts in found.items()}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise OptionError(
            f"'{where}' is not a teacher that edgead wrote, or is damaged: name a file that doesn't exist "
            "yet to have one trained and written there"
        ) from error
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise OptionError(f"'{where}' holds values that aren't finite: remove it to have another trained")
    return {
        scale: Teacher(
            scale,
            widths[scale],
            {n.partition(".")[2]: np.asarray(v, np.float32) for n, v in _of(tensors, scale).items()},
            facts,
        )
        for scale, facts in found.items()
    }


def _of(tensors: Mapping[str, Any], scale: int) -> dict[str, Any]:
    return {name: value for name, value in tensors.items() if name.startswith(f"{scale}.")}


def read_teachers(path: Path, scales: Sequence[int], name: str = "") -> list[Teacher]:
    """Read these scales' teachers from a file.

    Args:
        name: what errors call it; its path where it's empty.

    Raises:
        OptionError: the file can't be used, or lacks one.
    """
    check_file(path)
    found = from_bytes(path.read_bytes(), str(path))
    if missing := [scale for scale in scales if scale not in found]:
        raise OptionError(
            f"'{name or path}' has no teacher for patches of {missing[0]}, only of "
            f"{', '.join(map(str, sorted(found)))}: change -o scales= or name another file"
        )
    return [found[scale] for scale in scales]


def write_teachers(path: Path, teachers: Sequence[Teacher]) -> None:
    """Write the file, whole or not at all; raises ``OutputError``."""
    write_file(path, to_bytes(teachers))


__all__ = ["Teacher", "from_bytes", "read_teachers", "to_bytes", "write_teachers"]
