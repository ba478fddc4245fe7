"""What an operator does, or what befalls the machine: reloads, stops, too few descriptors, everybody back at once."""

import concurrent.futures
import json
import resource
import signal
import socket
import threading
import time

from conftest import SOAK, UNIFIED, routed
from safelight import Process, Server, Stream, post, wait_until
from test_restart import ASYNC, DURABLE, finished

SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
ROUTE = routed(UNIFIED, "darkroom")


def test_stop_under_load(serve):
    """E1: streams end by themselves, creates are refused, the process ends within its drain."""
    count = 200 if SOAK else 40
    server = serve(SIMULATED, [ROUTE], server={"drain": "20s", "connections": {"per_ip": 1000}}, **DURABLE)
    body = {"prompt": "[sim duration=2s queue=0s] lamp", "stream": True}
    streams = [Stream(server.port, UNIFIED["path"], body, timeout=60) for _ in range(count)]
    server.signal(signal.SIGTERM)
    began = time.monotonic()
    wait_until(lambda: server.admin("/readyz")[0] == 503, 5, "not ready")
    unready = time.monotonic() - began
    status, headers, _ = post(server.port, UNIFIED["path"], {"prompt": "late"})
    assert status == 503 and headers["Retry-After"]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        endings = list(pool.map(lambda stream: [event.name for event in stream][-1], streams))
    assert endings == ["completed"] * count
    wait_until(lambda: server.ended() is not None, 22, "the end")
    assert server.ended() == 0
    print(f"\n{count} streams completed; not ready after {unready * 1000:.0f} ms, ended after {time.monotonic() - began:.1f} s")


def test_a_taken_address_is_named(serve, tmp_path):
    """Of two listeners: which could not, why, and where it is configured."""
    first = serve(SIMULATED, [ROUTE])
    for key, option, port in (("server", "--listen", first.port), ("admin", "--admin", first.admin_port)):
        second = serve(SIMULATED, [ROUTE], waits=False, **{key: {"listen": f"127.0.0.1:{port}"}})
        third = serve(SIMULATED, [ROUTE], waits=False)
        third.stop()
        given = Process(["serve", "--config", str(third.config_path), option, f"127.0.0.1:{port}"], third.config_path.parent)
        drawing = Process(["simulate", "--listen", f"127.0.0.1:{port}"], tmp_path)
        for process, source in ((second, f"{key}.listen"), (given, option), (drawing, "--listen")):
            wait_until(lambda: process.ended() is not None, 10, "the end")
            last = process.log.read_text().splitlines()[-1]
            assert process.ended() == 1
            assert last == f"safelight: cannot listen on 127.0.0.1:{port} ({source}): Address already in use."


def test_reloads_under_load(serve):
    """E3: no request fails, the new route is there, jobs keep the route they began with."""
    reloads = 100 if SOAK else 10
    server = serve(SIMULATED, [ROUTE], **DURABLE)
    stopping, outcomes = threading.Event(), []

    def create():
        while not stopping.is_set():
            with Stream(server.port, UNIFIED["path"], {"prompt": "[sim duration=200ms queue=0s] x", "stream": True}) as stream:
                outcomes.append([event.name for event in stream][-1])

    clients = [threading.Thread(target=create) for _ in range(4)]
    for client in clients:
        client.start()
    slowest = 0.0
    for number in range(reloads):
        fresh = {**ROUTE, "name": f"fresh{number}", "path": f"/fresh/{number}"}
        server.write_config(SIMULATED, [ROUTE, fresh])
        server.signal(signal.SIGHUP)
        began = time.monotonic()
        wait_until(lambda: post(server.port, fresh["path"], {})[0] == 400, 5, "the new route")
        slowest = max(slowest, time.monotonic() - began)
    stopping.set()
    for client in clients:
        client.join()
    assert outcomes and set(outcomes) == {"completed"}
    print(f"\n{reloads} reloads, {len(outcomes)} jobs, 0 failed; slowest new route {slowest * 1000:.0f} ms")


def test_everybody_comes_back_at_once(serve):
    """D9."""
    count = 2000 if SOAK else 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server = serve(SIMULATED, [ROUTE], server={"connections": {"per_ip": 10000}}, **DURABLE)
    _, _, answer = post(server.port, UNIFIED["path"], {"prompt": "[sim duration=1s queue=0s] lamp"}, ASYNC)
    job = json.loads(answer)["job_id"]
    finished(server, job)
    server.kill()
    server.start_again()
    began = time.monotonic()

    def come_back(_):
        with Stream(server.port, f"/v1/jobs/{job}/events", None, method="GET", timeout=30) as stream:
            events = list(stream)
            return events[-1].name, events[0].retry

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        endings = list(pool.map(come_back, range(count)))
    assert {name for name, _ in endings} == {"completed"}
    assert len({retry for _, retry in endings}) > count // 20
    print(f"\n{count} clients attached within {time.monotonic() - began:.1f} s")
    server.wait_idle()


def test_few_descriptors(tmp_path):
    """D4: more clients than descriptors; the process lives, a stream goes on, and it accepts again."""
    server = Server(tmp_path, SIMULATED, [ROUTE], server={"connections": {"per_ip": 10000}}, **DURABLE)
    try:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (256, 256))
        stream = Stream(server.port, UNIFIED["path"], {"prompt": "[sim duration=3s queue=0s] lamp", "stream": True}, timeout=30)
        crowd = []
        for _ in range(400):
            connection = socket.socket()
            connection.settimeout(2)
            connection.connect(("127.0.0.1", server.port))
            crowd.append(connection)
        assert [event.name for event in stream][-1] == "completed"
        assert server.ended() is None
        for connection in crowd:
            connection.close()
        wait_until(lambda: post(server.port, UNIFIED["path"], {})[0] == 400, 10, "accepting again")
    finally:
        server.stop()
