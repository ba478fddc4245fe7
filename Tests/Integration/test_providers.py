"""Every provider as upstream: one client, one code, a picture; and one honest ending whatever goes wrong."""

import base64
import concurrent.futures
import http.client
import io
import json
import pathlib
import re
import subprocess
import threading
import time

import openai
import pytest

from conftest import EDITS, OPENAI, UNIFIED, routed
from safelight import BINARY, Stream, get, wait_until
from test_restart import DURABLE, finished
from test_unified import assert_job
from upstream import Upstream, png

#: provider and preset, whether it shows previews, whether it edits
PROVIDERS = {
    "openai-images": ({"provider": "openai-images"}, True, True),
    "openai-responses": ({"provider": "openai-responses", "model": "gpt-simulated"}, True, True),
    "background": ({"provider": "openai-responses", "model": "gpt-simulated", "background": True}, True, True),
    "gemini": ({"provider": "gemini", "model": "gemini-simulated"}, True, True),
    "automatic1111": ({"provider": "automatic1111"}, True, True),
    "stability": ({"provider": "sync", "preset": "stability", "model": "core"}, False, True),
    "imagen": ({"provider": "sync", "preset": "imagen", "model": "imagen-simulated"}, False, False),
    "openai-shape": ({"provider": "sync", "preset": "openai", "model": "simulated"}, False, False),
    "queue": ({"provider": "queue", "preset": "stages"}, False, False),
}
NAMES = list(PROVIDERS)
STREAMING = ["openai-images", "openai-responses", "gemini"]
EDITING = {**UNIFIED, "name": "edits", "path": "/v1/edit", "operation": "edit"}


def simulated(name, **fields):
    return {"darkroom": {**PROVIDERS[name][0], "base_url": "simulator:", **fields}}


def events_of(server, prompt, path=UNIFIED["path"], **fields):
    with Stream(server.port, path, {"prompt": prompt, "partial_images": 2, "stream": True, **fields}) as stream:
        return list(stream)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture(serve, event_schema, name):
    server = serve(simulated(name), [routed(UNIFIED, "darkroom")])
    events = events_of(server, "[sim duration=2400ms queue=0] draw a lighthouse at dusk")
    assert_job(events, event_schema, previews=2 if PROVIDERS[name][1] else 0)
    image = next(event.json for event in events if event.name == "image")
    assert base64.b64decode(image["b64_json"], validate=True).startswith(b"\x89PNG")
    assert image["width"] > 0 and image["output_format"] == "png"
    server.wait_idle()


@pytest.mark.parametrize("name", [name for name in NAMES if PROVIDERS[name][2]])
def test_an_edit(serve, event_schema, name):
    server = serve(simulated(name), [routed(EDITING, "darkroom")])
    image = f"data:image/png;base64,{base64.b64encode(png(32, 32)).decode()}"
    events = events_of(server, "[sim profile=fast] make it night", EDITING["path"], images=[image])
    assert_job(events, event_schema, previews=0)


def checked(directory, upstreams, route):
    """All that `check` says about these upstreams behind such a route."""
    config = pathlib.Path(directory, "subjects.json")
    routes = [{**route, "upstreams": list(upstreams), "auth": "public", "public_without_limits": True}]
    config.write_text(json.dumps({"upstreams": upstreams, "routes": routes}))
    told = subprocess.run([BINARY, "check", "--config", config], capture_output=True, text=True, timeout=60)
    return told.stdout + told.stderr


def problems(directory, upstreams):
    """What is wrong with each upstream."""
    found = re.findall(r"\$\.upstreams\.([\w-]+)\S*: (.*)", checked(directory, upstreams, UNIFIED))
    return {name: message for name, message in reversed(found)}


def word(name):
    """As a name of an upstream that stands in a path of `check` as it is."""
    return name.replace("-", "_")


def expected(message):
    return re.findall(r'"([\w-]+)"', message.partition("expected")[2])


#: Where a service's path holds the model.
MODELS = {"fal": "fal-ai/flux/dev", "replicate": "maker/painter", "bfl": "flux-2-pro"}


