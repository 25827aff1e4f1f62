"""``edgead backbones``: what can be looked through, and what one of them yields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgead.cli.completion import complete_names
from edgead.cli.output import json_option, print_entries, print_json, print_table

if TYPE_CHECKING:
    from edgead.errors import NeedsFileError


@click.command("backbones")
@click.argument("name", required=False, shell_complete=complete_names("backbones"))
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The weights file, where NAME needs one.",
)
@json_option
def command(name: str | None, weights: Path | None, as_json: bool) -> None:
    """List the backbones, or the feature maps of one.

    NAME may take an argument, as in timm:resnet18. The feature maps are listed even without the weights file
    that NAME may need; their names are what the option `layers` of a method takes.
    """
    from edgead.plugins import registry

    if name is None:
        print_entries(registry().entries("backbones"), as_json)
        return
    from edgead.errors import NeedsFileError
    from edgead.workbench.recipe import open_backbone

    try:
        backbone = open_backbone(name, weights)
    except NeedsFileError as needs:
        _describe_without(name, needs, as_json)
        return
    maps, spec = backbone.feature_info, backbone.input
    if as_json:
        print_json({
            "name": backbone.name,
            "feature_maps": {m: {"channels": i.channels, "stride": i.stride} for m, i in maps.items()},
            "input": {"size": spec.size, "multiple": spec.multiple},
            "provenance": dict(backbone.provenance),
            "needs": None,
        })  # fmt: skip
        return
    size = "x".join(map(str, spec.size)) if spec.size else f"any multiple of {spec.multiple}"
    print_table([("backbone", backbone.name), ("input size", size), *sorted(backbone.provenance.items())])
    _print_maps({m: (info.channels, info.stride) for m, info in maps.items()})


def _describe_without(name: str, needs: NeedsFileError, as_json: bool) -> None:
    """What can be said of a backbone before its file or network is named."""
    if as_json:
        print_json({
            "name": name,
            "feature_maps": {m: {"channels": c, "stride": s} for m, (c, s) in needs.feature_maps.items()},
            "input": {"size": None, "multiple": needs.multiple},
            "provenance": None,
            "needs": str(needs),
            "maps": needs.maps or None,
        })  # fmt: skip
        return
    rows = [("backbone", name)]
    if needs.multiple is not None:
        rows.append(("input size", f"any multiple of {needs.multiple}"))
    if not needs.feature_maps:
        rows.append(("feature maps", needs.maps or "not known without it"))
    print_table([*rows, ("needs", str(needs))])
    if needs.feature_maps:
        _print_maps(needs.feature_maps)


def _print_maps(maps: Mapping[str, tuple[int, int]]) -> None:
    click.echo()
    rows = [(name, str(channels), str(stride)) for name, (channels, stride) in maps.items()]
    print_table(rows, ("feature map", "channels", "stride"))
