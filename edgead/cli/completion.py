"""``edgead completion``: the script that lets a shell complete edgead's verbs and options."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print what makes SHELL complete edgead's commands, options and files with the Tab key.

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
