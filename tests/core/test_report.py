"""The report's file: whole, safe, in need of nothing else, and true."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.errors import OutputError
from edgead.evaluation.bench import Latency
from edgead.evaluation.evaluate import Judged
from edgead.evaluation.report import Gallery, Timing, write_report
from edgead.evaluation.report.gallery import OUTLINE_LENGTH, SIDE, names
from edgead.metrics.scores import Metric
from edgead.metrics.uncertainty import share_interval
from edgead.notices import say
from edgead.types import Prediction, Sample
from tests.core.report_support import BUNDLE, HOSTILE, THRESHOLD, Detector, evaluated, made_up

LATENCIES = {"FP32": Latency(20.0, 22, 30.0, 40, 50, 100), "INT8": Latency(4.0, 5, 6.5, 9, 250, 100)}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory):
    return evaluated(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def page(small, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "seite.html"
    write_report(
        path, f"set {HOSTILE}", *small, BUNDLE,
        timing=Timing(LATENCIES, "2 threads <here>"), facts={"product <i>": "a & b"}, notes=["mind <this>"],
    )  # fmt: skip
    assert [p.name for p in path.parent.iterdir()] == ["seite.html"]
    return path.read_text("utf-8")


class Balance(HTMLParser):
    """Fails where tags don't nest; collects ids, links and what scripts hold."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs[a] for a in ("href", "src") if a in attrs]
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def data_of(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(text)


def test_the_page_is_whole_and_needs_nothing_else(page):
    parsed = Balance()
    parsed.feed(page)
    assert parsed.open == [] and len(set(parsed.ids)) == len(parsed.ids)
    assert all(link[1:] in parsed.ids for link in parsed.links)
    assert "img" not in parsed.tags and "i" in parsed.tags
    without_namespace = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|url\((?!#)|innerHTML|\beval\(", without_namespace)


def test_the_policy_lets_only_the_pages_own_script_and_style_run(page):
    (policy,) = re.findall(r'Content-Security-Policy"\s+content="([^"]+)"', page)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for tag, rule in (("style", "style-src"), ('script type="module"', "script-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag.split()[0]}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy


def test_the_data_is_the_evaluation(page, small):
    found, _ = small
    data = data_of(page)
    assert data["threshold"] == THRESHOLD
    assert data["scores"] == [j.score for j in found.images]
    assert [data["defects"][k] for k in data["defect"]] == [j.sample.defect for j in found.images]
    assert data["names"][0] == "good/0 & 'a'.png"
    x, y = data["roc"]
    area = (np.diff(x) * (np.array(y[1:]) + y[:-1]) / 2).sum()
    assert area == pytest.approx(found.metrics["image_auroc"].value, abs=1e-4)


def test_pictures_are_the_images_and_outlines_go_around_what_is_marked(page, small):
    blocks = re.findall(r'<script type="text/plain" class="pictures">(.*?)</script>', page, re.DOTALL)
    (lines,) = [block.split("\n") for block in blocks]
    assert len(lines) == len(small[0].images)
    original, heat = (
        cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
        for text in lines[7].split(" ")
    )
    assert original.shape == heat.shape == (96, 64, 3)
    assert abs(int(original[35, 25, 0]) - 150) < 15 and heat[35, 25, 2] > heat[35, 25, 0]
    data = data_of(page)
    assert data["outlines"][:4] == [""] * 4
    corners = np.array(re.findall(r"(\d+) (\d+)", data["outlines"][7]), int)
    assert (corners.min(0) >= [5, 15]).all() and (corners.min(0) <= [10, 20]).all()
    assert (corners.max(0) >= [39, 49]).all() and (corners.max(0) <= [44, 54]).all()


def test_what_it_says(page):
    text = unescape(page)
    assert "2 of 6 defective images escape, 1 of 4 good ones is a false alarm" in text
    assert "mind <this>" in text and "mind &lt;this&gt;" in page and "2 threads &lt;here&gt;" in page
    assert "<dt>product &lt;i&gt;</dt><dd>a &amp; b</dd>" in page
    assert "chosen on the test images" in text and "set on good images alone" in text
    assert "5.0 x" in text and "gave these verdicts" in text
    assert all(file.sha256 in text for file in BUNDLE.manifest.files)
    assert say(BUNDLE.manifest.threshold.notice()) in text and say(BUNDLE.manifest.threshold.how()) in text
    assert "few images: with 6 defective ones" in text
    assert "<img" not in page and HOSTILE not in page


def test_an_undefined_metric_is_a_dash_with_its_reason(tmp_path: Path):
    write_report(tmp_path / "p.html", "t", *made_up(40, 6), BUNDLE)
    page = (tmp_path / "p.html").read_text("utf-8")
    assert '<td title="6 defective images have no mask &lt;b&gt;">-<sup>1</sup></td>' in page
    assert "<ol><li>6 defective images have no mask &lt;b&gt;</li></ol>" in page
    assert 'id="latency-title"' not in page and "#latency" not in page


def test_only_good_images_make_a_page_without_curves(tmp_path: Path):
    found, gallery = made_up(5, 0)
    write_report(tmp_path / "p.html", "t", found, gallery, BUNDLE)
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "No curves: no bad images." in page and data_of(page)["roc"] is None
    assert "of 5 good ones" in page and "defective images escape" not in page


def test_a_threshold_that_is_not_the_bundles_is_said_not_to_be(tmp_path: Path):
    found, gallery = made_up(5, 5)
    object.__setattr__(found, "threshold", 2 * THRESHOLD)
    write_report(tmp_path / "p.html", "t", found, gallery, BUNDLE)
    assert "not the bundle's own" in (tmp_path / "p.html").read_text("utf-8")


def test_other_images_than_the_evaluations_are_refused(small, tmp_path: Path):
    with pytest.raises(ValueError, match=r"gallery\.add"):
        write_report(tmp_path / "p.html", "t", small[0], Gallery(Detector()), BUNDLE)


def test_a_page_that_can_not_be_written_is_one_line_and_leaves_nothing(small, tmp_path: Path):
    with pytest.raises(OutputError) as caught:
        write_report(tmp_path / "absent" / "p.html", "t", *small, BUNDLE)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names that aren't text are Linux's")
def test_names_that_are_not_text_are_shown_somehow(tmp_path: Path):
    found, gallery = made_up(2, 2)
    odd = Sample(Path("/d/\udcff<\u2028>.png"), "dent\udcfe")
    judged = Judged(odd, 1.0, False)
    object.__setattr__(found, "images", (judged, *found.images[1:]))
    object.__setattr__(gallery.entries[0], "judged", judged)
    write_report(tmp_path / "p.html", "\udcff", found, gallery, BUNDLE)
    assert data_of((tmp_path / "p.html").read_text("utf-8"))["names"][0] == "\\xff<\u2028>.png"


# ---------------------------------------------------------------- pieces


def big(shape: tuple[int, int], mask: np.ndarray):
    gallery = Gallery(Detector())
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    anomaly_map = np.zeros((48, 32), np.float32)
    gallery.add(None, frame, Prediction(0, False, 1, anomaly_map, mask, ()), mask)
    return gallery.entries[0]


def test_large_images_are_shrunk_and_a_mask_of_dust_stays_short():
    dust = np.zeros((48, 32), bool)
    dust[::2, ::2] = True
    entry = big((2000, 1000), dust)
    assert entry.size == (SIDE // 2, SIDE)
    assert 0 < len(entry.outline) <= OUTLINE_LENGTH
    assert re.fullmatch(r"(M\d+ \d+(L\d+ \d+)*z)+", entry.outline)
    assert big((8, 4000), np.zeros((48, 32), bool)).size == (SIDE, 8)


def test_one_marked_pixel_has_an_outline():
    one = np.zeros((48, 32), bool)
    one[0, 0] = True
    assert big((96, 64), one).outline.count("L") >= 2


def test_names_are_told_from_where_they_differ():
    files = [Path("/a/b/test/good/1.png"), Path("/a/b/test/dent/2.png")]
    assert names(files) == ["good/1.png", "dent/2.png"]
    assert names(files[:1]) == ["1.png"] and names([]) == []


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (3, 17), (1, 1), (40, 400)])
def test_the_interval_of_a_share_is_wilsons(count, total):
    """Wilson's ends are the rates that a normal test doesn't reject: found here by trying them all."""
    rates = np.linspace(0, 1, 200_001)
    far = np.abs(count / total - rates) > 1.959963984540054 * np.sqrt(rates * (1 - rates) / total)
    kept = rates[~far]
    assert share_interval(count, total) == pytest.approx((kept[0], kept[-1]), abs=2e-5)


def test_a_metric_that_the_page_does_not_know_is_shown_by_its_name(tmp_path: Path):
    found, gallery = made_up(3, 3)
    object.__setattr__(found, "metrics", {**found.metrics, "new_one": Metric(0.5)})
    object.__setattr__(found, "defects", {})
    write_report(tmp_path / "p.html", "t", found, gallery, BUNDLE)
    assert "new_one</th>" in (tmp_path / "p.html").read_text("utf-8")
