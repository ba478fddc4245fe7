"""Retries, fallback, breaker, groups and waiting rooms, against upstreams that fail as told (C6, C7 of the fault list)."""

import collections
import concurrent.futures
import email.utils
import json
import statistics
import threading
import time

import pytest

from conftest import SOAK, UNIFIED, routed
from safelight import Stream, free_port, post, wait_until
from upstream import Upstream, completed, partial, picture

PICTURE = picture()
BODY = {"prompt": "a lamp", "stream": True}


def openai(port, **fields):
    return {"provider": "openai-images", "base_url": f"http://127.0.0.1:{port}/v1", **fields}


def develop(call):
    call.start_stream()
    call.write(partial(0, PICTURE) + completed(PICTURE))


def events(server, body=BODY):
    with Stream(server.port, UNIFIED["path"], body, timeout=60) as stream:
        return list(stream)


class Answers:
    """The first calls get what is listed, every later one a picture."""

    def __init__(self, *first):
        self.first = list(first)
        self.times = []
        self.lock = threading.Lock()

    def __call__(self, call):
        with self.lock:
            self.times.append(time.monotonic())
            answer = self.first.pop(0) if self.first else develop
        answer(call)


def status(code, **headers):
    return lambda call: call.answer(code, {"error": {"message": "no", "type": "x"}}, **headers)


@pytest.mark.parametrize("told, least", [("1", 1.0), ("date", 1.0), (None, 0.5), ("soon", 0.5)])
def test_rate_limits_are_obeyed(serve, told, least):
    """C6: never sooner than told; the wait is shown."""
    header = email.utils.formatdate(time.time() + 2, usegmt=True) if told == "date" else told
    behaviour = Answers(status(429, **({"Retry-After": header} if header else {})))
    with Upstream(behaviour) as upstream:
        server = serve({"lab": openai(upstream.port)}, [routed(UNIFIED, "lab")])
        seen = events(server)
    assert seen[-1].name == "completed"
    waits = [event.json for event in seen if event.name == "stage" and event.json.get("reason") == "rate_limited"]
    assert waits and waits[0]["retry_at"] and waits[0]["attempt"] == 2
    assert behaviour.times[1] - behaviour.times[0] >= least
    print(f"\nRetry-After {told}: asked again after {behaviour.times[1] - behaviour.times[0]:.2f} s")


def test_a_limit_beyond_the_deadline_ends_the_job(serve):
    behaviour = Answers(status(429, **{"Retry-After": "1000000000"}))
    with Upstream(behaviour) as upstream:
        server = serve({"lab": openai(upstream.port)}, [routed(UNIFIED, "lab")])
        code, headers, body = post(server.port, UNIFIED["path"], {"prompt": "x"})
        assert (code, json.loads(body)["error"]["code"]) == (503, "upstream_rate_limited")
        assert headers["Retry-After"]
        assert post(server.port, UNIFIED["path"], {"prompt": "x"})[0] == 503
    assert len(behaviour.times) == 1


def test_the_next_upstream_is_asked(serve):
    """Not reachable, no key, out of quota, limited for long: all before anything was paid."""
    causes = {
        "closed": None, "key": status(401), "quota": status(402), "limited": status(429, **{"Retry-After": "600"}),
        "down": status(503),
    }
    for name, answer in causes.items():
        with Upstream(answer or develop) as first, Upstream(develop) as second:
            port = first.port if answer else free_port()
            server = serve(
                {"first": openai(port, retry={"attempts": 1}), "second": openai(second.port)},
                [{**UNIFIED, "upstreams": ["first", "second"]}])
            seen = events(server)
            assert seen[-1].name == "completed", (name, seen[-1].data)
            assert seen[-1].json["upstream"] == "second"
            assert [e.json["upstream"] for e in seen if e.name == "stage" and e.json.get("attempt") == 2][0] == "second"
            assert len(second.calls) == 1
            server.stop()


def test_what_may_have_been_paid_is_not_asked_again(serve):
    """A 500, a cut, a refusal: one call in all, and the client is told what it may have cost."""

    def cut(call):
        call.start_stream()
        call.write(partial(0, PICTURE))

    refusal = lambda call: call.answer(400, {"error": {"code": "moderation_blocked", "message": "no"}})
    for answer, code, billed in [
        (status(500), "upstream_error", "maybe"), (cut, "upstream_truncated", "maybe"), (refusal, "refused", "no"),
    ]:
        with Upstream(answer) as first, Upstream(develop) as second:
            server = serve(
                {"first": openai(first.port), "second": openai(second.port)},
                [{**UNIFIED, "upstreams": ["first", "second"]}])
            last = events(server)[-1]
            assert (last.json["error"]["code"], last.json["error"]["billed"]) == (code, billed)
            assert (len(first.calls), len(second.calls)) == (1, 0)
            server.stop()


