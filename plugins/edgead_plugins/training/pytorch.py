"""torch, or the sentence that says how to get it. Everything that trains imports it from here."""

from __future__ import annotations

from edgead.errors import MissingDependencyError, one_line
from edgead.extras import install

try:
    import onnxscript as onnxscript  # torch.onnx.export needs it, and says so after the training
    import torch as torch
    import torch.nn.functional as functional
    from torch import nn as nn
except (ImportError, OSError) as error:  # a broken installation is an OSError
    raise MissingDependencyError(
        f"training a network needs torch: {install('train')} ({one_line(error, 'first')})"
    ) from error

__all__ = ["functional", "nn", "torch"]
