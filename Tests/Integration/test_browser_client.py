"""The browser client in a real Chromium: `/sdk/safelight.js` and its React bindings, on a page of the gateway's own origin."""

import json
import os
import pathlib
import shutil
import subprocess
import threading

import pytest

from browser import Browser, find_chromium
from conftest import EDITS, OPENAI, UNIFIED, routed
from frontends import PROGRESSIVE, STORED
from safelight import ROOT, get, wait_until
from upstream import Upstream, partial, picture

SDK = ROOT / "Sources/Web/Resources"
SHARED = pathlib.Path(os.environ.get("SAFELIGHT_SHARED", ROOT.parent / "shared"))
VECTORS = SHARED / "vectors/sse"
REACT = [pathlib.Path("/usr/share/nodejs", name) for name in
         ("react/umd/react.development.js", "react-dom/umd/react-dom.development.js")]
UNIFIED_EDIT = {**EDITS, "name": "unified-edit", "path": "/v1/edit", "dialect": "unified"}
ROUTES = [UNIFIED, UNIFIED_EDIT, OPENAI, PROGRESSIVE]
in_chromium = pytest.mark.skipif(not find_chromium(), reason="Chromium is not installed")
with_react = pytest.mark.skipif(not all(file.exists() for file in REACT), reason="node-react and node-react-dom are not installed")


@pytest.mark.skipif(not VECTORS.is_dir(), reason="needs the folder vectors/sse of the shared data")
@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_the_reader_agrees_with_the_vectors(tmp_path):
    reader = shutil.copy(SDK / "safelight-run.js", tmp_path / "reader.mjs")
    script = pathlib.Path(__file__).with_name("sse_vectors.mjs")
    run = subprocess.run(
        ["node", script, reader, VECTORS / "vectors.json", VECTORS / "vectors-large.json"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


def open_client(page, server):
    """A document of the gateway's origin without scripts of its own, then the client."""
    page.errors.clear()
    page.open(f"{server.url}/sdk/safelight.d.ts")
    load_client(page)


def errors(page):
    """What a bare document has no part in aside."""
    return [error for error in page.errors if "favicon" not in error]


def load_client(page):
    page.evaluate("import('/sdk/safelight.js').then((sdk) => { window.sdk = sdk; })")


@pytest.fixture
def counted(serve, simulator):
    """The gateway over a counted simulator."""
    with Upstream(lambda call: call.forward(simulator)) as upstream:
        yield serve({"real": upstream.config}, [routed(route, "real") for route in ROUTES], **STORED), upstream


FOLLOW = """(async (events) => {
  window.seen = []; window.failed = null; window.over = false;
  try { for await (const event of events) seen.push(event); } catch (error) { failed = error.name + ': ' + error.message; }
  over = true;
})"""


def test_files_are_served_to_every_origin(serve):
    server = serve({"real": {"provider": "openai-images", "base_url": "simulator:"}}, [routed(UNIFIED, "real")],
                   server={"playground": False})
    for name in ("safelight.js", "safelight-run.js", "safelight-react.js", "safelight.d.ts", "safelight-react.d.ts"):
        status, headers, body = get(server.port, f"/sdk/{name}")
        assert status == 200 and body == (SDK / name).read_bytes()
        assert headers["Access-Control-Allow-Origin"] == "*" and headers["ETag"]
        assert headers["Content-Type"].startswith("text/javascript" if name.endswith(".js") else "text/plain")
        assert get(server.port, f"/sdk/{name}", {"If-None-Match": headers["ETag"]})[0] == 304
    assert get(server.port, "/sdk/other.js")[0] == 404


@in_chromium
def test_generate(browser, counted):
    server, upstream = counted
    open_client(browser, server)
    browser.evaluate(f"{FOLLOW}(sdk.safelight.stream('[sim duration=1s] a lake', {{ partialImages: 2, size: '512x512' }}))")
    seen = browser.evaluate("seen")
    types = [event["type"] for event in seen]
    assert types[0] == "stage" and types.count("partial_image") == 2 and types[-2:] == ["image", "completed"]
    assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})
    assert seen[-2]["size"] == "512x512" and upstream.calls[0].json["partial_images"] == 2
    assert browser.evaluate("sdk.safelight.pending().length") == 0 and errors(browser) == []


