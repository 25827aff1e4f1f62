"""A Jetson's bundle on whatever it finds: TensorRT, else CUDA, else the CPU, and it says which and why.

``tensorrt.json`` beside the model lists the providers of ONNX Runtime in order. Each is opened and tried on
one black image; what fails is left with a reason, and the next is taken: graph, threshold and so the verdict
are the same. A TensorRT engine takes minutes to build, so it's kept in the user's cache, by the hash of the
model and of its settings, the device's name and the versions; it's sealed with its files' hashes, and built
anew where they no longer match.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgead.errors import CompileError, DeviceError, one_line
from edgead.files import sha256_of, write_file
from edgead.runtime.compiled_cache import engine_files, engine_folder
from edgead.runtime.model_bytes import SETTINGS, ModelBytes
from edgead.runtime.nvidia import device
from edgead.runtime.onnx_outputs import with_outputs

NAMES = {
    "TensorrtExecutionProvider": "TensorRT",
    "CUDAExecutionProvider": "CUDA",
    "CPUExecutionProvider": "CPU",
}
OPTIONS = frozenset((
    "cudnn_conv_algo_search", "trt_builder_optimization_level", "trt_engine_cache_enable", "trt_fp16_enable",
    "trt_int8_enable", "trt_max_workspace_size", "trt_timing_cache_enable", "use_tf32",
))  # fmt: skip
"""What a bundle may set: others name libraries to load, or files."""
SEAL = "seal.json"

_log = logging.getLogger(__name__)
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Candidate:
    """A provider of ONNX Runtime with its options; ``name`` is the one that users see."""

    provider: str
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """TensorRT, CUDA or CPU."""
        return NAMES[self.provider]


@dataclass(frozen=True)
class Opened:
    """A session that ran, what it runs on, and why on none of those before.

    Attributes:
        session: ONNX Runtime's.
        name: TensorRT, CUDA or CPU.
        refused: the reason of each provider that was tried before, by name.
    """

    session: Any
    name: str
    refused: Mapping[str, str]

    def line(self, device_name: str) -> str:
        """What it runs on and why, in one line."""
        where = f"{self.name}" if self.name == "CPU" else f"{self.name} ({device_name})"
        return f"onnxruntime on {where}" + "".join(f"; not {n}: {why}" for n, why in self.refused.items())


def read_candidates(model: ModelBytes) -> tuple[Candidate, ...] | None:
    """Read the providers beside a model, in order; None where there's no ``tensorrt.json``.

    Raises:
        CompileError: the file isn't as export writes it.
    """
    content = model.beside.get(SETTINGS)
    if content is None:
        return None
    try:
        listed = json.loads(content)["providers"]
        found = tuple(Candidate(each["name"], dict(each["options"])) for each in listed)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CompileError(f"{SETTINGS} isn't as export writes it ({error!r}); export again") from None
    for each in found:
        odd = each.options.keys() - OPTIONS
        if each.provider not in NAMES or odd:
            raise CompileError(f"{SETTINGS} asks for '{min(odd, default=each.provider)}'; export again")
    return found


def open_first(
    ort: Any,
    model: ModelBytes,
    options: Any,
    candidates: Sequence[Candidate],
    system: tuple[str, Sequence[str]] | None = None,
    notice: Notice | None = None,
    outputs: Sequence[str] = (),
) -> Opened:
    """Open a model on the first provider that runs it.

    Args:
        ort: the onnxruntime package, or what stands for it.
        options: its SessionOptions.
        system: as ``nvidia.device`` tells; asked for where None.
        notice: is told, in a line each, when an engine is built; a logged warning where None.
        outputs: names of tensors that are to be outputs as well; with others, TensorRT builds another engine.

    Raises:
        DeviceError: none of them can; the message has each one's reason.
    """
    system = system or device()
    there = ort.get_available_providers()
    refused: dict[str, str] = {}
    for index, candidate in enumerate(candidates):
        if candidate.provider not in there:
            refused[candidate.name] = f"this onnxruntime ({ort.__version__}) is built without it"
            continue
        rest = [c for c in candidates[index + 1 :] if c.provider in there]
        try:
            if candidate.name == "TensorRT":
                opened = _with_engine(
                    ort, model, options, candidate, rest, system, notice or _log.warning, outputs
                )
            else:
                opened = _open(ort, model, options, [candidate, *rest], outputs)
            return Opened(opened, candidate.name, refused)
        except Exception as error:  # the binding raises classes of its own, rooted in Exception
            refused[candidate.name] = one_line(error, "last").rstrip(".")
            _log.info("%s: not on %s: %s", model.name, candidate.name, refused[candidate.name])
    reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
    # What the CPU can't run isn't the device's fault.
    kind = CompileError if "CPU" in refused else DeviceError
    raise kind(f"{model.name}: onnxruntime runs it on nothing here ({reasons})")


def available_line(ort: Any, system: tuple[str, Sequence[str]] | None = None) -> str:
    """What a Jetson's bundle would run on here, in words that follow it, without opening one."""
    there = [name for provider, name in NAMES.items() if provider in ort.get_available_providers()]
    absent = [name for name in NAMES.values() if name not in there]
    without = f"; ONNX Runtime is built without {' and '.join(absent)}" if absent else ""
    return f"would run here on {', else on '.join(there)} ({(system or device())[0]}{without})"


