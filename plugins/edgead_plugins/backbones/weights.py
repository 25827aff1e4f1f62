"""Weights that a user hands over: a file that nobody vouches for, read without executing anything in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import MissingDependencyError, OptionError
from edgead.extras import install

MAX_BYTES = 2**31 - 1
"""Of a weights or ONNX file: what one ONNX graph can hold."""
_PICKLE_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar"}
_FLOATS = {"F16", "BF16", "F32", "F64"}

Shape = tuple[int, ...]


def check_file(path: Path) -> None:
    """Raise ``OptionError`` where ``path`` isn't a plain, readable file of 1 to ``MAX_BYTES`` bytes."""
    try:
        if not path.exists():
            raise OptionError(f"no file '{path}': check the path given for the backbone")
        if not path.is_file():
            raise OptionError(f"'{path}' is not a file: give the weights file itself")
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise OptionError(f"can't read '{path}': {error.strerror or error}") from error
    if size == 0:
        raise OptionError(f"'{path}' is empty: download or save it again")
    if size > MAX_BYTES:
        raise OptionError(
            f"'{path}' has {size:,} bytes, more than the {MAX_BYTES:,} that a backbone may have"
        )


def looks_pickled(path: Path) -> bool:
    """Tell whether a file is of the kind that torch.save writes, by its name or its first bytes."""
    with path.open("rb") as file:
        start = file.read(4)
    return path.suffix.lower() in _PICKLE_SUFFIXES or start[:4] == b"PK\x03\x04" or start[:1] == b"\x80"


class SafetensorsFile:
    """The float tensors of a .safetensors file: names and shapes at once, the values when asked for.

    Attributes:
        shapes: the shape of each tensor, by key.

    Raises:
        OptionError: the file isn't whole, valid safetensors.
    """

    def __init__(self, path: Path) -> None:
        try:
            from safetensors import SafetensorError, safe_open
        except ImportError as error:
            raise MissingDependencyError(
                f"weights are read with safetensors, which isn't installed: {install('fit')}"
            ) from error
        check_file(path)
        self.path = path
        try:
            with safe_open(path, framework="numpy") as file:
                parts = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
                self.shapes: Mapping[str, Shape] = {key: tuple(p.get_shape()) for key, p in parts.items()}
                self._dtypes = {key: str(part.get_dtype()) for key, part in parts.items()}
        except (SafetensorError, OSError, ValueError) as error:
            raise OptionError(
                f"'{path}' is not a whole .safetensors file ({error}): download or save it again"
            ) from error

    def read(self, keys: list[str]) -> dict[str, NDArray[np.float64]]:
        """Return tensors as float64; ``OptionError`` for integers and for values that aren't finite."""
        from safetensors import safe_open

        for key in keys:
            if self._dtypes[key] not in _FLOATS:
                raise OptionError(f"'{self.path}': '{key}' is {self._dtypes[key]}, a float type is needed")
        tensors = {}
        with safe_open(self.path, framework="numpy") as file:
            for key in keys:
                tensors[key] = np.asarray(file.get_tensor(key)).astype(np.float64)
                if not np.isfinite(tensors[key]).all():
                    raise OptionError(f"'{self.path}': '{key}' holds values that aren't finite")
        return tensors


def read_state_dict(torch: Any, path: Path) -> dict[str, Any]:
    """Return names and tensors of a .safetensors or .pth file, without executing anything that's in it.

    Args:
        torch: the package, which this module doesn't import.
        path: a file that ``check_file`` has passed.

    Raises:
        OptionError: the file is damaged, or holds something else than named tensors.
    """
    if not looks_pickled(path):
        SafetensorsFile(path)  # says what's wrong
        from safetensors.torch import load_file

        tensors: dict[str, Any] = load_file(path)
        return tensors
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever the file makes it meet
        raise OptionError(
            f"'{path}' holds more than tensors, or is damaged, and was not loaded: "
            "save model.state_dict() alone, best with safetensors.torch.save_file"
        ) from error
    for inner in ("state_dict", "model"):  # what training scripts wrap it in
        if isinstance(found, dict) and isinstance(found.get(inner), dict):
            found = found[inner]
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in found.items()
    ):
        raise OptionError(f"'{path}' isn't a state dictionary (names and tensors): save model.state_dict()")
    return {key.removeprefix("module."): value for key, value in found.items()}
