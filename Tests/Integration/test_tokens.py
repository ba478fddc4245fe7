"""Who may call: static tokens, signed tokens, tickets and sessions over real sockets, with the real commands beside the server."""

import base64
import http.client
import json
import os
import re
import secrets
import sqlite3
import subprocess
import threading
import time
import urllib.parse

import jwt
import openai
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from browser import Browser, find_chromium
from conftest import OPENAI, UNIFIED, routed
from safelight import BINARY, Stream, free_port, get, wait_until
from test_stages import stages_upstream
from upstream import Upstream

SIMULATED = {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}}
STORAGE = {"jobs": {"sqlite": "var/safelight.db"}, "images": {"disk": "var/images"}}
CLOSED = {"auth": "required", "public_without_limits": False}
SCOPED = {**CLOSED, "scopes": ["images"]}
QUICK = {"prompt": "[sim duration=50ms queue=0s] lamp"}
SLOW = {"prompt": "[sim duration=60s queue=0s] lamp"}
ASYNC = {"Prefer": "respond-async"}

UNIFIED_ROUTE = routed(UNIFIED, "darkroom", **SCOPED)
OPENAI_ROUTE = routed(OPENAI, "darkroom", **SCOPED)
OPEN_ROUTE = routed({**UNIFIED, "name": "open", "path": "/v1/open"}, "darkroom")


def command(server, *arguments, check=True):
    done = subprocess.run(
        [str(BINARY), *arguments, "--config", str(server.config_path)], capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done


def create(server, name="partner", scope=("images",), **options):
    """A token's text and its name."""
    flags = [flag for word in scope for flag in ("--scope", word)]
    flags += [flag for key, value in options.items() for flag in (f"--{key}", value)]
    done = command(server, "token", "create", name, *flags)
    token = done.stdout.strip()
    assert re.fullmatch(r"sfl_[a-z2-7]{16}_[a-z2-7]{52}", token)
    named = re.search(r"tok_[a-z2-7]{16}", done.stderr)[0]
    assert token.split("_")[2] not in done.stderr
    wait_until(lambda: ask(server, token, "/v1/jobs", method="GET")[0] == 200, 10, "the token")
    return token, named


def ask(server, token, path=UNIFIED["path"], body=QUICK, method="POST", headers=None):
    """Status, headers and body."""
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        text = json.dumps(body) if method == "POST" else None
        kind = {"Content-Type": "application/json"} if method == "POST" else {}
        connection.request(method, path, text, {**kind, **headers})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def wait_until_refused(server, token):
    """A token's end also ends what was just being answered."""

    def is_refused():
        try:
            return ask(server, token)[0] == 401
        except (http.client.HTTPException, ConnectionError):
            return False

    wait_until(is_refused, 10, "the token's end")


def job_of(answer):
    assert answer[0] == 202, answer
    return json.loads(answer[2])["job_id"]


def steady(body):
    """A body without what is a request's own."""
    return re.sub(rb"req_[a-z2-7]{26}", b"", body)


@pytest.fixture
def server(serve):
    return serve(SIMULATED, [UNIFIED_ROUTE, OPENAI_ROUTE, OPEN_ROUTE], storage=STORAGE)


# Static tokens


CARRIERS = {
    "bearer": lambda token: {"Authorization": f"Bearer {token}"},
    "bearer, other case": lambda token: {"authorization": f"bEARER  {token} "},
    "fal": lambda token: {"Authorization": f"Key {token}"},
    "replicate": lambda token: {"Authorization": f"Token {token}"},
    "x-api-key": lambda token: {"X-API-Key": token},
    "azure": lambda token: {"api-key": token},
}


def test_every_carrier_has_the_same_answers(server):
    """F5"""
    good, _ = create(server)
    restricted, _ = create(server, "restricted", scope=())
    for name, carrier in CARRIERS.items():
        for path, form in ((UNIFIED["path"], "unauthorized"), (OPENAI["path"], "invalid_api_key")):
            assert ask(server, None, path, headers=carrier(good))[0] == 200, name
            status, headers, body = ask(server, None, path, headers=carrier(restricted))
            assert status == 403 and b"permission_error" in body or b"forbidden" in body, name
            status, headers, body = ask(server, None, path, headers=carrier(good[:-1] + "a" if good[-1] != "a" else good[:-1] + "b"))
            assert status == 401 and form.encode() in body, name
            assert headers["WWW-Authenticate"] == 'Bearer realm="safelight"'
    for first, second in (("bearer", "x-api-key"), ("x-api-key", "azure"), ("fal", "azure")):
        headers = {**CARRIERS[first](good), **CARRIERS[second](good)}
        for path in (UNIFIED["path"], OPENAI["path"], "/v1/open", "/v1/tickets"):
            assert ask(server, None, path, headers=headers)[0] == 400, (first, second, path)


def test_whatever_is_wrong_with_a_token_is_told_in_the_same_words(server):
    token, named = create(server, expires="3s")
    other, revoked = create(server)
    command(server, "token", "revoke", revoked)
    hostile = [
        "", "x", "sfl_", token[:-1], token + "a", token.upper(), token.replace("sfl_", "sft_"), "' OR '1'='1", "a.b.c",
        "sft_e30.AAAA", "a" * 8000, other.split("_")[1], "{}", "eyJhbGciOiJub25lIn0.e30.",
    ]
    wait_until_refused(server, other)
    wait_until_refused(server, token)
    answers = {steady(ask(server, text)[2]) for text in [*hostile, token, other]}
    answers.add(steady(ask(server, None, headers={"Authorization": "Basic YTpi"})[2]))
    answers.add(steady(ask(server, None)[2]))
    assert len(answers) == 1
    assert ask(server, "ä" .encode().decode("latin-1"))[0] in (400, 401)
    text = server.log.read_text()
    assert token not in text and other not in text and token.split("_")[2] not in text
    for word in ("reason=revoked", "reason=expired", "reason=unknown", "reason=malformed"):
        assert word in text


def test_the_stock_openai_sdk(server):
    token, _ = create(server)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=0)
    answer = client.images.generate(model="gpt-image-1", prompt=QUICK["prompt"])
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")
    events = list(client.images.generate(
        model="gpt-image-1", prompt=QUICK["prompt"], stream=True, partial_images=1))
    assert events[-1].type == "image_generation.completed"
    for wrong in ("unused", token[:-3] + "aaa"):
        with pytest.raises(openai.AuthenticationError) as caught:
            client.with_options(api_key=wrong).images.generate(model="gpt-image-1", prompt="x")
        assert caught.value.code == "invalid_api_key"
    restricted, _ = create(server, scope=())
    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(api_key=restricted).images.generate(model="gpt-image-1", prompt="x")