def test_a_storm_of_errors(serve):
    """C7: calls stay below 1.2 a job, the breaker fails fast while it is open and closes soon after."""
    seconds, rate = (60, 50) if SOAK else (8, 25)
    healthy = threading.Event()
    answers = {"500": status(500), "503": status(503)}
    for name, failing in answers.items():
        healthy.clear()
        with Upstream(lambda call: develop(call) if healthy.is_set() else failing(call)) as upstream:
            server = serve({"lab": openai(upstream.port)}, [routed(UNIFIED, "lab")])

            def ask(at):
                time.sleep(max(0.0, at - time.monotonic()))
                began = time.monotonic()
                code, _, body = post(server.port, UNIFIED["path"], {"prompt": "x"})
                return time.monotonic() - began, code, json.loads(body).get("error", {}).get("code")

            start = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(64) as pool:
                outcomes = list(pool.map(ask, [start + i / rate for i in range(seconds * rate)]))
            calls = len(upstream.calls)
            healthy.set()
            recovered = time.monotonic()
            wait_until(lambda: post(server.port, UNIFIED["path"], {"prompt": "x"})[0] == 200, 15, "recovery")
            took = time.monotonic() - recovered
            fast = sorted(duration for duration, _, code in outcomes if code == "upstream_unavailable")
            assert calls <= 1.2 * len(outcomes)
            assert fast, collections.Counter(code for _, _, code in outcomes)
            assert took <= 10
            p99 = fast[int(len(fast) * 0.99)] * 1000
            print(
                f"\nstorm of {name}: {len(outcomes)} jobs, {calls} calls, {len(fast)} refused at once"
                f" (p50 {statistics.median(fast) * 1000:.1f} ms, p99 {p99:.1f} ms), well again after {took:.1f} s")
            server.stop()


def test_the_waiting_room(serve):
    """Jobs beyond `concurrency` see who is ahead; beyond `waiting` they are refused; places come back."""
    release = threading.Semaphore(0)

    def slow(call):
        release.acquire(timeout=30)
        develop(call)

    with Upstream(slow) as upstream:
        server = serve({"lab": openai(upstream.port, concurrency=1, waiting=2)}, [routed(UNIFIED, "lab")])
        streams = []
        for count in range(3):
            streams.append(Stream(server.port, UNIFIED["path"], BODY, timeout=60))
            wait_until(lambda: len(upstream.calls) == 1, 5, "the first call")
        code, headers, body = post(server.port, UNIFIED["path"], {"prompt": "x"})
        assert (code, json.loads(body)["error"]["code"]) == (503, "overloaded")
        assert headers["Retry-After"]
        listing = json.loads(server.admin("/upstreams")[1])["upstreams"][0]
        assert (listing["active"], listing["waiting"], listing["breaker"]) == (1, 2, "closed")
        readers = [iter(stream) for stream in streams]
        told = [[], *([next(reader)] for reader in readers[1:])]
        for number in (1, 2):
            while "queue_position" not in told[number][-1].data:
                told[number].append(next(readers[number]))
        for _ in range(3):
            release.release()
        for seen, reader in zip(told, readers):
            seen.extend(reader)
        assert [seen[-1].name for seen in told] == ["completed"] * 3
        positions = [[e.json["queue_position"] for e in seen if "queue_position" in e.data] for seen in told]
        assert positions[0] == [] and positions[1][0] == 0 and positions[2][0] == 1
        server.wait_idle_jobs()
        listing = json.loads(server.admin("/upstreams")[1])["upstreams"][0]
        assert (listing["active"], listing["waiting"]) == (0, 0)
        assert post_ok(server, release)


def post_ok(server, release):
    release.release()
    return post(server.port, UNIFIED["path"], {"prompt": "x"})[0] == 200


def test_whoever_leaves_the_waiting_room_makes_room(serve):
    """H3: 40 clients that vanish at once leave no place taken and no seat."""
    hold = threading.Event()

    def slow(call):
        hold.wait(30)
        develop(call)

    with Upstream(slow) as upstream:
        route = routed(UNIFIED, "lab", on_disconnect="cancel")
        server = serve({"lab": openai(upstream.port, concurrency=2, waiting=100)}, [route])
        streams = [Stream(server.port, UNIFIED["path"], BODY) for _ in range(40)]
        for stream in streams:
            stream.close()
        server.wait_idle_jobs()
        listing = json.loads(server.admin("/upstreams")[1])["upstreams"][0]
        assert (listing["active"], listing["waiting"]) == (0, 0)
        hold.set()
        assert events(server)[-1].name == "completed"


def test_a_group_shares_work_by_weight(serve):
    with Upstream(develop) as heavy, Upstream(develop) as light:
        server = serve(
            {"heavy": openai(heavy.port), "light": openai(light.port)}, [{**UNIFIED, "upstreams": ["photo"]}],
            groups={"photo": [{"upstream": "heavy", "weight": 3}, {"upstream": "light"}]})
        for _ in range(12):
            assert events(server)[-1].name == "completed"
        assert (len(heavy.calls), len(light.calls)) == (9, 3)


def test_a_member_that_is_down_is_made_up_for(serve):
    with Upstream(develop) as light:
        server = serve(
            {"heavy": openai(free_port(), retry={"attempts": 1}), "light": openai(light.port)},
            [{**UNIFIED, "upstreams": ["photo"]}],
            groups={"photo": [{"upstream": "heavy", "weight": 3}, {"upstream": "light"}]})
        for _ in range(8):
            assert events(server)[-1].json["upstream"] == "light"
        listing = json.loads(server.admin("/upstreams")[1])["upstreams"]
        assert [entry["breaker"] for entry in listing] == ["open", "closed"]


def test_several_pictures_of_an_upstream_that_makes_one(serve):
    """Fan-out: three calls for one job, each picture under its own index."""
    server = serve(
        {"queue": {"provider": "queue", "preset": "stages", "base_url": "simulator:"}},
        [routed(UNIFIED, "queue", unsupported="drop")])
    seen = events(server, {"prompt": "[sim duration=500ms queue=100ms] lamp", "n": 3, "stream": True})
    assert seen[-1].name == "completed", seen[-1].data
    images = [event.json for event in seen if event.name == "image"]
    assert sorted(image["image_index"] for image in images) == [0, 1, 2]
    assert len(seen[-1].json["images"]) == 3 and not seen[-1].json.get("failures")
