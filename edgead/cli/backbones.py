"""``edgead backbones``: what can be looked through, and what one of them yields."""

from __future__ import annotations

from pathlib import Path

import click

from edgead.cli.output import json_option, print_json, print_table


@click.command("backbones")
@click.argument("name", required=False)
@click.option("--weights", type=click.Path(path_type=Path), help="The weights' file, where NAME needs one.")
@json_option
def command(name: str | None, weights: Path | None, as_json: bool) -> None:
    """List the backbones, or describe the feature maps of one (NAME or NAME:ARGUMENT)."""
    from edgead.plugins import registry

    if name is None:
        entries = registry().entries("backbones")
        if as_json:
            fields = ("name", "summary", "distribution", "version")
            print_json([{field: getattr(entry, field) for field in fields} for entry in entries])
        else:
            print_table([(entry.name, entry.summary, entry.distribution) for entry in entries])
        return
    from edgead.workbench.recipe import open_backbone

    backbone = open_backbone(name, weights)
    maps, spec = backbone.feature_info, backbone.input
    if as_json:
        print_json({
            "name": backbone.name,
            "feature_maps": {m: {"channels": i.channels, "stride": i.stride} for m, i in maps.items()},
            "input": {"size": spec.size, "multiple": spec.multiple},
            "provenance": dict(backbone.provenance),
        })  # fmt: skip
        return
    size = "x".join(map(str, spec.size)) if spec.size else f"any multiple of {spec.multiple}"
    print_table([("backbone", backbone.name), ("input size", size), *sorted(backbone.provenance.items())])
    click.echo()
    rows = [(m, str(info.channels), str(info.stride)) for m, info in maps.items()]
    print_table(rows, ("feature map", "channels", "stride"))