def test_a_token_is_good_for_its_routes(serve):
    other = {**UNIFIED_ROUTE, "name": "other", "path": "/v1/other"}
    server = serve(SIMULATED, [UNIFIED_ROUTE, other, OPEN_ROUTE], storage=STORAGE)
    token, _ = create(server, route="pictures")
    assert [ask(server, token, path)[0] for path in (UNIFIED["path"], "/v1/other", "/v1/open")] == [200, 403, 200]


def test_a_public_route_takes_no_notice_of_what_does_not_count(server):
    for token in (None, "unused", "sfl_x", "a.b.c"):
        assert ask(server, token, "/v1/open")[0] == 200


def test_an_optional_route(serve):
    server = serve(
        SIMULATED, [{**OPEN_ROUTE, "auth": "optional"}, UNIFIED_ROUTE], storage=STORAGE)
    token, _ = create(server)
    assert [ask(server, text, "/v1/open")[0] for text in (None, token, "unused")] == [200, 200, 401]


def test_limits_of_a_token(serve):
    """Its own limits count for it wherever it goes; another token has its own."""
    limits = {"few": [{"per": "token", "requests": "2/hour"}]}
    server = serve(SIMULATED, [UNIFIED_ROUTE], storage=STORAGE, limits=limits)
    one, _ = create(server, limit="few")
    two, _ = create(server, limit="few")
    assert [ask(server, one)[0] for _ in range(3)] == [200, 200, 429]
    assert ask(server, two)[0] == 200
    # Limits that are gone do not leave the token without any.
    server._sections["limits"] = {"others": [{"per": "ip", "requests": "1/s"}]}
    server.write_config(SIMULATED, [UNIFIED_ROUTE])
    wait_until_refused(server, two)


def test_a_tokens_own_permit_outlives_the_process(serve, simulator):
    """Its job goes on after a kill, and counts against the token until it ends."""
    limits = {"one": [{"per": "token", "concurrent": 1}]}
    server = serve({"darkroom": stages_upstream(simulator)}, [UNIFIED_ROUTE], storage=STORAGE, limits=limits)
    token, _ = create(server, limit="one")
    other, _ = create(server, limit="one")
    status, _, body = ask(server, token, body={"prompt": "[sim duration=8s queue=0s] lamp"}, headers=ASYNC)
    assert status == 202
    job = json.loads(body)["job_id"]
    stage = lambda: json.loads(ask(server, token, f"/v1/jobs/{job}", method="GET")[2])["stage"]
    wait_until(lambda: stage() == "generating", 20, "the job")
    server.kill()
    server.start_again()
    assert server.gauges()["limits"]["permits"] == 1
    assert [ask(server, text)[0] for text in (token, other)] == [429, 200]
    wait_until(lambda: stage() == "completed", 30, "its end")
    assert ask(server, token)[0] == 200


