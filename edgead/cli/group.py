"""A click group that imports a verb's file only when the verb is typed, and knows the plugins' verbs too."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from typing import Any

import click

READER_GONE = 141
"""Exit code when the reader of a pipe went away, the one that a shell gives to SIGPIPE."""


class LazyGroup(click.Group):
    """The verb ``name`` is ``edgead.cli.name:command``; a plugin's verb can't take a name from this list."""

    def __init__(self, *args: Any, verbs: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = tuple(verbs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a closed pipe ends it quietly, before click takes it for a fault."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise click.exceptions.Exit(READER_GONE) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return edgead's verbs in the order of work, then the plugins' in alphabetical order."""
        return [*self.verbs, *self._plugin_verbs()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb, or None."""
        if cmd_name in self.verbs:
            command = importlib.import_module(f"edgead.cli.{cmd_name}").command
            assert isinstance(command, click.Command)
            return command
        if cmd_name in self._plugin_verbs():
            from edgead.plugins import registry

            command = registry().get("commands", cmd_name)
            return command if isinstance(command, click.Command) else None
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the near matches where there's no such verb."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
            raise click.UsageError(f"no command '{name}': {hint}", ctx)
        return super().resolve_command(ctx, args)

    def _plugin_verbs(self) -> list[str]:
        from edgead.plugins import registry

        return [name for name in registry().names("commands") if name not in self.verbs]


__all__ = ["READER_GONE", "LazyGroup"]
