"""A model as bytes: what was checked is what an engine is given, and no file of it is opened again."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from edgead.bundle import Bundle
from edgead.bundle.loaded import model_files
from edgead.errors import CompileError, one_line
from edgead.files import read_plain
from edgead.leftovers import scratch_folder
from edgead.modelfile import check_model

SETTINGS = "tensorrt.json"
"""A Jetson's settings, beside its model; see ``edgead.runtime.providers``."""


@dataclass(frozen=True, repr=False, eq=False)
class ModelBytes:
    """A model's file, and those that belong to it.

    Attributes:
        name: the file's, without a folder: its end tells the kind, ``.onnx`` for instance.
        data: its content.
        beside: the content of the files in its folder that may belong to it, by name: with ``model.xml``
            there's ``model.bin``. Of a bundle, what its exporter wrote.
        hashed: the SHA-256, lower-case hex, of what of it was hashed already, by name: of a bundle all of it.
        keep: whether a session may keep these bytes for ``Session.execution``, which only export asks for. A
            detector's needn't: the engine has made its own of them.
    """

    name: str
    data: bytes
    beside: Mapping[str, bytes] = field(default_factory=dict)
    keep: bool = True
    hashed: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        beside = "".join(f", {name}" for name in self.beside)
        return f"ModelBytes({self.name}{beside}: {len(self.data)} bytes)"

    @property
    def suffix(self) -> str:
        """The end of its name, with the dot."""
        return PurePath(self.name).suffix

    @property
    def weights(self) -> bytes | None:
        """The content of the ``.bin`` of the same name, or None."""
        return self.beside.get(self._weights_name)

    @property
    def _weights_name(self) -> str:
        return PurePath(self.name).with_suffix(".bin").name

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the file and of its weights, where there are some: of all that is compiled."""
        parts = {self.name: self.data}
        if self.weights is not None:
            parts[self._weights_name] = self.weights
        return tuple(
            self.hashed.get(name) or hashlib.sha256(part).hexdigest() for name, part in parts.items()
        )

    def check(self) -> None:
        """Look at the file as far as no engine is needed for it.

        Raises:
            UnsafeModelError: it names data elsewhere, or a size that no engine should try.
            CompileError: it isn't of the kind that its name says.
        """
        check_model(self.name, self.data, strict=True)

    @contextmanager
    def as_files(self) -> Iterator[Path]:
        """The model's path in a folder that only this user can read, for as long as the block takes.

        For an SDK that takes nothing else: one that opens the file again after the block finds nothing there.
        """
        with scratch_folder() as folder:
            for name, content in {**self.beside, self.name: self.data}.items():
                (folder / name).write_bytes(content)
            yield folder / self.name


def read_model(file: Path, beside: Sequence[str] | None = None) -> ModelBytes:
    """Read a model that lies in no bundle.

    Args:
        beside: names of the files in its folder that belong to it; those of the same name with another end,
            and a Jetson's settings, where None.

    Raises:
        CompileError: one can't be read.
    """
    try:
        if beside is None:
            beside = [each.name for each in (*file.parent.glob(f"{file.stem}.*"), file.with_name(SETTINGS))
                      if each.is_file()]  # fmt: skip
        others = {name: _read(file.with_name(name)) for name in beside if name != file.name}
        return ModelBytes(file.name, _read(file), others)
    except OSError as error:
        raise CompileError(f"{file.name}: it can't be read: {one_line(error, 'last')}") from error


def _read(file: Path) -> bytes:
    return read_plain(file, sys.maxsize)


def model_of(bundle: Bundle) -> ModelBytes:
    """A bundle's model, whose bytes its hashes are of; raises BundleError as ``Bundle.read``."""
    model, *others = model_files(bundle.manifest)
    beside = {PurePath(name).name: bundle.read(name) for name in others}
    # What ``read`` gives has the manifest's hashes: hundreds of megabytes of weights needn't be hashed again.
    hashed = {PurePath(r.path).name: r.sha256 for r in bundle.manifest.files if r.path in (model, *others)}
    return ModelBytes(PurePath(model).name, bundle.read(model), beside, keep=False, hashed=hashed)


__all__ = ["SETTINGS", "ModelBytes", "model_of", "read_model"]
