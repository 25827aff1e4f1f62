"""The options of the verbs that demand a signature, or make one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgead.trust import Trust

F = TypeVar("F", bound=Callable[..., Any])


def trust_options(flag: str) -> Callable[[F], F]:
    """Add the public keys' option under this name, passed on as ``keys``, and ``--line``."""

    def add(function: F) -> F:
        keys = click.option(
            flag,
            "keys",
            metavar="FILE",
            multiple=True,
            type=click.Path(path_type=Path),
            help="Demand a signature by this public key, or one of a folder's (default: EDGEAD_TRUST's).",
        )
        line = click.option(
            "--line", metavar="TEXT", help=f"Demand that it was signed for this line, with {flag}."
        )
        return keys(line(function))

    return add


def trust_of(flag: str, keys: Sequence[Path], line: str | None) -> Trust | None:
    """What the options demand; None where they're not given."""
    if not keys:
        if line is not None:
            raise click.UsageError(f"--line is for {flag}: add it, or leave both out")
        return None
    from dataclasses import replace

    from edgead.trust import Trust

    trust = Trust.of(keys)
    return trust if line is None else replace(trust, line=line)


def passphrase_option(function: F) -> F:
    """Add ``--passphrase-file``."""
    return click.option(
        "--passphrase-file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A file whose first line is the private key's passphrase.",
    )(function)


def passphrase_of(file: Path | None, ask: bool, confirm: bool = False) -> bytes | None:
    """The passphrase in a file, or typed where it's asked for; None where neither."""
    from edgead.trust.keys import read_passphrase

    if file is not None and ask:
        raise click.UsageError("--passphrase and --passphrase-file exclude each other: give one of them")
    if file is not None:
        return read_passphrase(file)
    if not ask:
        return None
    typed: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return typed.encode()


__all__ = ["passphrase_of", "passphrase_option", "trust_of", "trust_options"]
