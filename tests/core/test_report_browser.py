"""The report in a real browser: what moves when the threshold does, the gallery, the keyboard, the widths.

It needs Playwright's package, of the [dev] extra, and the system's Chromium: nothing is downloaded.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import pytest

from edgead.evaluation.bench import Latency
from edgead.evaluation.report import Timing, write_report
from edgead.metrics.uncertainty import share_interval
from edgead.names import shown as shown_name
from tests.core.report_support import BUNDLE, HOSTILE, THRESHOLD, evaluated, made_up, outcomes

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
N_GOOD, N_BAD = 2600, 400


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright, of the [dev] extra, isn't installed")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no Chromium is installed ({', '.join(NAMES)})")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("set")
    found, gallery = evaluated(folder)
    latencies = {"FP32": Latency(20, 22, 30, 40, 50, 100), "INT8": Latency(4, 5, 6.5, 9, 250, 100)}
    write_report(folder / "p.html", f"t {HOSTILE}", found, gallery, BUNDLE, timing=Timing(latencies, "here"))
    return folder / "p.html", found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("large")
    found, gallery = made_up(N_GOOD, N_BAD)
    write_report(folder / "p.html", "many", found, gallery, BUNDLE)
    return folder / "p.html", found


@pytest.fixture
def opened(browser):
    """``opened(file, width, scheme)``: the page; at the end, that nothing failed and nothing was fetched."""
    contexts, faults, requests = [], [], []

    def open_page(file: Path, width: int = 1440, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    fetched = [url for url in requests if not url.startswith("data:image/webp;base64,")]
    assert len(fetched) == len(contexts) and all(url.startswith("file://") for url in fetched)


def settle(page) -> None:
    """Wait for two frames: what is due on the next one has been drawn then."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shown(page) -> list[str]:
    """The names on the gallery's cards in the document, in order."""
    settle(page)
    return page.eval_on_selector_all("#cards li", "all => all.map((li) => li.querySelector('[title]').title)")


def gallery(page) -> None:
    page.evaluate("document.getElementById('images').scrollIntoView()")
    settle(page)


def counts(page) -> tuple[int, int]:
    escapes, alarms = re.findall(r"(\d+) of", page.inner_text("#counts"))
    tiles = [page.inner_text(f"#tile-{name} b").split(" of ")[0] for name in ("escape", "alarm")]
    assert tiles == [escapes, alarms], "the tiles at the top follow"
    return int(escapes), int(alarms)


def expected(found, threshold: float) -> tuple[int, int]:
    is_ = outcomes(found, threshold)
    return len(is_["escape"]), len(is_["alarm"])


# ---------------------------------------------------------------- the threshold


def test_the_slider_moves_counts_line_dots_and_verdicts(opened, large):
    file, found = large
    page = opened(file)
    assert counts(page) == expected(found, THRESHOLD) == (found.escapes, found.false_alarms)

    def place(what):
        return page.eval_on_selector(what, "e => e.getBoundingClientRect().x")

    marks = (
        "#now",
        "#roc circle.now",
        "#pr circle.now",
        "#roc circle.own",
        "#trade circle.own",
        "#trade .best",
    )
    before = [place(mark) for mark in marks]
    assert page.is_disabled("#reset") and page.is_hidden("#chosen")

    page.focus("#slider")
    for _ in range(40):
        page.keyboard.press("ArrowLeft")
    threshold = float(page.input_value("#number"))
    assert 0 < threshold < THRESHOLD
    assert counts(page) == expected(found, threshold) and counts(page)[1] > found.false_alarms
    assert "false alarms" in page.get_attribute("#slider", "aria-valuetext")
    assert page.inner_text("#chosen") == "Chosen on the test images."
    after = [place(mark) for mark in marks]
    assert after[0] < before[0] and after[1] > before[1] and after[2] > before[2] and after[3:] == before[3:]
    gallery(page)
    is_ = outcomes(found, threshold)
    worst = [*is_["escape"], *is_["alarm"]]
    cards = shown(page)
    assert cards == worst[: len(cards)]
    said = page.inner_text("#outcomes")
    assert f"Wrong {len(worst)}" in said and f"False alarms {len(is_['alarm'])}" in said

    page.click("#reset")
    assert counts(page) == (found.escapes, found.false_alarms) and page.is_disabled("#reset")
    assert [place(mark) for mark in marks] == before
    assert page.evaluate("document.activeElement.id") == "slider"


