"""An event of eight megabytes on one line, in pieces of any size, and what it leaves in memory."""

import itertools
import time

import pytest

from conftest import SOAK, UNIFIED, routed
from safelight import Stream
from upstream import Upstream, completed, picture

PIECES = {
    "whole": None,
    "64KiB": lambda: itertools.repeat(65536),
    "odd": lambda: itertools.cycle([1, 2, 3, 5, 8191, 65537, 1, 40000]),
    # One byte at a time to the length of every header and of the line's beginning, then on in larger steps.
    # In a soak all of it.
    "one-byte": lambda: itertools.chain(itertools.repeat(1, 16 << 20 if SOAK else 4000), itertools.repeat(16384)),
}


@pytest.fixture(scope="module")
def payload():
    text = picture(1450, 1450)
    assert len(text) > 8_000_000
    return text


@pytest.mark.parametrize("pieces", PIECES)
def test_arrives_intact(serve, payload, pieces):
    def behaviour(call):
        call.start_stream()
        call.write(completed(payload), PIECES[pieces] and PIECES[pieces]())

    with Upstream(behaviour) as upstream:
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")])
        with Stream(server.port, UNIFIED["path"], {"prompt": "x", "stream": True}, timeout=120) as stream:
            events = list(stream)
    image = next(event.json for event in events if event.name == "image")
    assert image["b64_json"] == payload and (image["width"], image["height"]) == (1450, 1450)
    assert events[-1].name == "completed"


def test_memory_returns(serve, payload):
    payloads = itertools.chain([picture()], itertools.repeat(payload))

    def behaviour(call):
        call.start_stream()
        call.write(completed(next(payloads)))

    with Upstream(behaviour) as upstream:
        # Finished jobs may keep half of it.
        server = serve({"real": upstream.config}, [routed(UNIFIED, "real")], storage={"memory": "64MiB"})

        def run():
            with Stream(server.port, UNIFIED["path"], {"prompt": "x", "stream": True}) as stream:
                assert [event.name for event in stream][-1] == "completed"

        run()
        server.wait_idle()
        before = server.resident_bytes()
        for _ in range(30 if SOAK else 8):
            run()
        server.wait_idle()
        time.sleep(30 if SOAK else 5)
        after = server.resident_bytes()
        gauges = server.gauges()
    kept = gauges["finished_payload_bytes"]
    assert gauges["payload_bytes"] == kept <= 32 << 20
    figures = f"{before >> 20} MiB before, {after >> 20} MiB after, at most {kept >> 20} MiB of it kept for finished jobs"
    print(f"resident: {figures}")
    assert after <= before * 1.1 + kept + (16 << 20), figures