@pytest.fixture
def subjects(tmp_path):
    """Every provider of the registry with each of its presets, as far as the simulator speaks it: nobody lists them here."""
    nobody = {"provider": "nobody", "base_url": "simulator:"}
    providers = expected(problems(tmp_path, {"x": nobody})["x"])
    presets = problems(
        tmp_path, {word(name): {"provider": name, "preset": "nobody", "base_url": "simulator:"} for name in providers})
    tried = {}
    for provider in providers:
        for preset in [None, *expected(presets[word(provider)])]:
            tried[word(provider + (f"_{preset}" if preset else ""))] = {
                "provider": provider, **({"preset": preset} if preset else {}), "model": MODELS.get(preset, "simulated"),
                "base_url": "simulator:"}
    refused = problems(tmp_path, tried)
    fit = {name: upstream for name, upstream in tried.items() if name not in refused}
    assert {upstream["provider"] for upstream in fit.values()} == set(providers), refused
    # A queued service is a preset or a block: the simulator plays every preset.
    assert {upstream["preset"] for upstream in fit.values() if upstream["provider"] == "queue"} == set(expected(presets["queue"]))
    unable = re.findall(r'upstream "(\w+)" cannot edit images', checked(tmp_path, fit, EDITS))
    return {name: (upstream, name not in unable) for name, upstream in fit.items()}


def test_the_openai_sdk_with_every_upstream(serve, subjects):
    """The same code, every provider, a picture. A provider that joins the registry is met here without another word."""
    routes = []
    for name, (_, edits) in subjects.items():
        for route in (OPENAI, EDITS) if edits else (OPENAI,):
            routes.append({
                **routed(route, name, unsupported="drop"), "name": f"{name}-{route['operation']}",
                "path": f"/{name}{route['path']}"})
    server = serve({name: upstream for name, (upstream, _) in subjects.items()}, routes)

    def draws(name):
        edits = subjects[name][1]
        client = openai.OpenAI(base_url=f"{server.url}/{name}/v1", api_key="unused", max_retries=0)
        answer = client.images.generate(model="any", prompt="[sim profile=fast] draw a boat")
        assert base64.b64decode(answer.data[0].b64_json, validate=True).startswith(b"\x89PNG"), name
        asked = {"prompt": "[sim duration=1600ms queue=0] draw a boat", "stream": True, "partial_images": 1}
        events = list(client.images.generate(model="any", **asked))
        assert [event.type for event in events[:-1]] == ["image_generation.partial_image"] * len(events[:-1]), name
        assert events[-1].type == "image_generation.completed", name
        if edits:
            upload = ("photo.png", io.BytesIO(png(32, 32)), "image/png")
            edited = client.images.edit(model="any", image=upload, prompt="[sim profile=fast] at night")
            assert base64.b64decode(edited.data[0].b64_json, validate=True).startswith(b"\x89PNG"), name
        return f"{name} ({len(events) - 1} previews, {'edits' if edits else 'no edits'})"

    with concurrent.futures.ThreadPoolExecutor(len(subjects)) as pool:
        shown = list(pool.map(draws, subjects))
    print(f"\na picture from each of {len(shown)}: {', '.join(shown)}")
    # The clients keep their connections.
    server.wait_idle_jobs()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "automatic1111"])
@pytest.mark.parametrize("kind", ["head", "stream"])
def test_refusals_are_refusals(serve, event_schema, name, kind):
    server = serve(simulated(name), [routed(UNIFIED, "darkroom")])
    events = events_of(server, f"[sim profile=fast refuse={kind}] draw something else")
    for event in events:
        event_schema.validate(event.json)
    assert events[-1].name == "error" and events[-1].json["error"]["code"] == "refused", events[-1].json
    assert not any(event.name == "image" for event in events)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("script", ["fail", "malformed=json", "malformed=base64", "malformed=html", "malformed=event", "truncate=200"])
def test_faults_are_errors(serve, event_schema, name, script):
    if name == "background" and script in ("malformed=json", "malformed=base64", "malformed=event"):
        pytest.skip("is asked for again until patience ends")
    server = serve(simulated(name), [routed(UNIFIED, "darkroom")])
    events = events_of(server, f"[sim profile=fast {script}] draw a broken thing")
    for event in events:
        event_schema.validate(event.json)
    terminal = events[-1]
    if terminal.name == "completed":
        # A queue fetches its pictures apart, and bytes alone have no fields: some faults do not reach them.
        assert name == "queue" or (name, script) == ("stability", "malformed=event"), terminal.json
    else:
        assert terminal.name == "error"
        error = terminal.json["error"]
        # What is no picture at all is told from one by the gateway.
        assert error["source"] == "upstream" or (name, error["code"]) == ("stability", "image_refused"), error
    assert sum(event.name in ("completed", "error", "cancelled") for event in events) == 1
    server.wait_idle()


@pytest.mark.parametrize("name", STREAMING)
def test_a_stream_without_its_end_is_an_error(serve, name):
    server = serve(simulated(name), [routed(UNIFIED, "darkroom")])
    events = events_of(server, "[sim profile=fast no_terminal] draw an endless thing")
    error = events[-1].json["error"]
    assert error["code"] == "upstream_truncated" and error["billed"] in ("maybe", "yes")


