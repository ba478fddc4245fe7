"""Everybody breaks everything, on every dialect's own endpoint: garbage, half-closed sockets, slow readers and vanishing from the clients,
broken answers from the upstream, and kill -9 in the middle.

The server stays as it was: nothing of a client's is its own fault (no 5xx), jobs, streams and descriptors go back to where they were, and
it still draws.
"""

import concurrent.futures
import json
import socket
import struct
import time

import pytest

from conftest import SOAK, UNIFIED
from raw_upstream import RawUpstream
from safelight import get, post, wait_until
from test_dialects import BODIES, DEFAULT_BODY, MOUNTED, registry  # noqa: F401 (a fixture)
from test_restart import DURABLE
from test_upstream_faults import ANSWERS, STEADY, TIMEOUTS
from upstream import Upstream, completed, partial, picture

ROUNDS = 20 if SOAK else 2
STORED = {"storage": {"images": {"disk": "images"}}}
LIMITS = {"connections": {"total": 2000, "per_ip": 2000}, "write_stall": "1s"}
#: Descriptors that may stay open: connections kept to the upstream, one for each transport thread and more.
KEPT = 8

PICTURE = picture()


def path(dialect):
    return f"/d/{dialect}{MOUNTED.get(dialect, '')}"


def routes(dialects, upstream, **fields):
    """One route for each dialect."""
    return [
        {"name": dialect, "mount" if dialect in MOUNTED else "path": f"/d/{dialect}", "dialect": dialect,
         "upstreams": [upstream], "unsupported": "drop", "on_disconnect": "cancel", **fields}
        for dialect in dialects
    ]


def body(dialect, **fields):
    return json.dumps({**BODIES.get(dialect, DEFAULT_BODY), **fields}).encode()


def wire(target, content, *fields, method="POST", version="HTTP/1.1", kind="application/json", length=None):
    """A request, byte for byte."""
    lines = [f"{method} {target} {version}".encode(), b"Host: 127.0.0.1", b"Content-Type: " + kind.encode()]
    if length is not False:
        lines.append(b"Content-Length: " + (b"%d" % len(content) if length is None else length))
    return b"\r\n".join([*lines, *fields]) + b"\r\n\r\n" + content