@in_chromium
def test_callbacks_and_window_events(browser, counted):
    server, _ = counted
    open_client(browser, server)
    result = browser.evaluate("""(async () => {
      const told = { progress: [], complete: [], partials: [] };
      addEventListener('image-generation-progress', (e) => told.progress.push(e.detail));
      addEventListener('image-generation-complete', (e) => told.complete.push(e.detail));
      const result = await sdk.imageStreamingAPI.generateStream('[sim duration=1s] a lake', { partialImages: 3 }, {
        onPartialImage: (partial) => told.partials.push(partial), onComplete: (value) => { told.completed = value; },
        onError: (error) => { told.error = error.message; },
      });
      const image = new Image();
      image.src = result.image;
      await image.decode();
      return { ...told, width: image.naturalWidth, cached: sdk.safelight.cached('[sim duration=1s] a lake') === result.image };
    })()""")
    assert "error" not in result and result["width"] == 1024 and result["cached"]
    assert [partial["index"] for partial in result["partials"]] == [0, 1, 2]
    assert [one["index"] for one in result["progress"]] == [0, 1, 2] and result["progress"][0]["totalSteps"] == 3
    assert all(one["partialImage"].startswith("data:image/png;base64,") for one in result["progress"])
    assert len(result["complete"]) == 1 and result["complete"][0]["finalImage"] == result["completed"]["image"]
    assert result["complete"][0]["duration"] >= 500 and result["completed"]["usage"]["total_tokens"] >= 0
    assert len(result["completed"]["partialImages"]) == 3 and errors(browser) == []


PHOTO = """(async () => {
  const canvas = new OffscreenCanvas(1200, 600);
  canvas.getContext('2d').fillRect(0, 0, 300, 600);
  window.photo = new File([await canvas.convertToBlob({ type: 'image/png' })], 'photo.png', { type: 'image/png' });
})()"""


@in_chromium
def test_edit_and_compress(browser, counted):
    server, upstream = counted
    open_client(browser, server)
    browser.evaluate(PHOTO)
    result = browser.evaluate("""(async () => {
      const small = await sdk.compressImage(photo, { maxSize: 300 });
      const bitmap = await createImageBitmap(small);
      const result = await sdk.imageStreamingAPI.editStream(small, '[sim duration=500ms] at night', { partialImages: 1 });
      return { size: [bitmap.width, bitmap.height], type: small.type, name: small.name, image: result.image.slice(0, 22) };
    })()""")
    assert result == {"size": [300, 150], "type": "image/jpeg", "name": "photo.jpg", "image": "data:image/png;base64,"}
    assert upstream.calls[0].path.endswith("/images/edits") and errors(browser) == []


@in_chromium
def test_cancel(browser, counted):
    server, upstream = counted
    open_client(browser, server)
    browser.evaluate("window.stop = new AbortController(); undefined")
    browser.evaluate(f"{FOLLOW}(sdk.safelight.stream('[sim duration=30s] a lake', {{ signal: stop.signal }})); undefined")
    browser.wait_for("seen.some((event) => event.type === 'stage' && event.stage !== 'queued')")
    job = browser.evaluate("seen[0].job_id")
    browser.evaluate("stop.abort()")
    browser.wait_for("over")
    assert browser.evaluate("failed").startswith("AbortError")
    wait_until(lambda: json.loads(get(server.port, f"/v1/jobs/{job}")[2])["status"] == "cancelled", 10, "the cancellation")
    server.wait_idle_jobs()
    assert browser.evaluate("sdk.safelight.pending().length") == 0 and len(upstream.calls) == 1


@in_chromium
def test_a_reloaded_page_goes_on(browser, counted):
    server, upstream = counted
    open_client(browser, server)
    browser.evaluate(f"{FOLLOW}(sdk.safelight.stream('[sim duration=3s] a lake')); undefined")
    browser.wait_for("seen.some((event) => event.type === 'partial_image')")
    job = browser.evaluate("seen[0].job_id")
    browser.call("Page.reload")
    browser.wait_for("document.readyState === 'complete' && window.seen === undefined")
    load_client(browser)
    assert browser.evaluate("sdk.safelight.pending().map((one) => [one.job, one.prompt])") == [[job, "[sim duration=3s] a lake"]]
    browser.evaluate(f"{FOLLOW}(sdk.safelight.resume(sdk.safelight.pending()[0].job)); undefined")
    browser.wait_for("over")
    types = browser.evaluate("seen.map((event) => event.type)")
    assert types[-1] == "completed" and "image" in types and browser.evaluate("failed") is None
    assert browser.evaluate("sdk.safelight.pending().length") == 0 and len(upstream.calls) == 1


@in_chromium
def test_a_broken_connection_is_resumed(browser, counted):
    server, upstream = counted
    open_client(browser, server)
    browser.call("Network.enable")
    browser.evaluate(f"{FOLLOW}(sdk.safelight.stream('[sim duration=4s] a lake')); undefined")
    browser.wait_for("seen.some((event) => event.type === 'partial_image')")
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.call("Network.emulateNetworkConditions", offline=True, **offline)
    server.wait_for_streams(0)
    browser.call("Network.emulateNetworkConditions", offline=False, **offline)
    browser.wait_for("over", 60)
    sequence = browser.evaluate("seen.map((event) => event.seq)")
    assert browser.evaluate("seen.at(-1).type") == "completed" and sequence == sorted(set(sequence))
    assert len(upstream.calls) == 1


