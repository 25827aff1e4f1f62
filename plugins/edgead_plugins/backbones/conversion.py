"""What every conversion of a torch module to ONNX needs. Nothing in here imports torch: it's the caller's."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgead.errors import CompileError
from edgead.quiet import quiet_stdout
from edgead.types import Image, InputSpec, Size
from edgead_plugins.backbones.graphs import onnx

TOLERANCE = 1e-3
"""Of a converted map against torch's, relative to its largest value."""


def probe_image(size: Size) -> Image:
    """A random image (1, H, W, 3) uint8 to compare graph and module on, the same every time."""
    return np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)


def normalised(images: Any, spec: InputSpec) -> Any:
    """A tensor (N, H, W, 3) uint8 BGR -> (N, 3, H, W) float32 as ``spec`` describes it."""
    pixels = images.permute(0, 3, 1, 2).float()
    if spec.channel_order == "rgb":
        pixels = pixels.flip(1)
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    return (pixels - mean) / std


def check_same(
    model: onnx.ModelProto, wanted: Mapping[str, NDArray[np.float32]], size: Size, whose: str
) -> None:
    """Run the graph on ``probe_image``.

    Args:
        wanted: what the module yields of it, in the order of the graph's outputs, by name.
        whose: whose maps they are, for the message.

    Raises:
        CompileError: an output differs.
    """
    try:
        import onnxruntime
    except ImportError:  # comes with the extra; the export gate compares again anyway
        return
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for (name, right), got in zip(
        wanted.items(), session.run(None, {"image": probe_image(size)}), strict=True
    ):
        error = float(np.abs(got - right).max()) / max(float(np.abs(right).max()), 1e-12)
        if not error <= TOLERANCE:
            raise CompileError(f"'{name}' of {whose} differs by {error:.1e} after conversion to ONNX")


def weights_sha256(module: Any) -> str:
    """SHA-256 of a module's parameters and buffers, names and all."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{key} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's and a hub's chatter off the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with quiet_stdout(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield  # stderr stays open for the progress of a download
    finally:
        logging.disable(before)


__all__ = ["check_same", "normalised", "probe_image", "quiet", "weights_sha256"]
