"""Upstreams that break HTTP, break off, drip, flood or never finish (C3, C4, C5, C10, C11 of the fault list), over real sockets.

Whatever they send: one honest ending within the deadlines, no word of theirs passed on, and the next request finds the gateway as it was.
"""

import base64
import gzip
import hashlib
import json
import socket
import statistics
import time

import pytest

from conftest import SOAK, UNIFIED, routed
from raw_upstream import RawUpstream
from safelight import Stream, free_port, get, post, wait_until
from upstream import Upstream, completed, partial, picture, png

FINAL = picture(8, 8, 9)
EVENTS = partial(0, picture(4, 4, 1)) + partial(1, picture(4, 4, 2)) + partial(2, picture(4, 4, 3)) + completed(FINAL)
DOCUMENT = json.dumps({"created": 1781870400, "data": [{"b64_json": FINAL}]}).encode()
#: Nothing that an upstream says about itself may be found in what a client sees.
CANARY = b"X-Canary: canary-of-the-upstream\r\n"

TIMEOUTS = {"connect": "2s", "first_byte": "1500ms", "idle": "1s", "total": "4s", "queue": "10s"}
#: No retry and no breaker: each case is one call.
STEADY = {"retry": {"attempts": 1}, "breaker": {"failures": 0}}


def head(*fields, status=b"200 OK", kind=b"text/event-stream"):
    lines = [b"Content-Type: " + kind, CANARY.strip(), *fields]
    return b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data, size=None, end=b"\r\n"):
    return (size if size is not None else b"%x" % len(data)) + b"\r\n" + data + end


def sized(body, length=None, **more):
    return head(b"Content-Length: " + (length if length is not None else b"%d" % len(body)), **more) + body


CHUNKED = b"Transfer-Encoding: chunked"
GOOD = sized(EVENTS)


def chunked(*pieces, fields=(CHUNKED,)):
    return head(*fields) + b"".join(pieces)


