"""The stock `fal-client` package from PyPI, unmodified. It insists on https, so a real nginx with a certificate of its own stands before."""

import asyncio
import base64
import importlib
import json
import sys
import threading

import pytest

pytest.importorskip("fal_client")

from conftest import routed
from safelight import Stream, get, post, wait_until
from test_tokens import create
from tls import NGINX, OPENSSL, TLSFront
from upstream import Upstream, completed, partial, picture

pytestmark = pytest.mark.skipif(not (NGINX and OPENSSL), reason="nginx or openssl is not installed")

FAL = {"name": "fal", "mount": "/fal", "dialect": "fal-queue"}
SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
STORED = {"storage": {"images": {"disk": "images"}}}
MODEL = "fal-ai/flux/dev"
INPUT = {"prompt": "[sim duration=1s] a boat", "image_size": "landscape_4_3", "seed": 42, "guidance_scale": 3.5}


@pytest.fixture
def front(tmp_path):
    front = TLSFront(tmp_path / "tls")
    yield front
    front.stop()


@pytest.fixture
def fal(serve, front, monkeypatch):
    """`fal(upstreams, route)` starts a gateway behind TLS and gives it with a `fal_client` that was told where it is by its environment."""

    def start(upstreams, route, **sections):
        server = serve(upstreams, [route], server={"public_url": front.url}, **sections)
        front.start(server.url)
        monkeypatch.setenv("FAL_QUEUE_RUN_HOST", f"127.0.0.1:{front.port}/fal")
        monkeypatch.setenv("FAL_RUN_HOST", f"127.0.0.1:{front.port}/fal")
        monkeypatch.setenv("FAL_KEY", "unused")
        monkeypatch.setenv("SSL_CERT_FILE", str(front.certificate))
        for name in [name for name in sys.modules if name.partition(".")[0] == "fal_client"]:
            del sys.modules[name]
        return server, importlib.import_module("fal_client")

    return start


@pytest.fixture
def simulated(fal):
    return fal(SIMULATED, routed(FAL, "darkroom", unsupported="drop"), **STORED)


def content(server, front, image):
    assert image["url"].startswith(f"{front.url}/v1/images/")
    status, headers, body = get(server.port, image["url"].removeprefix(front.url))
    assert status == 200 and headers["Content-Type"] == image["content_type"]
    assert len(body) == image["file_size"] and image["width"] > 0
    return body


def test_subscribe(simulated, front):
    server, fal_client = simulated
    updates = []
    result = fal_client.subscribe(MODEL, INPUT, with_logs=True, on_queue_update=updates.append)
    assert content(server, front, result["images"][0]).startswith(b"\x89PNG")
    # The upstream has no word for a seed: nobody is told that it was used.
    assert "seed" not in result and result["timings"]["inference"] > 0 and result["has_nsfw_concepts"] == [False]
    assert isinstance(updates[-1], fal_client.Completed) and updates[-1].metrics["inference_time"] > 0
    running = [update for update in updates if isinstance(update, fal_client.InProgress)]
    # The upstream answers once, at the end; that it has the request is told before.
    assert running and all(update.logs for update in running)
    assert {type(update) for update in updates} <= {fal_client.Queued, fal_client.InProgress, fal_client.Completed}


def test_subscribe_asynchronously(simulated, front):
    server, fal_client = simulated
    result = asyncio.run(fal_client.subscribe_async(MODEL, INPUT))
    assert content(server, front, result["images"][0]).startswith(b"\x89PNG")


def test_submit_and_get(simulated, front):
    server, fal_client = simulated
    handle = fal_client.submit(MODEL, INPUT, priority="low", hint="x", start_timeout=30)
    assert handle.status_url == f"{front.url}/fal/{MODEL}/requests/{handle.request_id}/status"
    assert isinstance(handle.status(), (fal_client.Queued, fal_client.InProgress))
    result = handle.get()
    assert content(server, front, result["images"][0]).startswith(b"\x89PNG")
    # By name and id alone: the client leaves the model's path out then.
    assert fal_client.result(MODEL, handle.request_id) == result
    assert isinstance(fal_client.status(MODEL, handle.request_id, with_logs=True), fal_client.Completed)


def test_pictures_instead_of_urls(simulated):
    _, fal_client = simulated
    result = fal_client.subscribe(MODEL, {**INPUT, "sync_mode": True})
    head, _, data = result["images"][0]["url"].partition(",")
    assert head == "data:image/png;base64" and base64.b64decode(data).startswith(b"\x89PNG")


