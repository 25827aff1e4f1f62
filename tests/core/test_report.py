"""The report's file: whole, safe, in need of nothing else, and true."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgead.cli import main
from edgead.errors import MissingDependencyError, OutputError
from edgead.evaluation.bench import Latency
from edgead.evaluation.evaluate import Judged
from edgead.evaluation.report import Gallery, Timing, write_report
from edgead.evaluation.report.gallery import OUTLINE_LENGTH, SIDE, names
from edgead.manifest import WrappedMethod
from edgead.metrics.scores import Metric
from edgead.metrics.uncertainty import share_interval
from edgead.names import shown
from edgead.notices import Notice, say
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


def test_the_verdict_comes_first_with_what_it_is_held_against(page, small):
    found, _ = small
    told = found.verdicts
    text = unescape(re.sub(r"<[^>]+>", " ", page[page.index("<h1>") : page.index('id="data"')]))
    places = [text.index(words) for words in ("escapes", "false alarms", "image F1", "image AUROC")]
    assert places == sorted(places)
    assert 'id="tile-escape"><b>2 of 6</b>' in page and 'id="tile-alarm"><b>1 of 4</b>' in page
    assert f"95 %: {100 * told.escapes.interval[0]:.1f} - {100 * told.escapes.interval[1]:.1f}" in text
    assert f'id="tile-f1"><b>{100 * told.f1.value:.1f} %</b>' in page
    assert f"{100 * told.best.f1:.1f} % at best" in text
    assert f"F1-max {100 * told.best.f1:.2f} at {told.best.threshold:.6g}, chosen on these images" in text
    assert say(told.not_stated) in text, "of a threshold that nothing is known of"
    widths = [float(width) for width in re.findall(r'<rect class="\w+" x="[\d.]+%" width="([\d.]+)%"', page)]
    assert len(widths) == 3 and sum(widths) == pytest.approx(100, abs=0.01)
    assert widths[0] == pytest.approx(100 * told.f1.value, abs=1e-3)
    assert widths[1] / (widths[1] + widths[2]) == pytest.approx(told.threshold_share.value, abs=1e-3)
    assert data_of(page)["best"] == told.best.threshold
    rows = re.findall(
        r'data-kind="(\d)"><th scope="row">(.*?)</th><td>(\d+)</td><td class="count">(\d+)</td>', page
    )
    names = [shown(kind) for kind in told.kinds]
    assert [(unescape(name), int(n), int(k)) for _, name, n, k in rows] == [
        (name, share.total, share.count) for name, share in zip(names, told.kinds.values(), strict=True)
    ]
    assert [data_of(page)["defects"][int(number)] for number, *_ in rows] == names


@pytest.mark.parametrize(("good", "bad"), [(0, 3), (3, 0), (1, 0), (0, 1), (1, 1)])
def test_few_images_make_a_whole_page(tmp_path: Path, good: int, bad: int):
    write_report(tmp_path / "p.html", "t", *made_up(good, bad), BUNDLE)
    page = (tmp_path / "p.html").read_text("utf-8")
    parsed = Balance()
    parsed.feed(page)
    assert parsed.open == [] and len(set(parsed.ids)) == len(parsed.ids)
    assert all(link[1:] in parsed.ids for link in parsed.links)
    both = good and bad
    assert ("tile-escape" in parsed.ids, "tile-alarm" in parsed.ids) == (bool(bad), bool(good))
    assert ("tile-f1" in parsed.ids, "trade" in parsed.ids) == (bool(both), bool(both))
    assert (data_of(page)["best"] is not None) == bool(both)


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
    other = dataclasses.replace(found.verdicts, threshold=2 * THRESHOLD, source="given")
    found = dataclasses.replace(found, verdicts=other)
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
    assert data_of((tmp_path / "p.html").read_text("utf-8"))["names"][0] == "\\xff<\\u2028>.png"


# ---------------------------------------------------------------- what a stranger wrote

EVIL = "</script></style></title><script>alert(1)</script><!--\u2028'\" onload=alert(1) {{ 7 * 7 }} {% raw %}"


class Texts(HTMLParser):
    """Collects an HTML document's elements, attributes, and texts, as a browser would read them."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = Counter(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def bundle_that_says(text: str):
    """The golden bundle, were each text in it that isn't checked another's."""
    forms = [
        {"precision": text, "parity": {"score": 0.0123, "flips": 0}, "misses": [text], "model_bytes": 2.5e6},
        {"precision": "fp32", "parity": None, "separation": {"measured_loss": -0.004}, "failure": None},
        text,
    ]
    manifest = dataclasses.replace(
        BUNDLE.manifest,
        method=WrappedMethod(text, text, 64 * "0", {text: text}, 0),
        target=text,
        provenance={"backbone": {"name": text}, "images": {text: text}, text: {text: [text]}},
        facts={text: {text: text}},
        reports={"forms": forms},
    )
    return dataclasses.replace(BUNDLE, manifest=manifest)