def endless(piece, start=b""):
    """Goes on until the gateway hangs up, or far beyond any bound."""

    def behave(wire):
        wire.send(start)
        for _ in range((512 << 20) // len(piece)):
            if not wire.send(piece):
                return

    return behave


def silent(start=b""):
    """Says so much and then no more."""

    def behave(wire):
        wire.send(start)
        wire.wait_until_gone(20)

    return behave


PROTOCOL, CUT, STALL, LATE, LARGE = (
    "upstream_protocol", "upstream_truncated", "upstream_stalled", "upstream_timeout", "upstream_too_large")
#: Tolerated, as by every browser: what comes of it is the whole picture.
FINE = "completed"

#: What the upstream sends, or does, and what may come of it.
ANSWERS = {
    # Status lines
    "nothing": (b"", {CUT}),
    "reset": (lambda wire: wire.reset(), {CUT}),
    "silence": (silent(), {LATE}),
    "no http": (b"\x00\xff\xfe\x80\r\n\r\n", {PROTOCOL}),
    "http 0.9": (b"<html>canary-of-the-upstream</html>", {PROTOCOL}),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", {PROTOCOL}),
    "a mail server": (b"220 mail.example ESMTP\r\n250 canary-of-the-upstream\r\n", {PROTOCOL}),
    "a tls alert": (b"\x15\x03\x01\x00\x02\x02\x46", {PROTOCOL}),
    "no version": (GOOD.replace(b"HTTP/1.1", b"HTTP/", 1), {PROTOCOL}),
    "version 3.7": (GOOD.replace(b"HTTP/1.1", b"HTTP/3.7", 1), {PROTOCOL}),
    "shoutcast": (GOOD.replace(b"HTTP/1.1", b"ICY", 1), {PROTOCOL}),
    "lower case": (GOOD.replace(b"HTTP/1.1", b"http/1.1", 1), {PROTOCOL}),
    "no status": (b"HTTP/1.1\r\n\r\n", {PROTOCOL}),
    "status of two digits": (GOOD.replace(b"200 OK", b"20 OK", 1), {PROTOCOL}),
    "status of four digits": (GOOD.replace(b"200 OK", b"2000 OK", 1), {PROTOCOL}),
    "status of letters": (GOOD.replace(b"200 OK", b"abc OK", 1), {PROTOCOL}),
    "negative status": (GOOD.replace(b"200 OK", b"-200 OK", 1), {PROTOCOL}),
    "status 000": (GOOD.replace(b"200 OK", b"000 OK", 1), {PROTOCOL}),
    "status 999": (GOOD.replace(b"200 OK", b"999 OK", 1), {PROTOCOL, "upstream_error"}),
    "no reason": (GOOD.replace(b"200 OK", b"200", 1), {FINE}),
    "line that never ends": (endless(b"HTTP/1.1 200 " + b"a" * 65536), {PROTOCOL, LARGE, CUT}),
    "status line cut": (b"HTTP/1.1 20", {PROTOCOL, CUT}),
    # Informational heads
    "continue first": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + GOOD, {FINE}),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + GOOD, {FINE}),
    "continue storm": (endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 500), {PROTOCOL, LARGE}),
    "hints storm": (endless(b"HTTP/1.1 103 Early Hints\r\nA: " + b"b" * 900 + b"\r\n\r\n"), {PROTOCOL, LARGE}),
    "continue and no more": (b"HTTP/1.1 100 Continue\r\n\r\n", {CUT, PROTOCOL}),
    "continue and silence": (silent(b"HTTP/1.1 100 Continue\r\n\r\n"), {LATE}),
    "switching protocols": (silent(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), {PROTOCOL, LATE}),
    # Heads
    "head cut in a name": (head()[:25], {CUT, PROTOCOL}),
    "head cut before its end": (head()[:-2], {CUT, PROTOCOL}),
    "head and silence": (silent(head()[:-2]), {LATE}),
    "header flood": (head(*[b"A%d: b" % number for number in range(100_000)]), {PROTOCOL, LARGE}),
    "header that never ends": (endless(b"a" * 65536, b"HTTP/1.1 200 OK\r\nA: "), {PROTOCOL, LARGE, CUT}),
    "headers that never end": (endless(b"A: b\r\n" * 4000, b"HTTP/1.1 200 OK\r\n"), {PROTOCOL, LARGE}),
    "header of 1 MiB": (head(b"A: " + b"b" * (1 << 20)), {PROTOCOL, LARGE}),
    "no colon": (sized(EVENTS).replace(CANARY, b"nonsense\r\n", 1), {FINE, PROTOCOL}),
    "nul in a header": (sized(EVENTS).replace(CANARY, b"A: b\0c\r\n", 1), {FINE, PROTOCOL}),
    "empty name": (sized(EVENTS).replace(CANARY, b": b\r\n", 1), {FINE, PROTOCOL}),
    "space before the colon": (sized(EVENTS).replace(CANARY, b"A : b\r\n", 1), {FINE, PROTOCOL}),
    "folded": (sized(EVENTS).replace(CANARY, b"A: b\r\n c\r\n", 1), {FINE, PROTOCOL}),
    "fold first": (b"HTTP/1.1 200 OK\r\n a: b\r\n" + GOOD.partition(b"\r\n")[2], {FINE, PROTOCOL}),
    "bytes of no text": (sized(EVENTS).replace(CANARY, b"A: \xff\xfe\x80\r\n", 1), {FINE, PROTOCOL}),
    "bare line feeds": (head(b"Connection: close").replace(b"\r\n", b"\n") + EVENTS, {FINE, PROTOCOL}),
    "bare returns": (head(b"Connection: close").replace(b"\r\n", b"\r") + EVENTS, {FINE, PROTOCOL, CUT}),
    "two media types": (sized(EVENTS).replace(CANARY, b"Content-Type: text/html\r\n", 1), {FINE, PROTOCOL}),
    "no media type": (GOOD.replace(b"Content-Type: text/event-stream\r\n", b"", 1), {FINE}),
    # Lengths
    "length of letters": (sized(EVENTS, b"abc"), {PROTOCOL, FINE}),
    "negative length": (sized(EVENTS, b"-1"), {PROTOCOL, FINE}),
    "length with a sign": (sized(EVENTS, b"+%d" % len(EVENTS)), {PROTOCOL, FINE}),
    "length beyond 64 bits": (sized(EVENTS, b"99999999999999999999"), {PROTOCOL, FINE, CUT, LARGE}),
    "length in hex": (sized(EVENTS, b"0x%x" % len(EVENTS)), {PROTOCOL, CUT, FINE}),
    "no length in the field": (sized(EVENTS, b""), {PROTOCOL, FINE, CUT}),
    "two lengths": (sized(EVENTS).replace(CANARY, b"Content-Length: 5\r\n", 1), {PROTOCOL, CUT, FINE}),
    "length in a list": (sized(EVENTS, b"5, 5"), {PROTOCOL, CUT}),
    "length too long": (sized(EVENTS[:-1], b"%d" % (len(EVENTS) + 500)), {CUT}),
    "length too long by far": (silent(sized(EVENTS[:300], b"1000000000000")), {STALL}),
    "length too short": (sized(EVENTS, b"%d" % (len(EVENTS) - 20)), {CUT, PROTOCOL}),
    "length zero": (sized(EVENTS, b"0"), {CUT, PROTOCOL, "no_image"}),
    "length and chunks": (head(b"Content-Length: 5", CHUNKED) + chunk(EVENTS) + b"0\r\n\r\n", {FINE, PROTOCOL}),
    "cut by a reset": (lambda wire: (wire.send(sized(EVENTS[:400], b"9999")), wire.reset()), {CUT}),
    "second answer behind": (GOOD + GOOD, {FINE}),
    "garbage behind": (GOOD + b"\x00garbage" * 500, {FINE}),
    "bodies for no content": (sized(EVENTS, status=b"204 No Content"), {PROTOCOL, CUT, "no_image", "upstream_error"}),
    "not modified": (sized(EVENTS, status=b"304 Not Modified"), {PROTOCOL, "upstream_error"}),
    "a redirect": (sized(b"", status=b"302 Found").replace(CANARY, b"Location: http://127.0.0.1:1/\r\n"), {PROTOCOL}),
    "multiple choices": (sized(EVENTS, status=b"300 Multiple Choices"), {PROTOCOL}),
    # Chunks
    "chunks byte by byte": (chunked(*[chunk(bytes([b])) for b in EVENTS], b"0\r\n\r\n"), {FINE}),
    "chunk size of letters": (chunked(chunk(EVENTS, b"zz"), b"0\r\n\r\n"), {PROTOCOL}),
    "no chunk size": (chunked(chunk(EVENTS, b""), b"0\r\n\r\n"), {PROTOCOL}),
    "negative chunk size": (chunked(chunk(EVENTS, b"-5"), b"0\r\n\r\n"), {PROTOCOL}),
    "chunk size with 0x": (chunked(chunk(EVENTS, b"0x%x" % len(EVENTS)), b"0\r\n\r\n"), {PROTOCOL, CUT}),
    "chunk size beyond 64 bits": (chunked(chunk(EVENTS, b"F" * 17), b"0\r\n\r\n"), {PROTOCOL, CUT}),
    "chunk size of 20,000 digits": (chunked(chunk(EVENTS, b"0" * 20_000 + b"5"), b"0\r\n\r\n"), {PROTOCOL, CUT}),
    "chunk size too small": (chunked(chunk(EVENTS, b"%x" % (len(EVENTS) - 9)), b"0\r\n\r\n"), {PROTOCOL, CUT}),
    "chunk size too large": (chunked(chunk(EVENTS, b"%x" % (len(EVENTS) + 999)), b"0\r\n\r\n"), {CUT, PROTOCOL, FINE}),
    "chunk without its line end": (chunked(chunk(EVENTS[:200], end=b""), chunk(EVENTS[200:]), b"0\r\n\r\n"), {PROTOCOL}),
    "chunk with line feeds alone": (chunked(chunk(EVENTS).replace(b"\r\n", b"\n"), b"0\n\n"), {PROTOCOL, CUT, FINE}),
    "extension of 64 KiB": (chunked(chunk(EVENTS, b"%x;%s" % (len(EVENTS), b"a" * 65536)), b"0\r\n\r\n"), {FINE, PROTOCOL}),
    "extension that never ends": (endless(b"a" * 65536, chunked(b"5;")), {PROTOCOL, CUT, LARGE, LATE, STALL, "deadline_exceeded"}),
    "cut in the first size": (chunked(b"2"), {CUT}),
    "cut in a chunk": (chunked(chunk(EVENTS)[:300]), {CUT}),
    "cut between chunks": (chunked(chunk(EVENTS[:300])), {CUT}),
    "no chunk": (chunked(b"0\r\n\r\n"), {CUT, PROTOCOL}),
    "no last chunk": (chunked(chunk(EVENTS)), {CUT, FINE}),
    "half a last chunk": (chunked(chunk(EVENTS), b"0\r\n"), {CUT, FINE}),
    "trailers": (chunked(chunk(EVENTS), b"0\r\nA: b\r\nContent-Length: 5\r\n\r\n"), {FINE}),
    "cut in a trailer": (chunked(chunk(EVENTS), b"0\r\nA: b"), {CUT, FINE}),
    "trailer flood": (endless(b"A: b\r\n" * 4000, chunked(chunk(EVENTS), b"0\r\n")), {FINE, PROTOCOL, LARGE}),
    "trailer flood of half a picture": (endless(b"A: b\r\n" * 4000, chunked(chunk(EVENTS[:300]), b"0\r\n")), {CUT, PROTOCOL, LARGE}),
    "trailer that never ends": (endless(b"a" * 65536, chunked(chunk(EVENTS[:300]), b"0\r\nA: ")), {CUT, PROTOCOL, LARGE}),
    "unknown transfer coding": (chunked(EVENTS, fields=(b"Transfer-Encoding: banana",)), {FINE, PROTOCOL, CUT}),
    "gzip as transfer coding": (chunked(chunk(gzip.compress(EVENTS)), b"0\r\n\r\n", fields=(b"Transfer-Encoding: gzip, chunked",)), {PROTOCOL, CUT}),
    # Bodies
    "gzip": (head(b"Content-Encoding: gzip") + gzip.compress(EVENTS), {PROTOCOL, CUT}),
    "gzip that is none": (head(b"Content-Encoding: gzip") + b"not gzip", {PROTOCOL, CUT}),
    "gzip cut": (head(b"Content-Encoding: gzip") + gzip.compress(EVENTS)[:50], {PROTOCOL, CUT}),
    "a bomb": (sized(gzip.compress(b"0" * (64 << 20)), kind=b"application/json").replace(CANARY, b"Content-Encoding: gzip\r\n"), {PROTOCOL}),
    "a page": (sized(b"<!doctype html><h1>canary-of-the-upstream</h1>", kind=b"text/html"), {PROTOCOL}),
    "a page called json": (sized(b"<!doctype html>canary-of-the-upstream", kind=b"application/json"), {PROTOCOL}),
    "half a document": (sized(DOCUMENT[:-9], kind=b"application/json"), {PROTOCOL, CUT}),
    "a document and more": (sized(DOCUMENT + b"{}", kind=b"application/json"), {PROTOCOL}),
    "no document": (sized(b"", kind=b"application/json"), {PROTOCOL, CUT}),
    "nul bytes": (sized(b"\0" * 5000), {PROTOCOL, CUT}),
    "a document where a stream was asked for": (sized(DOCUMENT, kind=b"application/json"), {FINE}),
    "a stream without an end": (head() + EVENTS, {FINE}),
    "stalls in a preview": (silent(head() + EVENTS[:300]), {STALL}),
    "lingers behind the picture": (silent(head() + EVENTS), {FINE, STALL}),
    "comments without end": (endless(b": wait\n\n" * 4000, head()), {"deadline_exceeded", LARGE}),
    "lines without end": (endless(b"event: x\n" * 4000, head()), {"deadline_exceeded", LARGE}),
}


