"""Payloads of many jobs and slow readers in little memory: what gives way, what never does, and what is left behind."""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import random
import socket
import statistics
import threading
import time

import pytest

from conftest import EDITS, OPENAI, SOAK, UNIFIED, routed
from safelight import Stream, get, post, wait_until
from test_disconnect import vanish
from upstream import Upstream, completed, partial, picture

MANY = {"connections": {"total": 10000, "per_ip": 5000}}
#: What the process takes besides the payloads it counts, in bytes; docs/memory.md derives it. A debug build takes more.
CONSTANT = 160 << 20
#: Of each open stream, its kernel buffers apart.
PER_STREAM = 64 << 10
#: Of one that brings large events: its receive buffer, and as much again while it waits for memory.
PER_UPSTREAM = 128 << 10


@pytest.fixture(scope="module")
def four_mebibytes():
    text = picture(1024, 1024)
    assert 4_000_000 < len(text) < 4_400_000
    return text


class Resident:
    """The most that a server's process had resident while this ran, looked at every 50 ms."""

    def __init__(self, server):
        self._server, self._stop = server, threading.Event()
        self.before = self.peak = server.resident_bytes()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._stop.wait(0.05):
            self.peak = max(self.peak, self._server.resident_bytes())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    @property
    def growth(self):
        return self.peak - self.before


def open_reader(port, path, body=None, receive_buffer=4096):
    """A raw connection that has sent its request and reads only when told to."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", port))
    if body is None:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    else:
        data = json.dumps(body).encode()
        request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode() + data
        )
    connection.sendall(request)
    return connection


def is_closed(connection):
    """Whether the server has ended the connection; reads what is there."""
    connection.settimeout(0.2)
    try:
        for _ in range(4096):
            if not connection.recv(1 << 20):
                return True
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return False


def event_json(events, name):
    return [event.json for event in events if event.name == name]


def test_many_readers_of_one_job_that_never_read(serve, four_mebibytes):
    """D2, first half: all of them share the job's one copy."""
    readers = 200
    go_on = threading.Event()

    def behaviour(call):
        call.start_stream()
        call.write(partial(0, picture()))
        go_on.wait(60)
        for index in range(3):
            call.write(partial(index + 1, four_mebibytes))
        call.write(completed(four_mebibytes))

    with Upstream(behaviour) as upstream:
        server = serve(
            {"real": upstream.config}, [routed(UNIFIED, "real")], server={**MANY, "write_stall": "5s"}, storage={"memory": "64MiB"}
        )
        stream = Stream(server.port, UNIFIED["path"], {"prompt": "x", "partial_images": 3, "stream": True}, timeout=60)
        events = iter(stream)
        job = next(event for event in events if event.name == "partial_image").json["job_id"]
        with Resident(server) as resident:
            connections = [open_reader(server.port, f"/v1/jobs/{job}/events") for _ in range(readers)]
            server.wait_for_streams(readers + 1)
            go_on.set()
            rest = list(events)
            finished_at = time.monotonic()
            # Nobody took anything for write_stall: all are closed, and what was held for them is free.
            wait_until(lambda: server.gauges()["streams"] == 0, 60, "the end of those that stalled")
        print(f"\n{readers} readers: {resident.growth >> 20} MiB more at most; closed {time.monotonic() - finished_at:.0f} s after the end")
        assert event_json(rest, "image")[0]["b64_json"] == four_mebibytes
        assert resident.growth <= readers * PER_STREAM + (32 << 20) + (64 << 20)
        wait_until(lambda: server.gauges()["payload_bytes"] <= 8 << 20, 10, "memory")
        for connection in connections:
            connection.close()


