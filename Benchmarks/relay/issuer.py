"""An issuer of signed tokens: its keys on a port, and one token that is good for an hour."""

import base64
import http.server
import json
import pathlib
import subprocess
import threading
import time

AUDIENCE = "safelight"


def url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """RS256, by the openssl command."""

    def __init__(self, folder: pathlib.Path):
        self._key = folder / "issuer.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(self._key), "2048"], check=True, capture_output=True)
        shown = subprocess.run(
            ["openssl", "rsa", "-in", str(self._key), "-noout", "-modulus"], check=True, capture_output=True, text=True
        )
        modulus = bytes.fromhex(shown.stdout.strip().partition("=")[2])
        keys = json.dumps({"keys": [{
            "kty": "RSA", "kid": "bench", "use": "sig", "alg": "RS256", "n": url_safe(modulus), "e": url_safe(b"\x01\x00\x01"),
        }]}).encode()

        class Keys(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(keys)))
                self.end_headers()
                self.wfile.write(keys)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def settings(self) -> dict:
        """`auth` of routes.json."""
        return {"jwt": [{"issuer": self.url, "audience": AUDIENCE, "jwks_url": f"{self.url}/keys", "algorithms": ["RS256"]}]}

    def token(self) -> str:
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "bench", "exp": int(time.time()) + 3600}
        signed = ".".join(url_safe(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "bench"}, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self._key)], input=signed.encode(), check=True, capture_output=True
        ).stdout
        return f"{signed}.{url_safe(signature)}"
