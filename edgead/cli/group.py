"""A click group that imports a verb's file only when the verb is typed, and knows the plugins' verbs too."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from edgead.cli.words import MEANT

if TYPE_CHECKING:
    from edgead.registry import Entry

READER_GONE = 141
"""Exit code when the reader of a pipe went away, the one that a shell gives to SIGPIPE."""


class LazyGroup(click.Group):
    """The verb ``name`` is ``edgead.cli.name:command``; a plugin's verb can't take a name from this list."""

    def __init__(self, *args: Any, verbs: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = tuple(verbs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the words, and print help or version where they ask for it; see ``invoke``."""
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            raise click.exceptions.Exit(READER_GONE) from None

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
            return self._own(cmd_name)
        if cmd_name in self._plugin_verbs():
            return self._plugin_command(cmd_name)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs; a plugin's with who adds it, since its help would have to be imported."""
        width = formatter.width - 6 - max(map(len, self.verbs))
        with formatter.section("Commands"):
            formatter.write_dl([(verb, self._own(verb).get_short_help_str(width)) for verb in self.verbs])
        if verbs := self._plugin_verbs():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(e.name, f"from {e.distribution} {e.version}") for e in verbs.values()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the near matches where there's no such verb."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
            hint = MEANT.get(name.lower(), hint)
            raise click.UsageError(f"no command '{name}': {hint}", ctx)
        return super().resolve_command(ctx, args)

    def _own(self, verb: str) -> click.Command:
        command = importlib.import_module(f"edgead.cli.{verb}").command
        assert isinstance(command, click.Command)
        return command

    def _plugin_verbs(self) -> dict[str, Entry]:
        from edgead.discovery import commands

        return {entry.name: entry for entry in commands().entries("commands") if entry.name not in self.verbs}

    def _plugin_command(self, name: str) -> click.Command:
        from edgead.discovery import commands
        from edgead.errors import PluginError

        command, entry = commands().get("commands", name), self._plugin_verbs()[name]
        if not isinstance(command, click.Command):
            raise PluginError(
                f"{entry.distribution} {entry.version}: '{entry.factory}', its command '{name}', is no click "
                "command: decorate the function with @click.command()"
            )
        return command


__all__ = ["READER_GONE", "LazyGroup"]