def _open(
    ort: Any, model: ModelBytes, options: Any, candidates: Sequence[Candidate], outputs: Sequence[str]
) -> Any:
    """Open and try on a black image; a provider whose libraries don't load is else left out in silence."""
    session = ort.InferenceSession(
        with_outputs(model.data, outputs),
        options,
        providers=[(c.provider, dict(c.options)) for c in candidates],
        enable_fallback=0,
    )
    if session.get_providers()[0] != candidates[0].provider:
        raise DeviceError("its libraries can't be loaded")
    image = session.get_inputs()[0]
    outputs = session.run(None, {image.name: np.zeros(image.shape, np.uint8)})
    if not all(np.isfinite(output).all() for output in outputs):
        raise DeviceError("it yields values that aren't finite")
    return session


def _with_engine(
    ort: Any,
    model: ModelBytes,
    options: Any,
    candidate: Candidate,
    rest: Sequence[Candidate],
    system: tuple[str, Sequence[str]],
    notice: Notice,
    outputs: Sequence[str],
) -> Any:
    """Open on TensorRT with the engine that is kept, or build one and keep it."""
    name, versions = system
    facts = (
        "tensorrt",
        ort.__version__,
        name,
        *versions,
        json.dumps(dict(candidate.options), sort_keys=True),
        *outputs,
    )
    folder = engine_folder(model.digests, facts)
    if folder is not None and not _is_whole(folder):
        _empty(folder)
    elif folder is not None:
        try:
            return _open(ort, model, options, [_kept_in(candidate, folder), *rest], outputs)
        except Exception as error:
            why = one_line(error, "last")
            notice(f"TensorRT: the engine in {folder} can't be used ({why}); building another")
            _empty(folder)
    notice(f"TensorRT: building the engine for {name} from {model.name}, once; this takes minutes")
    start = time.monotonic()
    session = _open(ort, model, options, [_kept_in(candidate, folder), *rest], outputs)
    took = time.monotonic() - start
    if folder is not None:
        hashes = {file.name: sha256_of(file) for file in engine_files(folder) if file.is_file()}
        write_file(folder / SEAL, json.dumps(hashes).encode())
    notice(f"TensorRT: built in {took:.0f} s, " + (f"kept in {folder}" if folder else "can't be kept"))
    return session


def _kept_in(candidate: Candidate, folder: Path | None) -> Candidate:
    if folder is None:
        return Candidate(candidate.provider, {**candidate.options, "trt_engine_cache_enable": "0"})
    paths = {"trt_engine_cache_path": str(folder), "trt_timing_cache_path": str(folder)}
    return Candidate(candidate.provider, {**candidate.options, **paths})


def _is_whole(folder: Path) -> bool:
    """Whether the folder holds what was sealed, unchanged, and nothing else; an engine is machine code."""
    try:
        hashes = json.loads((folder / SEAL).read_text())
        files = {file.name: file for file in engine_files(folder) if file.name != SEAL}
        return bool(hashes) and hashes == {name: sha256_of(file) for name, file in files.items()}
    except (OSError, ValueError, RecursionError):
        return False


def _empty(folder: Path) -> None:
    for inner in engine_files(folder):
        shutil.rmtree(inner, ignore_errors=True) if inner.is_dir() else inner.unlink(missing_ok=True)
