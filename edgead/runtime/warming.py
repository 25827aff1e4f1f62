"""The first images of a session: slow ones, run before any frame, and what the engine yields is looked at."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np

from edgead.errors import EdgeadError, InferenceError, PluginError, one_line
from edgead.runtime.session import Session
from edgead.types import Size

WARM_UP_RUNS = 3

_log = logging.getLogger(__name__)


def warm_up(session: Session, size: Size, bundle: Path) -> None:
    """Run black images, so that an engine whose outputs are no verdict's shows before the first frame.

    Args:
        size: (H, W) of the model's input.
        bundle: the bundle's folder, for messages.

    Raises:
        InferenceError: the engine fails, or yields something of another shape.
        PluginError: it breaks its contract.
    """
    blank = np.zeros((1, *size, 3), np.uint8)
    start = time.perf_counter()
    for _ in range(WARM_UP_RUNS):
        try:
            outputs = session(blank)
            shapes = np.shape(outputs["score"]), np.shape(outputs["anomaly_map"])
        except EdgeadError:
            raise
        except Exception as error:
            raise PluginError(
                f"{bundle}: the engine {session.engine} breaks its contract ({one_line(error)})"
            ) from error
        if shapes != (wanted := ((1,), (1, 1, *size))):
            raise InferenceError(
                f"{bundle}: the engine {session.engine} yields a score of shape {shapes[0]} and a map of "
                f"{shapes[1]}, not {wanted[0]} and {wanted[1]}: export the bundle again"
            )
    took = (time.perf_counter() - start) * 1e3
    _log.debug("%d warm-up runs of %s took %.1f ms", WARM_UP_RUNS, bundle, took)


__all__ = ["WARM_UP_RUNS", "warm_up"]