def test_many_jobs_whose_readers_never_read(serve, four_mebibytes):
    """D2, second half, and what stalled readers must show: they give way, jobs go on, every picture can be fetched afterwards."""
    # The disk takes four times the memory: all pictures fit.
    jobs, memory = (200, 384 << 20) if SOAK else (30, 64 << 20)

    def behaviour(call):
        call.start_stream()
        for index in range(3):
            call.write(partial(index, four_mebibytes))
        call.write(completed(four_mebibytes))

    with Upstream(behaviour) as upstream:
        server = serve(
            {"real": upstream.config}, [routed(UNIFIED, "real")], server={**MANY, "write_stall": "30s"},
            storage={"memory": f"{memory >> 20}MiB"},
        )
        with Resident(server) as resident:
            body = {"prompt": "x", "partial_images": 3, "stream": True}
            peaks, connections = [], []
            for _ in range(jobs):
                connections.append(open_reader(server.port, UNIFIED["path"], body))
            heads = [connection.recv(4096) for connection in connections]
            accepted = [head for head in heads if b" 200 " in head[:20]]
            refused = [head for head in heads if b" 503 " in head[:20]]
            assert len(accepted) + len(refused) == jobs and accepted
            assert all(b"overloaded" in head and b"Retry-After" in head for head in refused)

            def over():
                gauges = server.gauges()
                peaks.append(gauges["payload_bytes"])
                return gauges["jobs"] == 0

            wait_until(over, 240, "the jobs' end")
        gauges = server.gauges()
        print(
            f"\n{jobs} jobs, {len(refused)} refused at once: {max(peaks) >> 20} of {memory >> 20} MiB counted at most, "
            f"{resident.peak >> 20} MiB resident at most ({resident.before >> 20} before), {gauges['memory']}"
        )
        assert max(peaks) <= memory + (16 << 20), "a finished picture may pass the limit by itself"
        assert resident.peak <= memory + CONSTANT + jobs * PER_STREAM
        # Whoever was accepted has its picture, whoever took nothing.
        ended = failed = 0
        for head in accepted:
            job = head.split(b"x-safelight-job-id: ")[1].split(b"\r\n")[0].decode()
            with Stream(server.port, f"/v1/jobs/{job}/events", None, method="GET", timeout=60) as stream:
                events = list(stream)
            if events[-1].name == "completed":
                ended += 1
                assert event_json(events, "image")[0]["b64_json"] == four_mebibytes
            else:
                assert events[-1].json["error"]["code"] == "overloaded"
                failed += 1
        print(f"{ended} finished intact, {failed} overloaded")
        assert ended >= len(accepted) * 0.9
        for connection in connections:
            connection.close()


def test_slow_readers_leave_a_healthy_one_alone(serve, four_mebibytes):
    """300 readers that take 4 MiB previews drop by drop; one that reads well."""
    slow = 300 if SOAK else 60
    go_on = threading.Event()

    def behaviour(call):
        call.start_stream()
        if call.json["prompt"] == "slow":
            for index in range(3):
                call.write(partial(index, four_mebibytes))
            go_on.wait(120)
            call.write(completed(picture()))
        else:
            for index in range(3):
                call.write(partial(index, picture(64, 64, index)))
                time.sleep(0.02)
            call.write(completed(picture(512, 512)))

    def healthy(server, rounds=20):
        """Seconds of a whole picture, of each round."""
        taken = []
        for _ in range(rounds):
            began = time.monotonic()
            with Stream(server.port, UNIFIED["path"], {"prompt": "well", "partial_images": 3, "stream": True}, timeout=60) as stream:
                events = list(stream)
            if stream.status == 503:
                continue
            assert events[-1].name == "completed", events[-1].data
            taken.append(time.monotonic() - began)
        return taken

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")], server=MANY, storage={"memory": "128MiB"})
        alone = healthy(server)
        stopping = threading.Event()
        with Resident(server) as resident:
            body = {"prompt": "slow", "partial_images": 3, "stream": True}
            connections = [open_reader(server.port, UNIFIED["path"], body) for _ in range(slow)]

            def drip():
                while not stopping.wait(0.5):
                    for connection in connections:
                        try:
                            connection.recv(1024, socket.MSG_DONTWAIT)
                        except OSError:
                            pass

            dripping = threading.Thread(target=drip, daemon=True)
            dripping.start()
            time.sleep(2)
            beside = healthy(server)
            go_on.set()
            stopping.set()
            dripping.join()
        gauges = server.gauges()
        assert beside, "a healthy reader is let in"
        print(
            f"\n{slow} slow readers: a healthy one takes {statistics.median(beside) * 1000:.0f} ms beside them "
            f"({len(beside)} of 20 let in), {statistics.median(alone) * 1000:.0f} ms alone, ratio "
            f"{statistics.median(beside) / statistics.median(alone):.2f}; {resident.peak >> 20} MiB resident at most, {gauges['memory']}"
        )
        assert resident.peak <= (128 << 20) + CONSTANT + slow * (2 * PER_STREAM + PER_UPSTREAM)
        assert statistics.median(beside) < 20
        for connection in connections:
            connection.close()


