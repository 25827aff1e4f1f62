"""``edgead completion``: the script that lets a shell complete edgead's verbs and options."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from edgead.registry import Kind

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_paths(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Let the shell complete files and folders: bundles, images, weights."""
    return [CompletionItem(incomplete, type="file")]


def complete_names(kind: Kind) -> Completer:
    """Complete what is registered, methods for instance; where nothing fits, files and folders."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from edgead.plugins import registry

        found = [e for e in registry().entries(kind) if e.name.startswith(incomplete)]
        return [CompletionItem(entry.name, help=entry.summary) for entry in found] or complete_paths(
            context, parameter, incomplete
        )

    return complete


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print the script for completion with the Tab key.

    \b
    bash:  echo 'eval "$(edgead completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(edgead completion zsh)"' >> ~/.zshrc
    fish:  edgead completion fish > ~/.config/fish/completions/edgead.fish
    """
    from click.shell_completion import get_completion_class

    from edgead.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(cli, {}, "edgead", "_EDGEAD_COMPLETE")
    click.echo(made.source_template % made.source_vars())  # not source(): it starts bash to see its version