def ask(server, **fields):
    """The body of the answer, and how long it took."""
    began = time.monotonic()
    status, _, body = post(server.port, UNIFIED["path"], {"prompt": "x", "partial_images": 3, **fields}, timeout=30)
    return status, body, time.monotonic() - began


def fine(wire):
    wire.send(GOOD)


def test_upstreams_that_break_http(serve):
    """C4, C5. All cases meet one gateway, so that what one leaves behind would be found by the next."""
    with RawUpstream() as upstream:
        server = serve({"raw": {**upstream.config, **STEADY}}, [routed(UNIFIED, "raw", timeouts=TIMEOUTS)])
        upstream.behaviour = fine
        assert ask(server)[0] == 200
        resident, wrong, codes, times = server.resident_bytes(), [], {}, []
        for name, (answer, wanted) in ANSWERS.items():
            upstream.behaviour = answer if callable(answer) else lambda wire, answer=answer: wire.send(answer)
            status, body, took = ask(server)
            told = json.loads(body)
            code = told["error"]["code"] if "error" in told else "completed"
            codes[code] = codes.get(code, 0) + 1
            times.append(took)
            if code not in wanted or took > 8 or b"canary" in body:
                wrong.append((name, status, code, f"{took:.1f} s", body[:200]))
            if code == "completed" and told["images"][0]["b64_json"] != FINAL:
                wrong.append((name, "another picture"))
            upstream.behaviour = fine
            if ask(server)[0] != 200:
                wrong.append((name, "the next request failed"))
        grown = server.resident_bytes() - resident
        server.wait_idle()
        print(
            f"\n{len(ANSWERS)} broken answers: {codes}; p50 {statistics.median(times) * 1000:.0f} ms, longest {max(times):.1f} s;"
            f" resident {grown >> 20} MiB more, {len(upstream.requests)} calls")
        assert not wrong, "\n".join(map(str, wrong))
        assert len(upstream.requests) == 2 * len(ANSWERS) + 1, "each was asked once"


