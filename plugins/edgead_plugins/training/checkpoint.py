"""What a training needs to go on after a kill: one file, whole or absent, without pickled code."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgead.files import READ, output_errors, write_file
from edgead.types import LearningData
from edgead.version import __version__
from edgead_plugins.training.machine import machine_of
from edgead_plugins.training.pytorch import torch

log = logging.getLogger(__name__)


def fingerprint(data: LearningData, **facts: Any) -> str:
    """SHA-256 of all that decides how a training ends; a checkpoint of another fingerprint isn't used.

    The images, defects, seed, backbone, edgead's and torch's version count by themselves, and so do the
    device and its arithmetic, which decide rounding.

    Args:
        facts: what else does, as JSON values: the method's name and its options.
    """
    known = {
        "edgead": __version__,
        "torch": torch.__version__,
        "seed": data.seed,
        "backbone": [data.backbone.name, dict(data.backbone.provenance)],
        "machine": machine_of(data.compute).identity,
        **facts,
    }
    digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode())
    for image in data.images():
        digest.update(f"{image.shape}".encode())
        digest.update(image.tobytes())
    for image, mask in data.defects():
        digest.update(f"{image.shape} {mask.shape}".encode())
        digest.update(image.tobytes())
        digest.update(mask.tobytes())
    return digest.hexdigest()


def save(file: Path, fingerprint: str, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; ``state`` holds tensors, numbers, strings, and lists and dictionaries of them.

    Raises:
        OutputError: it can't be written.
    """
    content = io.BytesIO()
    torch.save({"fingerprint": fingerprint, "state": dict(state)}, content)
    with output_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, content.getvalue())


def load(file: Path, fingerprint: str) -> dict[str, Any] | None:
    """Read a checkpoint, without executing anything in it; None where there is none of this fingerprint.

    One of another training, or a damaged one, is put aside under another name and told: it may be days of
    work, and the training that begins anew would write over it.
    """
    try:
        with os.fdopen(os.open(file, READ), "rb") as stream:  # which doesn't wait for a pipe's writer
            found = torch.load(stream, map_location="cpu", weights_only=True)
        is_this = found["fingerprint"] == fingerprint
        state: dict[str, Any] = found["state"]
    except FileNotFoundError:
        return None
    except Exception:  # whatever the unpickler meets in a damaged one
        _put_aside(file, "is damaged")
        return None
    if not is_this:
        _put_aside(file, "is of another training, of other images, options, seed or versions")
        return None
    with suppress(OSError):
        os.utime(file)  # what is older than a fit isn't of it, and stays when it's done
    return state


def _put_aside(file: Path, why: str) -> None:
    number = 1
    while (aside := file.with_name(f"{file.name}.other-{number}")).exists():
        number += 1
    with output_errors(file.parent):
        file.rename(aside)
    log.warning("%s %s, so this one begins anew; it's kept as %s: remove it if it's needed no more",
                file, why, aside.name)  # fmt: skip


__all__ = ["fingerprint", "load", "save"]
