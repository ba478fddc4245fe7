"""Existing frontends, each with its own reading loop, on each dialect that they speak."""

import base64
import hashlib
import itertools
import json

import httpx
import httpx_sse
import pytest

from conftest import routed
from frontends import (
    ALL, CHAT, GALLERY, NDJSON, PROGRESSIVE, STAGES, STORED, VERCEL, body, carrying, fetched, final_picture, naive, objects,
    path,
)
from safelight import Stream, get, post
from upstream import Upstream, completed, partial, picture, png

SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
PROMPT = "[sim duration=1s] Ein Leuchtturm in der Dämmerung – ☂"
identify = {"ids": lambda route: route["dialect"] if isinstance(route, dict) else str(route)}


def simulated(serve, *routes, **fields):
    return serve(SIMULATED, [routed(route, "darkroom", **fields) for route in routes], **STORED)


def replaying(previews, final):
    def behaviour(call):
        call.start_stream()
        for index, preview in enumerate(previews):
            call.write(partial(index, preview))
        call.write(completed(final))

    return Upstream(behaviour)


# --- Reading loops ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [PROGRESSIVE, CHAT, GALLERY], **identify)
def test_every_read_parses_by_itself(serve, route):
    """The loop of existing frontends, as written, where no event carries bytes."""
    server = simulated(serve, route, delivery="url")
    events = list(naive(server.port, path(route), body(route, PROMPT)))
    assert final_picture(server, route, events).startswith(b"\x89PNG")
    for event in events:
        text = json.dumps(event)
        assert "https://" not in text or len(text) <= 1200
    if route is PROGRESSIVE:
        progress = [event["progress"] for event in events if event["type"] == "progress"]
        assert progress == sorted(progress) and events[0]["type"] == "progress" and events[-1]["type"] == "completed"
        preview = next(event["preview_url"] for event in events if "preview_url" in event)
        assert fetched(server, preview).startswith(b"\x89PNG")
    elif route is CHAT:
        assert events[0]["content"] == "" and events[-1]["done"] is True and events[-1]["imageGenerated"] is True
        assert events[0]["chatId"] == events[-1]["chatId"] and events[-1]["messageId"].startswith("job_")
    else:
        assert events[0] | {"status": "started", "type": "progress"} == events[0]
        assert events[-1]["type"] == "complete" and events[-1]["metadata"]["images"] == 1


@pytest.mark.parametrize("route", [PROGRESSIVE, CHAT, GALLERY], **identify)
def test_three_megabytes_with_the_remainder_carried_over(serve, route):
    previews, final = [picture(1024, 1024, seed) for seed in (1, 2)], picture(1024, 1024, 3)
    assert len(final) > 4_000_000
    with replaying(previews, final) as upstream:
        server = serve({"real": upstream.config}, [routed(route, "real")], **STORED)
        events = list(carrying(server.port, path(route), body(route, "x")))
    shown = {
        "progressive": lambda: [event["b64_json"] for event in events if event["type"] == "partial_image"],
        "chat": lambda: [event["image_partial"]["b64_json"] for event in events if "image_partial" in event],
        "gallery": lambda: [event["data"] for event in events if event["type"] == "partial_image"],
    }[route["dialect"]]()
    assert [one for one in previews if one in shown] == shown and shown
    assert final_picture(server, route, events) == base64.b64decode(final)


@pytest.mark.parametrize("route", ALL, **identify)
def test_the_same_pictures_in_every_dialect(serve, route):
    """One transcript of an upstream through each dialect: byte-equal, by hash."""
    previews, final = [picture(64, 48, seed) for seed in (1, 2)], picture(320, 200, 3)
    with replaying(previews, final) as upstream:
        server = serve({"real": upstream.config}, [routed(route, "real")], **STORED)
        events = list(objects(server, route, body(route, "x")))
    found = hashlib.sha256(final_picture(server, route, events)).hexdigest()
    assert found == hashlib.sha256(base64.b64decode(final)).hexdigest()
    shown = [text for text in walk(events) if text.removeprefix("data:image/png;base64,") in previews]
    assert len(shown) == (0 if route is STAGES else 2)


