"""``edgead line users``: who may log in to the line's page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.completion import complete_paths
from edgead.cli.output import json_option, print_json, print_table
from edgead.errors import OptionError
from edgead.names import shown

if TYPE_CHECKING:
    from edgead.line.config import Line


def _file(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument(
        "file",
        metavar="USERS.TOML",
        type=click.Path(path_type=Path, dir_okay=False),
        shell_complete=complete_paths,
    )(function)


def tell_first_password(line: Line) -> None:
    """Make the page's first user, where it has none, and print the password, on stderr."""
    from edgead.line.page.users import first_notice
    from edgead.notices import say

    notice = None if line.page is None else first_notice(line.path(line.page.users))
    if notice is not None:
        click.echo(f"note: {say(notice)}", err=True)


@click.group("users")
def users() -> None:
    """Say who may log in to the line's page.

    USERS.TOML is the file that users in the line's [page] names. A viewer sees all of it, an operator files
    verdicts that were wrong, an engineer also teaches, sets thresholds and reads the audit.
    """


@users.command("add")
@_file
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["viewer", "operator", "engineer"]), required=True, help="What they may do."
)
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin, a line, instead of asking."
)
def add(file: Path, name: str, role: str, password_stdin: bool) -> None:
    """Add a user, or give one a new role and password; the file is made where it isn't there.

    A page that runs takes it up at once, and ends the user's sessions.
    """
    from edgead.line.page.users import add_user

    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        try:
            password = click.prompt(f"password of {shown(name)}", hide_input=True, confirmation_prompt=True)
        except click.Abort:
            if sys.stdin.isatty():
                raise
            raise OptionError(
                "there's no terminal to ask for the password: write it to stdin, with --password-stdin"
            ) from None
    is_new = add_user(file, name, role, password)
    click.echo(shown(f"{file}: {name} is {'added as' if is_new else 'now'} {role}"))


@users.command("list")
@_file
@json_option
def show(file: Path, as_json: bool) -> None:
    """List the users and what they may do."""
    from edgead.line.page.users import read_users

    found = sorted(read_users(file).values(), key=lambda user: user.name)
    if as_json:
        print_json({"users": [{"name": user.name, "role": user.role} for user in found]})
    else:
        print_table([(user.name, user.role) for user in found], ("user", "role"))


@users.command("remove")
@_file
@click.argument("name")
def remove(file: Path, name: str) -> None:
    """Remove a user: who is logged in is out at once. The last engineer stays."""
    from edgead.line.page.users import remove_user

    remove_user(file, name)
    click.echo(shown(f"{file}: {name} is removed"))


__all__ = ["tell_first_password", "users"]
