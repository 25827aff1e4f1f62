"""docs/cli.md, written from the commands themselves: ``python -m edgead.cli.reference > docs/cli.md``."""

from __future__ import annotations

import inspect

import click

from edgead.cli import VERBS, cli
from edgead.cli.methods import preset_words
from edgead.options import describe_options, show
from edgead.plugins import registry
from edgead.registry import FIRST_PARTY


def reference() -> str:
    """Return the whole page; it's the same for every version of click."""
    context = click.Context(cli, info_name="edgead")
    parts = ["# The command line", "This page is generated: `python -m edgead.cli.reference > docs/cli.md`."]
    parts += [_text(cli.help or ""), _options(cli)]
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        parts += _command(verb, command)
        for word, below in command.commands.items() if isinstance(command, click.Group) else ():
            parts += _command(f"{verb} {word}", below)
    parts += ["# The methods' options", *_methods()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _command(words: str, command: click.Command) -> list[str]:
    arguments = [_argument(p) for p in command.params if isinstance(p, click.Argument)]
    return [
        f"## edgead {words}",
        f"    edgead {' '.join([words, '[OPTIONS]', *arguments])}",
        _text(command.help or ""),
        _options(command),
    ]


def _text(help_text: str) -> str:
    """Click's help as Markdown: a block after a backspace stays as it is, other paragraphs are joined."""
    paragraphs = []
    for paragraph in inspect.cleandoc(help_text).split("\n\n"):
        lines = paragraph.strip("\n").splitlines()
        if lines and lines[0].strip() == "\b":
            paragraphs.append("\n".join(f"    {line}" for line in lines[1:]))
        else:
            paragraphs.append(" ".join(line.strip() for line in lines))
    return "\n\n".join(paragraphs)


def _argument(parameter: click.Argument) -> str:
    name = (parameter.metavar or (parameter.name or "").upper()) + ("..." if parameter.nargs == -1 else "")
    name = name.replace("......", "...")
    return name if parameter.required else f"[{name}]"


def _options(command: click.Command) -> str:
    rows = []
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            value = "" if parameter.is_flag else f" {_value(parameter)}"
            rows.append(f"* {names}{value}: {parameter.help}")
    return "\n".join(rows)


def _value(parameter: click.Option) -> str:
    if isinstance(parameter.type, click.Choice):
        return "|".join(map(str, parameter.type.choices))
    return parameter.metavar or (parameter.name or "").upper()


def _methods() -> list[str]:
    parts = []
    for entry in registry().entries("methods"):
        if entry.distribution != FIRST_PARTY:
            continue
        method = registry().get("methods", entry.name)()
        parts += [f"## {method.name}", " ".join(filter(None, [f"{entry.summary}.", method.paper]))]
        described = describe_options(registry().get("scorers", method.scorer).Options, method.options)
        for preset, values in method.presets.items():
            words = " ".join(f"-o {key}={show(value)}" for key, value in values.items())
            told = f"`{words}`" if words else "the defaults"
            besides = preset_words(method, preset)
            parts.append(f"`--preset {preset}`: {told}{f'; {besides}' if besides else ''}")
        parts.append("\n".join(f"* `-o {o.name}={o.default}` ({o.type}): {o.help}" for o in described))
    return parts


if __name__ == "__main__":
    print(reference(), end="")
