"""TLS and HTTP/2 on the listener itself: streams, resets, hostile frames, certificates that change."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from conftest import SOAK, UNIFIED, routed
from safelight import BINARY, wait_until
from tls import OPENSSL, make_certificate

CURL = shutil.which("curl")
UPSTREAMS = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
QUICK = "[sim duration=100ms queue=0s] lamp"
SLOW = "[sim duration=60s queue=0s] lamp"

pytestmark = pytest.mark.skipif(not OPENSSL, reason="needs openssl to make a certificate")


@pytest.fixture
def secured(serve, tmp_path):
    """`secured(**server)` starts a gateway that speaks TLS; it is given a `trust` for clients."""

    def start(route=None, **server):
        certificate, key = make_certificate(tmp_path)
        files = {"certificate": str(certificate), "private_key": str(key)}
        started = serve(
            UPSTREAMS, [{**routed(UNIFIED, "darkroom"), **(route or {})}],
            server={"tls": files, "public_url": "https://gateway.test", **server})
        started.url = f"https://127.0.0.1:{started.port}"
        started.certificate, started.key = certificate, key
        started.trust = ssl.create_default_context(cafile=str(certificate))
        return started

    return start


def events(text):
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


@pytest.mark.skipif(not CURL, reason="needs curl")
def test_curl_reads_a_stream_over_either_version(secured):
    server = secured()
    body = json.dumps({"prompt": QUICK, "stream": True, "partial_images": 2})
    for flag, version in (("--http2", "HTTP/2"), ("--http1.1", "HTTP/1.1")):
        done = subprocess.run(
            [CURL, "-sNi", flag, "--cacert", str(server.certificate), "-H", "Content-Type: application/json",
             "-d", body, server.url + UNIFIED["path"]], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        head, _, text = done.stdout.partition("\n\n")
        assert head.startswith(f"{version} 200"), head
        assert "text/event-stream" in head and "nosniff" in head
        assert ("transfer-encoding" in head.lower()) == (version == "HTTP/1.1"), head
        told = [event["type"] for event in events(text)]
        assert told[0] == "stage" and told[-1] == "completed" and told.count("partial_image") == 2, told
    server.wait_idle()


def test_many_streams_share_a_connection(secured):
    """Large pictures arrive whole beside one another, each under its own flow control."""
    server = secured()
    count = 64 if SOAK else 12

    async def one(client, index):
        prompt = f"[sim duration=200ms queue=0s payload=1MiB] lamp {index}"
        body = {"prompt": prompt, "stream": True, "partial_images": 3}
        hasher, text = hashlib.sha256(), ""
        async with client.stream("POST", UNIFIED["path"], json=body) as response:
            assert response.status_code == 200 and response.http_version == "HTTP/2"
            async for piece in response.aiter_text():
                text += piece
                if index % 3 == 0:
                    await asyncio.sleep(0.001)
        told = events(text)
        assert told[-1]["type"] == "completed", told[-1]
        image = next(event for event in told if event["type"] == "image")
        hasher.update(image["b64_json"].encode())
        whole = await client.get(f"/v1/jobs/{image['job_id']}/previews/0")
        assert whole.status_code == 200 and whole.headers["content-type"] == "image/png"
        return index, hasher.hexdigest(), len(image["b64_json"])

    async def run():
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            http2=True, verify=server.trust, base_url=server.url, limits=limits, timeout=60
        ) as client:
            return await asyncio.gather(*(one(client, index) for index in range(count)))

    answers = asyncio.run(run())
    assert len({digest for _, digest, _ in answers}) == count
    server.wait_idle()


class RawClient:
    """One HTTP/2 connection whose frames the test writes itself."""

    def __init__(self, server):
        context = ssl.create_default_context(cafile=str(server.certificate))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        assert self.socket.selected_alpn_protocol() == "h2"
        # Some of what is sent here is what the library would not send.
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.flush()
        self.answers, self.reset, self.goaway, self.closed = {}, {}, None, False

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(self, method, path, body=None, headers=(), end=True):
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "gateway.test")]
        fields += [("content-type", "application/json")] if body is not None else []
        self.h2.send_headers(stream, fields + list(headers), end_stream=end and body is None)
        if body:
            self.h2.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    def reset_stream(self, stream):
        self.h2.reset_stream(stream, 8)
        self.flush()

    def read(self, until, seconds=20):
        """Takes what comes until `until()` is true or the connection ends."""
        deadline = time.monotonic() + seconds
        while not until() and not self.closed:
            assert time.monotonic() < deadline, "nothing came in time"
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                self.closed = True
                return
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()

    def take(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.answers[event.stream_id] = [dict(event.headers), b"", False]
        elif isinstance(event, h2.events.DataReceived):
            self.answers[event.stream_id][1] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answers[event.stream_id][2] = True
        elif isinstance(event, h2.events.StreamReset):
            self.reset[event.stream_id] = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code

    def answer(self, stream):
        self.read(lambda: stream in self.answers and self.answers[stream][2])
        return self.answers[stream]

    def close(self):
        self.socket.close()


def test_a_reset_is_a_disconnect_of_its_stream_alone(secured):
    server = secured({"on_disconnect": "cancel"})
    client = RawClient(server)
    body = json.dumps({"prompt": SLOW, "stream": True}).encode()
    left, kept = (client.request("POST", UNIFIED["path"], body) for _ in range(2))
    client.read(lambda: left in client.answers and kept in client.answers)
    wait_until(lambda: server.gauges()["streams"] == 2)
    client.reset_stream(left)
    wait_until(lambda: server.gauges()["jobs"] == 1, what="the end of the job that was left")
    assert server.gauges()["streams"] == 1
    job = client.answers[left][0]["x-safelight-job-id"]
    status = client.request("GET", f"/v1/jobs/{job}")
    assert json.loads(client.answer(status)[1])["status"] == "cancelled"
    job = client.answers[kept][0]["x-safelight-job-id"]
    assert json.loads(client.answer(client.request("GET", f"/v1/jobs/{job}"))[1])["status"] in ("queued", "processing")
    client.close()
    server.wait_idle()


def test_rapid_resets_end_the_connection(secured):
    """CVE-2023-44487: whoever opens and resets streams without end is told to calm down, and pays with the connection."""
    server = secured()
    pid, sent = server.pid, 0
    client = RawClient(server)
    try:
        for _ in range(20_000 if SOAK else 2_000):
            stream = client.request("GET", "/v1/models")
            client.reset_stream(stream)
            sent += 1
    except (ConnectionError, ssl.SSLError, OSError):
        pass
    try:
        client.read(lambda: client.goaway is not None, 10)
    except OSError:
        client.closed = True
    assert client.goaway == 11 or client.closed, client.goaway
    client.close()
    print(f"\nended after at most {sent} resets; GOAWAY {client.goaway}")
    with httpx.Client(http2=True, verify=server.trust, base_url=server.url) as next_client:
        assert next_client.get("/v1/models").status_code == 200
    assert server.pid == pid and server.ended() is None
    server.wait_idle()


def test_what_is_wrong_with_a_request_ends_its_stream_alone(secured):
    """The bounds of HTTP/1 hold: 414, 431, 413; the connection goes on."""
    server = secured(body="64KiB", uri="1KiB")
    client = RawClient(server)
    for stream, status in [
        (client.request("GET", "/" + "x" * 2000), "414"),
        (client.request("GET", "/v1/models", headers=[(f"x-{index}", "1") for index in range(150)]), "431"),
        (client.request("POST", UNIFIED["path"], headers=[("content-length", "70000")], end=False), "413"),
    ]:
        head, body, _ = client.answer(stream)
        assert head[":status"] == status, (head, body)
        assert head["x-request-id"].startswith("req_") and head["x-content-type-options"] == "nosniff"
        assert json.loads(body)["status"] == int(status)
    endless = client.request("POST", UNIFIED["path"], end=False)
    sent = 0
    while endless not in client.answers and sent < 4 << 20:
        size = min(client.h2.local_flow_control_window(endless), 16384)
        if size:
            client.h2.send_data(endless, b" " * size)
            client.flush()
            sent += size
        client.socket.settimeout(0.05)
        try:
            for event in client.h2.receive_data(client.socket.recv(65536)):
                client.take(event)
        except (TimeoutError, ssl.SSLWantReadError):
            pass
    assert client.answers[endless][0][":status"] == "413" and sent < 1 << 20, sent
    assert client.answer(client.request("GET", "/v1/models"))[0][":status"] == "200"
    client.close()
    server.wait_idle()


def test_a_reader_that_stalls_is_dropped(secured):
    """A stream that is given no room for the write-stall limit is reset; the others of its connection are not."""
    server = secured(write_stall="1s")
    client = RawClient(server)
    body = json.dumps({"prompt": "[sim duration=200ms queue=0s payload=1MiB] x", "stream": True,
                       "partial_images": 3}).encode()
    stalled = client.request("POST", UNIFIED["path"], body)
    # Nothing is acknowledged: the window of 64 KiB is all it gets.
    acknowledge, client.h2.acknowledge_received_data = client.h2.acknowledge_received_data, lambda *_: None
    client.read(lambda: stalled in client.reset, 30)
    assert stalled in client.reset
    client.h2.acknowledge_received_data = acknowledge
    client.h2.increment_flow_control_window(1 << 20)
    assert client.answer(client.request("GET", "/v1/models"))[0][":status"] == "200"
    client.close()
    server.wait_idle()


def shown(server):
    return ssl.get_server_certificate(("127.0.0.1", server.port))


@pytest.mark.parametrize("asks", [False, True], ids=["by itself", "SIGHUP"])
def test_certificates_reload(secured, tmp_path, asks):
    """A new pair is shown to new connections; those that are open go on. A pair that does not fit changes nothing."""
    server = secured()
    with httpx.Client(http2=True, verify=server.trust, base_url=server.url) as old:
        assert old.get("/v1/models").status_code == 200
        before = shown(server)
        certificate, key = make_certificate(tmp_path, "next-")
        os.replace(certificate, server.certificate)
        if asks:
            server.signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded" in server.log.read_text(), what="the refusal of a pair that does not fit")
        assert shown(server) == before
        os.replace(key, server.key)
        if asks:
            server.signal(signal.SIGHUP)
        wait_until(lambda: shown(server) != before, what="the new certificate")
        assert old.get("/v1/models").status_code == 200
    assert "PRIVATE KEY" not in server.log.read_text()
    trust = ssl.create_default_context(cafile=str(server.certificate))
    with httpx.Client(http2=True, verify=trust, base_url=server.url) as new:
        assert new.get("/v1/models").http_version == "HTTP/2"


def test_drain_lets_streams_end(secured):
    """At SIGTERM an idle connection is closed with GOAWAY and a stream goes on to its end."""
    server = secured(drain="10s")
    idle, busy = RawClient(server), RawClient(server)
    idle.answer(idle.request("GET", "/v1/models"))
    body = json.dumps({"prompt": "[sim duration=2s queue=0s] lamp", "stream": True}).encode()
    stream = busy.request("POST", UNIFIED["path"], body)
    busy.read(lambda: stream in busy.answers)
    server.signal(signal.SIGTERM)
    assert b"event: completed" in busy.answer(stream)[1]
    idle.read(lambda: idle.goaway is not None)
    assert idle.goaway == 0
    wait_until(lambda: server.ended() is not None, 20, "the end of the process")
    assert server.ended() == 0
    idle.close()
    busy.close()


def test_handshakes_that_do_not_end_are_ended(secured):
    """Silence, half a record and plain HTTP hold a connection no longer than a slow head would."""
    server = secured(connections={"per_ip": 2000})
    count = 500 if SOAK else 10
    began = time.monotonic()
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(count)]
    for index, client in enumerate(clients):
        client.sendall((b"", b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")[index % 3])
    for client in clients:
        try:
            while client.recv(4096):
                pass
        except ConnectionError:
            pass
        client.close()
    print(f"\n{count} handshakes ended after {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 15
    with httpx.Client(http2=True, verify=server.trust, base_url=server.url) as client:
        assert client.get("/v1/models").status_code == 200
    server.wait_idle()


def test_check_names_what_is_wrong_with_a_certificate(tmp_path):
    certificate, key = make_certificate(tmp_path)
    make_certificate(tmp_path, "other-")
    (tmp_path / "empty.pem").write_text("")
    for pair, words in [
        (("certificate.pem", "other-key.pem"), ["$.server.tls.private_key", "is not the key of the certificate"]),
        (("empty.pem", "key.pem"), ["$.server.tls.certificate", "holds no certificate in PEM"]),
        (("certificate.pem", "certificate.pem"), ["$.server.tls.private_key", "holds no private key"]),
        (("certificate.pem", "missing.pem"), ["$.server.tls.private_key", "No such file or directory"]),
    ]:
        config = {
            "server": {"tls": dict(zip(("certificate", "private_key"), pair))}, "upstreams": UPSTREAMS,
            "routes": [{**routed(UNIFIED, "darkroom"), "auth": "public", "public_without_limits": True}],
        }
        (tmp_path / "routes.json").write_text(json.dumps(config))
        done = subprocess.run(
            [str(BINARY), "check", "--config", str(tmp_path / "routes.json")], capture_output=True, text=True)
        output = done.stdout + done.stderr
        assert done.returncode != 0 and all(word in output for word in words), output