def test_revocation_ends_what_is_under_way(server):
    token, named = create(server)
    other, _ = create(server)
    with Stream(server.port, UNIFIED["path"], {**SLOW, "stream": True}, {"Authorization": f"Bearer {token}"}) as stream, \
            Stream(server.port, UNIFIED["path"], {**SLOW, "stream": True}, {"Authorization": f"Bearer {other}"}) as kept:
        assert next(iter(stream)).name == "stage" and next(iter(kept)).name == "stage"
        began = time.monotonic()
        command(server, "token", "revoke", named)
        with pytest.raises((http.client.HTTPException, ConnectionError, StopIteration)):
            for _ in stream:
                pass
            raise StopIteration
        assert time.monotonic() - began < 10
        assert ask(server, token)[0] == 401
        assert server.gauges()["streams"] == 1
    assert "revoked" in command(server, "token", "list").stdout
    assert command(server, "token", "revoke", "tok_nobody", check=False).returncode != 0


def test_tokens_survive_a_restart_and_a_stopped_server(server):
    token, named = create(server)
    server.stop()
    made = command(server, "token", "create", "while stopped", "--scope", "images").stdout.strip()
    command(server, "token", "revoke", named)
    server.start_again()
    assert ask(server, made)[0] == 200 and ask(server, token)[0] == 401


def test_what_cannot_be_asked_of_the_command(server):
    for arguments in (["x", "--scope", 'a"b'], ["x", "--route", "nowhere"], ["x", "--limit", "none"],
                      ["x", "--expires", "soon"], ["a\nb"], ["x" * 200]):
        assert command(server, "token", "create", *arguments, check=False).returncode != 0
    assert "tok_" not in command(server, "token", "list").stdout


# Whose jobs are whose


def test_nobody_reaches_what_is_anothers(server):
    """F6"""
    mine, _ = create(server, "a")
    theirs, _ = create(server, "b")
    administrator, _ = create(server, "operator", scope=("images", "admin"))
    job = job_of(ask(server, mine, headers=ASYNC))
    wait_until(lambda: b'"completed"' in ask(server, mine, f"/v1/jobs/{job}", method="GET")[2], 20, "the job")
    image = json.loads(ask(server, mine, f"/v1/jobs/{job}", method="GET")[2])["images"][0]["image_id"]
    no_job, no_image = "job_" + "a" * 26, "img_" + "a" * 26
    calls = [
        ("GET", f"/v1/jobs/{{job}}"), ("GET", "/v1/jobs/{job}/events"), ("GET", "/v1/jobs/{job}/live"),
        ("GET", "/v1/jobs/{job}/previews/0"), ("DELETE", "/v1/jobs/{job}"), ("GET", "/v1/images/{image}"),
        ("DELETE", "/v1/images/{image}"),
    ]
    for method, path in calls:
        foreign = ask(server, theirs, path.format(job=job, image=image), method=method)
        unknown = ask(server, theirs, path.format(job=no_job, image=no_image), method=method)
        assert (foreign[0], steady(foreign[2])) == (404, steady(unknown[2])), (method, path)
        assert ask(server, None, path.format(job=job, image=image), method=method)[0] in (403, 404), path
    minted = ask(server, theirs, "/v1/tickets", {"job": job})
    assert minted[0] == 404 and steady(minted[2]) == steady(ask(server, theirs, "/v1/tickets", {"job": no_job})[2])
    resumed = ask(server, theirs, headers={"Last-Event-ID": f"{job}.1", "Accept": "text/event-stream"})
    assert resumed[0] == 404
    assert json.loads(ask(server, theirs, "/v1/jobs", method="GET")[2])["jobs"] == []
    assert [entry["job_id"] for entry in json.loads(ask(server, mine, "/v1/jobs", method="GET")[2])["jobs"]] == [job]
    assert ask(server, mine, f"/v1/images/{image}", method="GET")[0] == 200
    assert ask(server, administrator, f"/v1/jobs/{job}", method="GET")[0] == 200
    assert ask(server, administrator, f"/v1/images/{image}", method="DELETE")[0] == 204
    assert json.loads(ask(server, administrator, "/v1/jobs", method="GET")[2])["jobs"] == []


def test_idempotency_keys_are_a_principals_own(server):
    tokens = [create(server, name)[0] for name in "ab"]
    headers = {**ASYNC, "Idempotency-Key": "same"}
    jobs = [job_of(ask(server, token, headers=headers)) for token in tokens for _ in range(2)]
    assert jobs[0] == jobs[1] and jobs[2] == jobs[3] and jobs[0] != jobs[2]


