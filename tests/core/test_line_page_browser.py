"""The line's page in a real browser, on a desk's screen and on a 10-inch panel by touch.

It needs Playwright's package, of the [dev] extra, and the system's Chromium: nothing is downloaded.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgead.bundle import read_bundle
from tests.core.line_page_support import (
    PASSWORD,
    Hosted,
    Recorded,
    picture,
    record,
    status,
    telling,
    write_three,
)
from tests.mean_bundle import write_mean_bundle

pytest.importorskip("starlette", reason="starlette, of the [web] extra, isn't installed")
pytest.importorskip("uvicorn", reason="uvicorn, of the [web] extra, isn't installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
OTHERS = 99.0
"""A score by the bundle before."""
SIZES = {"desk": (1440, 900), "panel": (1024, 600)}
SMALL = """() => [...document.querySelectorAll('button, a, summary, input')]
  .filter((e) => { const { width, height } = e.getBoundingClientRect();
    return e.offsetParent && Math.min(width, height) < 43.5; })
  .map((e) => e.outerHTML)"""


class Told:
    """The page, and what its core says."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        write_three(folder / "users.toml")
        self.recorded = Recorded(folder / "record")
        self.hosted = Hosted(folder, folder / "record", {"top": bundle, "side": bundle})
        self.trigger, self.bundle = 0, read_bundle(bundle).digest
        self.recorded.add(record(1 << 40, "reject", score=OTHERS, bundle="c" * 64))
        self.ready: dict[str, Any] = {}
        for number in range(12):
            self.part("reject" if number % 5 == 1 else "accept")

    def part(self, decision: str, why: str = "score") -> str:
        self.trigger += 1
        said = record(self.trigger, decision, why, bundle=self.bundle)
        image = picture(self.trigger, decision == "reject")
        self.recorded.add(said, image if decision == "reject" and why == "score" else None)
        self.recorded.live(said, image)
        self.hosted.tell({"is": "verdict", "verdict": said})
        return str(said["part"])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("page")
    made = Told(folder, write_mean_bundle(folder / "part.edgead"))
    with telling(made.hosted, lambda: status(**made.ready)):
        yield made
    made.hosted.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright, of the [dev] extra, isn't installed")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no Chromium is installed ({', '.join(NAMES)})")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, told: Told) -> Iterator[Any]:
    """``opened(size, user)``: somebody's page; at the end, that nothing failed, or was fetched elsewhere."""
    contexts, faults, requests = [], [], []

    def open_page(size: str, user: str, scheme: str = "light") -> Any:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=size == "panel"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: "willReadFrequently" in m.text or faults.append(m.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"http://127.0.0.1:{told.hosted.port}/")
        page.fill("[name=user]", user)
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector(
            "#verdict[data-word=accept], #verdict[data-word=reject], #verdict[data-word=failsafe]"
        )
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    assert all(url.startswith(f"http://127.0.0.1:{told.hosted.port}/") for url in requests)


def holds(page: Any, selector: str, text: str) -> None:
    """Wait until a text is there; the page's own policy forbids a function to wait for."""
    page.locator(selector, has_text=text).first.wait_for()


def box(page: Any, selector: str) -> dict[str, float]:
    return page.locator(selector).first.bounding_box()