@pytest.mark.parametrize("ending", ["end", "reset", "length", "chunk"])
def test_streams_cut_at_every_byte(serve, ending):
    """C3 through the real transport: never another picture, never `completed` without the whole one, no hang."""
    whole = hashlib.sha256(FINAL.encode()).hexdigest()
    step = 1 if SOAK else 23
    cut = {"at": 0}

    def behave(wire):
        piece = EVENTS[: cut["at"]]
        if ending == "length":
            wire.send(sized(piece, b"%d" % len(EVENTS)))
        elif ending == "chunk":
            wire.send(chunked(chunk(piece) if piece else b""))
        else:
            wire.send(head(b"Connection: close") + piece)
        if ending == "reset":
            wire.reset()

    with RawUpstream(behave) as upstream:
        server = serve({"raw": {**upstream.config, **STEADY}}, [routed(UNIFIED, "raw", timeouts=TIMEOUTS)])
        ends, longest = {}, 0.0
        for cut["at"] in [*range(0, len(EVENTS), step), *range(len(EVENTS) - 3, len(EVENTS) + 1)]:
            _, body, took = ask(server)
            told, longest = json.loads(body), max(longest, took)
            code = told["error"]["code"] if "error" in told else "completed"
            ends[code] = ends.get(code, 0) + 1
            if code == "completed":
                got = hashlib.sha256(told["images"][0]["b64_json"].encode()).hexdigest()
                assert got == whole and cut["at"] >= len(EVENTS) - 2, cut
            else:
                assert code in ("upstream_truncated", "upstream_protocol"), (cut, code)
        print(f"\ncut by {ending} at {sum(ends.values())} of {len(EVENTS) + 1} places: {ends}; longest {longest:.2f} s")
        server.wait_idle()


