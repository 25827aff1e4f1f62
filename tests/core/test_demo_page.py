from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edgead.demo.page import Row, write_page
from edgead.errors import OutputError
from edgead.evaluation.bench import Latency


def row(name, score, truth):
    rng = np.random.default_rng(len(name))
    picture = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Row(name, picture, 255 - picture, score, score > 1.0, truth)


ROWS = [
    row("far good", 0.2, "good"),
    row("close good", 0.9, "good"),
    row("loud <good>", 1.3, "good"),
    row("clear scratch", 3.0, "scratch"),
    row("close scratch", 1.1, "scratch"),
    row("lost dent", 0.7, "missing_print"),
]
LATENCIES = {"FP32": Latency(20.0, 22, 30.0, 40, 50, 100), "INT8": Latency(4.0, 5, 6.5, 9, 250, 100)}


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "seite.html"
    facts = {"method": "PatchCore", "rate <aimed at>": "1 % & no less"}
    write_page(path, facts, ROWS, 1.0, LATENCIES, shipped="INT8", machine="2 threads")
    assert [p.name for p in tmp_path.iterdir()] == ["seite.html"]
    return path.read_text("utf-8")


class Balance(HTMLParser):
    """Fails where tags don't nest; collects ids and links."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs[a] for a in ("href", "src") if a in attrs]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(page):
    parsed = Balance()
    parsed.feed(page)
    assert parsed.open == [] and len(set(parsed.ids)) == len(parsed.ids)
    local = [link[1:] for link in parsed.links if link.startswith("#")]
    assert set(local) <= set(parsed.ids)
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in parsed.links)
    assert not re.search(r"https?://|@import|url\(", page)
    assert page.count("data:image/jpeg") == 2 * len(ROWS)


def test_misses_come_first_then_false_alarms_and_the_closest_calls(page):
    names = re.findall(r'aria-label="Enlarge ([^"]+)"', page)
    assert names == [
        "lost dent", "loud &lt;good&gt;", "close scratch", "clear scratch", "close good", "far good"
    ]  # fmt: skip


def test_the_counts_the_facts_and_the_ratio_are_told(page):
    assert "2 of 3 defective parts found, 1 of 3 good parts rejected" in page
    assert "rate &lt;aimed at&gt;" in page and "1 % &amp; no less" in page
    assert "5.0 x" in page and "20.0 ms" in page and "6.5 ms" in page and "2 threads" in page
    assert "66.7%" in page  # AUROC: 6 of 9 pairs in order
    assert "missing print: 1 parts, scores 0.7 to 0.7, 0 over" in page


def test_only_good_parts_and_no_latency_make_a_page_too(tmp_path: Path):
    write_page(tmp_path / "p.html", {}, ROWS[:2], 1.0, {})
    text = (tmp_path / "p.html").read_text("utf-8")
    assert "0 of 0 defective parts found" in text and "<h2>Speed" not in text


def test_a_page_that_can_not_be_written_leaves_the_old_one(tmp_path: Path):
    with pytest.raises(OutputError) as caught:
        write_page(tmp_path / "absent" / "p.html", {}, ROWS, 1.0, {})
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="at least one"):
        write_page(tmp_path / "p.html", {}, [], 1.0, {})
