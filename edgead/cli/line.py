"""``edgead line``: inspection on a line, from triggers to exactly one verdict each, in time."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.arguments import count_of
from edgead.cli.completion import complete_paths
from edgead.cli.line_argument import line_file
from edgead.cli.line_install import install, rollback
from edgead.cli.line_users import tell_first_password, users
from edgead.cli.output import json_option, print_json

if TYPE_CHECKING:
    from edgead.line.hearing import Told
    from edgead.line.simulate import Outcome
    from edgead.line.telling import Telling

MOST_PARTS = 10_000_000


def _record(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument(
        "record", metavar="RECORD", type=click.Path(path_type=Path), shell_complete=complete_paths
    )(function)


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    text = "Print nothing of what the line says of itself."
    return click.option("-q", "--quiet", is_flag=True, help=text)(function)


@click.group("line")
def command() -> None:
    """Inspect on a line: from each trigger to exactly one verdict, in time.

    LINE.TOML says which cameras, bundles and sinks there are, and by when a verdict is due: docs/line.md.
    """


command.add_command(users)


@command.command("run")
@line_file
@click.option("--verdicts", is_flag=True, help="Print each verdict too.")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@_quiet
def run(file: Path, verdicts: bool, as_json: bool, quiet: bool) -> None:
    """Run the line until it's told to end (SIGTERM, Ctrl-C): exit code 0 then.

    What changes is printed: readiness, cameras, judges and sinks that go and come back, late scores. Where
    the page has no users yet, a first one is made and told on stderr, --quiet or not. SIGHUP has the line
    look for other bundles; `edgead line install` sends that. A line isn't run twice. Under systemd it's a
    service of Type=notify, with a watchdog where WatchdogSec= is given.
    """
    from edgead.line.config import read_line
    from edgead.line.core import Core
    from edgead.line.hold import held
    from edgead.line.running import line_to_run

    line, started, early = read_line(file), list[Core](), list[None]()

    tell_first_password(line)

    def stop() -> None:
        if not started:
            raise SystemExit(0)
        started[0].stop()

    def reload() -> None:
        started[0].reload() if started else early.append(None)

    with (
        _ended_by_signals(stop, reload),  # before it's held: who sees that may send one
        held(file, line) as hold,
        _telling(as_json, quiet, verdicts) as told,
    ):
        core = line_to_run(line, told, hold)
        started.append(core)
        if early:
            core.reload()
        core.run()
    if not quiet:
        _sum_up(core.tally.record(), as_json)


@command.command("check")
@line_file
@json_option
def check(file: Path, as_json: bool) -> int:
    """Try each source, bundle and sink of the line, and say what isn't ready and why.

    Cameras are opened and a first image is waited for and judged; sinks are opened and told that the line
    isn't ready, and get no verdict. The exit code is the first fault's.
    """
    from edgead.line.check import check_line
    from edgead.line.config import read_line
    from edgead.line.running import bundles_of, slots_of
    from edgead.names import shown
    from edgead.notices import say

    line = read_line(file)
    found = check_line(line, bundles_of(line, slots_of(line), starting=False))
    if as_json:
        print_json({"ready": all(f.ready for f in found), "findings": [f.record() for f in found]})
    for finding in found if not as_json else ():
        what = f"{finding.kind} {finding.name}: "
        told = "; ".join(map(say, finding.notices)) if finding.ready else str(finding.error)
        word = "ready" if finding.ready else "NOT READY"
        click.echo(shown(f"{word:9}  {what}{told.removeprefix(what)}"))
    return next((finding.error.exit_code for finding in found if finding.error is not None), 0)


@command.command("cameras")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option(
    "-o", "--option", multiple=True, metavar="KEY=VALUE", help="An option of the one SOURCE, as in LINE.TOML."
)
@json_option
def cameras(sources: tuple[str, ...], option: tuple[str, ...], as_json: bool) -> int:
    """Show which cameras the installed sources see, and the options that choose each.

    SOURCE is a registered source, gentl or aravis for instance; all of them if none is given. Each one looks
    in a process of its own. The exit code is a fault's where SOURCE is given and can't look.
    """
    from edgead.cli.line_words import seen
    from edgead.errors import OptionError
    from edgead.line.looking import look
    from edgead.names import shown
    from edgead.plugins import registry

    if option and len(sources) != 1:
        raise OptionError("-o is for one source: name it, `edgead line cameras gentl -o cti=FILE`")
    for name in sources:
        registry().entry("sources", name)
    found = look(dict.fromkeys(sources or registry().names("sources"), option), Path.cwd())
    if as_json:
        print_json([each.record() for each in found])
    for line in () if as_json else seen(found, all_told=bool(sources)):
        click.echo(shown(line))
    faults = [each.error for each in found if each.error is not None]
    return faults[0].exit_code if sources and faults else 0


@command.command("simulate")
@line_file
@click.option("--parts", type=count_of(1, MOST_PARTS), default=100, metavar="N", help="Parts (default 100).")
@click.option(
    "--rate",
    type=click.FloatRange(0.01, 1000),
    default=10.0,
    metavar="R",
    help="Parts a second (default 10).",
)
@click.option(
    "--faults",
    metavar="SCRIPT",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file of what goes wrong at which part: docs/line.md.",
)
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Show these images in turn instead of made-up ones.",
)
@click.option("--stand-in", is_flag=True, help="Judge made-up images without any bundle.")
@click.option(
    "--epsilon-ms",
    type=click.FloatRange(0, 60_000),
    default=50.0,
    metavar="MS",
    help="How long after its deadline a verdict may be (default 50).",
)
@click.option("--verdicts", is_flag=True, help="Print each verdict too.")
@json_option
@_quiet
def simulate(
    file: Path,
    parts: int,
    rate: float,
    faults: Path | None,
    images: Path | None,
    stand_in: bool,
    epsilon_ms: float,
    verdicts: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the line with virtual cameras and a virtual PLC, and see whether each trigger has its verdict.

    The line's own bundles judge, by its own deadline; its own cameras and sinks aren't touched. The exit code
    is 4 if a trigger has no verdict or several, one is late, or was accepted without a score.
    """
    from edgead.errors import GateError, OptionError
    from edgead.line.config import read_line
    from edgead.line.faults import read_script
    from edgead.line.running import bundles_of, slots_of
    from edgead.line.simulate import Wishes
    from edgead.line.simulate import simulate as simulated

    if stand_in and images is not None:
        raise OptionError("--stand-in reads what is written in made-up images: leave --images out")
    line = read_line(file)
    script = read_script(faults) if faults is not None else ()
    bundles = {} if stand_in else bundles_of(line, slots_of(line), starting=False)
    wishes = Wishes(parts, rate, script, images, stand_in)
    ended = threading.Event()
    with _telling(False, quiet or as_json, verdicts) as told, _ended_by_signals(ended.set):
        outcome = simulated(line, wishes, bundles, told, ended.is_set)
    wrong = outcome.faults(epsilon_ms)
    if as_json:
        print_json({**outcome.record(), "epsilon_ms": epsilon_ms, "faults": wrong})
    else:
        _sum_up(dict(outcome.tally), as_json=False)
        late = ""
        if outcome.late_ms is not None:
            word = "after" if outcome.late_ms > 0 else "before"
            late = f"; the latest was {abs(outcome.late_ms):.1f} ms {word} its deadline"
        unseen = f"; of {outcome.unseen} others nobody heard, their camera was lost" if outcome.unseen else ""
        click.echo(f"{outcome.triggers} triggers, {outcome.verdicts} verdicts at the PLC{late}{unseen}")
        for line_of_text in _of_simulation(outcome, made_up=images is None and not stand_in):
            click.echo(line_of_text)
    if wrong:
        raise GateError(f"the line didn't keep its promise: {'; '.join(wrong)}")


