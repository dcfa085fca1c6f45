# SPDX-License-Identifier: Apache-2.0
"""A real faultlined for tests of its ingest listener, and raw connections to it."""
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SRCDIR = os.path.abspath(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
BUILDDIR = os.path.abspath(os.environ.get("builddir", os.path.join(SRCDIR, "build")))
FAULTLINED = os.environ.get("FAULTLINED", os.path.join(BUILDDIR, "collector", "faultlined"))
CAPTURES = os.environ.get("FAULTLINE_CAPTURES", os.path.join(SRCDIR, "..", "shared", "captures"))
HOST = b"Host: test\r\n"


class Daemon:
    """faultlined without a database, in a directory of its own."""

    def __init__(self, max_descriptors=None, **settings):
        self.dir = tempfile.mkdtemp(prefix="faultline-it-")
        os.chmod(self.dir, 0o755)
        self.data = os.path.join(self.dir, "data")
        args = {
            "data": self.data, "database": "none",
            "listen": "127.0.0.1:0", "stream-listen": "127.0.0.1:0", "api-listen": "127.0.0.1:0",
            "segment-bytes": "4M", "disk-reserve": "1M",
        }
        args.update({k.replace("_", "-"): v for k, v in settings.items()})
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = None
        limit = None if max_descriptors is None else (max_descriptors, max_descriptors)
        try:
            self.process = subprocess.Popen(
                [FAULTLINED] + [f"--{k}={v}" for k, v in args.items()],
                stderr=self.log, stdout=self.log, stdin=subprocess.DEVNULL,
                preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit)))
            self.wait_ready()
        except BaseException:
            self.remove()
            raise

    def wait_ready(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with open(os.path.join(self.data, "run", "ports.json"), encoding="utf-8") as f:
                    ports = json.load(f)
                self.port, self.api_port = ports["listen"], ports["api"]
                if ports["pid"] == self.process.pid and self.request("GET", "/readyz", port=self.api_port)[0] == 200:
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.02)
        raise AssertionError("faultlined did not start:\n" + self.log_text())

    def until(self, condition, seconds=30):
        """For what nobody announces: ask until it is so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("it did not come to pass:\n" + self.log_text())

    def log_text(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def request(self, method, path, body=None, headers=None, port=None):
        """status, headers, body text"""
        c = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            c.request(method, path, body=body, headers=headers or {})
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read().decode()
        finally:
            c.close()

    def post_json(self, path, value, **headers):
        h = {"Content-Type": "application/json"}
        h.update(headers)
        status, _, text = self.request("POST", path, json.dumps(value).encode(), h)
        return status, json.loads(text)

    def connect(self, timeout=20):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def raw(self, data, half_close=False):
        """Everything that comes back until the server closes."""
        with self.connect() as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return read_all(s)

    def metrics(self):
        _, _, text = self.request("GET", "/metrics", port=self.api_port)
        return {m.group(1): float(m.group(2)) for m in re.finditer(r"^(faultline_\S+) (\S+)$", text, re.M)}

    def discarded(self, code):
        return self.metrics().get(f'faultline_discards_total{{code="{code}"}}', 0)

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def stop(self):
        """A clean stop, and nothing is left."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log_text()
        finally:
            self.remove()

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def read_all(s):
    got = b""
    while True:
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return got
        if not piece:
            return got
        got += piece


def read_answer(s):
    """One answer with a Content-Length; (status, head, body)."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = s.recv(65536)
        assert piece, f"connection closed after {got!r}"
        got += piece
    head, body = got.split(b"\r\n\r\n", 1)
    m = re.search(rb"(?i)content-length: (\d+)", head)
    want = int(m.group(1)) if m else 0
    while len(body) < want:
        piece = s.recv(65536)
        assert piece, "connection closed inside an answer"
        body += piece
    return int(head.split()[1]), head, body


def form(fields, dump=b"MDMP" + bytes(60), boundary=b"BoUnDaRy"):
    """A multipart body; fields are (name, value) pairs of text."""
    out = b""
    for name, value in fields:
        out += b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, name.encode(), value.encode())
    if dump is not None:
        out += (b'--%s\r\nContent-Disposition: form-data; name="upload_file_minidump"; filename="x.dmp"\r\n'
                b"Content-Type: application/octet-stream\r\n\r\n%s\r\n" % (boundary, dump))
    return out + b"--%s--\r\n" % boundary


FORM_TYPE = {"Content-Type": "multipart/form-data; boundary=BoUnDaRy"}
