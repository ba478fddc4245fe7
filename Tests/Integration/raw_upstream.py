"""An upstream below HTTP: it sends the very bytes that a test gives it, in the order and at the moment the test likes."""

import socket
import struct
import threading


class Wire:
    """One connection of the gateway's, behind its request."""

    def __init__(self, connection):
        self.connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_request(self):
        """The request's bytes, or none where the gateway hung up."""
        seen = b""
        while b"\r\n\r\n" not in seen:
            if not (read := self.connection.recv(65536)):
                return b""
            seen += read
        head, _, body = seen.partition(b"\r\n\r\n")
        length = next(
            (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length:
            if not (read := self.connection.recv(65536)):
                return b""
            body += read
        return head + b"\r\n\r\n" + body

    def send(self, data):
        """False once the gateway has hung up."""
        try:
            self.connection.sendall(data)
            return True
        except OSError:
            return False

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def wait_until_gone(self, seconds=60):
        """True as soon as the gateway has hung up."""
        self.connection.settimeout(seconds)
        try:
            while self.connection.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True


class RawUpstream:
    """Listens on a free port; each request runs `self.behaviour(wire)` on a thread of its own, then the connection is closed."""

    def __init__(self, behaviour=None):
        self.behaviour = behaviour
        self.requests = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def config(self):
        return {"provider": "openai-images", "base_url": f"http://127.0.0.1:{self.port}/v1"}

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        wire = Wire(connection)
        try:
            if request := wire.read_request():
                self.requests.append(request)
                self.behaviour(wire)
        except OSError:
            pass
        finally:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