@in_chromium
def test_refusals_have_their_code(browser, serve):
    refusal = {"error": {"message": "Not this.", "type": "image_generation_user_error", "code": "moderation_blocked"}}
    with Upstream(lambda call: call.answer(400, refusal)) as upstream:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")])
        open_client(browser, server)
        for prompt, code in (("a lake", "refused"), (" ", "invalid_parameter")):
            told = browser.evaluate(f"""(async () => {{
              let told = null;
              const result = await sdk.imageStreamingAPI.generateStream('{prompt}', {{}}, {{ onError: (e) => {{ told = e; }} }});
              return {{ name: told.name, code: told.code, result }};
            }})()""")
            assert told == {"name": "SafelightError", "code": code, "result": None}
        assert len(upstream.calls) == 1


@in_chromium
def test_behind_a_proxy_that_collects_streams(browser, counted):
    """Not a byte of a stream comes before its end. The client asks instead, for the same job, and shows its previews too."""
    server, upstream = counted
    with Upstream(lambda call: call.collect(server.port)) as proxy:
        browser.open(f"http://127.0.0.1:{proxy.port}/sdk/safelight.d.ts")
        load_client(browser)
        options = "{ stallTimeout: 700, pollInterval: 200, partialImages: 2 }"
        browser.evaluate(f"{FOLLOW}(sdk.safelight.stream('[sim duration=4s] a lake', {options})); undefined")
        browser.wait_for("over", 60)
        assert browser.evaluate("failed") is None
        assert browser.evaluate("seen.filter((event) => event.type === 'stage').every((event) => event.seq === undefined)")
        types = browser.evaluate("seen.map((event) => event.type)")
    assert types[0] == "stage" and types[-2:] == ["image", "completed"] and types.count("partial_image") == 2
    assert len(upstream.calls) == 1


