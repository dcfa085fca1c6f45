# SPDX-License-Identifier: Apache-2.0
"""A small fleet for tests of the API: hosts that beat, a rollout, hosts that crash."""
import http.client
import json
import threading

HOSTS = 240
SITES = 4
BAD = 6  # of ten served hosts; the sixth crash decides


def host(i):
    return f"host-{i:04d}"


def site(i):
    return f"site-{i % SITES}"


def beat(daemon, first=0, n=HOSTS):
    """Heartbeats of n hosts; they are known when this returns."""
    a = daemon.ingest("POST", "/v1/heartbeats", [
        {"host": host(i), "boot_id": f"boot-{i}", "product": "sensor", "os": "windows", "os_build": "22631",
         "labels": {"site": site(i)}} for i in range(first, first + n)])
    assert a.status == 200, a
    daemon.until(lambda: daemon.get(f"/v1/hosts/{host(first + n - 1)}").status == 200, "the hosts")


def crash(daemon, i, **more):
    """One crash report of host i; its id."""
    report = {"host": host(i), "kind": "kernel", "module": "csagent.sys", "module_id": "66907e3b56000", "offset": "0xe14ed",
              "reason": "PAGE_FAULT_IN_NONPAGED_AREA", "reason_code": "0x50", "product": "sensor", "os": "windows",
              "os_build": "22631", "labels": {"site": site(i)}}
    return daemon.report({**report, **more})["id"]


def folded(daemon, report):
    """Wait until a report is counted; what the API says of it."""
    def look():
        a = daemon.get(f"/v1/reports/{report}")
        return a.status == 200 and a.json["stages"]["folded"] and a.json
    return daemon.until(look, "the fold")


PLAN = {"artefact": "sensor-content", "version": "291-32", "modules": ["csagent.sys"], "bake": "30m",
        "rings": [{"name": "canary", "hosts": 10}, {"name": "rest"}],
        "assignment": "hash"}


def deploy(daemon, name="d1", served=10, **plan):
    """A deployment and the receipts of its first hosts."""
    a = daemon.put(f"/v1/deployments/{name}", {**PLAN, **plan})
    assert a.status in (200, 201), a
    if served:
        a = daemon.post(f"/v1/deployments/{name}/receipts", {"hosts": [host(i) for i in range(served)]})
        assert a.status == 200, a
    return a.json


def bad_rollout(daemon, name="d1"):
    """240 hosts, ten of them served, six of these crash and nobody else does: halt."""
    beat(daemon)
    deploy(daemon, name)
    for i in range(BAD):
        crash(daemon, i)


class Events:
    """The event stream, read on a thread."""

    def __init__(self, daemon, last_id=None, deployment=None, query=""):
        self.connection = http.client.HTTPConnection("127.0.0.1", daemon.api_port, timeout=60)
        headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
        self.connection.request("GET", "/v1/stream" + (f"?deployment={deployment}" if deployment else query),
                                headers=headers)
        self.answer = self.connection.getresponse()
        self.sock = self.connection.sock
        self.seen, self.comments = [], 0
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        event = {}
        try:
            for raw in self.answer:
                line = raw.decode().rstrip("\n")
                if line == "" and event.get("data"):
                    with self.news:
                        self.seen.append({**event, "data": json.loads(event["data"])})
                        self.news.notify_all()
                    event = {}
                elif line.startswith(":"):
                    self.comments += 1
                elif ": " in line:
                    name, value = line.split(": ", 1)
                    event[name] = value
        except (OSError, ValueError, AttributeError):
            pass

    def wait(self, kind, test=lambda data: True, seconds=30):
        """The first event of a kind (seen already or to come)."""
        def found():
            return next((e for e in self.seen if e.get("event") == kind and test(e["data"])), None)
        with self.news:
            assert self.news.wait_for(found, seconds), f"no {kind} among {[e.get('event') for e in self.seen]}"
            return found()

    def close(self):
        self.answer.close()
        self.connection.close()