def walk(value):
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(walk(member) for member in value.values())
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(walk(member) for member in value)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("route", [route for route in ALL if route is not NDJSON], **identify)
def test_httpx_sse_with_heartbeats(serve, route):
    """The stock reader sees every event and none of the heartbeats."""
    server = simulated(serve, route, heartbeat={"every": "100ms"})
    prompt = "[sim duration=1500ms first_byte=500ms previews=2] a boat"
    heard = []
    with httpx.Client(timeout=60) as client:
        with httpx_sse.connect_sse(client, "POST", server.url + path(route), json=body(route, prompt)) as source:
            source.response.iter_raw = recorded(source.response.iter_raw, heard)
            whole = list(source.iter_sse())
    assert b": ka\n" in b"".join(heard)
    assert all(event.data for event in whole)
    done = [event for event in whole if event.data == "[DONE]"]
    assert len(done) == (1 if route is VERCEL else 0) and done == whole[-1:][: len(done)]
    events = [json.loads(event.data) for event in whole if event.data != "[DONE]"]
    assert final_picture(server, route, events).startswith(b"\x89PNG")


def recorded(iterate, heard):
    def iterating(*arguments, **options):
        for piece in iterate(*arguments, **options):
            heard.append(piece)
            yield piece

    return iterating


# --- Ends ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [PROGRESSIVE, CHAT, GALLERY, VERCEL], **identify)
def test_a_failure_is_told_in_the_dialects_words(serve, route):
    server = simulated(serve, route)
    events = list(objects(server, route, body(route, "[sim duration=500ms fail] a boat")))
    last = events[-1]
    if route is CHAT:
        assert last["error"] and "done" not in last
    elif route is VERCEL:
        assert [event["type"] for event in events[-2:]] == ["error", "finish"] and events[-2]["errorText"]
    else:
        assert last["type"] == "error" and last["message"]


@pytest.mark.parametrize("route", [PROGRESSIVE, CHAT, GALLERY, VERCEL], **identify)
def test_a_cancellation_is_told_in_the_dialects_words(serve, route):
    server = simulated(serve, route)
    with Stream(server.port, path(route), body(route, "[sim duration=20s] a boat")) as stream:
        job = stream.response.headers["x-safelight-job-id"]
        httpx.delete(f"{server.url}/v1/jobs/{job}")
        events = [event.data for event in stream]
    if route is VERCEL:
        assert json.loads(events[-2])["type"] == "abort" and events[-1] == "[DONE]"
    elif route is CHAT:
        assert json.loads(events[-1])["error"] == "cancelled"
    else:
        assert json.loads(events[-1])["type"] == "error" and "cancelled" in json.loads(events[-1])["message"]


@pytest.mark.parametrize("route", [PROGRESSIVE, CHAT, GALLERY], **identify)
def test_the_first_event_is_there_at_once(serve, route):
    server = simulated(serve, route)
    with Stream(server.port, path(route), body(route, "[sim first_byte=5s] a boat")) as stream:
        assert next(iter(stream)).at < 2
    assert stream.status == 200


def test_wrong_requests_are_refused_before_the_stream(serve):
    server = simulated(serve, PROGRESSIVE, CHAT, GALLERY, VERCEL)
    for route in (PROGRESSIVE, GALLERY, CHAT):
        status, _, answer = post(server.port, path(route), {"prompt": ""})
        assert status == 400 and json.loads(answer)["message"] == json.loads(answer)["error"]
    status, headers, answer = post(server.port, path(VERCEL), {"messages": []})
    assert status == 400 and headers["Content-Type"].startswith("text/plain") and answer.startswith(b"messages")


# --- What requests mean -------------------------------------------------------------------------------------------------


def test_unknown_words_become_the_nearest_and_are_told(serve):
    with replaying([], picture()) as upstream:
        server = serve({"real": upstream.config}, [routed(PROGRESSIVE, "real")], **STORED)
        wish = {"prompt": "x", "size": "1600x900", "background": "white", "quality": "ultra", "style": "noir", "theme": 7}
        events = list(objects(server, PROGRESSIVE, wish))
        asked = upstream.calls[0].json
    assert asked["size"] == "1536x1024" and asked["background"] == "opaque" and asked["quality"] == "high"
    assert "style" not in asked and "theme" not in asked and asked["partial_images"] == 2
    assert events[0]["dropped"] == ["size: 1600x900 -> 1536x1024", "background: white -> opaque", "style"]