def test_a_browsers_session(server):
    status, headers, _ = get(server.port, "/")
    cookie = headers["Set-Cookie"]
    assert status == 200 and re.fullmatch(
        r"safelight_session=sfs_[\w.-]+; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict", cookie)
    mine = {"Cookie": cookie.split(";")[0]}
    assert get(server.port, "/", mine)[1]["Set-Cookie"] is None
    other = {"Cookie": get(server.port, "/")[1]["Set-Cookie"].split(";")[0]}
    job = job_of(ask(server, None, "/v1/open", headers={**ASYNC, **mine}))
    path = f"/v1/jobs/{job}"
    assert get(server.port, path, mine)[0] == 200
    assert get(server.port, path, other)[0] == 404 and get(server.port, path)[0] == 404
    assert len(json.loads(get(server.port, "/v1/jobs", mine)[2])["jobs"]) == 1
    assert json.loads(get(server.port, "/v1/jobs", other)[2])["jobs"] == []
    # A page of another site sends the cookie at most by a browser's mistake.
    for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert get(server.port, path, {**mine, **foreign})[0] == 404
    edited = {"Cookie": mine["Cookie"][:-2] + "AA"}
    assert get(server.port, path, edited)[0] == 404
    # It is no credential where one is asked for, and nobody's jobs stay reachable by id.
    assert ask(server, None, headers=mine)[0] == 401
    nobodys = job_of(ask(server, None, "/v1/open", headers=ASYNC))
    assert get(server.port, f"/v1/jobs/{nobodys}")[0] == 200 and get(server.port, f"/v1/jobs/{nobodys}", mine)[0] == 200


def test_a_browsers_session_over_tls(serve):
    """The name says to the browser that no other host may set it; the name without the prefix counts for nothing then."""
    server = serve(SIMULATED, [OPEN_ROUTE], storage=STORAGE, server={"public_url": "https://pictures.example"})
    cookie = get(server.port, "/")[1]["Set-Cookie"]
    assert re.fullmatch(
        r"__Host-safelight_session=sfs_[\w.-]+; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure", cookie)
    mine = {"Cookie": cookie.split(";")[0]}
    job = job_of(ask(server, None, "/v1/open", headers={**ASYNC, **mine}))
    bare = {"Cookie": mine["Cookie"].removeprefix("__Host-")}
    assert [get(server.port, f"/v1/jobs/{job}", headers)[0] for headers in (mine, bare)] == [200, 404]


# Tickets


def mint(server, token, **wish):
    status, headers, body = ask(server, token, "/v1/tickets", wish)
    assert status == 201 and headers["Cache-Control"] == "no-store", body
    return json.loads(body)


def test_a_ticket_creates_what_it_is_for_and_as_often(server):
    token, _ = create(server)
    wish = {"route": "pictures", "model": "gpt-image-1", "size": "1024x1024", "n": 2}
    body = {**QUICK, "model": "gpt-image-1", "size": "1024x1024", "n": 2}
    ticket = mint(server, token, **wish)
    assert ticket["uses"] == 1 and 0 < ticket["expires_in"] <= 120
    use = lambda body, path=UNIFIED["path"], text=ticket["ticket"], **more: ask(server, text, path, body, **more)[0]
    assert use({**body, "n": 3}) == 403
    assert use({**body, "model": "gpt-image-2"}) == 403
    assert use({key: value for key, value in body.items() if key != "model"}) == 403
    assert use({**body, "size": "512x512"}) == 403
    assert use(body, OPENAI["path"]) == 403 and use(body, "/v1/open") == 403
    assert ask(server, ticket["ticket"], "/v1/jobs", method="GET")[0] == 403
    assert ask(server, ticket["ticket"], "/v1/tickets", {"route": "pictures"})[0] == 403
    assert use(body) == 200
    assert use(body) == 403
    # A mistake of the client's uses nothing up.
    again = mint(server, token, **wish)["ticket"]
    assert use({"prompt": ""}, text=again) == 400 and use(body, text=again) == 200
    twice = mint(server, token, route="pictures", uses=2)["ticket"]
    assert [use(QUICK, text=twice) for _ in range(3)] == [200, 200, 403]


def test_a_ticket_follows_the_job_that_it_made(server):
    token, _ = create(server)
    ticket = mint(server, token, route="pictures")["ticket"]
    job = job_of(ask(server, ticket, headers=ASYNC))
    assert ask(server, ticket, f"/v1/jobs/{job}", method="GET")[0] == 200
    assert ask(server, token, f"/v1/jobs/{job}", method="GET")[0] == 200


