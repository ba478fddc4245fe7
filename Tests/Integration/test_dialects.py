"""What every dialect must do, whoever wrote it: one transcript of an upstream, told in all of them, brings the same pictures."""

import base64
import concurrent.futures
import hashlib
import json
import re
import subprocess
import time

import httpx
import httpx_sse
import pytest

from conftest import routed
from safelight import BINARY, get, post
from upstream import Upstream, completed, partial, picture

PREVIEWS, FINAL = [picture(40, 30, seed) for seed in (1, 2)], picture(64, 48, 3)
PROMPT = "a lighthouse at dusk"
STORED = {"storage": {"images": {"disk": "images"}}}

#: Where a request is more than a prompt.
BODIES = {
    "openai-responses": {
        "input": PROMPT, "stream": True, "tool_choice": {"type": "image_generation"},
        "tools": [{"type": "image_generation", "partial_images": 2}],
    },
    "replicate": {"input": {"prompt": PROMPT}},
    "fal-queue": {"prompt": PROMPT},
    "chat": {"messages": [{"role": "user", "content": PROMPT}]},
    "vercel-ui": {"id": "chat", "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": PROMPT}]}]},
    "stages": {"prompt": PROMPT},
}
DEFAULT_BODY = {"prompt": PROMPT, "partial_images": 2, "stream": True}
#: Many-path dialects: the call that creates, below the mount.
MOUNTED = {
    "stages": "/generate/stream", "openai-responses": "", "replicate": "/predictions", "fal-queue": "/fal-ai/flux",
}
PATH = "/under/test"


@pytest.fixture
def registry(tmp_path):
    """The dialects this build knows, as `check` names them."""
    route = {"path": "/x", "upstreams": ["a"], "auth": "public", "public_without_limits": True}
    config = {"upstreams": {"a": {"provider": "openai-images", "base_url": "simulator:"}}, "routes": [route]}
    file = tmp_path / "names.json"
    file.write_text(json.dumps(config))
    checked = subprocess.run([BINARY, "check", "--config", file], capture_output=True, text=True, timeout=60)
    line = next(line for line in (checked.stdout + checked.stderr).splitlines() if 'missing key "dialect"' in line)
    names = re.findall(r'"([a-z-]+)"', line.partition("expected")[2])
    assert {"unified", "openai-images"} <= set(names)
    return names


def route(dialect):
    place = {"mount": PATH} if dialect in MOUNTED else {"path": PATH}
    # Fast enough for a test to wait for several.
    return {**place, "name": "under-test", "dialect": dialect, "heartbeat": {"every": "200ms"}}


def strings(value):
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, str):
        yield value
    elif not isinstance(value, (int, float, type(None))):
        for one in value:
            yield from strings(one)


def pictures(server, document):
    """The pictures of a document, wherever and in whatever form they stand, as bytes."""
    for text in strings(document):
        _, _, data = text.partition(";base64,")
        if (data or text).startswith("iVBOR"):
            yield base64.b64decode(data or text, validate=True)
        elif text.startswith(f"{server.url}/v1/images/"):
            status, _, body = get(server.port, text.removeprefix(server.url))
            assert status == 200
            yield body


def told(server, dialect):
    """One job as the dialect streams it, byte for byte, and what it tells behind the stream."""
    path, body = PATH + MOUNTED.get(dialect, ""), BODIES.get(dialect, DEFAULT_BODY)
    method, url, result = "POST", server.url + path, None
    if dialect in ("replicate", "fal-queue"):
        created = json.loads(post(server.port, path, body)[2])
        urls = created.get("urls") or {"stream": created["status_url"] + "/stream", "get": created["response_url"]}
        method, url, result, body = "GET", urls["stream"], urls["get"], None
    with httpx.stream(method, url, json=body, timeout=30) as response:
        response.raise_for_status()
        copy = httpx.Response(200, headers=response.headers, content=b"".join(response.iter_raw()))
    return copy, json.loads(get(server.port, result.removeprefix(server.url))[2]) if result else None


def documents(response, result):
    if response.headers["content-type"].startswith("text/event-stream"):
        for event in httpx_sse.EventSource(response).iter_sse():
            assert event.data, "an event without data"
            yield json.loads(event.data) if event.data.startswith("{") else event.data
    else:
        for line in response.iter_lines():
            yield json.loads(line)
    yield result


def transcript(pause=0.0):
    def behaviour(call):
        call.start_stream()
        for index, preview in enumerate(PREVIEWS):
            call.write(partial(index, preview))
            time.sleep(pause)
        call.write(completed(FINAL))

    return Upstream(behaviour)


def test_one_transcript_brings_the_same_pictures_in_every_dialect(serve, registry):
    sent = [hashlib.sha256(base64.b64decode(one)).hexdigest() for one in [*PREVIEWS, FINAL]]
    with transcript() as upstream:
        for dialect in registry:
            server = serve({"real": upstream.config}, [routed(route(dialect), "real")], **STORED)
            seen = [
                hashlib.sha256(one).hexdigest()
                for document in documents(*told(server, dialect)) for one in pictures(server, document)
            ]
            assert seen, dialect
            assert seen[-1] == sent[-1], dialect
            assert set(seen) <= set(sent), dialect
            server.wait_idle_jobs()
            server.stop()
        assert len(upstream.calls) == len(registry)


def test_heartbeats_change_nothing_for_a_real_reader(serve, registry):
    """`httpx-sse` reads every event stream, with silences in which heartbeats are written."""
    with transcript(pause=2.3) as upstream:
        servers = [
            serve({"real": upstream.config}, [routed(route(dialect), "real")], **STORED) for dialect in registry]
        with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
            heard = list(pool.map(told, servers, registry))
        for server, dialect, (response, result) in zip(servers, registry, heard):
            events = list(documents(response, result))
            assert list(pictures(server, events))[-1] == base64.b64decode(FINAL), dialect
            if response.headers["content-type"].startswith("text/event-stream"):
                assert any(line.startswith(":") for line in response.text.split("\n")), dialect