def halting(gate):
    def behaviour(call):
        call.start_stream()
        call.write(partial(0, picture()))
        while not gate.wait(0.02):
            if call.wait_until_gone(0):
                return
        call.write(completed(picture(16, 16, 2)))

    return behaviour


def test_cancel(fal, front):
    with Upstream(halting(threading.Event())) as upstream:
        server, fal_client = fal({"real": upstream.config}, routed(FAL, "real"))
        handle = fal_client.submit(MODEL, {"prompt": "x"})
        handle.cancel()
        status = handle.status()
        assert isinstance(status, fal_client.Completed) and status.error_type == "client_cancelled" and status.error
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            handle.get()
        assert caught.value.status_code == 499 and caught.value.error_type == "client_cancelled"
        server.wait_idle_jobs()


def test_a_finished_request_cannot_be_cancelled(simulated):
    _, fal_client = simulated
    handle = fal_client.submit(MODEL, INPUT)
    handle.get()
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        handle.cancel()
    assert caught.value.status_code == 400 and caught.value.response.json() == {"status": "ALREADY_COMPLETED"}


def test_failures(fal):
    with Upstream(lambda call: call.answer(500, {"error": {"message": "boom", "type": "server_error"}})) as upstream:
        _, fal_client = fal({"real": upstream.config}, routed(FAL, "real"))
        handle = fal_client.submit(MODEL, {"prompt": "x"})
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            handle.get()
        assert caught.value.error_type == "runner_server_error"
        assert caught.value.response_headers["x-fal-request-id"] == handle.request_id
        status = handle.status()
        assert isinstance(status, fal_client.Completed) and status.error
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            fal_client.submit(MODEL, {"prompt": "x", "num_images": 99})
        assert caught.value.status_code == 422
        detail = caught.value.response.json()["detail"][0]
        assert detail["loc"] == ["body", "num_images"] and detail["msg"]
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            fal_client.submit(MODEL, {"prompt": "x"}, webhook_url="https://example.com/hook")
        assert caught.value.status_code == 400 and "fal_webhook" in caught.value.message
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            fal_client.status(MODEL, "unknown")
        assert caught.value.status_code == 404
        assert len(upstream.calls) == 1


def test_status_stream(fal):
    gate = threading.Event()
    with Upstream(halting(gate)) as upstream:
        server, _ = fal({"real": upstream.config}, routed(FAL, "real"))
        status, headers, body = post(server.port, f"/fal/{MODEL}", {"prompt": "x"})
        submitted = json.loads(body)
        assert status == 200 and headers["x-fal-request-id"] == submitted["request_id"]
        path = f"/fal/{MODEL}/requests/{submitted['request_id']}"

        def begun():
            status, _, body = get(server.port, f"{path}/status")
            assert status == 202
            return json.loads(body)["status"] == "IN_PROGRESS"

        wait_until(begun, 10, "the beginning")
        early, _, body = get(server.port, path)
        assert early == 400 and json.loads(body) == {"detail": "Request is still in progress"}
        gate.set()
        with Stream(server.port, f"{path}/status/stream?logs=1", None, method="GET") as stream:
            events = list(stream)
        assert all(event.name == "message" and not event.id for event in events)
        assert [event.json["status"] for event in events][-1] == "COMPLETED"
        assert events[-1].json["metrics"]["inference_time"] >= 0
        logs = [log for event in events for log in event.json.get("logs") or []]
        assert logs and len({(log["timestamp"], log["message"]) for log in logs}) == len(logs)
        for method, wrong in (("POST", path), ("POST", f"{path}/status"), ("POST", f"{path}/cancel")):
            assert Stream(server.port, wrong, {"prompt": "x"}, method=method).status == 405
        assert len(upstream.calls) == 1


def test_its_key_is_a_token(fal):
    closed = routed(FAL, "darkroom", unsupported="drop", auth="required", public_without_limits=False)
    server, fal_client = fal(SIMULATED, closed, storage={**STORED["storage"], "jobs": {"sqlite": "var/safelight.db"}})
    token, _ = create(server, scope=())
    result = fal_client.SyncClient(key=token).subscribe(MODEL, arguments=INPUT)
    assert len(result["images"]) == 1
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        fal_client.SyncClient(key="wrong").submit(MODEL, arguments=INPUT)
    assert caught.value.status_code == 401
