"""``edgead teach``: say that a verdict was wrong, see what correcting it costs, and take it back."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.bundle_names import find_bundle
from edgead.cli.arguments import engine_option
from edgead.cli.completion import complete_paths
from edgead.cli.output import json_option, print_json, print_table, show_notices
from edgead.names import shown
from edgead.notices import Notice, count

if TYPE_CHECKING:
    from edgead.api.records import Taught
    from edgead.bundle import Bundle, Lesson
    from edgead.device.teach import Change, Proposal

WORDS = {True: "anomalous", False: "good"}


class _Number(click.ParamType[int]):
    """A lesson's number, or ``last``, which is 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "last":
            return 0
        text = str(value)
        if not text.isdecimal() or len(text) > 4 or int(text) == 0:
            self.fail(f"'{value}' is no lesson's number; see --list, or say last")
        return int(value)


@click.command("teach")
@click.argument("bundle", shell_complete=complete_paths)
@click.argument("images", nargs=-1, metavar="[IMAGE...]", shell_complete=complete_paths)
@click.option("--false-alarm", is_flag=True, help="The IMAGEs are good, and were found anomalous.")
@click.option("--missed", is_flag=True, help="The IMAGEs are defective, and passed.")
@click.option(
    "--mask",
    metavar="FILE|DIR",
    type=click.Path(path_type=Path),
    help="Where the missed defect is: a mask, or a folder of masks with the images' names (default: the most "
    "unusual places).",
)
@click.option("--reason", metavar="TEXT", default="", help="Why; it's kept with the lesson.")
@click.option("--by", metavar="NAME", default="", help="Who teaches; it's kept with the lesson.")
@click.option("--dry-run", is_flag=True, help="Only tell what it would cost.")
@click.option("--yes", is_flag=True, help="Take it even where verdicts on other images change.")
@click.option("--list", "as_list", is_flag=True, help="Show what BUNDLE was taught.")
@click.option("--undo", type=_Number(), metavar="N|last", help="Take a lesson back.")
@engine_option
@json_option
def command(
    bundle: str,
    images: tuple[str, ...],
    false_alarm: bool,
    missed: bool,
    mask: Path | None,
    reason: str,
    by: str,
    dry_run: bool,
    yes: bool,
    as_list: bool,
    undo: int | None,
    engine: str | None,
    as_json: bool,
) -> None:
    """Teach a compiled BUNDLE on the device that its verdict on each IMAGE was wrong.

    An IMAGE may be a folder of images.

    \b
    edgead teach part.edgead --false-alarm 0412.png --reason "lot mark of week 12"
    edgead teach part.edgead --missed 0533.png --mask 0533_mask.png
    edgead teach part.edgead --list
    edgead teach part.edgead --undo last

    A false alarm's unusual patches join the bank of good ones; a missed defect's go into a bank of their
    own. Each image is a lesson in BUNDLE's folder taught/, and nothing else of BUNDLE changes. Before it
    counts, the images that BUNDLE carries and those of earlier lessons are judged with it: where a verdict on
    one of them changes, --yes is needed. `edgead run`, and a detector that's loaded from now on, use the
    lessons; a program that runs the graph by itself doesn't.
    """
    chosen = [name for name, on in (("--false-alarm", false_alarm), ("--missed", missed), ("--list", as_list),
                                    ("--undo", undo is not None)) if on]  # fmt: skip
    if len(chosen) != 1:
        given = f"not {' and '.join(chosen)}" if chosen else "none is given"
        raise click.UsageError(f"one of --false-alarm, --missed, --list and --undo is needed, {given}")
    if bool(images) != (false_alarm or missed):
        wanted = "IMAGEs are needed" if not images else "IMAGEs are for --false-alarm and --missed"
        raise click.UsageError(f"{chosen[0]}: {wanted}")
    if mask is not None and not missed:
        raise click.UsageError("--mask is for --missed: leave it out")

    from edgead.bundle import read_bundle, refuse_unsigned

    found = read_bundle(find_bundle(bundle), demanded=not as_list)
    if not (as_list or dry_run):
        refuse_unsigned(found)
    if as_list:
        _show_list(found, as_json)
        return
    from edgead.api.teach import examples, finish, flips_notice, open_for_teaching
    from edgead.device.teach import propose, propose_undo

    # Its graph must be what the manifest says before an image is brought to the manifest's size.
    session, threshold = open_for_teaching(found, engine), found.manifest.threshold.score
    read = examples(found, images, mask) if images else []
    if undo is not None:
        proposal = propose_undo(found, session, threshold, undo or None)
    else:
        proposal = propose(found, session, threshold, "missed" if missed else "false-alarm", read)
    if not as_json:
        _show_cost(proposal)
        if proposal.flips and not yes and not dry_run and sys.stdin.isatty() and sys.stdout.isatty():
            click.echo(shown(str(flips_notice(proposal))))
            yes = click.confirm("Take it?")
    done = finish(proposal, by, reason, dry_run, yes)
    if as_json:
        print_json(_record(done, dry_run))
    else:
        _show_done(done, dry_run)


