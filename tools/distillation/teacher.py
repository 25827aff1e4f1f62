"""The teacher: any backbone that edgead knows, run by edgead's own session in BF16 where the CPU has it."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgead.plugins import registry
from edgead.runtime.engine_options import EngineOptions
from edgead.runtime.engines import open_session
from edgead.runtime.session import Session
from edgead.types import Arithmetic, Backbone, Image

STRIDES = (4, 8, 16)

Maps = list[NDArray[np.float32]]
"""A picture's feature maps at ``STRIDES``, each (C, h, w)."""


class Teacher:
    """Feature maps of a backbone at strides 4, 8 and 16.

    Args:
        name: as ``--backbone`` takes it: ``resnet18``, ``wide_resnet50_2``, ``timm:convnext_tiny``.
        weights: its file, or None where the backbone brings or fetches its own.
        precision: ``bf16`` is twice as fast on CPUs that have it, and the same elsewhere.
        threads: of the engine.
    """

    def __init__(self, name: str, weights: Path | None, precision: Arithmetic, threads: int) -> None:
        kind, _, argument = name.partition(":")
        self._backbone: Backbone = registry().get("backbones", kind)(argument, weights)
        last = {info.stride: key for key, info in self._backbone.feature_info.items()}
        absent = [stride for stride in STRIDES if stride not in last]
        if absent:
            raise SystemExit(f"teacher {name} has no map of stride {absent[0]}: choose another network")
        self.maps = [last[stride] for stride in STRIDES]
        self.channels = [self._backbone.feature_info[key].channels for key in self.maps]
        self.facts = {
            "teacher": f"{name}, maps {', '.join(self.maps)}",
            "teacher_sha256": _sha256(weights, self._backbone),
        }
        self._precision, self._threads = precision, threads
        self._sessions: dict[tuple[int, int], Session] = {}

    def __call__(self, image: Image) -> Maps:
        """Feature maps of a picture (H, W, 3) uint8 BGR."""
        size = image.shape[:2]
        if size not in self._sessions:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "teacher.onnx"
                onnx.save(self._backbone.onnx(self.maps, size), file)
                options = EngineOptions(precision=self._precision, threads=self._threads)
                self._sessions[size] = open_session(file, options=options)
        outputs = self._sessions[size](image[None])
        return [outputs[name][0] for name in self.maps]


def _sha256(weights: Path | None, backbone: Backbone) -> str:
    if weights is not None:
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    return backbone.provenance.get("weights_sha256", "unknown")