def test_an_event_sources_ticket(server):
    """F4"""
    token, named = create(server)
    job, other = (job_of(ask(server, token, headers=ASYNC, body=SLOW)) for _ in range(2))
    ticket = mint(server, token, job=job)
    url = urllib.parse.urlsplit(ticket["events_url"])
    assert url.path == f"/v1/jobs/{job}/events"
    text = ticket["ticket"]
    with Stream(server.port, f"{url.path}?{url.query}", None, method="GET") as stream:
        assert stream.status == 200 and next(iter(stream)).name == "stage"
        for path in (f"/v1/jobs/{other}/events", f"/v1/jobs/{'job_' + 'a' * 26}/events"):
            assert get(server.port, f"{path}?ticket={text}")[0] == 403
        for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/live", "/v1/jobs"):
            assert get(server.port, f"{path}?ticket={text}")[0] != 200 or path == "/v1/jobs"
        assert json.loads(get(server.port, f"/v1/jobs?ticket={text}")[2])["jobs"] == []
        assert ask(server, None, f"{UNIFIED['path']}?ticket={text}")[0] == 401
        assert ask(server, text)[0] == 403 and ask(server, text, "/v1/open")[0] == 403
        # Only a ticket for one job may stand in a URL.
        for wrong in (token, mint(server, token, route="pictures")["ticket"], text[:-2] + "AA"):
            assert get(server.port, f"{url.path}?ticket={wrong}")[0] == 401
        assert get(server.port, f"{url.path}?ticket={text}", {"Authorization": f"Bearer {text}"})[0] == 400
        command(server, "token", "revoke", named)
        with pytest.raises((http.client.HTTPException, ConnectionError, StopIteration)):
            for _ in stream:
                pass
            raise StopIteration
    assert get(server.port, f"{url.path}?ticket={text}")[0] == 401
    assert text not in server.log.read_text() and token not in server.log.read_text()


def test_a_ticket_of_few_uses_opens_few_streams(server):
    token, _ = create(server)
    job = job_of(ask(server, token, headers=ASYNC))
    wait_until(lambda: b'"completed"' in ask(server, token, f"/v1/jobs/{job}", method="GET")[2], 20, "the job")
    text = mint(server, token, job=job, uses=2)["ticket"]
    path = f"/v1/jobs/{job}/events?ticket={text}"
    assert [get(server.port, path)[0] for _ in range(3)] == [200, 200, 403]


def test_a_tickets_page_and_time(serve):
    app = "https://app.example"
    server = serve(
        SIMULATED, [UNIFIED_ROUTE], storage=STORAGE, server={"cors": {"origins": [app]}},
        auth={"tickets": {"lifetime": "2s"}})
    token, _ = create(server)
    text = mint(server, token, route="pictures", origin=app, uses=10, expires_in=3600)["ticket"]
    at = time.monotonic()
    assert ask(server, text, headers={"Origin": app})[0] == 200
    for headers in ({}, {"Origin": "https://app.example.evil"}, {"Origin": "null"}):
        assert ask(server, text, headers=headers)[0] == 401
    wait_until(lambda: ask(server, text, headers={"Origin": app})[0] == 401, 10, "the expiry")
    assert time.monotonic() - at < 6
    own = mint(server, token, route="pictures", origin=server.url, uses=10)["ticket"]
    page = {"Cookie": f"safelight_ticket={own}", "Sec-Fetch-Site": "same-origin", "Origin": server.url}
    assert ask(server, None, headers=page)[0] == 200
    assert ask(server, None, headers={**page, "Sec-Fetch-Site": "cross-site"})[0] == 401
    assert ask(server, token, headers=page)[0] == 400


def test_tickets_of_an_earlier_start(server):
    """Their uses are not known any more, so those that count them are void; a job's stream goes on."""
    token, _ = create(server)
    job = job_of(ask(server, token, headers=ASYNC))
    wait_until(lambda: b'"completed"' in ask(server, token, f"/v1/jobs/{job}", method="GET")[2], 20, "the job")
    counted, uncounted = mint(server, token, route="pictures")["ticket"], mint(server, token, job=job)["ticket"]
    server.stop()
    server.start_again()
    assert ask(server, counted)[0] == 401
    assert get(server.port, f"/v1/jobs/{job}/events?ticket={uncounted}")[0] == 200


def test_what_no_ticket_is_made_for(server):
    token, _ = create(server)
    bad = [
        {}, {"route": "pictures", "job": "x"}, {"route": "nowhere"}, {"route": 1}, {"route": "pictures", "n": 0},
        {"route": "pictures", "uses": 1.5}, {"route": "pictures", "origin": "app.example"}, {"more": 1}, [], "x",
        {"job": "job_" + "a" * 26, "model": "x"}, {"route": "pictures", "expires_in": 999999},
    ]
    for wish in bad:
        assert ask(server, token, "/v1/tickets", wish)[0] == 400, wish
    assert ask(server, None, "/v1/tickets", {"route": "pictures"})[0] == 401
    assert ask(server, token, "/v1/tickets", method="GET")[0] == 405
    restricted, _ = create(server, scope=())
    assert ask(server, restricted, "/v1/tickets", {"route": "pictures"})[0] == 403


