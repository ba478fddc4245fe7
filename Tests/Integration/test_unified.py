"""The unified dialect, end to end: order, schema, bytes."""

import json
import shutil
import subprocess

import pytest

from conftest import OPENAI, UNIFIED, routed
from safelight import Stream, post
from upstream import Upstream, completed, partial, picture

SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
REQUEST = {"prompt": "[sim profile=fast seed=7] a lighthouse at dusk", "partial_images": 2, "stream": True}


def assert_job(events, schema, previews=2, pictures=1):
    """What section 4 of the design says of every job."""
    for event in events:
        schema.validate(event.json)
        assert event.name == event.json["type"]
        assert event.id == f"{event.json['job_id']}.{event.json['seq']}"
    kinds = [event.name for event in events]
    values = [event.json for event in events]
    assert (kinds[0], values[0]["stage"]) == ("stage", "queued")
    assert kinds.count("partial_image") >= previews
    assert kinds.count("image") == pictures
    assert kinds[-1] == "completed" and sum(kind in ("completed", "error", "cancelled") for kind in kinds) == 1
    sequence = [value["seq"] for value in values]
    assert sequence == sorted(set(sequence))
    progress = [value["progress"] for value in values]
    assert progress == sorted(progress) and progress[-1] == 100 and 100 not in progress[:-1]
    order = ["queued", "processing", "generating", "uploading", "completed"]
    stages = [order.index(value["stage"]) for value in values]
    assert stages == sorted(stages)
    assert len({value["job_id"] for value in values}) == 1
    assert events[0].retry and not any(event.retry for event in events[1:])


def test_simulated_job(serve, event_schema):
    server = serve(SIMULATED, [routed(UNIFIED, "darkroom")])
    with Stream(server.port, UNIFIED["path"], REQUEST) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in headers and headers["x-request-id"]
        events = list(stream)
    assert_job(events, event_schema)
    assert events[0].at < 0.5, "the first event does not wait for the upstream"
    server.wait_idle()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_prints_it(serve):
    server = serve(SIMULATED, [routed(UNIFIED, "darkroom")])
    output = subprocess.run(
        ["curl", "-sSN", "--max-time", "20", server.url + UNIFIED["path"], "-H", "content-type: application/json", "-d", json.dumps(REQUEST)],
        capture_output=True, check=True, text=True, timeout=60,
    ).stdout
    kinds = [line.removeprefix("event: ") for line in output.split("\n") if line.startswith("event: ")]
    assert kinds[0] == "stage" and kinds[-2:] == ["image", "completed"] and kinds.count("partial_image") >= 2


def test_same_prompt_and_seed_give_the_simulators_own_bytes(serve, simulator):
    """Asked straight, the simulator draws the same picture; through the gateway not one byte may differ."""
    base = f"http://127.0.0.1:{simulator}/v1"
    server = serve({"darkroom": {"provider": "openai-images", "base_url": base}}, [routed(UNIFIED, "darkroom")])
    asked = {**REQUEST, "model": "gpt-image-1", "size": "1024x1024"}
    with Stream(simulator, "/v1/images/generations", asked) as direct:
        expected = [(e.name.split(".")[-1], e.json["b64_json"]) for e in direct if e.json.get("b64_json")]
    with Stream(server.port, UNIFIED["path"], asked) as stream:
        relayed = [e.json["b64_json"] for e in stream if e.name in ("partial_image", "image")]
    assert [kind for kind, _ in expected] == ["partial_image", "partial_image", "completed"]
    assert relayed == [payload for _, payload in expected]


def test_payloads_are_byte_equal(serve, event_schema):
    sent = [picture(64, 64, seed) for seed in range(3)]

    def behaviour(call):
        call.start_stream()
        call.write(partial(0, sent[0]) + partial(1, sent[1]) + completed(sent[2]))

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")])
        with Stream(server.port, UNIFIED["path"], REQUEST) as stream:
            events = list(stream)
    assert_job(events, event_schema)
    assert [e.json["b64_json"] for e in events if e.name in ("partial_image", "image")] == sent
    image = next(e.json for e in events if e.name == "image")
    assert (image["width"], image["height"], image["output_format"]) == (64, 64, "png")
    assert events[-1].json["usage"]["total_tokens"] == 286


def test_upstream_that_ends_early_is_an_error(serve, event_schema):
    def behaviour(call):
        call.start_stream()
        call.write(partial(0, picture()))

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")])
        with Stream(server.port, UNIFIED["path"], REQUEST) as stream:
            events = list(stream)
        assert len(upstream.calls) == 1, "what may have been billed is never sent twice"
    for event in events:
        event_schema.validate(event.json)
    assert events[-1].name == "error"
    error = events[-1].json["error"]
    assert error["code"] == "upstream_truncated" and error["source"] == "upstream" and error["billed"] == "maybe"


def test_waiting_call_gets_one_answer(serve):
    server = serve(SIMULATED, [routed(UNIFIED, "darkroom")])
    status, headers, body = post(server.port, UNIFIED["path"], {"prompt": "[sim profile=fast] x"})
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    assert json.loads(body)


def test_bad_requests_name_the_fault(serve):
    server = serve(SIMULATED, [routed(UNIFIED, "darkroom"), routed(OPENAI, "darkroom")])
    for body, code in (({"prompt": ""}, "invalid_parameter"), ({"prompt": "x", "n": 0}, "invalid_parameter")):
        status, _, answer = post(server.port, UNIFIED["path"], body)
        assert status == 400 and json.loads(answer)["error"]["code"] == code
    status, headers, _ = post(server.port, "/nowhere", {})
    assert status == 404 and headers["x-request-id"]
