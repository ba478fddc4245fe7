"""Clients that vanish in the middle of a stream leave nothing behind."""

import json
import socket
import struct
import threading

from conftest import SOAK, UNIFIED, routed
from safelight import wait_until
from upstream import Upstream, partial, picture

CLIENTS = 1000 if SOAK else 100


def open_stream(port):
    """A raw connection that has read the first preview."""
    body = json.dumps({"prompt": "x", "partial_images": 2, "stream": True}).encode()
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(
        f"POST {UNIFIED['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    )
    seen = b""
    while b"event: partial_image" not in seen:
        read = connection.recv(65536)
        assert read, seen
        seen += read
    return connection


def vanish(number, connection):
    """Three ways to go: reset, close, half-close."""
    if number % 3 == 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    elif number % 3 == 1:
        connection.close()
    else:
        connection.shutdown(socket.SHUT_WR)


def test_nothing_is_left(serve):
    preview = partial(0, picture())
    gone = []

    def behaviour(call):
        call.start_stream()
        call.write(preview)
        gone.append(call.wait_until_gone())

    with Upstream(behaviour) as upstream:
        server = serve(
            {"real": upstream.config}, [routed(UNIFIED, "real", on_disconnect="cancel")],
            server={"connections": {"total": 10000, "per_ip": 5000}},
        )
        run_once(server, 4)
        wait_until(lambda: len(gone) == 4, 30, "the first upstream calls' end")
        server.wait_idle()
        before = server.descriptors()
        run_once(server, CLIENTS)
        wait_until(lambda: len(gone) == CLIENTS + 4, 60, "the upstream calls' end")
        assert all(gone), "the gateway hung up on every upstream call"
        assert server.wait_idle(60)["jobs"] == 0
        wait_until(lambda: server.descriptors() <= before + 4, 30, "descriptors")
        print(f"{CLIENTS} clients: {before} descriptors before, {server.descriptors()} after, {server.gauges()}")
        with open_stream(server.port):
            assert server.gauges()["jobs"] == 1, "it still serves"
        server.wait_idle(60)


def run_once(server, count):
    connections = [None] * count
    lock = threading.Lock()
    numbers = iter(range(count))

    def worker():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            connections[number] = open_stream(server.port)

    workers = [threading.Thread(target=worker) for _ in range(16)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    gauges = server.gauges()
    assert gauges["jobs"] == gauges["streams"] == gauges["upstream_calls"] == count, gauges
    for number, connection in enumerate(connections):
        vanish(number, connection)
    for connection in connections[2::3]:
        connection.settimeout(60)
        while connection.recv(65536):
            pass
        connection.close()