in_chromium = pytest.mark.skipif(not find_chromium(), reason="Chromium is not installed")


@in_chromium
def test_a_page_with_tickets(server):
    """The browser client with a ticket as its token, and an EventSource with one in its URL."""
    token, _ = create(server)
    with Browser() as page:
        page.open(f"{server.url}/")
        assert "safelight_session" not in page.evaluate("document.cookie")
        create_ticket = mint(server, token, route="pictures", origin=server.url)["ticket"]
        page.evaluate(
            "import('/sdk/safelight.js').then((sdk) => { window.client = new sdk.Safelight("
            f"{{ token: () => {json.dumps(create_ticket)} }}); }})")
        done = page.evaluate(
            f"client.run({json.dumps(QUICK['prompt'])}).then((result) => [result.job, Boolean(result.image)])")
        assert done[1] and ask(server, token, f"/v1/jobs/{done[0]}", method="GET")[0] == 200
        refused = page.evaluate(f"client.run({json.dumps(QUICK['prompt'])}).catch((error) => error.code ?? String(error))")
        assert "forbidden" in refused
        job = job_of(ask(server, token, headers=ASYNC, body={"prompt": "[sim duration=1s queue=0s] lamp"}))
        url = mint(server, token, job=job, origin=server.url)["events_url"]
        page.evaluate(
            "window.seen = []; window.source = new EventSource(" + json.dumps(url) + ");"
            "for (const type of ['stage', 'image', 'completed']) source.addEventListener(type, () => seen.push(type));"
            "source.addEventListener('error', () => seen.push(`error ${source.readyState}`)); null")
        page.wait_for("seen.includes('completed')")
        # It comes back once, is told that there is nothing more, and stays away.
        page.wait_for("source.readyState === EventSource.CLOSED", 60)
        assert page.evaluate("seen.filter((type) => type === 'completed').length") == 1
        # A session is the page's own.
        mine = page.evaluate(
            "fetch('/v1/open', { method: 'POST', headers: { 'content-type': 'application/json', prefer: 'respond-async' },"
            f" body: {json.dumps(json.dumps(QUICK))} }}).then((answer) => answer.json()).then((job) => job.job_id)")
        assert page.evaluate(f"fetch('/v1/jobs/{mine}').then((answer) => answer.status)") == 200
        assert get(server.port, f"/v1/jobs/{mine}")[0] == 404


# Signed tokens


class Issuer:
    """An identity provider as far as the gateway meets it: a key set behind a URL."""

    def __init__(self, name="https://id.example"):
        self.name = name
        self.keys = {}
        self.fetches = 0
        self.is_down = False
        self.rotate("first")

    def rotate(self, kid):
        self.keys = {kid: ec.generate_private_key(ec.SECP256R1())}
        self.kid = kid

    def __call__(self, call):
        self.fetches += 1
        if self.is_down:
            return call.answer(500, {})
        keys = [
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": "ES256"}
            for kid, key in self.keys.items()
        ]
        call.answer(200, {"keys": [{"kty": "RSA", "kid": "bad", "n": "AA", "e": "AQAB"}, *keys]})

    def token(self, kid=None, headers=None, **claims):
        kid = kid or self.kid
        claims = {"iss": self.name, "aud": "safelight", "sub": "user-1", "exp": time.time() + 600, "scope": "images", **claims}
        claims = {key: value for key, value in claims.items() if value is not None}
        key = self.keys.get(kid) or next(iter(self.keys.values()))
        return jwt.encode(claims, key, "ES256", headers={"kid": kid, **(headers or {})})


@pytest.fixture
def issuer():
    issuer = Issuer()
    with Upstream(issuer) as listener:
        issuer.url = f"http://127.0.0.1:{listener.port}/jwks"
        yield issuer


def trusting(issuer, **more):
    return {"jwt": [{"issuer": issuer.name, "audience": "safelight", "jwks_url": issuer.url, "algorithms": ["ES256"]}], **more}