def within(took, seconds):
    """C1, C2: to a tenth, and what this machine needs besides."""
    return seconds * 0.9 <= took <= seconds * 1.1 + 0.2


def test_nobody_is_waited_for_longer_than_told(serve):
    """C1: refused, a name that is none, a connection that nobody takes, a request that nobody answers."""
    deaf = socket.socket()
    deaf.bind(("127.0.0.1", 0))
    deaf.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(deaf.getsockname())
        fillers.append(filler)
    with RawUpstream(silent()) as mute:
        cases = {
            "refused": (free_port(), "upstream_unreachable", None), "name": (None, "upstream_unreachable", None),
            "deaf": (deaf.getsockname()[1], "upstream_timeout", 2.0), "mute": (mute.port, "upstream_timeout", 1.5),
        }
        upstreams = {
            name: {**STEADY, "provider": "openai-images",
                   "base_url": f"http://127.0.0.1:{port}/v1" if port else "http://no-such.invalid/v1"}
            for name, (port, _, _) in cases.items()}
        server = serve(upstreams, [
            routed(UNIFIED, name, name=name, path=f"/{name}", timeouts=TIMEOUTS) for name in cases])
        told = []
        for name, (_, code, seconds) in cases.items():
            began = time.monotonic()
            _, _, body = post(server.port, f"/{name}", {"prompt": "x"}, timeout=30)
            took = time.monotonic() - began
            error = json.loads(body)["error"]
            assert error["code"] == code and error["billed"] == ("maybe" if name == "mute" else "no"), (name, error)
            assert within(took, seconds) if seconds else took < 2, (name, took)
            told.append(f"{name} {code} after {took:.2f} s")
        print("\n" + "; ".join(told))
        server.wait_idle()
    for each in (*fillers, deaf):
        each.close()