def test_a_closed_reader_resumes(serve, four_mebibytes):
    """It took nothing, its connection was ended in the middle of an event; by its last whole event it goes on."""
    go_on = threading.Event()

    def behaviour(call):
        call.start_stream()
        if call.json["prompt"] == "stalled":
            call.write(partial(0, four_mebibytes))
            go_on.wait(60)
            call.write(completed(four_mebibytes))
        else:
            call.write(partial(0, four_mebibytes))
            call.write(completed(four_mebibytes))

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")], server=MANY, storage={"memory": "16MiB"})
        stalled = open_reader(server.port, UNIFIED["path"], {"prompt": "stalled", "partial_images": 3, "stream": True})
        wait_until(lambda: server.gauges()["payload_bytes"] >= 4 << 20, 20, "the preview")
        # Others want its memory.
        for _ in range(3):
            with Stream(server.port, UNIFIED["path"], {"prompt": "x", "partial_images": 3, "stream": True}, timeout=60) as stream:
                events = list(stream)
                assert events[-1].name == "completed", events[-1].data
        wait_until(lambda: server.gauges()["memory"]["closed_readers"] >= 1, 30, "a closed reader")
        stalled.settimeout(20)
        seen = b""
        while read := stalled.recv(1 << 16):
            seen += read
        job = seen.split(b"x-safelight-job-id: ")[1].split(b"\r\n")[0].decode()
        last = [line[4:].decode() for line in seen.split(b"\n") if line.startswith(b"id: ")][-2]
        assert not seen.endswith(b"0\r\n\r\n"), "nobody takes it for the whole"
        go_on.set()
        with Stream(server.port, f"/v1/jobs/{job}/events", None, {"Last-Event-ID": last}, method="GET", timeout=60) as stream:
            events = list(stream)
        assert [event.name for event in events][-2:] == ["image", "completed"] and events[0].name != "gap"
        assert event_json(events, "image")[0]["b64_json"] == four_mebibytes
        stalled.close()


@pytest.mark.parametrize("stored", [False, True], ids=["spilled", "image-store"])
def test_finished_pictures_stay_reachable(serve, stored):
    """Twenty pictures in memory for five: resumed, as a whole answer and as bytes, all are there, byte by byte."""
    texts = [picture(768, 768, seed) for seed in range(20)]

    def behaviour(call):
        call.start_stream()
        call.write(completed(texts[int(call.json["prompt"])]))
        call.wait_until_gone(30)

    # The upstream's stream stays open, so the jobs run on; their readers are gone.
    with Upstream(behaviour) as upstream:
        storage = {"memory": "16MiB", **({"images": {"disk": "images"}} if stored else {})}
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real"), routed(OPENAI, "real")], server=MANY, storage=storage)
        jobs = []
        for index in range(len(texts)):
            stream = Stream(server.port, UNIFIED["path"], {"prompt": str(index), "stream": True}, timeout=60)
            image = next(event for event in stream if event.name == "image")
            assert image.json["b64_json"] == texts[index]
            jobs.append((image.json["job_id"], image.id))
            stream.close()
        server.wait_idle_jobs(30)
        gauges = server.gauges()
        print(f"\nstored={stored}: {gauges['payload_bytes'] >> 10} KiB held, {gauges['memory']}")
        assert gauges["payload_bytes"] <= 16 << 20
        for (job, _), text in zip(jobs, texts):
            with Stream(server.port, f"/v1/jobs/{job}/events", None, method="GET", timeout=60) as stream:
                events = list(stream)
            assert event_json(events, "image")[0]["b64_json"] == text
            status, _, body = get(server.port, f"/v1/jobs/{job}/previews/0")
            assert status == 200 and hashlib.sha256(body).digest() == hashlib.sha256(base64.b64decode(text)).digest()


