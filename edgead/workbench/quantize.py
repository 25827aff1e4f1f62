"""Post-training quantisation of the backbone, and of nothing else.

NNCF turns the backbone's ONNX graph into QuantizeLinear/DequantizeLinear form, which both engines run in
INT8. It never sees the scorer: a squared distance is a small difference of large numbers, and quantising the
whole graph takes the AUROC to chance. The backbone is quantised first and the scorer then fitted on *its*
features, so that the memory bank lives in the space that the queries come from. What was tried and what
it gained: docs/quantisation.md.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import onnx

from edgead.errors import CompileError, MissingDependencyError
from edgead.runtime.session import block_telemetry
from edgead.types import Image

CALIBRATION_IMAGES = 300
"""How many training images the activation ranges are read off."""


def quantise_backbone(
    model: onnx.ModelProto, images: Iterable[Image], keep_first_float: bool = False
) -> onnx.ModelProto:
    """Return the backbone's graph in INT8, as QuantizeLinear/DequantizeLinear.

    Args:
        model: from ``image`` (1, H, W, 3) uint8 to feature maps; weights are initialisers.
        images: good training images (H, W, 3) uint8; the first ``CALIBRATION_IMAGES`` are used.
        keep_first_float: leave the first convolution in FP32: it sees raw pixels, whose fine
            differences an 8-bit step loses first.

    Raises:
        MissingDependencyError: nncf isn't installed.
        CompileError: nncf can't quantise this graph.
    """
    nncf = _import_nncf()
    sample = [image[None] for image in islice(images, CALIBRATION_IMAGES)]
    ignored = nncf.IgnoredScope(names=_first_convolution(model)) if keep_first_float else None
    try:
        return nncf.quantize(  # type: ignore[no-any-return]
            model,
            nncf.Dataset(sample, lambda image: {"image": image}),
            subset_size=len(sample),
            fast_bias_correction=False,
            ignored_scope=ignored,
        )
    except Exception as error:  # nncf raises plain RuntimeErrors and classes of its own
        raise CompileError(f"nncf can't quantise this backbone: {error}; use --precision fp32") from error


def _first_convolution(model: onnx.ModelProto) -> Sequence[str]:
    return [node.name for node in model.graph.node if node.op_type == "Conv"][:1]


def _import_nncf() -> Any:
    block_telemetry()
    try:
        import nncf
    except ImportError as error:
        raise MissingDependencyError('quantising needs nncf: pip install "edgead[fit]"') from error
    nncf.set_log_level(logging.ERROR)
    return nncf