def test_a_stall_keeps_the_preview(serve):
    """C2: silence behind the first of three previews."""
    preview = picture(4, 4, 1)
    with RawUpstream(silent(head() + partial(0, preview))) as upstream:
        server = serve({"raw": {**upstream.config, **STEADY}}, [routed(UNIFIED, "raw", timeouts=TIMEOUTS)])
        body = {"prompt": "x", "partial_images": 3, "stream": True}
        with Stream(server.port, UNIFIED["path"], body) as stream:
            events = list(stream)
        shown = next(event for event in events if event.name == "partial_image")
        took = events[-1].at - shown.at
        assert events[-1].json["error"]["code"] == "upstream_stalled" and within(took, 1.0), (events[-1].data, took)
        status, _, content = get(server.port, f"/v1/jobs/{shown.json['job_id']}/previews/0")
        assert status == 200 and base64.b64encode(content).decode() == preview
        print(f"\nstalled after {took:.2f} s of 1 s; its preview is served")


def test_a_payload_without_end_is_cut(serve):
    """C10: one line of more than the gateway takes; what is gathered meanwhile is bounded."""
    limit = 64 << 20
    start = head() + b'data: {"type":"image_generation.completed","b64_json":"'
    with RawUpstream(endless(b"QUJD" * 65536, start)) as upstream:
        server = serve({"raw": {**upstream.config, **STEADY}}, [routed(UNIFIED, "raw")])
        resident = server.resident_bytes()
        status, body, took = ask(server)
        grown = server.resident_bytes() - resident
        assert json.loads(body)["error"]["code"] == "upstream_too_large"
        print(f"\none endless event: cut after {took:.1f} s, resident {grown >> 20} MiB more (limit {limit >> 20} MiB)")
        assert grown <= 2 * limit
        upstream.behaviour = fine
        assert ask(server)[0] == 200
        server.wait_idle()


def test_a_drip_ends_at_the_deadline(serve):
    """C10: a byte at a time is no silence, but `total` holds."""
    total = 20 if SOAK else 3

    def drip(wire):
        wire.send(head())
        for byte in EVENTS:
            if not wire.send(bytes([byte])):
                return
            if wire.wait_until_gone(1 if SOAK else 0.2):
                return

    with RawUpstream(drip) as upstream:
        timeouts = {**TIMEOUTS, "idle": "5s", "total": f"{total}s"}
        server = serve({"raw": {**upstream.config, **STEADY}}, [routed(UNIFIED, "raw", timeouts=timeouts)])
        _, body, took = ask(server)
        assert json.loads(body)["error"]["code"] == "deadline_exceeded"
        print(f"\na drip: ended after {took:.2f} s of {total} s")
        assert total <= took <= total * 1.1 + 0.3
        server.wait_idle()


POLLED = {
    "submit": {"method": "POST", "url": "{base}/jobs"},
    "status": {"url": "{base}/jobs/{job_id}"},
    "cancel": {"method": "DELETE", "url": "{base}/jobs/{job_id}"},
    "body": {"prompt": "$prompt"},
    "poll": {"interval": "200ms", "maximum_interval": "500ms", "unknown_job_grace": "500ms"},
    "job_id": "id",
    "state": {"paths": "state", "map": {"waiting": "queued", "drawing": "generating", "done": "succeeded"}},
    "images": [{"url": "picture"}],
}


