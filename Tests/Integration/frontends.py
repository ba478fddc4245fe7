"""Frontends as they exist: how they read a stream, and where they find the picture in it."""

import base64
import http.client
import json
import socket

from safelight import get

UNIFIED = {"name": "unified", "path": "/v1/generate", "dialect": "unified"}
NDJSON = {"name": "ndjson", "path": "/v1/generate.ndjson", "dialect": "ndjson"}
OPENAI = {"name": "openai-images", "path": "/v1/images/generations", "dialect": "openai-images"}
PROGRESSIVE = {"name": "progressive", "path": "/api/images/generate-streaming", "dialect": "progressive"}
CHAT = {"name": "chat", "path": "/api/chat/stream", "dialect": "chat"}
GALLERY = {"name": "gallery", "path": "/api/gallery/generate", "dialect": "gallery"}
VERCEL = {"name": "vercel-ui", "path": "/api/chat", "dialect": "vercel-ui"}
STAGES = {"name": "stages", "mount": "/api/v1/images", "dialect": "stages"}
ALL = [UNIFIED, NDJSON, OPENAI, PROGRESSIVE, CHAT, GALLERY, VERCEL, STAGES]
STORED = {"storage": {"images": {"disk": "images"}}}


def path(route):
    return route.get("path") or f"{route['mount']}/generate/stream"


def body(route, prompt, previews=2):
    """A create request that asks for a stream."""
    messages = [{"role": "user", "content": prompt}]
    parts = [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": prompt}]}]
    return {
        "chat": {"messages": messages, "partialImages": previews},
        "vercel-ui": {"id": "chat-1", "trigger": "submit-message", "messages": parts, "partialImages": previews},
        "stages": {"prompt": prompt},
    }.get(route["dialect"], {"prompt": prompt, "partial_images": previews, "stream": True})


def reads(port, path, body):
    """The body's bytes as the network brings them: HTTP/1.0, so that nothing but the body is in a read."""
    data = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode() + data
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        assert b" 200 " in head.split(b"\r\n")[0] and b"chunked" not in head.lower(), head
        while read := connection.recv(65536):
            yield read


def naive(port, path, body):
    """Each read decoded and split by itself, nothing carried over."""
    for read in reads(port, path, body):
        for line in read.decode("ascii").split("\n"):
            if line.startswith("data: "):
                yield json.loads(line[6:])


def carrying(port, path, body):
    """The same with the remainder carried over, for events that come in several reads."""
    rest = ""
    for read in reads(port, path, body):
        *lines, rest = (rest + read.decode("ascii")).split("\n")
        for line in lines:
            if line.startswith("data: "):
                yield json.loads(line[6:])


def lines(port, path, body):
    """Every line of a stream, over HTTP/1.1."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    try:
        for line in response:
            yield line.rstrip(b"\n")
    finally:
        response.close()
        connection.close()


def objects(server, route, body):
    """What the events of a stream say, in whatever framing."""
    prefix = b"" if route["dialect"] == "ndjson" else b"data: "
    for line in lines(server.port, path(route), body):
        line = line.strip() if not prefix else line
        if line and line.startswith(prefix) and not line.endswith(b"[DONE]"):
            yield json.loads(line.removeprefix(prefix))


def fetched(server, url):
    status, _, content = get(server.port, url.removeprefix(server.url))
    assert status == 200
    return content


def final_picture(server, route, events):
    """The bytes of the finished picture, wherever this dialect puts them."""
    dialect = route["dialect"]
    if dialect in ("unified", "ndjson"):
        return base64.b64decode([event for event in events if event["type"] == "image"][-1]["b64_json"])
    if dialect == "openai-images":
        return base64.b64decode(events[-1]["b64_json"])
    if dialect == "progressive":
        last = events[-1]
        content = base64.b64decode(last["b64_json"]) if "b64_json" in last else fetched(server, last["url"])
        if "url" in last:
            assert fetched(server, last["url"]) == content
        return content
    if dialect == "chat":
        return fetched(server, next(event["image_completed"]["url"] for event in events if "image_completed" in event))
    if dialect == "gallery":
        image = next(event for event in events if event["type"] == "image")
        return base64.b64decode(image["data"]) if "data" in image else fetched(server, image["url"])
    if dialect == "vercel-ui":
        url = next(event["url"] for event in events if event["type"] == "file")
        return base64.b64decode(url.split(",")[1]) if url.startswith("data:") else fetched(server, url)
    return fetched(server, events[-1]["data"]["result"]["images"][0]["image_url"])