def _of_simulation(outcome: Outcome, made_up: bool) -> list[str]:
    """What else is to be known of a simulation: what came to nothing, and what its decisions are worth."""
    from edgead.notices import count

    found = []
    if outcome.untriggered:
        parts = count(outcome.untriggered, "part")
        found.append(f"{parts} triggered nothing: a camera was away, or missed it")
    if outcome.unreached:
        faults, named = count(len(outcome.unreached), "fault"), ", ".join(outcome.unreached[:5])
        found.append(f"{faults} of the script didn't happen, for no such part came: {named}")
    if made_up:
        found.append(
            "the images were made up, so decisions say nothing of your parts: --images DIR shows yours"
        )
    return found


@command.command("export-log")
@_record
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that ends in .csv or .parquet; one that's there is replaced.",
)
@click.option("--since", metavar="TIME", help="Only from this day or time on (ISO 8601, UTC).")
@click.option("--until", metavar="TIME", help="Only before this day or time.")
@click.option("--audit", is_flag=True, help="The audit instead of the verdicts.")
@json_option
def export_log(
    record: Path, out: Path, since: str | None, until: str | None, audit: bool, as_json: bool
) -> None:
    """Write the verdicts that a line has recorded as a table, CSV or Parquet.

    RECORD is the record's folder, or the file of a line that has a [log]. The line may go on meanwhile.
    Parquet needs the extra 'log'. In CSV a text that a spreadsheet takes for a formula has a ' before it.
    """
    from edgead.line.record import export_log as exported
    from edgead.names import shown
    from edgead.notices import count

    done = exported(record, out, since=since, until=until, audit=audit)
    if as_json:
        print_json({"file": str(done.file), "rows": done.rows, "columns": list(done.columns)})
    else:
        click.echo(shown(f"{done.file}: {count(done.rows, 'row')}"))