class Poller:
    """A queued service: what it answers to polls and fetches is the test's."""

    def __init__(self, poll, fetch=None):
        self.poll, self.fetch = poll, fetch
        self.polls, self.cancels = [], 0
        self.upstream = Upstream(self.behave)

    def behave(self, call):
        if call.method == "POST":
            call.answer(200, {"id": "7", "state": "waiting"})
        elif call.method == "DELETE":
            self.cancels += 1
            call.answer(200, {})
        elif "/jobs/" in call.path:
            self.polls.append(time.monotonic())
            self.poll(self, call)
        else:
            self.fetch(self, call)

    def config(self, definition):
        return {"provider": "queue", "base_url": f"http://127.0.0.1:{self.upstream.port}/v1", "definition": definition}


def answers(status, **value):
    return lambda poller, call: call.answer(status, value)


def shows_picture(poller, call):
    call.answer(200, {"id": "7", "state": "done", "picture": f"http://127.0.0.1:{poller.upstream.port}/x.png"})


@pytest.mark.parametrize(
    "name, poll, fetch, codes, cancels, seconds",
    [
        ("queued for ever", answers(200, id="7", state="waiting"), None, {"deadline_exceeded"}, 1, (2, 2.5)),
        ("drawing for ever", answers(200, id="7", state="drawing"), None, {"deadline_exceeded"}, 1, (3, 3.6)),
        ("a state nobody knows", answers(200, id="7", state="???"), None, {"deadline_exceeded"}, 1, (2, 3.6)),
        ("404 after it was taken", answers(404, error="gone"), None, {"upstream_error"}, 0, (0, 3.6)),
        ("always 503", answers(503, error="down"), None, {"upstream_error", "deadline_exceeded"}, None, (0, 3.6)),
        ("polls throttled", answers(429, error="slow"), None, {"upstream_rate_limited", "deadline_exceeded"}, None, (0, 3.6)),
        ("picture expired", shows_picture, answers(403, error="expired"), {"upstream_error", "provider_auth"}, 0, (0, 3.6)),
        ("picture gone", shows_picture, answers(404, error="gone"), {"upstream_error"}, 0, (0, 3.6)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_jobs_that_never_end(serve, name, poll, fetch, codes, cancels, seconds):
    """C11: the deadline holds, the upstream is told, and no poll comes sooner than configured."""
    poller = Poller(poll, fetch)
    with poller.upstream:
        timeouts = {**TIMEOUTS, "queue": "2s", "total": "3s"}
        server = serve({"raw": {**poller.config(POLLED), **STEADY}}, [routed(UNIFIED, "raw", timeouts=timeouts)])
        _, body, took = ask(server)
        error = json.loads(body)["error"]
        assert error["code"] in codes, error
        assert error["billed"] != "no"
        assert seconds[0] <= took <= seconds[1], took
        if cancels is not None:
            wait_until(lambda: poller.cancels >= cancels, 5, "the cancel")
        gaps = [later - sooner for sooner, later in zip(poller.polls, poller.polls[1:])]
        print(
            f"\n{name}: {error['code']} after {took:.2f} s, {len(poller.polls)} polls, shortest gap"
            f" {min(gaps, default=0) * 1000:.0f} ms, {poller.cancels} cancels")
        assert all(gap >= 0.195 for gap in gaps)
        server.wait_idle()
        asked = len(poller.polls)
        time.sleep(0.6)
        assert len(poller.polls) == asked and poller.cancels == (cancels if cancels is not None else poller.cancels)


def test_a_picture_that_never_ends_is_left(serve):
    """A result of one byte now and then, and one without end: time and size are bounded there too."""

    def endless_picture(poller, call):
        call._head(200, {"Content-Type": "image/png", "Connection": "close"})
        call.write(png(8, 8))
        for _ in range(2048):
            call.write(b"\0" * 65536)

    poller = Poller(shows_picture, endless_picture)
    with poller.upstream:
        server = serve({"raw": {**poller.config(POLLED), **STEADY}}, [routed(UNIFIED, "raw")])
        resident = server.resident_bytes()
        _, body, took = ask(server)
        error = json.loads(body)["error"]
        assert error["code"] == "upstream_too_large" and error["billed"] == "yes", error
        print(f"\nan endless picture: left after {took:.1f} s, resident {(server.resident_bytes() - resident) >> 20} MiB more")
        server.wait_idle()
