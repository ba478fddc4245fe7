"""Webhooks: real receivers, the signatures checked by the reference library, and gateways that die in between."""

import base64
import http.client
import json
import secrets
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from conftest import SOAK, UNIFIED, routed
from safelight import get, post, wait_until
from test_restart import ASYNC, DURABLE, finished
from test_stages import stages_upstream
from upstream import Upstream

SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
ROUTE = routed(UNIFIED, "darkroom", notify="app", delivery="both")


def new_secret():
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Receiver:
    """Answers the n-th request with the n-th status, later ones with the last; a status of None is silence."""

    def __init__(self, *statuses, **headers):
        self.requests = []
        owner, lock = self, threading.Lock()
        self.released = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    status = statuses[min(len(owner.requests), len(statuses) - 1)]
                    owner.requests.append((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
                if status is None:
                    owner.released.wait(120)
                    status = 200
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name.replace("_", "-"), value)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")
                except OSError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        class Listener(ThreadingHTTPServer):
            def handle_error(self, *_):
                """A gateway that is killed leaves its connections as they are."""

        self._server = Listener(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks/images/?from=safelight"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count, seconds=15):
        wait_until(lambda: len(self.requests) >= count, seconds, f"{count} messages")
        return self.requests[count - 1]


@pytest.fixture
def secret(monkeypatch):
    value = new_secret()
    monkeypatch.setenv("APP_WEBHOOK_SECRET", value)
    return value


def hooks(receiver, *names):
    references = [{"env": name} for name in names or ["APP_WEBHOOK_SECRET"]]
    return {"webhooks": {"app": {"url": receiver.url, "secret": references}}, **DURABLE}


def create(server, prompt="lamp", path=UNIFIED["path"], **script):
    words = " ".join(f"{name}={value}" for name, value in {"duration": "100ms", "queue": "0s", **script}.items())
    status, _, answer = post(server.port, path, {"prompt": f"[sim {words}] {prompt}"}, ASYNC)
    assert status == 202, answer
    return json.loads(answer)["job_id"]


def deliveries(server, query=""):
    status, body = server.admin(f"/webhooks{query}")
    assert status == 200, body
    return json.loads(body)


def settled(server, job, seconds=15):
    def look():
        found = deliveries(server, f"?job={job}")["deliveries"]
        return found[0] if found and found[0]["state"] != "pending" else None

    return wait_until(look, seconds, f"the delivery of {job}")


def test_a_message_verifies_and_holds_the_snapshot(serve, secret, monkeypatch):
    older = new_secret()
    monkeypatch.setenv("OLDER_SECRET", older)
    with Receiver(200) as receiver:
        server = serve(SIMULATED, [ROUTE], **hooks(receiver, "APP_WEBHOOK_SECRET", "OLDER_SECRET"))
        job = create(server)
        path, headers, body = receiver.wait_for(1)
        assert path == "/hooks/images/?from=safelight" and headers["content-type"] == "application/json"
        for known in (secret, older):
            message = Webhook(known).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(new_secret()).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body.replace(b"lamp", b"tree") + b" ", headers)
        snapshot = finished(server, job)
        assert message["type"] == "job.completed" and message["timestamp"] == snapshot["finished_at"]
        told = message["data"]
        del told["last_seq"], snapshot["last_seq"]
        urls = [image.pop("url") for image in told["images"]]
        for image in snapshot["images"]:
            del image["url"], image["url_expires_at"]
        for image in told["images"]:
            del image["url_expires_at"]
        assert told == snapshot
        parts = urllib.parse.urlsplit(urls[0])
        status, answer, picture = get(server.port, f"{parts.path}?{parts.query}")
        assert status == 200 and answer["Content-Type"] == "image/png" and picture.startswith(b"\x89PNG")
        delivery = settled(server, job)
        assert delivery["webhook_id"] == headers["webhook-id"] and delivery["state"] == "delivered"
        assert [attempt["status"] for attempt in delivery["attempts"]] == [200]
        report = deliveries(server)
        url = receiver.url.split("?")[0]
        assert report["webhooks"] == [{"name": "app", "url": url, "available": True, "pending": 0}]
        text = json.dumps(report) + server.log.read_text()
        assert secret not in text and secret[6:] not in text and "from=safelight" not in text


def test_failures_and_cancels_are_told_too(serve, secret):
    with Receiver(204) as receiver:
        plain = {**UNIFIED, "name": "plain", "path": "/v1/plain"}
        server = serve(SIMULATED, [ROUTE, routed(plain, "darkroom")], **hooks(receiver))
        create(server, path="/v1/plain")
        expected = {create(server, status=500): "job.failed", create(server, duration="60s"): "job.cancelled"}
        for job, kind in expected.items():
            if kind == "job.cancelled":
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
                connection.request("DELETE", f"/v1/jobs/{job}")
                assert connection.getresponse().status == 200
                connection.close()
            settled(server, job)
        messages = [Webhook(secret).verify(body, headers) for _, headers, body in receiver.requests]
        assert {message["data"]["job_id"]: message["type"] for message in messages} == expected
        failed = next(message for message in messages if message["type"] == "job.failed")
        assert failed["data"]["error"]["code"] and failed["data"]["status"] == "failed"


def test_a_message_survives_failures_and_a_killed_gateway(serve, secret):
    with Receiver(500, 200) as receiver:
        server = serve(SIMULATED, [ROUTE], **hooks(receiver))
        job = create(server)
        _, first, _ = receiver.wait_for(1)
        wait_until(lambda: deliveries(server, f"?job={job}")["deliveries"][0]["attempts"], 5, "the log")
        server.kill()
        server.start_again()
        report = deliveries(server)
        assert report["webhooks"][0]["pending"] == 1 and report["deliveries"][0]["state"] == "pending"
        _, second, body = receiver.wait_for(2)
        assert second["webhook-id"] == first["webhook-id"]
        assert second["webhook-timestamp"] > first["webhook-timestamp"]
        assert second["webhook-signature"] != first["webhook-signature"]
        message = Webhook(secret).verify(body, second)
        assert message["data"]["job_id"] == job and message["data"]["images"][0]["url"]
        delivery = settled(server, job)
        assert [attempt.get("status") for attempt in delivery["attempts"]] == [500, 200]
        assert delivery["state"] == "delivered" and deliveries(server, "?state=pending")["deliveries"] == []


@pytest.mark.skipif(not SOAK, reason="waits for a lease to end; make soak runs it")
def test_an_attempt_cut_off_by_a_crash_is_made_again(serve, secret):
    with Receiver(None, 200) as receiver:
        server = serve(SIMULATED, [ROUTE], **hooks(receiver))
        job = create(server)
        _, first, _ = receiver.wait_for(1)
        server.kill()
        server.start_again()
        _, second, body = receiver.wait_for(2, 40)
        assert second["webhook-id"] == first["webhook-id"]
        Webhook(secret).verify(body, second)
        assert [attempt["attempt"] for attempt in settled(server, job)["attempts"]] == [2]


def test_a_stop_lets_an_attempt_end(serve, secret):
    with Receiver(None, 200) as receiver:
        server = serve(SIMULATED, [ROUTE], **hooks(receiver))
        job = create(server)
        receiver.wait_for(1)
        threading.Timer(1, receiver.released.set).start()
        began = time.monotonic()
        assert server.stop() == 0 and time.monotonic() - began < 15
        server.start_again()
        assert [attempt["status"] for attempt in settled(server, job)["attempts"]] == [200]
        assert len(receiver.requests) == 1


def test_a_job_whose_route_is_gone_is_told_of_all_the_same(serve, simulator, secret):
    with Receiver(200) as receiver, Upstream(lambda call: call.forward(simulator)) as upstream:
        queued = routed(UNIFIED, "queue", notify="app", name="queued", path="/v1/queued")
        server = serve({**SIMULATED, "queue": stages_upstream(upstream.port)}, [queued], **hooks(receiver))
        job = create(server, path="/v1/queued", duration="60s")
        wait_until(lambda: upstream.calls, 10, "the submission")
        server.kill()
        server.write_config(SIMULATED, [routed(UNIFIED, "darkroom")])
        server.start_again()
        _, headers, body = receiver.wait_for(1)
        message = Webhook(secret).verify(body, headers)
        assert message["type"] == "job.failed" and message["data"]["job_id"] == job
        assert message["data"]["error"]["code"] == "upstream_removed"


def test_the_log_is_narrowed(serve, secret):
    with Receiver(410) as receiver:
        server = serve(SIMULATED, [ROUTE], **hooks(receiver))
        job = create(server)
        assert settled(server, job)["state"] == "given_up" and len(receiver.requests) == 1
        assert len(deliveries(server, "?state=given_up&webhook=app&limit=1")["deliveries"]) == 1
        assert deliveries(server, "?webhook=other")["deliveries"] == []
        for bad in ("?limit=0", "?state=lost", "?job=x"):
            assert server.admin(f"/webhooks{bad}")[0] == 400
    # Without a job store there is nothing to tell of.
    assert serve(SIMULATED, [routed(UNIFIED, "darkroom")]).admin("/webhooks")[0] == 404
