"""``edgead calibrate``: new thresholds for a compiled bundle, without fitting or exporting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.bundle_names import find_bundle
from edgead.cli.arguments import count_of, engine_options
from edgead.cli.completion import complete_paths
from edgead.cli.fit_options import depth_option
from edgead.cli.output import json_option, print_json, print_table, quiet_option, show_notices, typed
from edgead.cli.trade_off import print_kinds, print_trade_off
from edgead.names import shown
from edgead.notices import Notice, say
from edgead.progress import make_progress

if TYPE_CHECKING:
    from edgead.api.records import Calibrated
    from edgead.device.recalibrate import Recalibration

FOLDER = click.Path(path_type=Path)


@click.command("calibrate")
@click.argument("bundle", shell_complete=complete_paths)
@click.option(
    "--good",
    metavar="DIR",
    multiple=True,
    type=FOLDER,
    help="Good images that the model hasn't learned (default: its held-out ones' scores).",
)
@click.option(
    "--defects",
    metavar="DIR",
    multiple=True,
    type=FOLDER,
    help="Images of defects, a subfolder for each kind; one image is enough.",
)
@click.option(
    "--fpr",
    "false_positive_rate",
    metavar="RATE",
    type=float,
    help="Share of good images that may be flagged (default: as so far).",
)
@click.option(
    "--recall",
    metavar="SHARE",
    type=float,
    help="Share of the defects to find, 0.9 for instance: the highest threshold that does.",
)
@click.option(
    "--cost",
    metavar="MISS:ALARM",
    help="What a missed defect and a false alarm cost, 100:1 for instance: the least expected cost.",
)
@click.option("--threshold", metavar="T", type=float, help="Set the image threshold, and say what to expect.")
@click.option(
    "--product", metavar="NAME", help="Whose thresholds, in a bundle for several (default: default)."
)
@click.option(
    "--kind",
    "kinds",
    metavar="NAME",
    multiple=True,
    help="Choose by this kind of defect alone, and say what becomes of the others.",
)
@click.option(
    "--defect-share",
    metavar="SHARE",
    type=float,
    help="Share of parts that are defective, for --cost (default 0.01).",
)
@click.option(
    "--pixel-regions",
    metavar="RATE",
    type=float,
    help="Set the pixel threshold on so many false regions a good frame, 0.01 for instance.",
)
@click.option(
    "--smallest-area",
    metavar="PX",
    type=count_of(1),
    help="Pixels of the anomaly map that a region has at least, for --pixel-regions (default 4).",
)
@click.option(
    "--group",
    metavar="PATTERN|LEVEL",
    help="Which good images show one part, as for `edgead fit` (default: near copies).",
)
@click.option(
    "--keep-held-out", is_flag=True, help="Count the held-out images' scores beside those of --good."
)
@click.option("--by", metavar="NAME", help="Who does it (default: the user's login name).")
@click.option("--why", metavar="TEXT", default="", help="Why, in a line.")
@click.option("--dry-run", is_flag=True, help="Calculate and print, and write nothing.")
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw escapes against false alarms, as .svg, .png or .jpg.",
)
@click.option("--undo", is_flag=True, help="Put the thresholds before the last change in force again.")
@click.option("--restore", metavar="N", type=count_of(0), help="The same with revision N; 0 is as exported.")
@click.option("--revisions", is_flag=True, help="List the changes so far.")
@engine_options
@depth_option
@quiet_option
@json_option
def command(bundle: str, revisions: bool, quiet: bool, as_json: bool, **words: Any) -> None:
    """Set the thresholds of BUNDLE anew, at the workbench or on the camera.

    Nothing is fitted or exported, and the bundle's own files stay as they are: the new thresholds are a
    revision beside them, with who, when, why and from what, and a detector takes the newest when it's loaded.
    Of --fpr, --recall, --cost and --threshold give one; by default the rate aimed at so far holds.

    \b
    edgead calibrate part.edgead --fpr 0.001
    edgead calibrate part.edgead --good line3/good --defects line3/rejects --recall 0.95 --why "escapes"
    edgead calibrate part.edgead --undo
    """
    from edgead.api.calibrate import calibrate

    if revisions:
        _refuse_beside_revisions(words)
        _list(bundle, as_json)
        return
    done = calibrate(bundle, progress=make_progress(quiet), **words)
    if as_json:
        print_json(_record(done, bool(words["dry_run"])))
    elif done.found is None:
        _print_restored(done)
    else:
        _print(done, done.found)
        if words["plot"] is not None:
            click.echo(f"picture: {shown(words['plot'])}")


def _record(done: Calibrated, dry_run: bool) -> dict[str, Any]:
    from edgead.device.recalibrate import figures_of

    known = done.bundle.manifest.thresholds
    head = {
        "bundle": str(done.path),
        "product": done.product,
        "threshold": done.threshold,
        "dry_run": dry_run,
        "revision": done.revision.record() if done.revision else None,
        "thresholds": {product: figures_of(each) for product, each in known.items()},
    }
    if done.found is None:
        head["notices"] = [notice.record() for notice in done.bundle.outdated]
    return head | (done.found.record() if done.found else {})


def _print(done: Calibrated, found: Recalibration) -> None:
    before, after = found.before, found.after
    was = "default's" if found.is_new else "so far"
    click.echo(
        f"{done.path}: threshold of {found.product} {after.score:.6g}, {was} {before.score:.6g}; "
        f"anomaly map {after.pixel:.6g}, {was} {before.pixel:.6g}"
    )
    told = [after.how(), after.notice()]
    told += [found.regions.notice()] if found.regions else []
    told += [_cost(found)] if found.cost else []
    for notice in told:
        click.echo(click.wrap_text(shown(say(notice)), 110, "  ", "  "))
    click.echo()
    print_trade_off(found.trade_off, found.chosen, "found of synthetic" if found.synthetic else "found", was)
    columns = {"when other kinds choose": found.other_kinds, "without a say": found.unchosen}
    columns = {name: kinds for name, kinds in columns.items() if kinds}
    if columns:
        click.echo()
        print_kinds({"at the new threshold": found.chosen.found, **columns})
    click.echo()
    show_notices(found.notices)
    if done.revision is None:
        click.echo("a dry run: nothing is written")
    else:
        back = typed("edgead", "calibrate", done.path, "--undo")
        click.echo(f"revision {done.revision.number}, by {shown(done.revision.by)}; back: {back}")


def _cost(found: Recalibration) -> Notice:
    assert found.cost is not None
    before, after, share = found.cost
    return Notice("cost-of-a-part", {"before": before, "after": after, "share": share})


def _print_restored(done: Calibrated) -> None:
    assert done.revision is not None
    click.echo(f"{done.path}: {shown(say(done.revision.notice()))}")
    _print_thresholds(done)
    show_notices(done.bundle.outdated)


def _print_thresholds(done: Calibrated) -> None:
    rows = [
        (f"threshold of {name}", f"image score {own.score:.6g}, anomaly map {own.pixel:.6g}")
        for name, own in done.bundle.manifest.thresholds.items()
    ]
    print_table(rows, indent="  ")


def _list(bundle: str, as_json: bool) -> None:
    from edgead.bundle import read_bundle, read_manifest
    from edgead.device.recalibrate import figures_of

    found = read_bundle(find_bundle(bundle), demanded=False)
    exported = read_manifest(found.path).thresholds
    if as_json:
        figures = {product: figures_of(each) for product, each in exported.items()}
        records = [revision.record() for revision in found.revisions]
        print_json({"bundle": str(found.path), "exported": figures, "revisions": records})
        return
    changes = [(0, "", "", exported, "as exported")]
    changes += [(r.number, r.when, r.by, r.thresholds, _why(r.restores, r.why)) for r in found.revisions]
    rows = [
        (str(number), when, by, ", ".join(f"{n} {t.score:.6g}" for n, t in thresholds.items()), why)
        for number, when, by, thresholds, why in changes
    ]
    print_table(rows, ("revision", "when", "by", "thresholds", "why"))


def _why(restores: int | None, why: str) -> str:
    back = "" if restores is None else f"back to {restores}" if restores else "back to as exported"
    return ": ".join(filter(None, (back, why)))


def _refuse_beside_revisions(words: dict[str, Any]) -> None:
    context = click.get_current_context()
    for name in words:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--revisions only lists: give it alone, or with --json", context)
