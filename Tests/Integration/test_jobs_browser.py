"""Jobs that outlive their page, in a real Chromium: reloads, an image that develops without a script, the cancel button."""

import base64
import contextlib
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from browser import Browser, find_chromium
from conftest import OPENAI, SOAK, UNIFIED, routed
from safelight import Stream, get, wait_until
from test_restart import DURABLE
from test_stages import stages_upstream
from upstream import Upstream, completed, partial, picture

pytestmark = pytest.mark.skipif(not find_chromium(), reason="Chromium is not installed")
RELOADS = 20 if SOAK else 3
FINISHED = "document.querySelector('#tray')?.dataset.state === 'finished'"


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


def screen(browser):
    return browser.call("Page.captureScreenshot", format="png")["data"]


@contextlib.contextmanager
def page_server(pictures):
    """`page(source)` is the address of a page with that image and nothing else, on a site of its own; `/picture/0` is one of `pictures`."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/picture/"):
                body, kind = base64.b64decode(pictures[int(self.path.split("/")[2])]), "image/png"
            else:
                source = urllib.parse.unquote(self.path.removeprefix("/?"))
                body = f'<title>No script</title><body style="margin:0"><img width=256 src="{source}">'.encode()
                kind = "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", "script-src 'none'")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=listener.serve_forever, args=(0.1,), daemon=True).start()
    try:
        yield lambda source: f"http://127.0.0.1:{listener.server_address[1]}/?{urllib.parse.quote(source, safe='')}"
    finally:
        listener.shutdown()
        listener.server_close()


def test_an_image_develops_without_a_script(browser, serve):
    pictures = [picture(128, 128, seed) for seed in range(4)]
    steps = [threading.Event() for _ in pictures]

    def behaviour(call):
        call.start_stream()
        for number, step in enumerate(steps):
            assert step.wait(60)
            last = number == len(pictures) - 1
            call.write(completed(pictures[number]) if last else partial(number, pictures[number]))

    with Upstream(behaviour) as upstream, page_server(pictures) as page:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")])
        with Stream(server.port, UNIFIED["path"], {"prompt": "x", "partial_images": 3, "stream": True}) as stream:
            job = stream.response.headers["x-safelight-job-id"]
            browser.call("Page.navigate", url=page(f"{server.url}/v1/jobs/{job}/live"))
            browser.wait_for("document.querySelector('img') !== null && document.title === 'No script'")
            server.wait_for_streams(2)
            seen = [screen(browser)]
            for step in steps:
                step.set()
                seen.append(wait_until(lambda: (now := screen(browser)) != seen[-1] and now, 20, "the next picture"))
            assert len(set(seen)) == len(pictures) + 1
        # What stands there in the end is the finished picture, and every preview was shown as it was.
        status, _, body = get(server.port, f"/v1/jobs/{job}/previews/0")
        assert status == 200 and body == base64.b64decode(pictures[-1])
        for number, shown in enumerate(seen[1:]):
            browser.open(page(f"/picture/{number}"))
            browser.wait_for("document.querySelector('img')?.complete")
            wait_until(lambda: screen(browser) == shown, 20, "the same picture")


@pytest.fixture
def developing(serve, simulator):
    """The playground over a counted simulator."""
    with Upstream(lambda call: call.forward(simulator)) as upstream:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real"), routed(OPENAI, "real")])
        yield server, upstream


def begin(browser, server, route, prompt):
    browser.open(server.url)
    # A job that the page still remembers is taken up, and shown, before anything else.
    browser.wait_for(
        "document.querySelectorAll('#route option').length === 2 && !document.querySelector('#generate').disabled"
    )
    browser.evaluate(f"document.querySelector('#route').value = '{route['name']}'")
    browser.evaluate("document.querySelector('#prompt').value = ''")
    browser.type("#prompt", prompt)
    browser.click("#generate")
    browser.wait_for("document.querySelector('.print')?.dataset.previews >= 1")


@pytest.mark.parametrize("route", [UNIFIED, OPENAI], ids=["unified", "openai-images"])
def test_a_reloaded_page_shows_the_finished_picture(browser, developing, route):
    server, upstream = developing
    for number in range(RELOADS):
        browser.errors.clear()
        begin(browser, server, route, f"[sim duration=1500ms queue=0s] Lighthouse {number}")
        browser.call("Page.reload")
        browser.wait_for(f"document.querySelector('#tray')?.dataset.state === 'working' || {FINISHED}")
        assert browser.evaluate("document.querySelector('#prompt').value").endswith(f"Lighthouse {number}")
        browser.wait_for(FINISHED, 60)
        browser.wait_for("[...document.querySelectorAll('.print.finished img')].some((i) => i.naturalWidth > 0)")
        assert browser.evaluate("document.querySelectorAll('#links a[download]').length") == 1
        assert len(upstream.calls) == number + 1
        assert browser.errors == []
    # Once more, long after: it is still there.
    browser.call("Page.reload")
    browser.wait_for(FINISHED)
    assert len(upstream.calls) == RELOADS


def test_a_broken_connection_is_taken_up_again(browser, developing):
    """What a proxy in between would do, done by the browser: its connections are cut in mid-picture."""
    server, upstream = developing
    begin(browser, server, UNIFIED, "[sim duration=3s queue=0s] A lighthouse")
    browser.call("Network.enable")
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.call("Network.emulateNetworkConditions", offline=True, **offline)
    server.wait_for_streams(0)
    browser.call("Network.emulateNetworkConditions", offline=False, **offline)
    browser.wait_for(FINISHED, 60)
    assert len(upstream.calls) == 1
    browser.errors.clear()


def test_cancel_reaches_the_server(browser, developing):
    server, upstream = developing
    begin(browser, server, UNIFIED, "[sim duration=20s queue=0s] A long exposure")
    job = browser.evaluate("JSON.parse(sessionStorage.getItem('run')).job")
    browser.click("#cancel")
    browser.wait_for("document.querySelector('#label').textContent === 'Cancelled'")
    # The page's session alone reaches its jobs.
    assert get(server.port, f"/v1/jobs/{job}")[0] == 404
    snapshot = json.loads(browser.evaluate(f"fetch('/v1/jobs/{job}').then((answer) => answer.text())"))
    assert snapshot["status"] == "cancelled" and snapshot["cancelled"]["reason"] == "client"
    server.wait_idle_jobs()
    assert len(upstream.calls) == 1
    browser.errors.clear()


@pytest.mark.parametrize("kind", ["queue", "background", "openai-images"])
def test_a_killed_gateway(browser, serve, simulator, kind):
    """A9: the gateway is killed in mid-picture and started again; the page is left alone."""
    with Upstream(lambda call: call.forward(simulator)) as upstream:
        target = {
            "queue": stages_upstream(upstream.port), "openai-images": upstream.config,
            "background": {**upstream.config, "provider": "openai-responses", "model": "gpt-simulated", "background": True},
        }[kind]
        server = serve({"real": target}, [routed(UNIFIED, "real"), routed(OPENAI, "real")], **DURABLE)
        submitted = lambda: sum(call.method == "POST" for call in upstream.calls)
        for number in range(RELOADS):
            browser.errors.clear()
            browser.open(server.url)
            browser.wait_for(
                "document.querySelectorAll('#route option').length === 2 && !document.querySelector('#generate').disabled"
            )
            browser.evaluate(f"document.querySelector('#route').value = '{UNIFIED['name']}'")
            browser.evaluate("document.querySelector('#prompt').value = ''")
            browser.type("#prompt", f"[sim duration=2s queue=0s] Lighthouse {number}")
            browser.click("#generate")
            browser.wait_for("document.querySelector('#label').textContent === 'Developing'")
            server.kill()
            server.start_again()
            if kind != "openai-images":
                browser.wait_for(FINISHED, 60)
                browser.wait_for("[...document.querySelectorAll('.print.finished img')].some((i) => i.naturalWidth > 0)")
            else:
                browser.wait_for("document.querySelector('#tray')?.dataset.state === 'failed'", 60)
                assert browser.evaluate("document.querySelector('#fault-code').textContent") == "interrupted"
            assert submitted() == number + 1
        print(f"\n{kind}: {RELOADS} of {RELOADS}")
        browser.errors.clear()
