"""docs/glossary.md: what commands and reports say is defined, once, in a sentence or two."""

from __future__ import annotations

import re
from pathlib import Path

import click

from edgead.cli import VERBS, cli
from edgead.cli.forms import HEADER
from edgead.evaluation.table import TITLES
from edgead.registry import KINDS, singular
from edgead.workbench.form_report import FormReport

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "glossary.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^\* (\*\*.+?\*\*(?:, \*\*.+?\*\*)*): (.+?)(?=^\*|^#|\Z)", TEXT, re.M | re.S)
TERMS = [term for names, _ in ENTRIES for term in re.findall(r"\*\*(.+?)\*\*", names)]
IN_PASSING = ("memory bank", "reference bundle", "compiled bundle", "Pixel AUROC")


def test_no_word_is_defined_twice_and_each_in_a_few_sentences() -> None:
    assert len(TERMS) == len({term.casefold() for term in TERMS}) > 60
    assert len(ENTRIES) == TEXT.count("\n* ")
    for names, text in ENTRIES:
        sentences = re.findall(r"[.:](?:\s|$)", text)
        assert text.strip().endswith(".") and len(sentences) <= 5, names


def test_every_column_and_gate_of_exports_table_is_defined() -> None:
    assert set(HEADER) <= set(TERMS)
    gates = {name for name in ("parity", "separation") if name in FormReport.__dataclass_fields__}
    assert gates == {"parity", "separation"}, "the gates have other names now"
    assert {"parity", "precision", "gates"} <= set(TERMS)


def test_every_metric_is_defined() -> None:
    told = {term.casefold() for term in (*TERMS, *IN_PASSING)}
    assert {title.casefold() for title in TITLES.values()} <= told
    assert all(f"*{term}*" in TEXT for term in IN_PASSING)


def test_everything_that_can_be_registered_is_defined() -> None:
    assert {singular(kind) for kind in KINDS} - {"command"} <= {*TERMS}


def test_what_verbs_take_is_defined() -> None:
    """The arguments in capitals, where they are words of edgead's and no kind of file."""
    context = click.Context(cli)
    taken = set()
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                taken |= set(re.findall(r"[A-Z]+", parameter.make_metavar(click.Context(command))))
    assert taken >= {"METHOD", "BUNDLE"}
    words = {"METHOD": "method", "BUNDLE": "bundle", "DATASET": "data set", "GOOD": "good image"}
    assert {words[name] for name in taken & set(words)} <= set(TERMS)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (DOCS / target).exists(), target
