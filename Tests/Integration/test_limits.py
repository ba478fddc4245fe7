"""What one client may take: limits over real sockets, whoever the client says it is."""

import concurrent.futures
import http.client
import json
import random
import re
import socket
import threading
import time

import pytest

from conftest import EDITS, OPENAI, SOAK, UNIFIED, routed
from safelight import Stream, post, wait_until
from upstream import Upstream, completed, partial, picture

SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
ROUTE = {**routed(UNIFIED, "darkroom"), "limits": ["p"]}
ASYNC = {"Prefer": "respond-async"}
QUICK = {"prompt": "[sim duration=50ms queue=0s] lamp"}
WIDE = {"connections": {"per_ip": 100000, "total": 100000}}


def limits(*rules):
    return {"p": list(rules)}


def ask(server, body=QUICK, headers=None, source="127.0.0.1", path=UNIFIED["path"]):
    """One request from an address of this machine; its status and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20, source_address=(source, 0))
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers
    finally:
        connection.close()


def permits(server):
    return server.gauges()["limits"]["permits"]


def test_ten_times_as_much_as_is_allowed(serve):
    """H2: admitted <= burst + rate * t + 1."""
    rate, burst, seconds = 20, 10, 60 if SOAK else 5
    server = serve(
        SIMULATED, [ROUTE], limits=limits({"per": "ip", "requests": f"{rate}/s", "burst": burst}), server=WIDE)
    statuses, lock = [], threading.Lock()
    began = time.monotonic()

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        at = began
        while (now := time.monotonic()) - began < seconds:
            if now < at:
                time.sleep(at - now)
            # Ten clients, each as fast as the limit.
            at += 1 / rate
            connection.request(
                "POST", UNIFIED["path"], json.dumps(QUICK), {"Content-Type": "application/json", **ASYNC})
            response = connection.getresponse()
            response.read()
            with lock:
                statuses.append(response.status)
            if response.status == 429:
                assert response.headers["Retry-After"] == "1" and response.headers["RateLimit"]
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - began
    admitted, refused = statuses.count(202), statuses.count(429)
    assert admitted + refused == len(statuses)
    assert admitted <= burst + rate * elapsed + 1
    assert admitted >= rate * (seconds - 1)
    print(f"\n{len(statuses)} offered in {elapsed:.1f} s, {admitted} admitted of at most {burst + rate * elapsed + 1:.0f}")
    server.wait_idle_jobs(60)


@pytest.mark.parametrize("rule", [
    {"per": "ip", "requests": "60/min", "burst": 1}, {"per": "global", "images": "30/min", "burst": 1},
    {"per": "route", "cost": "40/min", "burst": 1},
])
def test_retry_after_is_true(serve, rule):
    """H2: the very request that was refused passes when it was told to, and not a second earlier."""
    server = serve(SIMULATED, [ROUTE], limits=limits(rule))
    assert ask(server, headers=ASYNC)[0] == 202
    for _ in range(2):
        status, headers = ask(server, headers=ASYNC)
        assert status == 429
        wait = int(headers["retry-after-ms"]) / 1000
        assert wait <= int(headers["Retry-After"]) < wait + 1
        time.sleep(max(0, wait - 0.3))
        assert ask(server, headers=ASYNC)[0] == 429
        time.sleep(0.3)
        assert ask(server, headers=ASYNC)[0] == 202


def test_permits_come_back(serve):
    """H3: whatever befalls a job or its client, no permit is lost and none is given twice."""
    jobs, most = 1000 if SOAK else 150, 12
    rng = random.Random(4)
    b64 = picture()

    def behave(call):
        kind = rng.randrange(5)
        if kind == 0:
            return call.answer(500, {"error": {"message": "lamp"}})
        call.start_stream()
        call.write(partial(0, b64))
        time.sleep(rng.random() / 20)
        if kind == 1:
            return call._handler.connection.shutdown(socket.SHUT_RDWR)
        if kind == 2:
            return call.write(b"event: broken\ndata: {")
        call.write(completed(b64))

    with Upstream(behave) as upstream:
        server = serve(
            {"lab": {**upstream.config, "breaker": {"failures": 0}, "retry": {"attempts": 1}}}, [{**routed(UNIFIED, "lab"), "limits": ["p"], "on_disconnect": "cancel"}],
            limits=limits({"per": "ip", "concurrent": most}), server=WIDE)
        outcomes, highest = [], 0

        def client(number):
            way = number % 4
            while True:
                with Stream(server.port, UNIFIED["path"], {"prompt": "x", "stream": True}, timeout=30) as stream:
                    if stream.status == 429:
                        time.sleep(0.02)
                        continue
                    if way == 0:
                        outcomes.append("left")
                    elif way == 1:
                        post_delete(server, stream.response.headers["x-safelight-job-id"])
                        outcomes.append("cancelled")
                    else:
                        outcomes.append([event.name for event in stream][-1])
                    return

        with concurrent.futures.ThreadPoolExecutor(2 * most) as pool:
            running = [pool.submit(client, number) for number in range(jobs)]
            while not all(future.done() for future in running):
                highest = max(highest, permits(server))
                time.sleep(0.01)
            for future in running:
                future.result()
        assert len(outcomes) == jobs
        assert 1 < highest <= most
        server.wait_idle_jobs()
        left = permits(server)
        assert left == 0
        # All of them can be held again.
        streams = [Stream(server.port, UNIFIED["path"], {"prompt": "x", "stream": True}) for _ in range(most)]
        assert [stream.status for stream in streams] == [200] * most
        for stream in streams:
            stream.close()
        print(f"\n{jobs} jobs, at most {highest} at once of {most}; permits after: {left}")


def post_delete(server, job):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("DELETE", f"/v1/jobs/{job}")
        assert connection.getresponse().status == 200
    finally:
        connection.close()


FORGED = ["203.0.113.66", "127.0.0.1", "::1", "unknown", "_hidden", "localhost", "10.0.0.1, 10.0.0.2", "\"", ","]


def test_nobody_is_whom_they_say(serve):
    """H4: an untrusted peer counts as itself; behind trusted ones the right-most stranger does, whatever stands before."""
    rule = {"per": "ip", "requests": "1/hour"}
    direct = serve(SIMULATED, [ROUTE], limits=limits(rule))
    tried = 0
    assert ask(direct, headers=ASYNC)[0] == 202
    for forged in FORGED:
        for field in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Client-IP", "True-Client-IP", "CF-Connecting-IP"):
            value = f"for={forged}" if field == "Forwarded" else forged
            assert ask(direct, headers={**ASYNC, field: value})[0] == 429, (field, value)
            tried += 1
    behind = serve(SIMULATED, [ROUTE], limits=limits(rule), server={"trusted_proxies": ["127.0.0.0/30"]})
    # A stranger on this machine, next to the trusted block.
    assert ask(behind, headers=ASYNC, source="127.0.0.9")[0] == 202
    for hops in range(1, 21):
        client = f"198.51.100.{hops}"
        inner = [f"127.0.0.{number % 4}" for number in range(hops - 1)]
        assert ask(behind, headers={**ASYNC, "X-Forwarded-For": ", ".join([client, *inner])})[0] == 202
        for forged in FORGED:
            chain = ", ".join([forged, client, *inner])
            assert ask(behind, headers={**ASYNC, "X-Forwarded-For": chain})[0] == 429, chain
            pairs = ", ".join(f"for={address}" for address in [client, *inner])
            assert ask(behind, headers={**ASYNC, "Forwarded": pairs})[0] == 429, pairs
            assert ask(behind, headers={**ASYNC, "X-Forwarded-For": chain}, source="127.0.0.9")[0] == 429, chain
            tried += 3
    print(f"\n{tried} forgeries, none of which passed")


def test_one_address_does_not_use_up_anothers_share(serve):
    server = serve(SIMULATED, [ROUTE], limits=limits({"per": "ip", "requests": "2/hour"}))
    for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        assert [ask(server, headers=ASYNC, source=source)[0] for _ in range(3)] == [202, 202, 429]


def test_openai_sdk_sees_its_own_headers(serve):
    server = serve(
        SIMULATED, [{**routed(OPENAI, "darkroom"), "limits": ["p"]}],
        limits=limits({"per": "ip", "requests": "60/min", "burst": 1}, {"per": "ip", "images": "10/day"}))
    body = {"prompt": QUICK["prompt"], "model": "gpt-image-1"}
    status, headers = ask(server, body, path=OPENAI["path"])
    assert status == 200
    assert headers["x-ratelimit-limit-requests"] == "60" and headers["x-ratelimit-remaining-requests"] == "0"
    assert re.fullmatch(r"\d+m?s", headers["x-ratelimit-reset-requests"])
    assert headers["x-ratelimit-limit-images"] == "10" and headers["x-ratelimit-remaining-images"] == "9"
    status, _, answer = post(server.port, OPENAI["path"], body)
    if status == 429:
        assert json.loads(answer)["error"]["code"] == "rate_limit_exceeded"


def test_check_refuses_a_public_route_without_limits(serve, tmp_path):
    server = serve(SIMULATED, [ROUTE], limits=limits({"per": "ip", "requests": "1/s"}))
    open_route = {**routed(UNIFIED, "darkroom"), "public_without_limits": False}
    server.write_config(SIMULATED, [open_route])
    log_has = lambda text: text in server.log.read_text()
    wait_until(lambda: log_has("a public route needs"), 10, "the refusal")
    assert ask(server, headers=ASYNC)[0] == 202, "the old table serves on"
