"""What sizes of defects a bundle finds, for people and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgead.cli.output import print_table

if TYPE_CHECKING:
    from edgead.manifest import Manifest


def print_sizes_found(manifest: Manifest, heading: str = "") -> None:
    """Print a row for each size, and what it says; nothing where that wasn't measured."""
    from edgead.device.trade_off import Found
    from edgead.notices import count, say

    sizes = manifest.sizes_found
    if sizes is None:
        return
    if heading:
        click.echo(heading)
    scale, short = sizes.mm_per_pixel, min(sizes.frame)
    header = ["defect, px", *(["mm"] if scale else []), "of side", "found", "95 %", "rise"]
    rows = []
    for row in sizes.rows:
        low, high = Found(row.found, row.drawn).interval
        rows.append([
            f"{row.size:.3g}",
            *([f"{row.size * scale:.3g}"] if scale else []),
            f"{100 * row.size / short:.1f} %",
            f"{row.found} of {row.drawn}",
            f"{100 * low:.0f}-{100 * high:.0f} %",
            f"{round(100 * row.rise)} %",
        ])  # fmt: skip
    print_table(rows, header)
    height, width = sizes.frame
    drawn = count(sizes.images, "held-out image")
    for line in (
        f"visible to clear scratches, cracks, stains and spots on {drawn} of about {height} x {width} px, "
        f"judged in FP32 at the threshold {sizes.threshold:.4g}",
        "of side: of the shorter side; rise: of the score, on the way to the threshold, the median",
        *map(say, sizes.summary()),
    ):
        click.echo(f"  {line}")


def sizes_found_record(manifest: Manifest) -> dict[str, Any] | None:
    """The same as JSON; None where it wasn't measured."""
    from edgead.device.trade_off import Found
    from edgead.manifest.sizes_found import HALF, NEARLY_ALL

    sizes = manifest.sizes_found
    if sizes is None:
        return None
    scale = sizes.mm_per_pixel
    return {
        "frame": list(sizes.frame),
        "images": sizes.images,
        "threshold": sizes.threshold,
        "asked": sizes.asked,
        "mm_per_pixel": scale,
        "rows": [
            {
                "size": row.size,
                "mm": None if scale is None else row.size * scale,
                "drawn": row.drawn,
                "found": row.found,
                "interval": list(Found(row.found, row.drawn).interval),
                "rise": row.rise,
            }
            for row in sizes.rows
        ],
        "half_from": sizes.smallest(HALF),
        "nearly_all_from": sizes.smallest(NEARLY_ALL),
        "notices": [n.record() for n in (*sizes.summary(), *manifest.size_doubts)],
    }


__all__ = ["print_sizes_found", "sizes_found_record"]
