"""Clients that hold what they were given: slow heads, slow bodies, readers that do not read, requests without end."""

import http.client
import json
import re
import select
import selectors
import socket
import statistics
import threading
import time

import pytest

from conftest import SOAK, UNIFIED, routed
from safelight import get, wait_until
from upstream import Upstream, completed, partial, picture

UPSTREAMS = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
ROUTES = [routed(UNIFIED, "darkroom")]
#: Connections that attack at once; D5 and D6 ask for a thousand.
COUNT = 1000 if SOAK else 40
WIDE = {"connections": {"per_ip": 100_000, "total": 100_000}}


class Crowd:
    """Many sockets, each with a drip that is sent again and again until the server ends them."""

    def __init__(self, port, count, start, drip, every):
        self._drip, self._every = drip, every
        self._selector = selectors.DefaultSelector()
        self._open = {}
        self.answers = []
        self.lived = []
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=30)
            client.sendall(start)
            self._open[client] = [time.monotonic(), b""]
            self._selector.register(client, selectors.EVENT_READ)

    def run(self, seconds):
        """How many are left after that time."""
        began = time.monotonic()
        drip_at = began + self._every
        while self._open and time.monotonic() < began + seconds:
            for key, _ in self._selector.select(0.2):
                self._read(key.fileobj)
            if time.monotonic() >= drip_at:
                drip_at += self._every
                for client in list(self._open):
                    self._feed(client)
        return len(self._open)

    def _feed(self, client):
        try:
            client.send(self._drip)
        except OSError:
            # Closed for writing; what was answered can still be read.
            pass

    def _read(self, client):
        try:
            data = client.recv(4096)
        except OSError:
            data = b""
        if data:
            self._open[client][1] += data
            return
        began, answer = self._open.pop(client)
        self.lived.append(time.monotonic() - began)
        self.answers.append(answer)
        self._selector.unregister(client)
        client.close()

    def close(self):
        self._selector.close()
        for client in self._open:
            client.close()


class Healthy:
    """Another client that goes on asking; how long each answer took, in seconds."""

    def __init__(self, port):
        self._port = port

    def measure(self, count):
        times = []
        for _ in range(count):
            began = time.monotonic()
            assert get(self._port, "/v1/models")[0] == 200
            times.append(time.monotonic() - began)
        return sorted(times)[int(count * 0.99)]


def attack(server, start, drip, every, status):
    """All of them are ended within 15 s with an answer; somebody else is served meanwhile."""
    pid, before = server.pid, server.resident_bytes()
    alone = Healthy(server.port).measure(200)
    crowd = Crowd(server.port, COUNT, start, drip, every)
    meanwhile = []
    healthy = threading.Thread(target=lambda: meanwhile.append(Healthy(server.port).measure(200)))
    healthy.start()
    left = crowd.run(25)
    healthy.join()
    crowd.close()
    assert left == 0 and max(crowd.lived) < 18, (left, max(crowd.lived))
    for answer in crowd.answers:
        assert answer.startswith(b"HTTP/1.1 " + status), answer[:100]
        assert b"x-request-id: req_" in answer and b"nosniff" in answer
    grown = server.resident_bytes() - before
    print(f"\n{COUNT} connections: ended after {statistics.median(crowd.lived):.1f} s (longest {max(crowd.lived):.1f}),"
          f" p99 of others {alone * 1000:.1f} ms alone, {meanwhile[0] * 1000:.1f} ms meanwhile, RSS +{grown >> 10} KiB")
    assert grown < (16 << 20) + COUNT * (32 << 10)
    if SOAK:
        assert meanwhile[0] < max(2 * alone, 0.02), (alone, meanwhile)
    assert server.pid == pid and server.ended() is None
    server.wait_idle()


def test_slow_heads(serve):
    """D5: a head that never ends, a line every few seconds."""
    server = serve(UPSTREAMS, ROUTES, server=WIDE)
    attack(server, b"GET / HTTP/1.1\r\nHost: x\r\nX-0: ", b"1\r\nX-1: ", 3, b"408")


def test_slow_bodies(serve):
    """D6: a long body, a few bytes every few seconds."""
    server = serve(UPSTREAMS, ROUTES, server=WIDE)
    start = b"POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
    attack(server, start, b" " * 8, 3, b"408")


