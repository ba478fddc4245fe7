"""The playground in a real Chromium: type, click, watch."""

import os
import pathlib

import pytest

from browser import Browser, find_chromium
from conftest import EDITS, OPENAI, UNIFIED, routed
from frontends import CHAT, GALLERY, PROGRESSIVE, VERCEL

pytestmark = pytest.mark.skipif(not find_chromium(), reason="Chromium is not installed")
SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
STAGES = {"name": "blog", "mount": "/api/v1/images", "dialect": "stages"}
NDJSON = {**UNIFIED, "name": "lines", "path": "/v1/generate-lines", "dialect": "ndjson"}
ROUTES = [UNIFIED, NDJSON, OPENAI, EDITS, STAGES, PROGRESSIVE, GALLERY, CHAT, VERCEL]
FINISHED = "document.querySelector('#tray').dataset.state === 'finished'"


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture
def page(browser, serve):
    server = serve(
        SIMULATED, [routed(route, "darkroom") for route in ROUTES], storage={"images": {"disk": "images"}}
    )
    browser.errors.clear()
    browser.open(server.url)
    browser.wait_for(f"document.querySelectorAll('#route option').length === {len(ROUTES)}")
    yield browser
    assert browser.errors == []


def generate(page, route, prompt="[sim duration=1200ms queue=0s] A lighthouse at dusk"):
    page.evaluate(f"(() => {{ const r = document.querySelector('#route'); r.value = '{route['name']}';"
                  " r.dispatchEvent(new Event('change')); })()")
    page.type("#prompt", prompt)
    page.click("#generate")
    page.wait_for("document.querySelector('#tray').dataset.state !== 'empty'")
    page.wait_for("document.querySelector('#tray').dataset.state !== 'working'", 60)
    assert page.evaluate(FINISHED), page.evaluate("document.querySelector('#fault').textContent")


def event_types(page):
    return page.evaluate("[...document.querySelectorAll('#events .type')].map((cell) => cell.textContent)")


def assert_picture(page):
    page.wait_for("[...document.querySelectorAll('.print.finished img')].some((i) => i.naturalWidth > 0)")
    assert page.evaluate("document.querySelectorAll('#links a[download]').length") == 1


@pytest.mark.parametrize("route", [UNIFIED, NDJSON], ids=["unified", "ndjson"])
def test_picture_develops(page, route):
    generate(page, route)
    assert page.evaluate("Number(document.querySelector('.print').dataset.previews)") >= 2
    assert_picture(page)
    types = event_types(page)
    assert types[1] == "stage" and types[-1] == "completed" and types.count("partial_image") >= 2
    assert page.evaluate("document.querySelector('#meter').getAttribute('aria-valuenow')") == "100"
    longest = page.evaluate("Math.max(...[...document.querySelectorAll('#events pre')].map((p) => p.textContent.length))")
    assert longest < 5000, "payloads are shortened"


def test_openai_route(page):
    generate(page, OPENAI)
    assert page.evaluate("Number(document.querySelector('.print').dataset.previews)") >= 2
    assert_picture(page)
    assert event_types(page)[-1] == "image_generation.completed"


def test_stages_route(page):
    generate(page, STAGES)
    assert_picture(page)


@pytest.mark.parametrize("route", [PROGRESSIVE, GALLERY, CHAT, VERCEL], ids=lambda route: route["dialect"])
def test_routes_of_frontends(page, route):
    generate(page, route)
    assert page.evaluate("Number(document.querySelector('.print').dataset.previews)") >= 2
    assert_picture(page)


def test_refusal_is_shown(page):
    """A count that the form would not send, sent anyway: the server's own words appear."""
    page.evaluate("document.querySelector('#route').value = 'pictures'")
    page.evaluate("document.querySelector('#size').append(new Option('bad', 'enormous'))")
    page.evaluate("document.querySelector('#size').value = 'enormous'")
    page.type("#prompt", "x")
    page.click("#generate")
    page.wait_for("!document.querySelector('#fault').hidden")
    assert page.evaluate("document.querySelector('#fault-code').textContent") == "invalid_parameter"
    assert "size" in page.evaluate("document.querySelector('#fault-message').textContent")
    page.errors.clear()


def test_cancel_keeps_the_page_usable(page):
    page.evaluate("document.querySelector('#route').value = 'pictures'")
    page.type("#prompt", "[sim profile=slow] A long exposure")
    page.click("#generate")
    page.wait_for("document.querySelector('#tray').dataset.state === 'working'")
    page.click("#cancel")
    page.wait_for("document.querySelector('#label').textContent === 'Cancelled'")
    assert page.evaluate("!document.querySelector('#generate').disabled")
    page.evaluate("document.querySelector('#prompt').value = ''")
    page.errors.clear()
    generate(page, UNIFIED)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_both_colour_schemes(page, scheme, tmp_path):
    page.prefer(scheme)
    generate(page, UNIFIED)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(pathlib.Path(os.environ.get("SAFELIGHT_SCREENSHOTS", tmp_path), f"playground-{scheme}.png"))
    red, green, blue = page.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red + green + blue < 150) == (scheme == "dark")


def test_narrow_screen_does_not_scroll_sideways(page):
    page.resize(360, 740)
    generate(page, UNIFIED)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.resize(1280, 1000)
