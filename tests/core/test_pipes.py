"""A pipe in a file's place is refused: nobody may ever write into it, so waiting for it would be for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgead import streams
from edgead.cli.gridfile import read_grid
from edgead.errors import CompileError, DatasetError, DriftStateError, ImageError, KeyFileError, OptionError
from edgead.evaluation.grid import read_lines
from edgead.files import sha256_of
from edgead.images import read_image
from edgead.masks import read_mask_file
from edgead.runtime.model_bytes import read_model
from edgead.trust.keys import read_passphrase, read_private, read_public
from edgead_plugins.backbones.weights import check_file

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe; whoever waits for it is woken by an error."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    def awaken(*_: object) -> None:
        raise AssertionError("it waits for the pipe's writer")

    before = signal.signal(signal.SIGALRM, awaken)
    signal.alarm(30)
    yield tmp_path / "pipe"
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def drift_state(path: Path) -> object:
    from edgead.device.drift.state import Setting, read_state

    return read_state(path, "model", Setting(block=10, blocks=10))


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda pipe: read_grid(pipe, {}), DatasetError),
        (read_lines, DatasetError),
        (read_model, CompileError),
        (sha256_of, OSError),
        (read_image, ImageError),
        (read_mask_file, ImageError),
        (drift_state, DriftStateError),
        (read_passphrase, KeyFileError),
        (read_private, KeyFileError),
        (lambda pipe: read_public([pipe]), KeyFileError),
        (check_file, OptionError),
    ],
    ids=[
        "grid",
        "results",
        "model",
        "sha256",
        "image",
        "mask",
        "drift",
        "phrase",
        "key",
        "public",
        "weights",
    ],
)
def test_no_reader_waits(pipe: Path, read: Callable[[Path], object], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"not a (plain|regular) file|is not a file|no state of Drift's"):
        read(pipe)


def test_a_pipe_that_takes_a_video_s_name_is_not_waited_for(pipe: Path) -> None:
    assert streams._start_of(str(pipe)) == b""


def test_a_pipe_is_no_checkpoint(pipe: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    from edgead_plugins.training import checkpoint

    assert checkpoint.load(pipe, "any") is None