def test_readers_that_do_not_read(serve):
    """D6: they are dropped at the write-stall limit, and hold no more than a window of what they were to be told."""
    count = 200 if SOAK else 20
    b64 = picture(900, 900)

    def behaviour(call):
        call.start_stream()
        call.write(partial(0, b64) + completed(b64))

    with Upstream(behaviour) as upstream:
        server = serve({"large": upstream.config}, [routed(UNIFIED, "large")],
                       server={**WIDE, "write_stall": "2s"}, storage={"memory": "1GiB"})
        body = json.dumps({"prompt": "x", "stream": True, "partial_images": 1}).encode()
        request = (b"POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                   + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        clients = []
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(request)
            clients.append(client)
        wait_until(lambda: server.gauges()["jobs"] == 0, 60, "the ends of the jobs")
        began = time.monotonic()
        wait_until(lambda: server.gauges()["streams"] == 0, 20, "the ends of the streams")
        print(f"\n{count} readers dropped {time.monotonic() - began:.1f} s after their jobs ended")
        for client in clients:
            client.close()
        server.wait_idle()


def exchange(port, parts, seconds=20, patience=0):
    """Sends each of `parts` until an answer comes, which is waited for so long after each; that answer, and the bytes that were sent."""
    sent, answer = 0, b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as client:
        try:
            for part in parts:
                client.sendall(part)
                sent += len(part)
                if select.select([client], [], [], patience)[0]:
                    break
        except OSError:
            pass
        try:
            while data := client.recv(65536):
                answer += data
        except OSError:
            pass
    return answer, sent


HEAD = b"POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("name, request_bytes, status", [
    ("1,001 headers", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(1001)) + b"\r\n", 431),
    ("100 KiB header", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 102_400 + b"\r\n\r\n", 431),
    ("64 KiB URI", b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ("64 KiB chunk extension",
     HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 65_536 + b"\r\n{\r\n0\r\n\r\n", 400),
    ("chunk extensions without end",
     HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1;%s\r\n \r\n" % (b"a" * 4000) for _ in range(64)), 400),
    ("two lengths", HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    ("length and chunks", HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("blank before colon", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    ("no version", b"GET /\r\n\r\n", 400),
    ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
], ids=lambda value: value if isinstance(value, str) else "")
def test_heads_that_are_too_much(serve, name, request_bytes, status):
    """D7: an answer by its number, an id to ask about, the same process afterwards."""
    server = serve(UPSTREAMS, ROUTES)
    pid = server.pid
    for _ in range(100 if SOAK else 3):
        answer, _ = exchange(server.port, [request_bytes])
        allowed = {status, 414, 431} if "URI" in name else {status}
        assert answer.startswith(tuple(b"HTTP/1.1 %d" % code for code in allowed)), (name, answer[:200])
        assert len(re.findall(rb"HTTP/1\.[01] [1-5]\d\d ", answer)) == 1, "one request, one answer"
        assert b"x-request-id: req_" in answer and b"nosniff" in answer and b"connection: close" in answer.lower()
    assert get(server.port, "/v1/models")[0] == 200 and server.pid == pid and server.ended() is None


def test_bodies_that_are_too_much(serve):
    """D8: refused before a mebibyte is read, whether announced or found out; nobody is asked to go on."""
    server = serve(UPSTREAMS, ROUTES, server={"body": "512KiB"})
    piece = b" " * 16_384
    huge = HEAD + b"Content-Length: 2147483648\r\n\r\n"
    # What is sent before the answer is seen is in the kernel's buffers, so these clients look after each piece.
    begin = server.bytes_read
    announced, _ = exchange(server.port, [huge, *([piece] * 200)], patience=0.02)
    assert announced.startswith(b"HTTP/1.1 413"), announced[:200]
    middle = server.bytes_read
    chunk = b"4000\r\n" + piece + b"\r\n"
    endless, streamed = exchange(
        server.port, [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *([chunk] * 2000)], patience=0.02)
    assert endless.startswith(b"HTTP/1.1 413"), endless[:200]
    expected, _ = exchange(
        server.port, [HEAD + b"Expect: 100-continue\r\nContent-Length: 2147483648\r\n\r\n"])
    assert expected.startswith(b"HTTP/1.1 413") and b"100 Continue" not in expected
    print(f"\n413 of 2 GiB announced after {middle - begin >> 10} KiB read; without end after {streamed >> 10} KiB sent")
    assert middle - begin < 1 << 20 and streamed < 1 << 20
    # A client that sends as fast as it can gets the answer too: what it sent meanwhile is read and dropped.
    flood, _ = exchange(server.port, [huge, *([piece] * 200)])
    assert flood.startswith(b"HTTP/1.1 413"), flood[:200]
    server.wait_idle()


def test_a_body_that_waits_to_be_asked_for(serve):
    """`Expect: 100-continue`: asked for where it will be read, and only once."""
    server = serve(UPSTREAMS, ROUTES)
    body = json.dumps({"prompt": "[sim duration=10ms queue=0s] x"}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        response = http.client.HTTPResponse(client, method="POST")
        response.begin()
        assert response.status == 200 and json.loads(response.read())["status"] == "completed"
    # Somebody else's path, or a wrong type, is told so at once.
    answer, _ = exchange(server.port, [
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 404") and b"100 Continue" not in answer