def garbage(dialect):
    """What comes instead of a request, by name."""
    good, target = body(dialect), path(dialect)
    deep = b"[" * 100_000
    return {
        "nothing": b"",
        "nul": b"\0" * 200,
        "high bytes": bytes(range(128, 256)) * 4,
        "a tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x5a" * 500,
        "an h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 64,
        "no path": b"POST\r\n\r\n",
        "http 0.9": f"GET {target}\r\n".encode(),
        "http 9.9": wire(target, good, version="HTTP/9.9"),
        "unknown method": wire(target, good, method="BREW"),
        "wrong method": wire(target, b"", method="PATCH"),
        "a path with nul": wire(target + "\0x", good),
        "a path of escapes": wire(target + "/%00%ff%2e%2e%2f", good),
        "a long path": wire(target + "/" + "a" * 100_000, good),
        "no host": b"POST %s HTTP/1.1\r\nContent-Length: 0\r\n\r\n" % target.encode(),
        "two hosts": wire(target, good, b"Host: evil.example"),
        "header flood": wire(target, good, *[b"A%d: b" % n for n in range(5000)]),
        "long header": wire(target, good, b"A: " + b"b" * 200_000),
        "header without colon": wire(target, good, b"nonsense"),
        "header with nul": wire(target, good, b"A: b\0c"),
        "negative length": wire(target, good, length=b"-5"),
        "length of letters": wire(target, good, length=b"abc"),
        "length beyond 64 bits": wire(target, good, length=b"99999999999999999999"),
        "length of 2 GiB": wire(target, good, length=b"2147483648"),
        "two lengths": wire(target, good, b"Content-Length: 3"),
        "length and chunks": wire(target, good, b"Transfer-Encoding: chunked"),
        "length too long": wire(target, good, length=b"%d" % (len(good) + 10)),
        "length too short": wire(target, good, length=b"5"),
        "bad chunk": wire(target, b"zz\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", length=False),
        "huge chunk": wire(target, b"FFFFFFFFFFFFFFFFF\r\n", b"Transfer-Encoding: chunked", length=False),
        "unknown coding": wire(target, good, b"Transfer-Encoding: banana", length=False),
        "unasked gzip": wire(target, b"\x1f\x8b\x08\x00" + good, b"Content-Encoding: gzip"),
        "expects nothing": wire(target, b"", b"Expect: 100-continue", length=b"10"),
        "expects a miracle": wire(target, good, b"Expect: miracle"),
        "no body": wire(target, b""),
        "no json": wire(target, b"hello"),
        "half a json": wire(target, good[:-3]),
        "no text": wire(target, b'{"prompt":"\xff\xfe\x80"}'),
        "surrogates": wire(target, b'{"prompt":"\\ud800"}'),
        "a list": wire(target, b"[]"),
        "a number": wire(target, b"1e99999"),
        "deep": wire(target, deep),
        "deep members": wire(target, b'{"a":' * 50_000),
        "doubled member": wire(target, b'{"prompt":"a","prompt":"b"}'),
        "wrong kinds": wire(target, b'{"prompt":{},"input":7,"messages":{},"model":[],"n":"x","stream":3,"size":[],"tools":7}'),
        "null everywhere": wire(target, b'{"prompt":null,"input":null,"messages":null,"model":null,"n":null,"stream":null}'),
        "large numbers": wire(target, body(dialect, n=10**30, seed=-(10**30), partial_images=1e308)),
        "a long prompt": wire(target, body(dialect, prompt="x" * 2_000_000)),
        "odd words": wire(target, body(dialect, model="\0\n\u2028", user="'; DROP TABLE jobs; --", size="-1x-1")),
        "a text": wire(target, good, kind="text/plain"),
        "a form": wire(target, b"prompt=x", kind="application/x-www-form-urlencoded"),
        "half a form": wire(target, b"--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nx", kind="multipart/form-data; boundary=x"),
        "a form of nothing": wire(target, b"\0" * 500, kind="multipart/form-data; boundary="),
        "odd keys": wire(target, good, b"Idempotency-Key: " + b"k" * 5000, b"Last-Event-ID: \xff\xfe", b"Prefer: ;;;"),
        "foreign place": wire(target, good, b"Last-Event-ID: job_aaaaaaaaaaaaaaaaaaaaaaaaaa.99999999999999999999"),
        "odd tokens": wire(target, good, b"Authorization: Bearer \x01\x02", b"Cookie: " + b"=;" * 2000),
        "request behind garbage": wire(target, b"{") + b"\r\n\r\n\0\0" + wire(target, good),
        "a hundred requests": wire(target, b"{}") * 100,
    }


def statuses(port, data, seconds=1.5):
    """Of all that the server says to these bytes, until it hangs up or falls silent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    said = b""
    try:
        connection.sendall(data)
        while len(said) < 1 << 20 and (read := connection.recv(65536)):
            said += read
    except (TimeoutError, OSError):
        pass
    finally:
        connection.close()
    return [int(piece[:3]) for piece in said.split(b"HTTP/1.1 ")[1:] if piece[:3].isdigit()]


def assert_as_before(server, descriptors, what):
    gauges = server.wait_idle(60)
    assert server.ended() is None
    assert gauges["jobs"] == 0
    try:
        wait_until(lambda: server.descriptors() <= descriptors + KEPT, 30, "descriptors")
    finally:
        print(f"\n{what}: {descriptors} descriptors before, {server.descriptors()} after, {server.resident_bytes() >> 20} MiB")


def assert_draws(server, dialects):
    """Each endpoint still takes a request; what becomes of it is the other tests' matter."""
    for dialect in dialects:
        status, _, answer = post(server.port, path(dialect), json.loads(body(dialect)), timeout=30)
        assert status in (200, 201, 202), (dialect, status, answer[:300])