def write_hostile(path: Path, text: str) -> None:
    found, gallery = made_up(4, 3)
    images = []
    for i, judged in enumerate(found.images):
        file = Path("/d") / f"{i}{text.replace('/', '')}.png"
        sample = Sample(file, "good" if judged.sample.is_good else text)
        images.append(dataclasses.replace(judged, sample=sample))
        gallery.entries[i] = dataclasses.replace(gallery.entries[i], judged=images[i])
    undefined = Metric(None, Notice("odd", {"text": text}, "{text}"))
    found = dataclasses.replace(
        found,
        images=tuple(images),
        metrics={**found.metrics, "pixel_auroc": undefined, text: Metric(0.5, interval=(0.4, 0.6))},
        defects={text: {**found.metrics, "pixel_auroc": undefined, text: undefined}},
        notices=(Notice("none of ours " + text, {"file": text}),),
        bundle_notices=(Notice(text, {text: text}),),
    )
    times = {text: LATENCIES["FP32"], f"{text}2": LATENCIES["INT8"]}
    write_report(
        path, text, found, gallery, bundle_that_says(text),
        timing=Timing(times, text), facts={text: text}, notes=[text],
    )  # fmt: skip


def test_no_text_from_outside_becomes_markup_script_or_template(tmp_path: Path):
    """The page's elements, attributes and script are those of a page whose texts are plain words."""
    pages = []
    for name, text in (("plain", "plain"), ("evil", EVIL)):
        write_hostile(tmp_path / name, text)
        pages.append((tmp_path / name).read_text("utf-8"))
    read = [Texts() for _ in pages]
    for parsed, page in zip(read, pages, strict=True):
        parsed.feed(page)
    plain, evil = read
    assert evil.tags == plain.tags
    assert [name for name, _ in evil.attributes] == [name for name, _ in plain.attributes]
    assert not any(name.startswith("on") for name, _ in evil.attributes)
    said = "".join(evil.texts)
    assert "{{ 7 * 7 }}" in said and "49 {% raw" not in said
    scripts = [re.findall(r'<script type="module">.*?</script>', page, re.DOTALL) for page in pages]
    assert scripts[0] == scripts[1]
    (element,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', pages[1])
    assert element.isascii() and "<" not in element and "&" not in element
    data = json.loads(element)
    assert data["defects"] == ["good", shown(EVIL)]
    assert data["names"][0] == shown(f"0{EVIL.replace('/', '')}.png")


def test_the_gates_figures_are_those_of_the_bundle_and_a_missing_one_is_a_dash(tmp_path: Path):
    write_hostile(tmp_path / "p.html", "word")
    page = (tmp_path / "p.html").read_text("utf-8")
    rows = re.findall(r"<tr>(.*?)</tr>", page[page.index("<h3>Gates") :], re.DOTALL)
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in rows[1:]]
    assert cells == [
        ["word", "1.23 %", "-", "0", "-", "2.5", "no: word"],
        ["fp32", "-", "-", "-", "-0.40", "-", "yes"],
    ]


def test_each_products_threshold_is_on_the_page(tmp_path: Path):
    own = BUNDLE.manifest.threshold
    thresholds = {"default": own, "tile": dataclasses.replace(own, score=12.5, n_images=31)}
    bundle = dataclasses.replace(BUNDLE, manifest=dataclasses.replace(BUNDLE.manifest, thresholds=thresholds))
    write_report(tmp_path / "p.html", "t", *made_up(4, 3), bundle)
    page = (tmp_path / "p.html").read_text("utf-8")
    told = dict(re.findall(r"<dt>(threshold.*?)</dt><dd>(.*?)</dd>", page, re.DOTALL))
    assert list(told) == ["threshold", "threshold of tile"]
    assert "image score 12.5," in told["threshold of tile"] and "on 31 held-out" in told["threshold of tile"]
    assert f"image score {own.score:.6g}," in told["threshold"]


def test_without_notes_the_list_of_them_is_empty_and_so_not_shown(tmp_path: Path):
    found, gallery = made_up(400, 400)
    metrics = {name: Metric(0.5) for name in found.metrics}
    found = dataclasses.replace(found, metrics=metrics)
    write_report(tmp_path / "p.html", "t", found, gallery, BUNDLE)
    assert '<ul class="notes"></ul>' in (tmp_path / "p.html").read_text("utf-8")


# ---------------------------------------------------------------- without Jinja


@pytest.fixture
def no_jinja2(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)


def test_without_jinja_a_gallery_says_what_to_install_before_any_image_is_judged(no_jinja2):
    with pytest.raises(MissingDependencyError, match=r'a report needs .*jinja2.*"edgead\[report\]"'):
        Gallery(Detector())


@pytest.mark.parametrize("command", ["eval b.edgead set --report p.html", "demo --out d"])
def test_without_jinja_a_command_that_writes_a_report_stops_before_any_work(
    no_jinja2, command, tmp_path, monkeypatch, capsys
):
    """Neither bundle nor data set is there: whoever looked for them first would say that."""
    pytest.importorskip("openvino", reason="the demo asks for its engine first")
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 5
    said = capsys.readouterr().err
    assert 'pip install "edgead[report]"' in said and len(said.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_jinja_an_evaluation_without_a_report_goes_on(no_jinja2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "b.edgead", "set"]) != 5
    assert "jinja2" not in capsys.readouterr().err


def test_only_a_report_loads_jinja():
    code = "import sys, edgead.evaluation.report, edgead.demo.demo; print('jinja2' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


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
