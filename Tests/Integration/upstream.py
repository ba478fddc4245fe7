"""An upstream that does what a test tells it, byte by byte, in the openai-images form."""

import base64
import http.client
import json
import random
import select
import socket
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def png(width, height, seed=1):
    """A valid picture of noise: its size is close to 3 bytes a pixel, whatever compresses it."""
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(width * 3) for _ in range(height))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    )


def picture(width=16, height=16, seed=1):
    return base64.b64encode(png(width, height, seed)).decode()


USAGE = {
    "input_tokens": 14,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 14},
    "output_tokens": 272,
    "total_tokens": 286,
}
ATTRIBUTES = {"created_at": 1781870406, "size": "1024x1024", "quality": "high", "background": "opaque",
              "output_format": "png"}


def event(kind, b64, **fields):
    name = f"image_generation.{kind}"
    value = {"type": name, "b64_json": b64, **ATTRIBUTES, **fields}
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


def partial(index, b64):
    return event("partial_image", b64, partial_image_index=index)


def completed(b64):
    return event("completed", b64, usage=USAGE)


class Call:
    """One request that reached the upstream, and the means to answer it."""

    def __init__(self, handler):
        self._handler = handler
        self.method = handler.command
        self.path = handler.path
        self.headers = handler.headers
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))

    @property
    def json(self):
        return json.loads(self.body)

    def answer(self, status, value, **headers):
        body = json.dumps(value).encode()
        self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers})
        self._handler.wfile.write(body)

    def answer_bytes(self, body, kind):
        self._head(200, {"Content-Type": kind, "Content-Length": str(len(body))})
        self._handler.wfile.write(body)

    def forward(self, port):
        """Answers with what the server on `port` says, as it comes."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        # Its own Host goes with it, so that addresses in the answer lead here again.
        connection.request(self.method, self.path, self.body or None, dict(self.headers))
        answer = connection.getresponse()
        length = answer.headers["Content-Length"]
        self._head(answer.status, {
            "Content-Type": answer.headers["Content-Type"],
            **({"Content-Length": length} if length else {"Connection": "close"}),
        })
        self._handler.close_connection = not length
        while read := answer.read1(65536):
            self._handler.wfile.write(read)
        connection.close()

    def start_stream(self):
        self._head(200, {"Content-Type": "text/event-stream", "Connection": "close"})
        self._handler.close_connection = True

    def _head(self, status, headers):
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()
        self._handler.wfile.flush()

    def write(self, data, pieces=None):
        """`pieces`: an endless iterator of piece sizes; each piece is a network write of its own."""
        connection = self._handler.connection
        if pieces is None:
            return connection.sendall(data)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at = 0
        while at < len(data):
            size = next(pieces)
            connection.sendall(data[at : at + size])
            at += size

    def wait_until_gone(self, seconds=60):
        """True as soon as the caller has closed."""
        # Not select(), which ends at descriptor 1,023.
        watch = select.poll()
        watch.register(self._handler.connection, select.POLLIN)
        readable = watch.poll(seconds * 1000)
        try:
            return bool(readable) and self._handler.connection.recv(1) == b""
        except ConnectionResetError:
            return True


class Upstream:
    """Listens on a free port; every request runs `behaviour(call)` on a thread of its own."""

    def __init__(self, behaviour):
        self.calls = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.handle_call()

            def do_GET(self):
                self.handle_call()

            def do_DELETE(self):
                self.handle_call()

            def handle_call(self):
                call = Call(self)
                owner.calls.append(call)
                try:
                    behaviour(call)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 2048

            def handle_error(self, *_):
                pass

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def config(self):
        return {"provider": "openai-images", "base_url": f"http://127.0.0.1:{self.port}/v1"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