def test_the_first_figures_follow_the_slider_with_their_intervals(opened, small):
    file, found = small
    page = opened(file)
    scores = {
        name: [j.score for j in images] for name, images in (("escape", found.bad), ("alarm", found.good))
    }
    first = page.inner_text(".tiles")

    def told(name, part, total):
        low, high = share_interval(part, total)
        assert page.inner_text(f"#tile-{name} b") == f"{part} of {total}"
        assert page.inner_text(f"#tile-{name} .share") == f"{100 * part / total:.1f} %"
        assert page.inner_text(f"#tile-{name} .limits") == f"95 %: {100 * low:.1f} - {100 * high:.1f}"
        assert f"{part} of {total}: {100 * part / total:.1f} % ({100 * low:.1f} - {100 * high:.1f})" in (
            page.inner_text("#counts")
        )

    for threshold in (0.6 * THRESHOLD, 1.2 * THRESHOLD, -1e9, 1e9):
        page.fill("#number", str(threshold))
        missed = sum(s <= threshold for s in scores["escape"])
        alarms = sum(s > threshold for s in scores["alarm"])
        told("escape", missed, len(found.bad))
        told("alarm", alarms, len(found.good))
        hits = 2 * (len(found.bad) - missed)
        assert page.inner_text("#tile-f1 b") == f"{100 * hits / (hits + alarms + missed):.1f} %"
        assert page.inner_text("#tile-escape .at").endswith("chosen here")
        for row in page.locator("tr.kind").all():
            name = row.locator("th").inner_text()
            mine = [j.score for j in found.bad if shown_name(j.sample.defect) == name]
            assert int(row.locator(".count").inner_text()) == sum(s <= threshold for s in mine)
    page.click("#reset")
    assert page.inner_text(".tiles") == first
    assert page.locator(".tiles .moved").count() == 0


def test_the_trade_off_marks_the_threshold_its_intervals_and_the_best(opened, small):
    file, found = small
    page = opened(file)

    def place(mark):
        number = r"translate\(([-\d.e]+) ([-\d.e]+)\)"
        x, y = re.fullmatch(number, page.get_attribute(f"#trade {mark}", "transform")).groups()
        return (float(x) - 34) / 278, (320 - 24 - float(y)) / 288  # of the plot's sides

    told = found.verdicts
    ring = (told.false_alarms.value, told.escapes.value)
    assert place("circle.own") == pytest.approx(ring, abs=1e-6) == place("circle.now")
    best = [sum(j.score > told.best.threshold for j in found.good) / len(found.good),
            sum(j.score <= told.best.threshold for j in found.bad) / len(found.bad)]  # fmt: skip
    assert place("path.best") == pytest.approx(best, abs=1e-6)
    box = {name: float(page.get_attribute("#trade .box", name)) for name in ("x", "y", "width", "height")}
    low, high = told.false_alarms.interval
    assert ((box["x"] - 34) / 278, box["width"] / 278) == pytest.approx((low, high - low), abs=1e-6)
    low, high = told.escapes.interval
    assert ((296 - box["y"]) / 288, box["height"] / 288) == pytest.approx((high, high - low), abs=1e-6)
    assert "defective escape" in page.get_attribute("#trade", "aria-label")