@in_chromium
def test_ten_tabs_at_once(browser, counted):
    """Four stream, the others ask; all of them get their picture, each from a job of its own."""
    server, upstream = counted
    tabs = [browser.tab(f"{server.url}/sdk/safelight.d.ts") for _ in range(10)]
    most = []
    done = threading.Event()

    def watch():
        while not done.wait(0.05):
            most.append(server.gauges()["streams"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for tab in tabs:
            load_client(tab)
        for number, tab in enumerate(tabs):
            tab.evaluate(f"{FOLLOW}(sdk.safelight.stream('[sim duration=4s] lake {number}', {{ partialImages: 2 }})); undefined")
        for tab in tabs:
            tab.wait_for("over", 120)
            assert tab.evaluate("failed") is None
            types = tab.evaluate("seen.map((event) => event.type)")
            assert types[-2:] == ["image", "completed"] and types.count("image") == 1
            assert tab.evaluate("seen.at(-2).b64_json.length") > 1000
        polled = [tab.evaluate("seen.filter((event) => event.type === 'stage').every((event) => event.seq === undefined)")
                  for tab in tabs]
    finally:
        done.set()
        watcher.join()
        for tab in tabs:
            tab.call("Page.close")
            tab.close()
    assert polled.count(False) == 4 and len(upstream.calls) == 10
    # Those that asked read the end of their finished jobs by streams of a moment.
    assert max(most) <= 6


# --- React --------------------------------------------------------------------------------------------------------------


def load_react(browser):
    for file in REACT:
        browser.evaluate(file.read_text() + "\n;undefined")
    browser.evaluate("""(() => {
      const map = document.createElement('script');
      map.type = 'importmap';
      map.textContent = JSON.stringify({ imports: { react: 'data:text/javascript,export default window.React' } });
      document.head.append(map);
      document.body.innerHTML = '<main></main>';
    })()""")
    browser.evaluate("""Promise.all([import('/sdk/safelight-react.js'), import('/sdk/safelight.js')]).then(([bound, sdk]) => {
      window.bound = bound; window.sdk = sdk; window.root = ReactDOM.createRoot(document.querySelector('main'));
    })""")


@pytest.fixture
def react(browser, counted):
    server, upstream = counted
    browser.errors.clear()
    browser.open(f"{server.url}/sdk/safelight.d.ts")
    load_react(browser)
    return server, upstream


@in_chromium
@with_react
def test_progressive_image(browser, react):
    server, _ = react
    browser.evaluate("""(() => {
      window.blurs = []; window.badges = new Set(); window.finished = null;
      new MutationObserver(() => {
        const image = document.querySelector('main img');
        if (image) blurs.push([image.style.filter, image.style.transform]);
        const badge = document.querySelector('.safelight-badge')?.textContent;
        if (badge) badges.add(badge);
      }).observe(document.querySelector('main'), { subtree: true, childList: true, attributes: true, characterData: true });
      root.render(React.createElement(bound.ProgressiveImage, { streamingUrl: '/api/images/generate-streaming',
        prompt: '[sim duration=2s] a lake', onComplete: (result) => { window.finished = result; }, showProgress: true }));
    })()""")
    browser.wait_for("document.querySelector('main progress') !== null")
    browser.wait_for("finished !== null", 60)
    browser.wait_for("document.querySelector('main img')?.style.filter === 'none'")
    blurs = browser.evaluate("blurs")
    steps = list(dict.fromkeys(filter for filter, _ in blurs))
    assert steps == [f"blur({pixels}px)" for pixels in range(20, 0, -2)] + ["none"]
    assert all((transform == "scale(1.1)") == (filter != "none") for filter, transform in blurs)
    assert browser.evaluate("[...badges]") == ["Preview 1", "Preview 2", "Complete"]
    assert browser.evaluate("document.querySelector('main progress') === null")
    assert browser.evaluate("document.querySelector('main figure').dataset.state") == "completed"
    assert browser.evaluate("finished.image === document.querySelector('main img').src") and errors(browser) == []


@in_chromium
@with_react
def test_progressive_image_shows_its_failure_over_the_last_preview(browser, serve):
    preview = picture(64, 64)

    def behaviour(call):
        call.start_stream()
        call.write(partial(0, preview))
        call.write(b'event: error\ndata: {"type":"error","error":{"code":"server_error","message":"The lamp broke."}}\n\n')

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")])
        browser.open(f"{server.url}/sdk/safelight.d.ts")
        load_react(browser)
        browser.evaluate("root.render(React.createElement(bound.ProgressiveImage, { prompt: 'a lake' }))")
        browser.wait_for("document.querySelector('main [role=alert]') !== null")
        assert "lamp" in browser.evaluate("document.querySelector('main [role=alert]').textContent")
        assert browser.evaluate("document.querySelector('main img').src") == f"data:image/png;base64,{preview}"
        assert browser.evaluate("document.querySelector('main figure').dataset.state") == "error"
        assert browser.evaluate("document.querySelector('.safelight-badge') === null")


HOOK = """(() => {
  function Probe() {
    window.hook = bound.useImageGenerationStream({ partialImages: 2, resume: true });
    window.states.push([hook.isGenerating, hook.currentStage, hook.progress, hook.previews]);
    return React.createElement('p', null, hook.currentStage ?? 'idle');
  }
  window.states = [];
  root.render(React.createElement(Probe));
})()"""


@in_chromium
@with_react
def test_hook(browser, react):
    server, upstream = react
    browser.evaluate(HOOK)
    browser.wait_for("window.hook !== undefined")
    assert browser.evaluate("hook.isGenerating") is False
    browser.evaluate("hook.generateWithStream('[sim duration=1s] a lake').then((value) => { window.value = value; }); undefined")
    browser.wait_for("window.value !== undefined", 60)
    browser.wait_for("hook.isGenerating === false && hook.result !== null")
    states = browser.evaluate("states")
    progress = [state[2] for state in states if state[0]]
    assert progress == sorted(progress) and states[-1] == [False, "completed", 100, 2]
    assert browser.evaluate("hook.result.image === value.image && hook.error === null")

    # Cancelled: the job ends at the server too.
    browser.evaluate("hook.generateWithStream('[sim duration=30s] a lake'); undefined")
    browser.wait_for("hook.currentStage !== null && hook.currentStage !== 'queued' && hook.isGenerating")
    browser.evaluate("hook.cancel()")
    browser.wait_for("hook.isGenerating === false")
    assert browser.evaluate("hook.currentStage") == "cancelled" and browser.evaluate("hook.error") is None
    server.wait_idle_jobs()
    assert len(upstream.calls) == 2


@in_chromium
@with_react
def test_hook_goes_on_after_a_reload(browser, react):
    server, upstream = react
    browser.evaluate(HOOK)
    browser.wait_for("window.hook !== undefined")
    browser.evaluate("hook.generateWithStream('[sim duration=3s] a lake'); undefined")
    browser.wait_for("hook.previews > 0")
    browser.call("Page.reload")
    browser.wait_for("document.readyState === 'complete' && window.hook === undefined")
    load_react(browser)
    browser.evaluate(HOOK)
    browser.wait_for("Boolean(window.hook?.result)", 60)
    assert len(upstream.calls) == 1