# ---------------------------------------------------------------- how


def _show_cost(proposal: Proposal) -> None:
    if proposal.drafts:
        rows = [(*_cells(draft.own), str(len(draft.rows.rows))) for draft in proposal.drafts]
        print_table(rows, ("image", "was", "score", "will be", "score", "rows"))
    if proposal.flips:
        click.echo("\nother images whose verdict changes")
        print_table(
            [_cells(change) for change in proposal.flips], ("image", "was", "score", "will be", "score")
        )
    if proposal.changes:
        click.echo(
            f"{len(proposal.flips)} of {len(proposal.changes)} verdicts on other images change; their scores "
            f"move by {proposal.largest_move:.2%} of the threshold at most"
        )
    show_notices(proposal.notices)


def _cells(change: Change) -> tuple[str, ...]:
    return (
        change.image,
        WORDS[change.before],
        f"{change.score_before:.4g}",
        WORDS[change.after],
        f"{change.score_after:.4g}",
    )


def _show_done(done: Taught, dry_run: bool) -> None:
    path = shown(done.bundle.path)
    if dry_run:
        click.echo(f"{path}: a dry run, so nothing was written")
    elif not done.lessons:
        click.echo(f"{path}: nothing to learn, so nothing was written")
    for lesson in done.lessons:
        what = (
            f"undoes lesson {lesson.undoes}"
            if lesson.kind == "undo"
            else f"{lesson.kind}, {count(lesson.rows, 'row')}"
        )
        click.echo(shown(f"{path}: lesson {lesson.number}: {what} {lesson.image}".rstrip()))
    show_notices(_outdated(done))


def _outdated(done: Taught) -> Sequence[Notice]:
    """What who taught a signed bundle should know."""
    return done.bundle.outdated if done.lessons else ()


def _show_list(bundle: Bundle, as_json: bool) -> None:
    lessons, undone = bundle.lessons.all, bundle.lessons.undone
    if as_json:
        print_json({
            "bundle": str(bundle.path),
            "lessons": [{**_lesson(each), "undone_by": undone.get(each.number)} for each in lessons],
        })  # fmt: skip
        return
    if not lessons:
        click.echo(f"{shown(bundle.path)}: it wasn't taught anything")
        return
    rows = []
    for each in lessons:
        what = f"undoes {each.undoes}" if each.kind == "undo" else each.kind
        state = f", undone by {undone[each.number]}" if each.number in undone else ""
        rows.append(
            (str(each.number), what + state, each.time, each.by, each.image, str(each.rows), each.reason)
        )
    print_table(rows, ("lesson", "what", "time", "by", "image", "rows", "reason"))


def _record(done: Taught, dry_run: bool) -> dict[str, Any]:
    proposal = done.proposal
    return {
        "bundle": str(done.bundle.path),
        "dry_run": dry_run,
        "kind": proposal.kind,
        "undoes": proposal.undoes,
        "images": [{**_change(draft.own), "rows": len(draft.rows.rows)} for draft in proposal.drafts],
        "others": [_change(change) for change in proposal.changes],
        "changed": len(proposal.flips),
        "largest_move": proposal.largest_move,
        "threshold": proposal.threshold,
        "lessons": [_lesson(lesson) for lesson in done.lessons],
        "notices": [notice.record() for notice in (*proposal.notices, *_outdated(done))],
    }


def _change(change: Change) -> dict[str, Any]:
    return {**dataclasses.asdict(change), "image": shown(change.image)}


def _lesson(lesson: Lesson) -> dict[str, Any]:
    record = {name: shown(value) if isinstance(value, str) else value for name, value in vars(lesson).items()}
    array, picture = (None if file is None else file.path for file in (lesson.array, lesson.picture))
    return {**record, "array": array, "picture": picture}