@pytest.mark.parametrize("name", NAMES)
def test_rate_limits_are_told(serve, name):
    server = serve(simulated(name), [routed(UNIFIED, "darkroom")])
    events = events_of(server, "[sim status=429 retry_after=1s] draw")
    error = events[-1].json["error"]
    assert error["code"] == "upstream_rate_limited" and error["billed"] == "no"


def cancel(server, stream):
    """Cancels once the upstream works; gives the events and the snapshot when the upstream's answer is known."""
    events = []
    for event in stream:
        events.append(event)
        if event.name == "partial_image" or event.json["stage"] == "generating":
            break
    job = events[0].json["job_id"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("DELETE", f"/v1/jobs/{job}")
    connection.getresponse().read()
    connection.close()
    events += list(stream)

    def settled():
        snapshot = json.loads(get(server.port, f"/v1/jobs/{job}")[2])
        return snapshot if snapshot.get("upstream_cancel") not in (None, "pending") else None

    return events, wait_until(settled, 15, "the upstream's answer")


@pytest.mark.parametrize("name,outcome", [("background", "done"), ("automatic1111", "done"), ("gemini", "unsupported")])
def test_cancels_reach_the_upstream(serve, name, outcome):
    server = serve(simulated(name), [routed(UNIFIED, "darkroom")])
    body = {"prompt": "[sim duration=20s queue=0 previews=3] draw slowly", "partial_images": 3, "stream": True}
    with Stream(server.port, UNIFIED["path"], body) as stream:
        events, snapshot = cancel(server, stream)
    assert events[-1].name == "cancelled"
    assert snapshot["upstream_cancel"] == outcome
    server.wait_idle()


def test_the_web_ui_is_free_after_an_interrupt(serve):
    """What was interrupted is over: the next task does not wait behind it."""
    server = serve(simulated("automatic1111"), [routed(UNIFIED, "darkroom")])
    body = {"prompt": "[sim duration=30s] draw slowly", "partial_images": 1, "stream": True}
    with Stream(server.port, UNIFIED["path"], body) as stream:
        cancel(server, stream)
    began = time.monotonic()
    assert events_of(server, "[sim profile=fast] draw at once")[-1].name == "completed"
    assert time.monotonic() - began < 10


def test_the_web_ui_works_on_one_task_at_a_time(serve):
    server = serve(simulated("automatic1111"), [routed(UNIFIED, "darkroom")])
    ends, positions = [], []

    def draw(number):
        events = events_of(server, f"[sim duration=1200ms] draw {number}")
        positions.extend(event.json.get("queue_position") for event in events if event.name == "stage")
        ends.append(events[-1].name)

    clients = [threading.Thread(target=draw, args=(number,)) for number in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert ends == ["completed"] * 3
    assert any(position for position in positions), "who waits is told so"


def test_a_background_response_survives_a_kill(serve, simulator):
    """The gateway is killed while the upstream draws; the next process brings the picture, and nothing is asked twice."""
    submissions = []

    def behaviour(call):
        if call.method == "POST":
            submissions.append(call.path)
        call.forward(simulator)

    with Upstream(behaviour) as upstream:
        base = f"http://127.0.0.1:{upstream.port}/v1"
        config = {"darkroom": {**PROVIDERS["background"][0], "base_url": base}}
        server = serve(config, [routed(UNIFIED, "darkroom")], **DURABLE)
        body = {"prompt": "[sim duration=4s queue=100ms] draw a lighthouse", "partial_images": 2, "stream": True}
        with Stream(server.port, UNIFIED["path"], body) as stream:
            for event in stream:
                if event.name == "partial_image":
                    break
            server.kill()
        server.start_again()
        end = finished(server, event.json["job_id"])
        assert end["stage"] == "completed" and len(end["images"]) == 1
        assert submissions == ["/v1/responses"]


def test_a_background_response_without_its_stream_is_polled(serve, simulator):
    """The connection breaks in the middle, and the service does not stream the response again."""
    paths = []

    def behaviour(call):
        paths.append((call.method, call.path))
        if call.method == "GET" and "stream=true" in call.path:
            return call.answer(400, {"error": {"message": "This response was not streamed.", "type": "invalid_request_error"}})
        call.forward(simulator)

    with Upstream(behaviour) as upstream:
        base = f"http://127.0.0.1:{upstream.port}/v1"
        config = {"darkroom": {**PROVIDERS["background"][0], "base_url": base}}
        server = serve(config, [routed(UNIFIED, "darkroom")])
        events = events_of(server, "[sim duration=3s queue=0 truncate=event_5] draw a lighthouse")
    assert events[-1].name == "completed"
    assert [method for method, _ in paths].count("POST") == 1
    assert any(method == "GET" and "stream" not in path for method, path in paths)
