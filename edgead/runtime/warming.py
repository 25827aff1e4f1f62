"""The first images of a session: slow ones, run before any frame, and what the engine yields is looked at."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgead.errors import EdgeadError, GraphError, InferenceError, PluginError, one_line
from edgead.runtime.contract import check_finite, check_input, check_outputs
from edgead.runtime.own_engines import OWN
from edgead.runtime.session import Session
from edgead.types import Size

WARM_UP_RUNS = 3

_log = logging.getLogger(__name__)


def warm_up(session: Session, size: Size, bundle: Path, finite: bool = True) -> None:
    """Run a few images, so that a graph or an engine that yields no verdict shows before the first frame.

    Args:
        size: (H, W) of the model's input.
        bundle: the bundle's folder, for messages.
        finite: whether to refuse what is no number; False where the bundle's own probes will show that.

    Raises:
        GraphError: the graph isn't a bundle's: see ``edgead.runtime.contract``.
        InferenceError: the engine fails, or a plugin's yields something of another shape.
        PluginError: it breaks its contract.
    """
    where = str(bundle)
    start = time.perf_counter()
    try:
        check_input(session, size, where)
        for image in (_plain(size), *[np.zeros((1, *size, 3), np.uint8)] * (WARM_UP_RUNS - 1)):
            outputs = session(image)
            check_outputs(outputs, size, where)
            if finite and image.any():
                check_finite(outputs, where)
    except GraphError as error:
        if session.engine in OWN:
            raise
        told = str(error).removeprefix(f"{where}: ")
        raise InferenceError(f"{bundle}: with the engine {session.engine} {told}") from None
    except EdgeadError:
        raise
    except Exception as error:
        raise PluginError(
            f"{bundle}: the engine {session.engine} breaks its contract ({one_line(error)})"
        ) from error
    took = (time.perf_counter() - start) * 1e3
    _log.debug("%d warm-up runs of %s took %.1f ms", WARM_UP_RUNS, bundle, took)


def _plain(size: Size) -> NDArray[np.uint8]:
    """Shades of grey, none of them black or white, (1, H, W, 3): what any method can judge."""
    height, width = size
    shades = np.add.outer(np.linspace(64, 127, height), np.linspace(0, 64, width))
    return np.ascontiguousarray(
        np.broadcast_to(shades.astype(np.uint8)[None, ..., None], (1, height, width, 3))
    )


__all__ = ["WARM_UP_RUNS", "warm_up"]
