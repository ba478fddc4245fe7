"""A certificate of our own making, and a real nginx that speaks TLS with it in front of the gateway."""

import os
import shutil
import subprocess

from safelight import free_port, wait_until

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
OPENSSL = shutil.which("openssl")

CONFIGURATION = """
events {{}}
http {{
    {temporary}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        client_max_body_size 64m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / {{ proxy_pass {target}; }}
    }}
}}
"""


def make_certificate(directory, prefix=""):
    """For 127.0.0.1, signed by itself; the files of the certificate and of its key."""
    certificate, key = directory / f"{prefix}certificate.pem", directory / f"{prefix}key.pem"
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )
    return certificate, key


class TLSFront:
    """Listens on `port`, known before the server behind it is started; `certificate` is what a client has to trust."""

    def __init__(self, directory):
        directory.mkdir()
        self.directory = directory
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate, _ = make_certificate(directory)
        self._process = None

    def start(self, target):
        """`target`: the URL that the front stands for, with a slash at its end where a path is to be replaced."""
        temporary = " ".join(
            f"{name}_temp_path {self.directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = self.directory / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(directory=self.directory, port=self.port, target=target, temporary=temporary)
        )
        log = self.directory / "error.log"
        self._process = subprocess.Popen(
            [NGINX, "-c", str(configuration), "-p", str(self.directory), "-e", str(log),
             "-g", f"daemon off; pid {self.directory}/nginx.pid;"]
        )
        wait_until((self.directory / "nginx.pid").exists, 10, "nginx")

    def stop(self):
        if self._process:
            self._process.terminate()
            self._process.wait(10)
