# SPDX-License-Identifier: Apache-2.0
"""What integration tests stand on: the real daemon in a directory of its own, on ports of
its own.  Nothing here is shared between tests, so they may run at the same time.

Fixtures: `daemon` (running, without a database), `make_daemon` (a factory: settings, tokens,
a private PostgreSQL cluster, a preloaded library), `programs` (paths of what was built)."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import types

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.abspath(os.environ.get("srcdir") or os.path.join(HERE, "..", ".."))
BUILDDIR = os.path.abspath(os.environ.get("builddir") or os.path.join(SRCDIR, "build"))
FAULTLINED = os.environ.get("FAULTLINED", os.path.join(BUILDDIR, "collector", "faultlined"))
FAULTLINE = os.environ.get("FAULTLINE", os.path.join(BUILDDIR, "cli", "faultline"))

START_SECONDS = 90  # a private cluster is made, on two busy cores


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def request(port, method, path, body=None, headers=None, timeout=60):
    """One request on a connection of its own.  A dict or list goes as JSON."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request(method, path, body=body, headers=headers)
        r = c.getresponse()
        return Answer(r.status, dict(r.getheaders()), r.read())
    finally:
        c.close()


class Daemon:
    """A faultlined and its data directory, which outlives kills and restarts."""

    def __init__(self, directory, database, settings, environment):
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.settings = {
            "listen": "127.0.0.1:0", "stream-listen": "127.0.0.1:0", "api-listen": "127.0.0.1:0",
            "database": database, "log-bytes": "256M", "segment-bytes": "4M", "disk-reserve": "64M",
            "halt-host-age": "0s",  # the hosts of a test are known for seconds
        }
        self.settings.update(settings)
        self.environment = environment
        self.process = None
        self.lines = []  # standard error of all runs

    # -- life

    def arguments(self, **more):
        settings = {**self.settings, **{k.replace("_", "-"): v for k, v in more.items()}}
        return [FAULTLINED, f"--data={self.data}"] + [f"--{k}={v}" for k, v in settings.items()]

    def start(self, wait=True, **more):
        assert self.process is None
        self.process = subprocess.Popen(self.arguments(**more), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env={**os.environ, **self.environment}, text=True, errors="replace")
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self.process, self._listening), daemon=True)
        self._reader.start()
        if wait:
            self.wait_listening()
            self.wait_ready()
        return self

    def _read(self, process, listening):
        for line in process.stderr:
            self.lines.append(line.rstrip("\n"))
            if " main: ready: " in line:
                listening.set()
        listening.set()  # it has left

    def wait_listening(self):
        assert self._listening.wait(START_SECONDS), "faultlined does not start:\n" + self.log()
        try:
            with open(os.path.join(self.data, "run", "ports.json"), encoding="utf-8") as f:
                ports = json.load(f)
        except OSError:
            ports = {}
        assert self.process.poll() is None and ports.get("pid") == self.process.pid, \
            "faultlined did not start:\n" + self.log()
        self.listen, self.stream, self.api_port = ports["listen"], ports["stream"], ports["api"]

    def wait_ready(self):
        """Until the ledger has caught up."""
        self.until(lambda: self.get("/readyz").status == 200, "readiness", START_SECONDS)

    def until(self, condition, what, seconds=60):
        """For what nobody announces: ask until it is so."""
        end = time.monotonic() + seconds
        while True:
            got = condition()
            if got:
                return got
            assert self.process.poll() is None, f"faultlined died, waiting for {what}:\n" + self.log()
            assert time.monotonic() < end, f"no {what} within {seconds} s:\n" + self.log()
            time.sleep(0.02)

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, seconds=60):
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        self.process.stderr.close()
        self.process = None
        return code

    def kill(self, number=signal.SIGKILL):
        """End it without a word and see it gone."""
        self.send_signal(number)
        return self.wait_exit()

    def stop(self):
        """A clean stop; returns the exit status."""
        self.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def restart(self):
        assert self.stop() == 0, self.log()
        return self.start()

    def log(self, lines=60):
        return "\n".join(self.lines[-lines:])

    # -- requests

    def get(self, path, **k):
        return request(self.api_port, "GET", path, **k)

    def put(self, path, body, **k):
        return request(self.api_port, "PUT", path, body, **k)

    def post(self, path, body, **k):
        return request(self.api_port, "POST", path, body, **k)

    def delete(self, path, **k):
        return request(self.api_port, "DELETE", path, headers={"Content-Type": "application/json"}, **k)

    def ingest(self, method, path, body=None, **k):
        return request(self.listen, method, path, body, **k)

    def report(self, report, **k):
        """Send one report or a list of them; all must be accepted."""
        a = self.ingest("POST", "/v1/reports", report, **k)
        assert a.status == 200, a
        return a.json

    def metrics(self):
        """name{labels} -> value, without the faultline_ in front."""
        out = {}
        for line in self.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name.removeprefix("faultline_")] = float(value)
        return out

    def discards(self, code):
        return int(self.metrics().get(f'discards_total{{code="{code}"}}', 0))

    # -- the end

    def clean_up(self):
        if self.process is not None:
            self.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self.wait_exit()
        for folder, _, files in os.walk(self.data):  # a cluster that a killed daemon left behind
            if "postmaster.pid" in files:
                with open(os.path.join(folder, "postmaster.pid"), encoding="utf-8") as f:
                    pid = int(f.readline())
                try:
                    os.kill(pid, signal.SIGQUIT)
                    while os.path.exists(f"/proc/{pid}"):
                        time.sleep(0.05)
                except ProcessLookupError:
                    pass
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def programs():
    return types.SimpleNamespace(faultlined=FAULTLINED, faultline=FAULTLINE, srcdir=SRCDIR, builddir=BUILDDIR)


@pytest.fixture
def make_daemon(request):  # pylint: disable=redefined-outer-name
    """make_daemon(database="none", start=True, environment={}, **settings): database "" is a private
    cluster; settings with underscores for dashes."""
    if not os.path.exists(FAULTLINED):
        pytest.fail(f"{FAULTLINED} is not built")
    made = []

    def make(database="none", start=True, environment=None, **settings):
        # short, because of socket paths, and passable, because a cluster runs as another user
        directory = tempfile.mkdtemp(prefix="faultline-it-", dir="/tmp")
        os.chmod(directory, 0o711)
        d = Daemon(directory, database, {k.replace("_", "-"): v for k, v in settings.items()}, environment or {})
        made.append(d)
        return d.start() if start else d

    yield make
    failed = getattr(request.node, "failed", False)
    for d in made:
        d.clean_up()
        if failed:
            print(f"---- log of the daemon\n{d.log(200)}")


@pytest.fixture
def daemon(make_daemon):  # pylint: disable=redefined-outer-name
    return make_daemon()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.failed = True
