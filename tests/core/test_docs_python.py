"""docs/python.md: its code runs from top to bottom, and what it says of the API is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import edgead
from edgead.cli import VERBS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
DRAWS = "write_dataset("


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory):
    """The folder in which the blocks ran, the one that draws the photos first, and what they printed."""
    folder = tmp_path_factory.mktemp("python")
    ordered = sorted(BLOCKS, key=lambda block: DRAWS not in block)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(ordered)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_first_block_is_the_quickstart_in_five_lines() -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line and not line.startswith("import")]
    assert len(lines) == 5
    assert sum(DRAWS in block for block in BLOCKS) == 1


def test_the_page_leads_to_a_verdict_a_report_and_a_heatmap(ran) -> None:
    folder, printed = ran
    assert re.match(r"Prediction\((anomalous|good): score [\d.]+ (>|<=) threshold [\d.]+", printed)
    assert (folder / "report.html").stat().st_size > 10_000
    assert (folder / "metrics.csv").read_text().startswith("defect,images,escapes,escapes_low,")
    assert cv2.imread(str(folder / "heatmaps" / "000.png")).shape == (320, 320, 3)
    assert {path.name for path in folder.glob("*.edgead")} == {
        *("patchcore.edgead", "patchcore-openvino.edgead", "finer.edgead"),
    }


def test_every_error_of_the_page_is_met(ran) -> None:
    _, printed = ran
    for told in ("patchcore-openvin.edgead: no such bundle", "the frame is a NoneType"):
        assert told in printed
    assert "judging images (12 steps)" in printed


def test_the_page_names_every_verb_and_every_call() -> None:
    table = "".join(line for line in PAGE.splitlines(keepends=True) if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`(?=[,| ]+[^|]*\|)", table)) >= set(VERBS)
    for name in edgead.__all__:
        if name not in ("hookimpl", "__version__", "Bundle", "Region", "Detector"):
            assert name in PAGE, name


def test_the_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        text = (ROOT / "docs" / file).read_text("utf-8")
        headings = [re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in
                    re.findall(r"^#+ (.*)$", text, re.M)]  # fmt: skip
        assert not anchor or anchor in headings, target