def test_uploads_are_counted(serve):
    """Requests that send pictures along hold at most half; beyond that they are told to come again."""
    go_on = threading.Event()

    def behaviour(call):
        call.start_stream()
        go_on.wait(60)
        call.write(completed(picture()))

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(EDITS, "real")], server=MANY, storage={"memory": "32MiB"})
        png = base64.b64decode(picture(1024, 1024))
        boundary = "safelight"

        def edit():
            part = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n'
                f'--{boundary}\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'
                f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
            ).encode()
            body = part + png + f"\r\n--{boundary}--\r\n".encode()
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("POST", EDITS["path"], body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
            return connection, connection.getresponse()

        answers = [edit() for _ in range(8)]
        statuses = [response.status for _, response in answers]
        gauges = server.gauges()
        print(f"\nstatuses {statuses}, {gauges['payload_bytes'] >> 20} MiB held")
        assert statuses.count(200) >= 2 and statuses.count(503) >= 1 and set(statuses) == {200, 503}
        assert gauges["payload_bytes"] <= 16 << 20
        refused = next(response for _, response in answers if response.status == 503)
        assert refused.headers["Retry-After"] and json.loads(refused.read())["error"]["code"]
        go_on.set()
        for connection, response in answers:
            if response.status == 200:
                assert b"completed" in response.read()
            connection.close()
        server.wait_idle_jobs()
        wait_until(lambda: server.gauges()["payload_bytes"] <= 4 << 20, 10, "memory")


def memory_cgroup(limit):
    """A new memory cgroup with the limit, of either version; None where there may be none."""
    for root, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = pathlib.Path(root, f"safelight-test-{os.getpid()}")
        try:
            group.mkdir()
            (group / name).write_text(str(limit))
            return group
        except OSError:
            if group.exists():
                group.rmdir()
    return None


def oom_kills(group):
    for name in ("memory.events", "memory.oom_control"):
        if (group / name).exists():
            for line in (group / name).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def test_big_pictures_in_a_small_cgroup(serve):
    """D3: 64 upstreams at once, 20 MiB of base64 each (in `make test` 24 with 10 MiB)."""
    jobs, side = (64, 2290) if SOAK else (24, 1620)
    memory, group_limit = ("256MiB", 512 << 20) if SOAK else ("96MiB", 512 << 20)
    text = picture(side, side)
    digest = hashlib.sha256(text.encode()).hexdigest()
    frame = completed(text)

    def behaviour(call):
        call.start_stream()
        call.write(frame)

    with Upstream(behaviour) as upstream:
        server = serve(
            {"real": upstream.config}, [routed(UNIFIED, "real"), routed(OPENAI, "real")], server=MANY, storage={"memory": memory}
        )
        group = memory_cgroup(group_limit)
        if group:
            (group / "cgroup.procs").write_text(str(server.pid))
        outcomes, lock = [], threading.Lock()

        def one(number):
            if number % 2:
                with Stream(server.port, UNIFIED["path"], {"prompt": "x", "stream": True}, timeout=300) as stream:
                    events = list(stream)
                if stream.status == 200 and events[-1].name == "completed":
                    intact = hashlib.sha256(event_json(events, "image")[0]["b64_json"].encode()).hexdigest() == digest
                    outcome = "intact" if intact else "broken"
                else:
                    outcome = "overloaded" if stream.status == 503 else events[-1].json["error"]["code"]
            else:
                status, _, body = post(server.port, OPENAI["path"], {"prompt": "x"}, timeout=300)
                value = json.loads(body)
                if "data" in value:
                    outcome = "intact" if hashlib.sha256(value["data"][0]["b64_json"].encode()).hexdigest() == digest else "broken"
                else:
                    outcome = value["error"]["code"]
            with lock:
                outcomes.append(outcome)

        try:
            with Resident(server) as resident:
                threads = [threading.Thread(target=one, args=(number,)) for number in range(jobs)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            counts = {outcome: outcomes.count(outcome) for outcome in set(outcomes)}
            where = f"in a cgroup of {group_limit >> 20} MiB, {oom_kills(group)} OOM kills" if group else "no cgroup may be made here"
            print(
                f"\n{jobs} pictures of {len(text) >> 20} MiB, memory {memory}: {counts}, {resident.peak >> 20} MiB resident at most; {where}; "
                f"{server.gauges()['memory']}"
            )
            assert len(outcomes) == jobs and set(outcomes) <= {"intact", "overloaded", "server_error"}
            assert outcomes.count("intact") > 0 and server.ended() is None
            assert not group or oom_kills(group) == 0
            assert resident.peak < group_limit
        finally:
            server.stop()
            if group:
                wait_until(lambda: not (group / "cgroup.procs").read_text().strip(), 20, "an empty cgroup")
                group.rmdir()


def test_nothing_is_left_of_aborted_requests(serve):
    """D10: creates and streams broken off at random moments; descriptors, jobs and files are as before."""
    requests = 1000 if SOAK else 100
    chance = random.Random(11)
    preview, final = partial(0, picture(64, 64)), completed(picture(256, 256))

    def behaviour(call):
        call.start_stream()
        call.write(preview)
        time.sleep(0.05)
        call.write(final)

    with Upstream(behaviour) as upstream:
        server = serve(
            {"real": upstream.config}, [routed(UNIFIED, "real", on_disconnect="cancel")], server=MANY,
            storage={"jobs": {"sqlite": "var/jobs.db"}, "images": {"disk": "images"}},
        )
        folder = server.config_path.parent

        def temporary():
            return sorted(
                str(path) for path in folder.rglob("*")
                if path.is_file() and (path.suffix == ".part" or "spill" in path.parts or "uploads" in str(path))
            )

        def broken_off(number):
            body = json.dumps({"prompt": "x" * chance.randrange(1, 2000), "partial_images": 1, "stream": True}).encode()
            request = (
                f"POST {UNIFIED['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            ).encode() + body
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            if chance.random() < 0.4:
                connection.sendall(request[: chance.randrange(len(request))])
            else:
                connection.sendall(request)
                connection.settimeout(chance.random() * 0.1 + 0.001)
                try:
                    while connection.recv(chance.randrange(1, 65536)):
                        if chance.random() < 0.1:
                            break
                except TimeoutError:
                    pass
            vanish(number, connection)
            if number % 3 == 2:
                connection.close()

        def rounds(count):
            for number in range(count):
                broken_off(number)
            return server.wait_idle(60)

        rounds(20)
        time.sleep(1)
        descriptors, files = server.descriptors(), temporary()
        gauges = rounds(requests)
        wait_until(lambda: abs(server.descriptors() - descriptors) <= 5, 30, "descriptors")
        wait_until(lambda: len(temporary()) <= len(files) + 5, 30, "temporary files")
        print(f"\n{requests} requests broken off: descriptors {descriptors} -> {server.descriptors()}, {gauges}")
        assert gauges["jobs"] == gauges["streams"] == gauges["upstream_calls"] == 0