def test_signed_tokens(serve, issuer):
    """F2"""
    server = serve(SIMULATED, [UNIFIED_ROUTE], storage=STORAGE, auth=trusting(issuer))
    wait_until(lambda: ask(server, issuer.token())[0] == 200, 10, "the keys")
    for claims in ({"aud": ["x", "safelight"]}, {"sub": "user-2"}, {"scope": None, "scp": ["images", "x"]}):
        assert ask(server, issuer.token(**claims))[0] == 200, claims
    assert ask(server, issuer.token(scope="other"))[0] == 403
    good = issuer.token()
    head, payload, signature = good.split(".")
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    key = jwt.algorithms.ECAlgorithm.to_jwk(issuer.keys["first"].public_key())
    stranger = Issuer()
    bad = [
        issuer.token(aud="other"), issuer.token(aud=None), issuer.token(iss="https://id.example/"),
        issuer.token(exp=time.time() - 120), issuer.token(exp=None), issuer.token(nbf=time.time() + 600),
        issuer.token(sub=None), issuer.token(sub=""), issuer.token(headers={"crit": ["exp"]}),
        issuer.token(kid="../../first"), issuer.token(kid="' OR 1=1"), issuer.token(kid="second"),
        stranger.token(), stranger.token(headers={"jwk": json.loads(key)}),
        stranger.token(headers={"jku": f"{issuer.url}/stolen", "x5u": f"{issuer.url}/stolen"}),
        *[f"{part({'alg': name, 'kid': 'first'})}.{payload}.{end}" for name in ("none", "None", "nOnE", "HS256", "RS256", "ES384")
          for end in ("", signature)],
        f"{part({'alg': 'ES256'})}.{payload}.{signature}", f"{head}.{payload}", f"{good}.x", good + "=", good[:-1],
        jwt.encode({"iss": issuer.name, "aud": "safelight", "sub": "x", "exp": time.time() + 600, "scope": "images"},
                   key[:64], "HS256", headers={"kid": "first"}),
        "a" * 7000 + "." + "b" * 7000 + ".c",
    ]
    answers = {(status, steady(body)) for status, _, body in (ask(server, token) for token in bad)}
    assert len(answers) == 1 and answers.pop()[0] == 401
    assert ask(server, good)[0] == 200
    assert issuer.fetches == 1
    assert good not in server.log.read_text()


def test_subjects_are_principals_of_their_own(serve, issuer):
    server = serve(
        SIMULATED, [{**UNIFIED_ROUTE, "limits": ["fair"]}], storage=STORAGE, auth=trusting(issuer),
        limits={"fair": [{"per": "claim:tenant", "requests": "2/hour"}]})
    wait_until(lambda: ask(server, issuer.token(), "/v1/jobs", method="GET")[0] == 200, 10, "the keys")
    one, two = issuer.token(sub="one", tenant="t"), issuer.token(sub="two", tenant="t")
    job = job_of(ask(server, one, headers=ASYNC))
    assert ask(server, one, f"/v1/jobs/{job}", method="GET")[0] == 200
    assert ask(server, issuer.token(sub="one"), f"/v1/jobs/{job}", method="GET")[0] == 200
    assert ask(server, two, f"/v1/jobs/{job}", method="GET")[0] == 404
    # The two share their tenant's limit.
    assert [ask(server, token)[0] for token in (two, one, issuer.token(sub="three", tenant="u"))] == [200, 429, 200]