def develop(call):
    if call.json.get("stream"):
        call.start_stream()
        call.write(partial(0, PICTURE) + completed(PICTURE))
    else:
        call.answer(200, {"created": 1, "data": [{"b64_json": PICTURE}]})


@pytest.fixture
def drawing(serve, registry):  # noqa: F811
    """A server with all dialects before an upstream that draws at once; its descriptors once it is warm."""
    with Upstream(develop) as upstream:
        server = serve({"real": {**upstream.config, **STEADY}}, routes(registry, "real"), server=LIMITS, **STORED)
        assert_draws(server, registry)
        server.wait_idle()
        yield server, registry, server.descriptors()


def test_garbage_from_clients(drawing):
    server, dialects, descriptors = drawing
    cases = [(dialect, name, data) for dialect in dialects for name, data in garbage(dialect).items()] * (ROUNDS // 2)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        told = list(pool.map(lambda case: statuses(server.port, case[2]), cases))
    wrong = [(dialect, name, codes) for (dialect, name, _), codes in zip(cases, told) if any(code >= 500 for code in codes)]
    counts = {}
    for codes in told:
        for code in codes:
            counts[code] = counts.get(code, 0) + 1
    print(f"\n{len(cases)} pieces of garbage over {len(dialects)} dialects: {dict(sorted(counts.items()))}")
    assert not wrong, wrong[:20]
    assert_as_before(server, descriptors, "garbage")
    assert_draws(server, dialects)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_some(connection, count=1):
    connection.settimeout(5)
    try:
        connection.recv(count)
    except (TimeoutError, OSError):
        pass


def half_close(connection):
    connection.shutdown(socket.SHUT_WR)
    read_some(connection, 65536)


#: How a client goes, with its request half or wholly sent.
DEPARTURES = {
    "reset": reset,
    "close": lambda connection: connection.close(),
    "half-close": half_close,
    "half-close, then reset": lambda connection: (connection.shutdown(socket.SHUT_WR), reset(connection)),
    "no more reading": lambda connection: connection.shutdown(socket.SHUT_RD),
    "first byte, then reset": lambda connection: (read_some(connection), reset(connection)),
    "first byte, then half-close": lambda connection: (read_some(connection), half_close(connection)),
    "first read, then close": lambda connection: (read_some(connection, 4096), connection.close()),
}


def test_clients_that_vanish(serve, registry):  # noqa: F811
    """Behind a part of the request or the whole, in every way a socket knows."""

    def slow(call):
        if not call.json.get("stream"):
            return call.wait_until_gone(1) or call.answer(200, {"created": 1, "data": [{"b64_json": PICTURE}]})
        call.start_stream()
        call.write(partial(0, PICTURE))
        if not call.wait_until_gone(1):
            call.write(completed(PICTURE))

    with Upstream(slow) as upstream:
        server = serve({"real": {**upstream.config, **STEADY}}, routes(registry, "real"), server=LIMITS, **STORED)
        assert_draws(server, registry)
        server.wait_idle()
        descriptors = server.descriptors()
        cases = []
        for dialect in registry:
            whole = wire(path(dialect), body(dialect))
            for share in (0.1, 0.6, 0.95, 1.0):
                cases += [(whole[: int(len(whole) * share)], leave) for leave in DEPARTURES.values()]

        def go(case):
            data, leave = case
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            try:
                connection.sendall(data)
                leave(connection)
            except OSError:
                pass
            finally:
                connection.close()

        with concurrent.futures.ThreadPoolExecutor(48) as pool:
            list(pool.map(go, cases * (ROUNDS // 2)))
        assert_as_before(server, descriptors, f"{len(cases) * (ROUNDS // 2)} vanishing clients")
        assert_draws(server, registry)


def test_slow_readers(serve, registry):  # noqa: F811
    """Readers that take nothing are let go after `write_stall`; meanwhile others are served."""
    big = picture(512, 512)

    def large(call):
        if not call.json.get("stream"):
            return call.answer(200, {"created": 1, "data": [{"b64_json": big}]})
        call.start_stream()
        for number in range(8):
            call.write(partial(number, big))
        call.write(completed(big))

    with Upstream(large) as upstream:
        server = serve({"real": {**upstream.config, **STEADY}}, routes(registry, "real"), server=LIMITS, **STORED)
        assert_draws(server, registry)
        server.wait_idle()
        descriptors, readers = server.descriptors(), []
        for dialect in registry * ROUNDS:
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(5)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(wire(path(dialect), body(dialect)))
            readers.append(connection)
        began = time.monotonic()
        for dialect in registry:
            assert post(server.port, path(dialect), json.loads(body(dialect)), timeout=30)[0] in (200, 201, 202)
        others = time.monotonic() - began
        print(f"\n{len(readers)} readers that do not read; {len(registry)} others served in {others:.1f} s")
        # Nobody hangs up: the server must.
        wait_until(lambda: server.gauges()["streams"] == 0, 30, "the stalled streams' end")
        for connection in readers:
            connection.close()
        assert_as_before(server, descriptors, "slow readers")


def test_garbage_from_the_upstream(serve, registry):  # noqa: F811
    """Every way in which an upstream breaks HTTP, told in every dialect: an ending in its own form, within the deadlines."""
    names = [name for name in ANSWERS if SOAK or name in (
        "nothing", "reset", "no http", "http 0.9", "status 999", "header flood", "length of letters", "length too long",
        "chunk size of letters", "cut in a chunk", "gzip", "a page", "half a document", "nul bytes", "a redirect")]
    with RawUpstream() as upstream:
        server = serve(
            {"raw": {**upstream.config, **STEADY}}, routes(registry, "raw", timeouts=TIMEOUTS), server=LIMITS, **STORED)
        descriptors, endings = server.descriptors(), {}
        for name in names:
            answer = ANSWERS[name][0]
            upstream.behaviour = answer if callable(answer) else lambda wire, answer=answer: wire.send(answer)
            for dialect in registry:
                began = time.monotonic()
                status, _, said = post(server.port, path(dialect), json.loads(body(dialect)), timeout=15)
                assert time.monotonic() - began < 6, (name, dialect)
                assert status < 500 or status in (502, 503, 504), (name, dialect, status)
                assert said and b"canary" not in said and b"internal" not in said, (name, dialect, said[:300])
                endings[status] = endings.get(status, 0) + 1
        print(f"\n{len(names)} broken answers in {len(registry)} dialects: {endings}")
        assert_as_before(server, descriptors, "garbage from the upstream")


def test_killed_in_the_middle(serve, registry):  # noqa: F811
    """kill -9 while every dialect streams: the next process serves all of them, and no job stays open."""

    def slow(call):
        if not call.json.get("stream"):
            return call.wait_until_gone(2) or call.answer(200, {"created": 1, "data": [{"b64_json": PICTURE}]})
        call.start_stream()
        call.write(partial(0, PICTURE))
        if not call.wait_until_gone(2):
            call.write(completed(PICTURE))

    with Upstream(slow) as upstream:
        server = serve({"real": {**upstream.config, **STEADY}}, routes(registry, "real"), server=LIMITS, **DURABLE)
        for _ in range(ROUNDS):
            clients = []
            for dialect in registry:
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
                connection.sendall(wire(path(dialect), body(dialect)))
                clients.append(connection)
            wait_until(lambda: server.gauges()["jobs"] >= len(registry), 10, "the jobs")
            server.kill()
            for connection in clients:
                connection.close()
            server.start_again()
            assert_draws(server, registry)
            assert server.wait_idle(60)["jobs"] == 0
        assert get(server.port, "/v1/jobs/job_aaaaaaaaaaaaaaaaaaaaaaaaaa")[0] == 404
        assert UNIFIED["dialect"] in registry
