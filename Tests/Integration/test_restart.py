"""The gateway killed and started again: accepted jobs are found, their pictures delivered, the upstream asked once."""

import base64
import collections
import json
import random
import signal
import sqlite3
import threading
import time

import pytest

from conftest import OPENAI, SOAK, UNIFIED, routed
from safelight import BINARY, Stream, free_ports, get, post, wait_until
from test_stages import stages_upstream
from upstream import Upstream, partial, picture

KILLS = 200 if SOAK else 6
QUEUED = {**UNIFIED, "name": "queued", "path": "/v1/queued"}
DURABLE = {"storage": {"jobs": {"sqlite": "var/jobs.db"}, "images": {"disk": "images"}}}
ASYNC = {"Prefer": "respond-async"}


def snapshot(server, job):
    status, _, body = get(server.port, f"/v1/jobs/{job}")
    return json.loads(body) if status == 200 else None


def finished(server, job, seconds=30):
    def terminal():
        found = snapshot(server, job)
        return found if found and found["stage"] in ("completed", "error", "cancelled") else None

    return wait_until(terminal, seconds, f"the end of {job}")


def is_submission(call):
    return call.method == "POST" and "/cancel" not in call.path


@pytest.fixture
def counting(simulator):
    """The simulator behind a counter: which prompts were submitted, and how often."""
    counts, lock = collections.Counter(), threading.Lock()

    def behaviour(call):
        if is_submission(call):
            with lock:
                counts[call.json["prompt"].rsplit(" ", 1)[-1]] += 1
        call.forward(simulator)

    with Upstream(behaviour) as upstream:
        upstream.counts = counts
        yield upstream


def both(upstream):
    return (
        {
            "queue": stages_upstream(upstream.port),
            "images": {"provider": "openai-images", "base_url": f"http://127.0.0.1:{upstream.port}/v1"},
        },
        [routed(QUEUED, "queue"), routed(UNIFIED, "images")],
    )