def test_rotation_and_a_flood_of_unknown_keys(serve, issuer):
    """F3, as far as it takes less than a minute: the schedule of fetches has a table of its own."""
    server = serve(SIMULATED, [UNIFIED_ROUTE], storage=STORAGE, auth=trusting(issuer))
    old = issuer.token()
    wait_until(lambda: ask(server, old)[0] == 200, 10, "the keys")
    issuer.is_down = True
    flood = [issuer.token(kid=f"unknown-{number}") for number in range(200)]
    threads = [threading.Thread(target=lambda part: [ask(server, token) for token in part], args=(flood[k::4],)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert issuer.fetches == 1
    assert ask(server, issuer.token(sub="while-down"))[0] == 200


def test_an_issuer_that_does_not_answer(serve, issuer):
    issuer.is_down = True
    server = serve(SIMULATED, [UNIFIED_ROUTE], storage=STORAGE, auth=trusting(issuer))
    status, headers, _ = ask(server, issuer.token())
    assert status == 503 and int(headers["Retry-After"]) >= 1
    token, _ = create(server)
    assert ask(server, token)[0] == 200
    issuer.is_down = False
    wait_until(lambda: ask(server, issuer.token())[0] == 200, 30, "the keys")


# Operators


def test_the_operators_listener_asks_for_its_token(serve, monkeypatch):
    secret = secrets.token_hex(16)
    monkeypatch.setenv("ADMIN_TOKEN", secret)
    port = free_port()
    server = serve(
        SIMULATED, [OPEN_ROUTE], waits=False, admin={"token": {"env": "ADMIN_TOKEN"}, "listen": f"127.0.0.1:{port}"})
    server.admin_port = port
    server.wait_for_port(server.port)
    server.wait_for_port(port)
    good = {"Authorization": f"Bearer {secret}"}
    for path in ("/healthz", "/readyz", "/upstreams", "/jobs", "/nowhere"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"safelight_ticket={secret}"}):
            assert get(server.admin_port, path, headers)[0] == 401, path
        assert get(server.admin_port, path, good)[0] == (404 if path == "/nowhere" else 200), path
    assert get(server.admin_port, "/healthz", {**good, "Host": "evil.example"})[0] == 403
    assert get(server.admin_port, "/healthz", {**good, "Origin": "https://evil.example"})[0] == 403
    assert secret not in server.log.read_text()


def test_operators_see_everybodys_jobs(server):
    token, _ = create(server)
    jobs = {job_of(ask(server, token, headers=ASYNC)), job_of(ask(server, None, "/v1/open", headers=ASYNC))}
    wait_until(lambda: {entry["job_id"] for entry in json.loads(server.admin("/jobs")[1])["jobs"]} == jobs, 10, "the list")


# Accounts


def test_accounts_of_use(serve):
    server = serve(
        SIMULATED, [UNIFIED_ROUTE, OPEN_ROUTE], storage=STORAGE, costs={"image": {"1024x1024/high": 4, "*": 1}, "preview": 0.25})
    token, named = create(server)
    body = {**QUICK, "n": 2, "size": "1024x1024", "quality": "high", "partial_images": 2}
    status, _, answer = ask(server, token, body=body)
    assert status == 200 and json.loads(answer)["cost"] == 9.0
    assert ask(server, token, body={"prompt": "[sim queue=0s refuse] x"})[0] == 400
    assert ask(server, None, "/v1/open")[0] == 200
    used = lambda *flags: [json.loads(line) for line in command(server, "usage", "--json", *flags).stdout.splitlines()]
    lines = wait_until(lambda: len(used()) == 2 and used(), 10, "the accounts")
    mine = next(line for line in lines if line["principal"] == named)
    nobodys = next(line for line in lines if line["principal"] == "nobody")
    assert mine["route"] == "pictures" and mine["images"] >= 2 and mine["cost"] >= 9.0
    assert (nobodys["route"], nobodys["jobs"], nobodys["images"], nobodys["cost"]) == ("open", 1, 1, 1.0)
    assert mine["output_tokens"] > 0
    assert used("--principal", "nobody-else") == [] and len(used("--since", "1d", "--by", "day")) == 1
    assert named in command(server, "usage").stdout


# Secrets


def test_secrets_are_in_no_log_and_no_file(serve, issuer, monkeypatch):
    """F7, G11: raw credentials grepped in the log, the database and the configuration as it is shown."""
    monkeypatch.setenv("TICKET_SECRET", "canary-ticket-" + secrets.token_hex(16))
    monkeypatch.setenv("ADMIN_TOKEN", "canary-admin-" + secrets.token_hex(16))
    server = serve(
        SIMULATED, [UNIFIED_ROUTE, OPENAI_ROUTE], storage=STORAGE,
        auth=trusting(issuer, tickets={"secret": {"env": "TICKET_SECRET"}}))
    token, _ = create(server)
    signed = issuer.token()
    wait_until(lambda: ask(server, signed)[0] == 200, 10, "the keys")
    job = job_of(ask(server, token, headers=ASYNC))
    ticket = mint(server, token, job=job)["ticket"]
    get(server.port, f"/v1/jobs/{job}/events?ticket={ticket}")
    get(server.port, f"/v1/jobs/{job}/events?ticket={ticket}x")
    session = get(server.port, "/")[1]["Set-Cookie"].split(";")[0].partition("=")[2]
    ask(server, None, headers={"Cookie": f"safelight_session={session}; safelight_ticket={ticket}"})
    wrong = "canary-" + secrets.token_hex(16)
    for headers in ({"Authorization": f"Bearer {wrong}"}, {"X-API-Key": wrong}, {"Authorization": f"Basic {wrong}"}):
        assert ask(server, None, headers=headers)[0] == 401
    shown = command(server, "check").stdout + command(server, "token", "list").stdout
    server.stop()
    folder = server.config_path.parent
    texts = [shown.encode(), server.log.read_bytes()]
    texts += [path.read_bytes() for path in folder.rglob("var/**/*") if path.is_file() and "keys" not in path.parts]

    canaries = [token, token.split("_")[2], signed, signed.split(".")[2], ticket, session, wrong,
                os.environ["TICKET_SECRET"], os.environ["ADMIN_TOKEN"]]
    for canary in canaries:
        assert not any(canary.encode() in text for text in texts), canary
    database = sqlite3.connect(folder / "var/safelight.db")
    assert database.execute("SELECT count(*) FROM token").fetchone() == (1,)