@pytest.mark.parametrize("route", [PROGRESSIVE, GALLERY], **identify)
def test_edits_take_forms_and_json(serve, route):
    edits = {**route, "path": route["path"] + "-edit", "operation": "edit"}
    server = simulated(serve, edits)
    photo, mask = png(32, 32), png(32, 32, 9)
    files = [("image", ("a.png", photo, "image/png")), ("image", ("b.png", photo, "image/png")),
             ("mask", ("m.png", mask, "image/png"))]
    for upload in ({"files": files[:1]}, {"files": files}):
        answer = httpx.post(
            server.url + edits["path"], data={"prompt": "[sim profile=fast] at night", "stream": "false"}, timeout=60, **upload)
        assert answer.status_code == 200, answer.text
    image = "data:image/png;base64," + base64.b64encode(photo).decode()
    for images in ({"image": image}, {"images": [image, image], "mask": image}):
        events = list(objects(server, edits, {"prompt": "[sim profile=fast] at night", **images}))
        assert final_picture(server, edits, events).startswith(b"\x89PNG")


@pytest.mark.parametrize("route", [PROGRESSIVE, GALLERY, CHAT, VERCEL], **identify)
def test_one_answer_instead_of_a_stream(serve, route):
    server = simulated(serve, route)
    wish = {**body(route, "[sim profile=fast] a boat"), "stream": False}
    status, headers, answer = post(server.port, path(route), wish)
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    answer = json.loads(answer)
    found = {
        "progressive": lambda: base64.b64decode(answer["b64_json"]),
        "gallery": lambda: base64.b64decode(answer["images"][0]["data"]),
        "chat": lambda: fetched(server, answer["images"][0]["url"]),
        "vercel-ui": lambda: fetched(server, answer["parts"][0]["url"]),
    }[route["dialect"]]()
    assert found.startswith(b"\x89PNG")


def test_a_conversation_with_a_picture_is_an_edit(serve):
    server = simulated(serve, CHAT)
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(png(32, 32)).decode()}}
    wish = {"messages": [{"role": "user", "content": [{"type": "text", "text": "[sim profile=fast] bluer"}, part]}]}
    events = list(objects(server, CHAT, wish))
    assert final_picture(server, CHAT, events).startswith(b"\x89PNG")


@pytest.mark.parametrize("route", [CHAT, VERCEL], **identify)
def test_the_rule_looks_for_a_wish(serve, route):
    server = simulated(serve, route, intent="rule")
    status, headers, answer = post(server.port, path(route), body(route, "What time is it?"))
    assert status == 422 and b"No picture was asked for" in answer
    assert headers["x-should-retry"] == "false"
    events = list(objects(server, route, body(route, "[sim profile=fast] Zeichne einen Leuchtturm")))
    assert final_picture(server, route, events).startswith(b"\x89PNG")


def test_the_ai_sdk_knows_the_stream_by_its_header(serve):
    server = simulated(serve, VERCEL)
    with Stream(server.port, path(VERCEL), body(VERCEL, "[sim profile=fast] a boat")) as stream:
        assert stream.response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        types = [json.loads(event.data)["type"] for event in stream if event.data != "[DONE]"]
    assert types[:2] == ["start", "start-step"] and types[-2:] == ["finish-step", "finish"]
    assert types.count("data-image-preview") == 2


@pytest.mark.parametrize("route", [PROGRESSIVE, CHAT, GALLERY], **identify)
def test_nobody_pays_for_a_closed_page(serve, route):
    """The last reader leaves, and the grace of the route passes."""
    server = simulated(serve, route, on_disconnect="1s")
    with Stream(server.port, path(route), body(route, "[sim duration=60s] a boat")) as stream:
        job = stream.response.headers["x-safelight-job-id"]
        next(iter(stream))
    server.wait_idle_jobs()
    assert json.loads(get(server.port, f"/v1/jobs/{job}")[2])["cancelled"]["reason"] == "disconnect"
