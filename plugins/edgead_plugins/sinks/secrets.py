"""A password from a file or the environment: never an option's value, and never in a message."""

from __future__ import annotations

import os
from pathlib import Path

from edgead.errors import OptionError
from edgead.files import read_plain

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST_BYTES = 4096


def check_secret(user: str, file: str, variable: str, safe: bool, how: str) -> None:
    """Check the options that say where the password of ``user`` is.

    Args:
        safe: whether it stays on this machine, goes encrypted, or may be read on the way.
        how: how it would be sent encrypted.

    Raises:
        OptionError: they contradict each other.
    """
    if file and variable:
        raise OptionError("options 'password_file' and 'password_env' are both given: keep one")
    if (file or variable) and not user:
        raise OptionError("option 'user' is missing beside the password: give it")
    if (file or variable) and not safe:
        raise OptionError(f"the password would be sent in the clear: {how}, or say in_the_clear")


def secret(file: str, variable: str) -> str | None:
    """The password, or None where there's none.

    Raises:
        OSError: it can't be read.
    """
    if variable:
        if variable not in os.environ:
            raise OSError(None, f"the environment variable {variable} isn't set")
        return os.environ[variable]
    if not file:
        return None
    try:
        lines = read_plain(Path(file), MOST_BYTES).decode().splitlines()
    except ValueError:
        raise OSError(None, f"{file} isn't text") from None
    return lines[0] if lines else ""


__all__ = ["LOOPBACK", "MOST_BYTES", "check_secret", "secret"]