def test_killed_under_load(serve, counting):
    """B1: kill -9 at random moments; no accepted job is lost, none submitted twice."""
    server = serve(*both(counting), **DURABLE)
    accepted, stopping, number = [], threading.Event(), iter(range(10**9))
    lock = threading.Lock()

    def create():
        while not stopping.is_set():
            with lock:
                mine = next(number)
            path = QUEUED["path"] if mine % 2 else UNIFIED["path"]
            try:
                body = {"prompt": f"[sim duration=400ms queue=100ms] {mine}"}
                status, _, answer = post(server.port, path, body, ASYNC, timeout=5)
                if status == 202:
                    with lock:
                        accepted.append((str(mine), json.loads(answer)["job_id"]))
            except OSError:
                pass
            time.sleep(0.2)

    clients = [threading.Thread(target=create, daemon=True) for _ in range(4)]
    for client in clients:
        client.start()
    chance = random.Random(7)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.2, 1.2))
        server.kill()
        server.start_again()
    stopping.set()
    for client in clients:
        client.join()
    assert len(accepted) > KILLS
    outcomes = collections.Counter()
    for prompt, job in accepted:
        end = finished(server, job, 60)
        outcomes[end["stage"] if end["stage"] != "error" else end["error"]["code"]] += 1
        assert counting.counts[prompt] <= 1, prompt
        if end["stage"] == "error":
            assert end["error"]["code"] == "interrupted" and end["error"]["billed"] == "maybe"
    print(f"\n{KILLS} kills, {len(accepted)} accepted, 0 lost, 0 doubled, outcomes {dict(outcomes)}")
    assert max(counting.counts.values()) == 1
    assert sqlite3.connect(server.config_path.parent / "var/jobs.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_queued_job_is_picked_up(serve, counting, event_schema):
    server = serve(*both(counting), **DURABLE)
    with Stream(server.port, QUEUED["path"], {"prompt": "[sim duration=2s queue=100ms] lamp", "stream": True}) as stream:
        for event in stream:
            if event.json["stage"] == "generating":
                break
    job, seen = event.json["job_id"], event.id
    server.kill()
    server.start_again()
    with Stream(server.port, f"/v1/jobs/{job}/events", None, {"Last-Event-ID": seen}, method="GET") as stream:
        events = list(stream)
    for event in events:
        event_schema.validate(event.json)
    assert events[0].name == "gap" and events[0].json["reason"] == "restarted" and events[0].id == ""
    assert [event.name for event in events][-2:] == ["image", "completed"]
    assert counting.counts["lamp"] == 1
    # A later look, from memory and, after one more start, from the store: the picture is there.
    image = next(event for event in events if event.name == "image").json
    server.stop()
    server.start_again()
    with Stream(server.port, f"/v1/jobs/{job}/events", None, {"Last-Event-ID": events[-1].id}, method="GET") as stream:
        again = list(stream)
    assert [event.name for event in again] == ["gap", "stage", "image", "completed"]
    assert again[2].json["b64_json"] == image["b64_json"] and again[2].json["image_id"] == image["image_id"]


def test_finished_picture_of_a_picked_up_job_is_told_once(serve):
    """Killed between two pictures: the first comes from the image store, byte by byte, under its old id."""
    pictures = [picture(200, 200, seed) for seed in (1, 2)]
    second, submissions = threading.Event(), []

    def behaviour(call):
        root = f"http://127.0.0.1:{upstream.port}"
        done = {"job_id": "one", "status": "completed", "result": {"images": [
            {"image_url": f"{root}/0.png"}, {"image_url": f"{root}/1.png"}]}}
        if call.method == "POST":
            submissions.append(call.path)
            call.answer(200, {"job_id": "one", "status": "queued"})
        elif call.path.endswith("/events"):
            call.answer(404, {"detail": "Not found"})
        elif call.path.endswith("/jobs/one"):
            call.answer(200, done)
        elif call.path == "/0.png":
            call.answer_bytes(200, base64.b64decode(pictures[0]), "image/png")
        else:
            second.wait(60)
            call.answer_bytes(200, base64.b64decode(pictures[1]), "image/png")

    with Upstream(behaviour) as upstream:
        server = serve({"queue": stages_upstream(upstream.port)}, [routed(QUEUED, "queue")], **DURABLE)
        with Stream(server.port, QUEUED["path"], {"prompt": "lamp", "n": 2, "stream": True}, timeout=60) as stream:
            first = next(event for event in stream if event.name == "image").json
        assert first["b64_json"] == pictures[0]
        # What happens besides rides along with a later commit, and the picture with a write of its own.
        wait_until(lambda: any(server.config_path.parent.glob("images/**/*.png")), 10, "the stored picture")
        time.sleep(0.5)
        server.kill()
        server.start_again()
        second.set()
        with Stream(server.port, f"/v1/jobs/{first['job_id']}/events", None, method="GET", timeout=60) as stream:
            images = [event.json for event in stream if event.name in ("image", "completed")]
        assert [image.get("image_index") for image in images] == [0, 1, None]
        assert images[0]["image_id"] == first["image_id"]
        assert [image["b64_json"] for image in images[:2]] == pictures
        assert [image["image_id"] for image in images[2]["images"]] == [image["image_id"] for image in images[:2]]
        assert len(submissions) == 1


def test_streamed_job_is_interrupted_and_not_paid_twice(serve):
    release = threading.Event()

    def behaviour(call):
        call.start_stream()
        call.write(partial(0, picture()))
        release.wait(60)

    with Upstream(behaviour) as upstream:
        images = {"images": {"provider": "openai-images", "base_url": f"http://127.0.0.1:{upstream.port}/v1"}}
        server = serve(images, [routed(UNIFIED, "images"), routed(OPENAI, "images")], **DURABLE)
        body, key = {"prompt": "lamp", "stream": True}, {"Idempotency-Key": "once"}
        with Stream(server.port, UNIFIED["path"], body, key) as stream:
            job = next(event.json["job_id"] for event in stream if event.name == "partial_image")
        server.kill()
        server.start_again()
        end = finished(server, job)
        assert end["error"]["code"] == "interrupted" and end["error"]["billed"] == "maybe"
        # The key still stands for that job, whose ending is told again; another body is refused.
        with Stream(server.port, UNIFIED["path"], body, key) as stream:
            assert [event.name for event in stream][-1] == "error" and stream.response.headers["x-safelight-job-id"] == job
        assert post(server.port, UNIFIED["path"], {"prompt": "other"}, key)[0] == 422
        assert len(upstream.calls) == 1
        release.set()


def test_drain_leaves_queued_jobs_to_the_next_start(serve, counting):
    server = serve(*both(counting), server={"drain": "0s"}, **DURABLE)
    _, _, answer = post(server.port, QUEUED["path"], {"prompt": "[sim duration=2s] lamp"}, ASYNC)
    job = json.loads(answer)["job_id"]
    wait_until(lambda: snapshot(server, job)["stage"] != "queued", 10, "work")
    assert server.stop() == 0
    server.start_again()
    assert finished(server, job)["stage"] == "completed"
    assert counting.counts["lamp"] == 1


def test_second_signal_ends_at_once(serve, counting):
    """E5."""
    server = serve(*both(counting), server={"drain": "60s"}, **DURABLE)
    stream = Stream(server.port, QUEUED["path"], {"prompt": "[sim duration=30s] lamp", "stream": True})
    next(iter(stream))
    server.signal(signal.SIGTERM)
    wait_until(lambda: server.admin("/readyz")[0] == 503, 5, "draining")
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    wait_until(lambda: server.ended() is not None, 5, "the end")
    assert server.ended() != 0 and time.monotonic() - began < 2
    stream.close()


@pytest.mark.parametrize("damage", ["no database", "newer", "truncated", "folder"])
def test_unusable_database(tmp_path, damage):
    """B7: one clear line, the file untouched."""
    import subprocess

    folder = tmp_path / "var"
    folder.mkdir()
    database = folder / "jobs.db"
    if damage == "no database":
        database.write_bytes(b"x" * 8192)
    elif damage == "newer":
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE job (id TEXT)")
            connection.execute("PRAGMA application_id = 1397115988")
            connection.execute("PRAGMA user_version = 999")
        connection.close()
    elif damage == "truncated":
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE t (a)")
            connection.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,)] * 20)
        connection.close()
        database.write_bytes(database.read_bytes()[:9000])
    else:
        database.mkdir()
    before = None if damage == "folder" else database.read_bytes()
    port, admin = free_ports(2)
    config = {
        "server": {"listen": f"127.0.0.1:{port}"}, "admin": {"listen": f"127.0.0.1:{admin}"},
        "storage": {"jobs": {"sqlite": "var/jobs.db"}},
        "upstreams": {"images": {"provider": "openai-images", "base_url": "http://127.0.0.1:1"}},
        "routes": [{"auth": "public", "public_without_limits": True, **routed(UNIFIED, "images")}],
    }
    (tmp_path / "routes.json").write_text(json.dumps(config))
    result = subprocess.run(
        [str(BINARY), "serve", "--config", str(tmp_path / "routes.json")], capture_output=True, text=True, timeout=20
    )
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and "jobs.db" in lines[0], result.stderr
    assert before is None or database.read_bytes() == before


def test_an_interrupted_job_is_known_at_once(serve, simulator):
    """Killed before the upstream's name for it was stored: told as failed by the first answer after the restart."""
    server = serve(
        {"lab": {"provider": "openai-images", "base_url": f"http://127.0.0.1:{simulator}/v1"}}, [routed(UNIFIED, "lab")],
        storage={"jobs": {"sqlite": "jobs.db"}})
    with Stream(server.port, UNIFIED["path"], {"prompt": "[sim duration=6s] a lake", "stream": True}) as stream:
        job = next(event for event in stream if event.json["stage"] == "processing" or event.name == "partial_image").json["job_id"]
        server.kill()
    server.start_again()
    status, _, body = get(server.port, f"/v1/jobs/{job}")
    assert status == 200 and json.loads(body)["status"] == "failed" and json.loads(body)["error"]["code"] == "interrupted", body