@pytest.mark.parametrize(("good", "bad"), [(3, 0), (0, 3), (1, 1)])
def test_a_page_of_few_images_has_a_slider_too(opened, tmp_path, good, bad):
    found, gallery = made_up(good, bad)
    write_report(tmp_path / "p.html", "few", found, gallery, BUNDLE)
    page = opened(tmp_path / "p.html", 390)
    page.fill("#number", "-1e9")
    assert page.inner_text("#counts").count(" of ") == 2
    assert page.inner_text("#counts").endswith(
        f"false alarms {good} of {good}: 100.0 % ({share(good)})" if good else "0 of 0"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def share(total: int) -> str:
    """The interval of all of so many."""
    return " - ".join(f"{100 * end:.1f}" for end in share_interval(total, total))


def test_the_ends_of_the_slider_call_everything_and_nothing(opened, small):
    file, found = small
    page = opened(file)
    page.focus("#slider")
    page.keyboard.press("Home")
    assert counts(page) == (0, len(found.good))
    page.keyboard.press("End")
    assert counts(page) == (len(found.bad), 0)
    assert page.get_attribute("#pr circle.now", "visibility") == "hidden"


def test_a_threshold_can_be_typed_and_nonsense_changes_nothing(opened, small):
    file, found = small
    page = opened(file)
    page.fill("#number", str(1.2 * THRESHOLD))
    assert counts(page) == expected(found, 1.2 * THRESHOLD) == (3, 1)
    page.fill("#number", "")
    assert counts(page) == (3, 1)
    page.fill("#number", "-1e9")
    assert counts(page) == (0, len(found.good))


# ---------------------------------------------------------------- the gallery


def test_filters_order_and_search(opened, small):
    file, found = small
    page = opened(file)
    gallery(page)
    is_ = outcomes(found, THRESHOLD)
    assert len(shown(page)) == len(found.images)
    assert shown(page)[:3] == [*is_["escape"], *is_["alarm"]]
    for text, names in (("Escapes", is_["escape"]), ("False alarms", is_["alarm"]), ("Found", is_["found"])):
        page.click(f"#outcomes >> text={text}")
        assert shown(page) == names
        assert page.inner_text("#shown").startswith(f"{len(names)} of {len(found.images)}")
    page.click("#outcomes >> text=All")
    page.select_option("#defect", label="big scratch")
    page.select_option("#order", "high")
    assert shown(page) == [f"big_scratch/{number} & 'a'.png" for number in (3, 2, 1, 0)]
    page.select_option("#defect", "")
    page.fill("#search", "GOOD/3")
    assert shown(page) == ["good/3 & 'a'.png"]
    page.fill("#search", "nothing has this name")
    assert shown(page) == [] and page.is_visible("#none")
    page.click("#clear")
    assert len(shown(page)) == len(found.images) and page.is_hidden("#none")


def test_the_keyboard_goes_through_cards_and_the_larger_view(opened, small):
    page = opened(small[0])
    page.focus("#search")
    page.keyboard.press("Tab")
    focused = "document.activeElement.closest('li')?.querySelector('[title]').title"
    names = shown(page)
    assert page.evaluate(focused) == names[0]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == names[1]
    assert (
        page.eval_on_selector_all("#cards button", "all => all.filter((b) => b.tabIndex === 0).length") == 1
    )

    page.keyboard.press("Enter")
    assert page.is_visible("dialog") and page.inner_text("#viewer-title") == names[1]
    assert page.inner_text("#viewer-verdict").startswith("Escape: ")
    assert page.locator("#viewer-pictures figure").count() == 3
    loaded = "all => all.every((image) => image.complete && image.naturalWidth === 64)"
    page.wait_for_function(f"({loaded})([...document.querySelectorAll('#viewer-pictures img')])")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#viewer-title") == names[2] and page.inner_text("#place") == "3 of 10"
    assert page.locator("#viewer-pictures figure").count() == 2  # a good one: nothing is marked
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#viewer-title") == names[0] and page.is_disabled("#previous")
    page.keyboard.press("Escape")
    assert page.is_hidden("dialog") and page.evaluate(focused) == names[0]


def test_names_are_shown_and_never_run(opened, small):
    file, _ = small
    page = opened(file)
    gallery(page)
    assert f"t {HOSTILE}" in page.inner_text(".eyebrow")
    assert any("onerror=alert(1)" in name for name in shown(page))
    assert page.locator("img:not([src^='data:image/webp;base64,'])").count() == 0


# ---------------------------------------------------------------- thousands of images


def test_thousands_of_images_leave_the_document_small(opened, large):
    file, found = large
    page = opened(file)

    def nodes():
        return page.evaluate("document.querySelectorAll('*').length")

    assert nodes() < 1500
    gallery(page)
    page.locator("#cards button").first.focus()
    page.keyboard.press("End")
    settle(page)
    assert page.evaluate("document.activeElement.closest('li').getAttribute('aria-posinset')") == "3000"
    assert nodes() < 1500
    is_ = outcomes(found, THRESHOLD)
    right = sorted(
        (j for j in found.images if not j.is_wrong), key=lambda j: abs(j.score - THRESHOLD), reverse=True
    )
    last = right[0].sample.image
    assert shown(page)[-1] == f"{last.parent.name}/{last.name}"
    # The focused card stays in the document while the page is scrolled away from it.
    page.evaluate("scrollTo(0, 0)")
    settle(page)
    assert page.evaluate("document.activeElement.closest('li').getAttribute('aria-posinset')") == "3000"
    page.keyboard.press("Home")
    assert shown(page)[0] == is_["escape"][0]
    assert nodes() < 1500


def test_on_paper_the_first_images_are_in_the_document(opened, large):
    file, _ = large
    page = opened(file, 800)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#cards li").count() == 60
    page.emulate_media(media="print")
    assert page.is_hidden("#slider") and page.is_hidden("#outcomes")
    boxes = page.eval_on_selector_all("#cards li", "all => all.map((li) => li.getBoundingClientRect().top)")
    assert boxes == sorted(boxes) and boxes[-1] > boxes[0]
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    gallery(page)
    assert page.locator("#cards li").count() < 60


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_the_screen(opened, small, tmp_path, width, scheme):
    """No sideways scrolling, what is to be tapped is large enough, and light is light."""
    page = opened(small[0], width, scheme)
    gallery(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.eval_on_selector_all("button, select, input", "all => all.map((b) => b.offsetHeight)")
    assert all(height >= 36 for height in heights if height)
    tops = page.eval_on_selector_all("#cards li", "all => all.map((li) => li.getBoundingClientRect().top)")
    columns = tops.count(tops[0])
    assert columns == (1 if width == 390 else 4)
    assert len(set(tops)) == -(-len(tops) // columns)
    page.screenshot(path=tmp_path / "page.png")
    corner = cv2.imread(str(tmp_path / "page.png"))[-5:, :5].mean()
    assert corner > 230 if scheme == "light" else corner < 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(opened, small, scheme):
    """Every colour of text has a contrast of 4.5 to its background (WCAG 2.2, 1.4.3)."""
    page = opened(small[0], 1440, scheme)

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    value = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
    colours = {
        name: luminance(page.evaluate(value, f"--{name}"))
        for name in ("ink", "quiet", "good", "wrong", "paper", "card")
    }
    for text in ("ink", "quiet", "good", "wrong"):
        for ground in ("paper", "card"):
            low, high = sorted((colours[text], colours[ground]))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