@pytest.mark.parametrize("size", SIZES)
def test_the_verdict_is_large_in_words_and_shape_and_all_of_it_is_in_sight(
    size: str, opened: Any, told: Told
) -> None:
    page = opened(size, "ella", "dark" if size == "panel" else "light")
    part = told.part("reject")
    holds(page, "#verdict", f"{part}")
    word = page.locator("#verdict .word")
    assert word.inner_text().strip() == "REJECT" and word.locator("use").get_attribute("href").endswith(
        "#reject"
    )
    assert box(page, "#verdict strong")["height"] >= 55, "legible from two metres on a panel of 10 inches"
    width, height = SIZES[size]
    for selector in ("#live", "#verdict", "#counts", "#strip button"):
        place = box(page, selector)
        assert place["y"] + place["height"] <= height and place["x"] + place["width"] <= width, selector
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.wait_for_selector("#noimage", state="hidden")
    assert page.locator("#live").get_attribute("aria-label") == f"Part {part}: REJECT, 1 region"
    holds(page, "#strip", f"{part}")
    assert page.evaluate(SMALL) == [], "for fingers: 44 pixels at least"
    assert page.locator("#ready").inner_text() == "READY"
    assert (
        "12,408" in page.locator("#counts").inner_text() and "42 ms" in page.locator("#counts").inner_text()
    )
    told.part("accept")
    page.wait_for_selector("#verdict[data-word=accept]")
    assert word.inner_text().strip() == "ACCEPT" and word.locator("use").get_attribute("href").endswith(
        "#accept"
    )
    for view in ("filed", "threshold", "events", "audit"):
        page.locator(f"nav a[href='#{view}']").tap() if size == "panel" else page.click(
            f"nav a[href='#{view}']"
        )
        page.wait_for_selector(f"#{view}:not([hidden])")
        assert page.evaluate(SMALL) == [] and page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_heatmap_and_regions_are_drawn_and_can_be_put_away(opened: Any, told: Told) -> None:
    page = opened("desk", "vera")
    part = told.part("reject")
    page.wait_for_selector(f"#live[aria-label*='{part}']")
    # Of a grey image all colour is the heatmap's, and all pure white the regions'.
    count = """() => {
      const c = document.querySelector('#live');
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let colour = 0, white = 0;
      for (let i = 0; i < d.length; i += 4) {
        colour += Math.abs(d[i] - d[i + 2]) > 40;
        white += d[i] + d[i + 1] + d[i + 2] === 765;
      }
      return [colour, white]; }"""
    colour, white = page.evaluate(count)
    assert colour > 1000 and white > 100
    page.click("#show-map")
    assert page.evaluate(count)[0] == 0 and page.evaluate(count)[1] > 100
    page.click("#show-regions")
    assert page.evaluate(count)[1] == 0
    assert page.locator("#show-map").get_attribute("aria-pressed") == "false"
    assert page.locator("#wrong").count() == 0, "a viewer files nothing"


def test_an_operator_files_a_false_alarm_with_the_keyboard_alone(opened: Any, told: Told) -> None:
    page = opened("panel", "otto")
    part = told.part("reject")
    holds(page, "#verdict", f"{part}")
    page.locator("#wrong").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail[open] form")
    told.part("accept")  # the line goes on; what was chosen stays chosen
    page.keyboard.type("oil on the part")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail:not([open])", state="attached")
    assert f"Part {part} is filed" in page.locator("#toasts").inner_text()
    page.wait_for_selector("#filed-count:not([hidden])")
    filed = told.hosted.login("otto").get("/api/filed")["filed"]
    assert (filed[0]["verdict"]["part"], filed[0]["reason"]) == (part, "oil on the part")


def test_no_verdict_is_taken_for_current_that_is_not(opened: Any, told: Told) -> None:
    page = opened("panel", "otto")
    told.ready = {
        "ready": False,
        "reasons": ["camera top isn't there, or is being opened"],
        "cameras": {"top": False},
    }
    page.wait_for_selector("#banner:not([hidden])")
    assert "Camera top isn't there" in page.locator("#banner").inner_text()
    assert page.locator("#ready").inner_text() == "NOT READY"
    assert "NOT WELL" in page.locator("#health").inner_text()
    told.part("reject", "no-image")
    page.wait_for_selector("#verdict[data-word=failsafe]")
    assert "No image came" in page.locator("#verdict").inner_text() and page.locator("#wrong").is_disabled()
    told.ready = {}
    page.wait_for_selector("#banner[hidden]", state="attached")
    process = told.hosted.child.process
    process.send_signal(signal.SIGSTOP)
    try:
        page.evaluate("() => { const now = Date.now; Date.now = () => now() + 10_000; }")
        page.wait_for_selector("#verdict[data-word=stale]")
        assert "NOT CURRENT" in page.locator("#verdict").inner_text() and page.locator("#wrong").is_disabled()
        assert "NO CONNECTION" in page.locator("#ready").inner_text()
    finally:
        process.send_signal(signal.SIGCONT)
    page.wait_for_selector("#verdict[data-word=failsafe]")


def test_a_threshold_is_previewed_on_the_last_scores(opened: Any, told: Told) -> None:
    page = opened("desk", "ella")
    page.click("nav a[href='#threshold']")
    page.wait_for_selector("#threshold:not([hidden])")
    page.fill("#threshold-value", "3.9")
    holds(page, "#preview", "At 3.9")
    scores = told.hosted.login("ella").get("/api/trend?camera=top")["scores"]
    rejected = sum(1 for row in scores if row[2] and row[0] != OTHERS)
    assert rejected < sum(1 for row in scores if row[2]), "the bundle before has scores of its own"
    assert f"0 more rejected, {rejected} more accepted" in page.locator("#preview").inner_text()
    page.click("#threshold-form .primary")
    assert not any(m["is"] == "reload" for m in told.hosted.heard), "a reason is required"
