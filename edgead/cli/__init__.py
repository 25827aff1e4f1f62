"""The ``edgead`` command: one file a verb, each imported only when it's typed.

``main`` turns every outcome into an exit code and at most one line on stderr: an ``EdgeadError`` has its own
code (see ``edgead.errors``), a wrong command line 2, an interrupt 130, a signal to end 128 and its number,
and anything else is a fault of ours, 1, with its traceback behind ``--debug``.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import click

from edgead.api.notes import untold
from edgead.cli.group import READER_GONE, LazyGroup
from edgead.cli.signals import Ended, ended_by_signals
from edgead.cli.words import logging_to_stderr, read_anywhere
from edgead.discovery import ALLOW_LIST
from edgead.errors import EdgeadError, InputError, OutputError, PluginError, one_line
from edgead.extras import missing
from edgead.names import shown
from edgead.registry import FIRST_PARTY
from edgead.version import __version__

VERBS = (
    *("fit", "export", "run", "calibrate", "teach", "eval", "compare", "benchmark", "bench"),
    *(
        "inspect",
        "verify",
        "keys",
        "sign",
        "install",
        "rollback",
        "slots",
        "line",
        "methods",
        "backbones",
        "datasets",
        "plugins",
        "doctor",
        "demo",
    ),
    *("schema", "completion"),
)


@click.group(cls=LazyGroup, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere.")
@click.option("--no-plugins", is_flag=True, help="Use only edgead's own plugins; may stand anywhere.")
@click.option(
    "-v",
    "--verbose",
    count=True,
    help="Log to stderr what is done and how long it takes, -vv in detail; may stand anywhere.",
)
def cli(debug: bool, no_plugins: bool, verbose: int) -> None:
    """Visual anomaly detection: from a folder of good images to a verdict on an edge camera.

    \b
    edgead demo                                    see it work, in a few minutes
    edgead fit patchcore GOOD_DIR                  learn from good images
    edgead export patchcore --target openvino      compile for the camera
    edgead run patchcore-openvino.edgead IMAGES    a verdict for each image

    Exit codes: 0 success, 1 a fault in edgead, 2 bad input or options, 3 a bundle that can't be trusted, 4 a
    missed export gate, 5 an engine, device or missing package, 6 a plugin, 7 an output that can't be written,
    8 a training that went wrong, 129 hung up, 130 interrupted, 141 the reader of a pipe went away, 143
    terminated.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the words after ``edgead``; those of the process by default.
    """
    typed = read_anywhere(sys.argv[1:] if arguments is None else arguments)
    if not _outputs_are_open():
        return OutputError.exit_code
    _take_any_text()
    plugins = _without_plugins() if typed.no_plugins else nullcontext()
    with plugins, logging_to_stderr(typed.verbose), untold():  # the verbs print what the calls would log
        return _run(typed.words, typed.debug)


def _outputs_are_open() -> bool:
    """Refuse a closed stdout before any work; its number would go to the next file that's opened."""
    while (opened := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(opened, True)
    os.close(opened)
    if sys.stdout is None:
        click.echo("error: stdout is closed: leave it open, or redirect it to a file or /dev/null", err=True)
        return False
    return True


def _take_any_text() -> None:
    """Escape what stdout's encoding can't hold: a file's name mustn't end the work that it's named in."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def _without_plugins() -> Iterator[None]:
    """Allow no plugin but edgead's own, in this process and those that it starts."""
    before = os.environ.get(ALLOW_LIST)
    os.environ[ALLOW_LIST] = ""
    _forget_registry()
    try:
        yield
    finally:
        os.environ.pop(ALLOW_LIST)
        if before is not None:
            os.environ[ALLOW_LIST] = before
        _forget_registry()


def _forget_registry() -> None:
    if loaded := sys.modules.get("edgead.plugins"):  # nothing to forget where nobody has asked yet
        loaded.registry.cache_clear()


def _run(words: list[str], debug: bool) -> int:
    try:
        with ended_by_signals():
            code = cli.main(words, prog_name="edgead", standalone_mode=False)
            sys.stdout.flush()  # a full disk or a closed pipe shows here, not at the interpreter's exit
    except EdgeadError as error:
        return _fail(str(error), error.exit_code, debug)
    except click.ClickException as error:
        return _fail(_usage(error), 2, debug)
    except Ended as ended:
        return _fail(f"ended by {ended.signal}; nothing half-written is left", ended.exit_code, debug=False)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130, debug=False)
    except BrokenPipeError:
        # The reader went away (`| head`). What is still buffered goes nowhere, and nobody hears of it.
        _drop_stdout()
        return READER_GONE
    except ModuleNotFoundError as error:
        if absent := missing(error, "this command"):
            return _fail(str(absent), absent.exit_code, debug)
        return _unexpected(error, debug)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES) and error.filename is not None:
            what = f"{shown(os.fsdecode(error.filename))}: can't be read ({error.strerror})"
            return _fail(f"{what}; check the path and rights", InputError.exit_code, debug)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            return _unexpected(error, debug)
        _drop_stdout()
        return _fail(
            f"the output can't be written: {error.strerror}; free some space, or check the disk",
            OutputError.exit_code,
            debug,
        )
    except Exception as error:
        return _unexpected(error, debug)
    return code if isinstance(code, int) else 0


def _unexpected(error: Exception, debug: bool) -> int:
    text = one_line(error, "message", 2000)
    if culprit := _plugin_in(error):
        advice = f"tell its author; `edgead plugins check {culprit}` may say more"
        text = f"unexpected {type(error).__name__} in the plugin {culprit}: {text}; {advice}"
        return _fail(text, PluginError.exit_code, debug)
    hint = "" if debug else "; run it again with --debug for the traceback"
    return _fail(f"unexpected {type(error).__name__}: {text}{hint}", 1, debug)


def _plugin_in(error: Exception) -> str | None:
    """The third-party distribution whose code was running when it was raised."""
    loaded = sys.modules.get("edgead.plugins")
    plugins = loaded.registry().plugins if loaded else ()
    owners = {
        package: plugin.distribution
        for plugin in plugins
        if plugin.distribution != FIRST_PARTY
        for package in plugin.packages
    }
    raised, found = error.__traceback__, None
    while raised is not None:
        package = str(raised.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        found, raised = owners.get(package, found), raised.tb_next
    return found


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's exit doesn't fail on it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    # An engine's own words may have several lines.
    click.echo(shown(f"error: {' '.join(line.strip() for line in message.splitlines())}"), err=True)
    return code


def _usage(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "edgead"
    return f"{message.rstrip('.')} (see `{where} --help`)"


__all__ = ["VERBS", "cli", "main"]
