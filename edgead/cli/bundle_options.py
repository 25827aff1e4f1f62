"""The options of making bundles for a comparison, which ``compare`` and ``benchmark`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgead.cli.fit_options import backbone_options, depth_option, parse_size

F = TypeVar("F", bound=Callable[..., Any])


def bundle_options(function: F) -> F:
    """Add ``--backbone``, ``--weights``, ``--size``, ``--depth``, ``--target`` and ``--precision``."""
    options = (
        backbone_options,
        click.option(
            "--size", metavar="HxW", callback=parse_size, help="Input size (default: chosen from the images)."
        ),
        depth_option,
        click.option(
            "--target", metavar="NAME", default="openvino", help="What to export for (default openvino)."
        ),
        click.option(
            "--precision", metavar="FORM", default="fp32", help="auto, int8, mixed, bf16 or fp32 (default)."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


__all__ = ["bundle_options"]
