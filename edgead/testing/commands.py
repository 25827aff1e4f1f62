"""Checks of a verb that a plugin adds to the command line."""

from __future__ import annotations

from edgead.discovery import commands
from edgead.registry import Entry
from edgead.testing.check import require


def is_a_click_command(entry: Entry) -> None:
    """what its entry point names is a click command, with a help text"""
    import click

    command = commands().get("commands", entry.name)
    require(
        isinstance(command, click.Command),
        f"'{entry.factory}' is no click command: decorate the function with @click.command()",
    )
    assert isinstance(command, click.Command)
    require(command.help, f"`edgead {entry.name} --help` says nothing: write a docstring")


CHECKS = (is_a_click_command,)
