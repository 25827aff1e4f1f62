"""Words that may stand anywhere on the command line, and words of newcomers that mean another verb."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

LOGGERS = ("edgead", "edgead_plugins", "edgead_exporters")
MEANT = {
    "train": "`edgead fit METHOD GOOD_DIR` learns from good images",
    "learn": "`edgead fit METHOD GOOD_DIR` learns from good images",
    "predict": "`edgead run BUNDLE IMAGES` gives a verdict for each image",
    "infer": "`edgead run BUNDLE IMAGES` gives a verdict for each image",
    "detect": "`edgead run BUNDLE IMAGES` gives a verdict for each image",
    "judge": "`edgead run BUNDLE IMAGES` gives a verdict for each image",
    "test": "`edgead eval BUNDLE DATASET` measures a bundle on labelled images",
    "evaluate": "`edgead eval BUNDLE DATASET` measures a bundle on labelled images",
    "validate": "`edgead eval BUNDLE DATASET` measures a bundle on labelled images; `edgead verify BUNDLE` "
    "checks its files",
    "serve": "edgead runs no server: `edgead run BUNDLE rtsp://...` judges a stream, and a program of yours "
    'calls edgead.load("BUNDLE")(frame)',
    "convert": "`edgead export METHOD --target openvino` compiles a fitted bundle",
    "compile": "`edgead export METHOD --target openvino` compiles a fitted bundle",
    "info": "`edgead inspect BUNDLE` shows a bundle, `edgead doctor` this machine",
    "recalibrate": "`edgead calibrate BUNDLE` sets a bundle's thresholds anew",
    "threshold": "`edgead calibrate BUNDLE` sets a bundle's thresholds anew",
    "tune": "`edgead calibrate BUNDLE` sets a bundle's thresholds anew",
    "undo": "`edgead calibrate BUNDLE --undo` puts the thresholds before in force again",
    "show": "`edgead inspect BUNDLE` shows a bundle, `edgead doctor` this machine",
    "models": "`edgead methods` lists what can be fitted, `edgead backbones` the networks",
    "list": "`edgead methods` lists what can be fitted, `edgead backbones` the networks",
    "setup": "edgead is installed; `edgead doctor` says which extras are missing",
    "deploy": "`edgead install BUNDLE --slots DIR` puts a bundle in its place on a device",
}
"""What another tool's verb is called here."""

_VERBOSE = re.compile(r"-v+")


@dataclass(frozen=True)
class Anywhere:
    """The options that may stand anywhere.

    Attributes:
        words: the others.
        debug, no_plugins: as their help says.
        verbose: how often.
    """

    words: list[str]
    debug: bool
    no_plugins: bool
    verbose: int


def read_anywhere(arguments: Sequence[str]) -> Anywhere:
    """Take the options that may stand anywhere out of the words; after ``--`` every word is an argument."""
    ours = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    rest = list(arguments[len(ours) :])
    verbose = sum(len(w) - 1 if _VERBOSE.fullmatch(w) else w == "--verbose" for w in ours)
    left = [
        w for w in ours if w not in ("--debug", "--no-plugins", "--verbose") and not _VERBOSE.fullmatch(w)
    ]
    return Anywhere(_asked_for(left) + rest, "--debug" in ours, "--no-plugins" in ours, verbose)


def _asked_for(words: list[str]) -> list[str]:
    """``help VERB`` and ``version`` as the options that they mean; no word at all is a question too."""
    if not words:
        return ["--help"]
    if words[0] == "help":
        return [*words[1:], "--help"]
    if words == ["version"]:
        return ["--version"]
    return words


@contextmanager
def logging_to_stderr(verbose: int) -> Iterator[None]:
    """Write edgead's log records to stderr while the block runs: from INFO on, from DEBUG on where over 1."""
    if not verbose:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-5s %(name)s: %(message)s", "%H:%M:%S"))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


__all__ = ["LOGGERS", "MEANT", "Anywhere", "logging_to_stderr", "read_anywhere"]
