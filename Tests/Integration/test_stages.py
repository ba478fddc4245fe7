"""The staged dialect as its frontend reads it: every network read split at newlines, nothing carried over."""

import json
import socket

import pytest

from conftest import routed
from safelight import get, post, wait_until
from upstream import Upstream

STAGES = {"name": "blog", "mount": "/api/v1/images", "dialect": "stages"}
STORED = {"storage": {"images": {"disk": "images"}}}
PROMPT = {"prompt": "[sim duration=1s queue=300ms] Ein Leuchtturm in der Dämmerung – ☂", "aspect_ratio": "16:9", "quality": "standard"}


def stages_upstream(port):
    return {
        "provider": "queue", "preset": "stages", "base_url": f"http://127.0.0.1:{port}/api/v1/images",
        "private_network": True,
    }


@pytest.fixture(params=["openai-images", "stages-events", "stages-polling"])
def blog(request, serve, simulator):
    """The dialect over an upstream that streams pictures, and over one that speaks stages itself, with and without events."""
    if request.param == "openai-images":
        yield serve({"images": {"provider": "openai-images", "base_url": "simulator:"}}, [routed(STAGES, "images")], **STORED)
        return

    def behaviour(call):
        if request.param == "stages-polling" and call.path.endswith("/events"):
            call.answer(404, {"detail": "Not found"})
        else:
            call.forward(simulator)

    with Upstream(behaviour) as upstream:
        yield serve({"images": stages_upstream(upstream.port)}, [routed(STAGES, "images")], **STORED)
        polls = [call for call in upstream.calls if call.method == "GET" and call.path.rsplit("/", 2)[1] == "jobs"]
        followed = [call for call in upstream.calls if call.path.endswith("/events")]
        submitted = [call for call in upstream.calls if call.method == "POST"]
        if submitted:
            assert len(followed) == len(submitted) == 1
            assert len(polls) >= 2 if request.param == "stages-polling" else len(polls) <= 1


def naive_frontend(port, path, body):
    """HTTP/1.0, so that the bytes of a network read are the bytes of the body."""
    data = json.dumps(body).encode()
    seen = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode() + data
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        assert b" 200 " in head.split(b"\r\n")[0] and b"chunked" not in head.lower()
        while read := connection.recv(65536):
            for line in read.decode("ascii").split("\n"):
                if line.startswith("data: "):
                    seen.append(json.loads(line[6:]))
    return seen


def test_every_read_parses_by_itself(blog):
    events = naive_frontend(blog.port, "/api/v1/images/generate/stream", PROMPT)
    stages = [event["stage"] for event in events]
    assert stages[0] == "queued" and stages[-1] == "completed"
    order = ["queued", "processing", "generating", "uploading", "completed"]
    assert sorted(stages, key=order.index) == stages
    progress = [event["progress"] for event in events]
    assert progress == sorted(progress) and progress[-1] == 100
    assert all(len(json.dumps(event)) <= 1200 for event in events)
    assert len({event["job_id"] for event in events}) == 1
    assert_pictures(blog, events[-1]["data"]["result"])


def assert_pictures(server, result):
    for image in result["images"]:
        assert image["image_url"].startswith(server.url)
        status, headers, body = get(server.port, image["image_url"].removeprefix(server.url))
        assert status == 200 and body.startswith(b"\x89PNG") and headers["X-Content-Type-Options"] == "nosniff"
        assert image["width"] > 0 and image["height"] > 0 and image["format"] == "png"


def test_polling(blog):
    status, _, body = post(blog.port, "/api/v1/images/generate", PROMPT)
    submitted = json.loads(body)
    assert status == 200 and submitted["status"] == "queued"
    seen = []

    def finished():
        status, _, body = get(blog.port, f"/api/v1/images/jobs/{submitted['job_id']}")
        assert status == 200
        seen.append(json.loads(body))
        return seen[-1]["status"] in ("completed", "failed", "cancelled")

    wait_until(finished, 60, "the job's end")
    assert seen[-1]["status"] == "completed" and seen[-1]["progress_percentage"] == 100
    assert {one["status"] for one in seen} <= {"pending", "queued", "processing", "completed"}
    assert_pictures(blog, seen[-1]["result"])


def test_errors_are_details(blog):
    status, _, body = post(blog.port, "/api/v1/images/generate", {"prompt": ""})
    assert status in (400, 422) and json.loads(body)["detail"]
    status, _, body = get(blog.port, "/api/v1/images/jobs/unknown")
    assert status == 404 and json.loads(body)["detail"]