@command.command("verify-log")
@_record
@click.option(
    "--head", metavar="ROWS:HASH", help="What this verb printed before: those rows must still be there."
)
@json_option
def verify_log(record: Path, head: str | None, as_json: bool) -> None:
    """Check the chain of a record's audit: exit code 2, and the first row that isn't as it was written.

    Printed is the chain's head. Noted where others can't write, it shows later whether rows were cut off, or
    the whole chain written anew: who can write the folder can do both without a trace in it.
    """
    from edgead.line.record import record_folder, verify_audit
    from edgead.notices import count

    state = verify_audit(record_folder(record), head)
    if as_json:
        print_json({"rows": state.rows, "head": state.head, "anchored": state.anchored})
    else:
        beside = (
            "" if state.anchored or not state.rows else "; audit.head is missing, so the end isn't certain"
        )
        click.echo(f"the audit's {count(state.rows, 'row')} are as they were written{beside}")
        click.echo(f"head {state.head}")


def _sum_up(tally: dict[str, Any], as_json: bool) -> None:
    from edgead.cli.line_words import summary
    from edgead.cli.output import json_line

    click.echo(json_line({"summary": tally}) if as_json else summary(tally))


@contextmanager
def _telling(as_json: bool, quiet: bool, verdicts: bool) -> Iterator[Telling]:
    """Print what a line says, from a thread: a reader that stops reading doesn't stop the line."""
    from edgead.cli import line_words
    from edgead.line.telling import Telling
    from edgead.types import Verdict

    def write(told: Told) -> None:
        if not quiet and (verdicts or not isinstance(told, Verdict)):
            click.echo(line_words.as_json(told) if as_json else line_words.as_text(told))

    telling = Telling(write)
    try:
        yield telling
    finally:
        telling.close()


@contextmanager
def _ended_by_signals(stop: Callable[[], None], reload: Callable[[], None] | None = None) -> Iterator[None]:
    """Have SIGTERM, SIGHUP and Ctrl-C end the line in order, with a verdict for what is pending.

    Args:
        reload: what SIGHUP does instead, unless it's word that the terminal has gone.
    """
    names = [name for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)]
    terminal = reload is not None and sys.stdin is not None and sys.stdin.isatty()

    def told(number: int, frame: object) -> None:
        hung_up = terminal and not os.isatty(0)
        if reload is not None and number == getattr(signal, "SIGHUP", None) and not hung_up:
            reload()
        else:
            stop()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in names:
            number = getattr(signal, name)
            reloads = reload is not None and name == "SIGHUP"
            if reloads or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, told)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


command.add_command(install)
command.add_command(rollback)

__all__ = ["command"]
