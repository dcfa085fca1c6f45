# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed, or its disk loses power, again and again under load: no report that
was acknowledged is lost, and none is counted twice.

FAULTLINE_ROUNDS sets how often (tests/kill-storm.sh and tests/power-storm.sh: 200)."""
import http.client
import json
import os
import random
import signal
import threading

import pytest

ROUNDS = int(os.environ.get("FAULTLINE_ROUNDS", "5"))
SENDERS = 8
MODULES = 3
BATCH = 10


class Sender(threading.Thread):
    """One host that sends batches of reports, resends what was not answered, and remembers
    what was acknowledged.  Sequence numbers make a resend recognisable."""

    def __init__(self, number, seed):
        super().__init__(daemon=True)
        self.number = number
        self.random = random.Random(seed)
        self.epoch = self.random.getrandbits(63) | 1
        self.seq = 0
        self.unanswered = []  # the batch in flight
        self.acked = {f"m{m}.so": 0 for m in range(MODULES)}
        self.ids = []
        self.port = None
        self.go = threading.Event()  # a server is there
        self.stopping = False
        self.idle = threading.Event()  # noticed that the server is gone
        self.progress = threading.Semaphore(0)
        self.errors = []

    def next_batch(self):
        out = []
        for _ in range(self.random.randint(1, BATCH)):
            self.seq += 1
            out.append({"host": f"host-{self.number}", "epoch": str(self.epoch), "seq": self.seq, "kind": "user",
                        "module": f"m{self.random.randrange(MODULES)}.so", "module_id": "abcdef01", "offset": 4096,
                        "reason": "SIGSEGV", "labels": {"site": f"site-{self.number}"}})
        return out

    def send(self, connection):
        if not self.unanswered:
            self.unanswered = self.next_batch()
        connection.request("POST", "/v1/reports", json.dumps({"reports": self.unanswered}),
                           {"Content-Type": "application/json"})
        r = connection.getresponse()
        body = r.read()
        if r.status == 503:
            return
        answers = json.loads(body).get("reports")
        if r.status != 200 or answers is None or len(answers) != len(self.unanswered) or any("id" not in a for a in answers):
            self.errors.append((r.status, body[:500]))
            self.stopping = True
            return
        for report, answer in zip(self.unanswered, answers):
            self.acked[report["module"]] += 1
            self.ids.append(answer["id"])
        self.unanswered = []
        self.progress.release()

    def run(self):
        while not self.stopping:
            self.go.wait()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                while not self.stopping and self.go.is_set():
                    self.send(connection)
            except (OSError, http.client.HTTPException):
                self.go.clear()
            finally:
                connection.close()
            self.idle.set()


def settle(daemon, senders):
    """Everyone's unanswered batch is sent again and answered; then counts must be exact."""
    for s in senders:
        s.stopping = True
        s.go.set()
        s.join(60)
        assert not s.is_alive() and not s.errors, s.errors
        if s.unanswered:
            connection = http.client.HTTPConnection("127.0.0.1", daemon.listen, timeout=60)
            while s.unanswered and not s.errors:
                s.send(connection)
            connection.close()
    assert not any(s.errors for s in senders), [s.errors for s in senders]


def counted(daemon):
    rows = daemon.get("/v1/signatures?limit=1000").json["signatures"]
    return {r["module"]: r["crashes"] for r in rows if r["rung"] == "key"}


def storm(daemon, end, rounds):
    chance = random.Random(rounds)
    senders = [Sender(n, n) for n in range(SENDERS)]
    for s in senders:
        s.start()
    for n in range(rounds):
        for s in senders:
            s.port = daemon.listen
            s.idle.clear()
            s.go.set()
        for s in senders:  # under load: each has been answered since the start
            assert s.progress.acquire(timeout=60), (s.errors, daemon.log())
            while s.progress.acquire(blocking=False):
                pass
        threading.Event().wait(chance.random() * 0.05)  # any moment of its work
        end()
        for s in senders:
            assert s.idle.wait(60), n
        daemon.start()
    for s in senders:
        s.port = daemon.listen
    settle(daemon, senders)
    expected = {}
    for s in senders:
        for module, count in s.acked.items():
            expected[module] = expected.get(module, 0) + count
    expected = {m: c for m, c in expected.items() if c}
    daemon.until(lambda: sum(counted(daemon).values()) >= sum(expected.values()), "all acknowledged reports", 20)
    assert counted(daemon) == expected
    for s in senders:  # a report id given out stays valid
        for i in random.Random(1).sample(s.ids, min(20, len(s.ids))):
            a = daemon.get(f"/v1/reports/{i}")
            assert a.status == 200, a
    return sum(expected.values())


def test_killed_under_load(make_daemon):
    daemon = make_daemon(snapshot_interval="200ms")
    total = storm(daemon, daemon.kill, ROUNDS)
    assert daemon.stop() == 0
    daemon.start()
    assert sum(counted(daemon).values()) == total
    print(f"{ROUNDS} kills, {total} reports acknowledged, each counted once")


def power_environment(programs, daemon_data, lie=False):
    library = os.path.join(programs.builddir, "tests", "tools", "powercut.so")
    if not os.path.exists(library):
        pytest.skip(f"{library} is not built")
    os.makedirs(daemon_data, mode=0o711, exist_ok=True)
    return {"LD_PRELOAD": library, "FAULTLINE_POWER_DIR": daemon_data, **({"FAULTLINE_POWER_LIE": "1"} if lie else {})}


def test_power_lost_under_load(make_daemon, programs):
    daemon = make_daemon(start=False, snapshot_interval="200ms")
    seeds = iter(range(1, 1000000))
    daemon.environment.update(power_environment(programs, daemon.data), FAULTLINE_POWER_SEED="0")
    daemon.start()

    def cut():
        assert daemon.kill(signal.SIGUSR2) == 137
        daemon.environment["FAULTLINE_POWER_SEED"] = str(next(seeds))

    total = storm(daemon, cut, ROUNDS)
    print(f"{ROUNDS} power cuts, {total} reports acknowledged, each counted once")


def test_the_power_test_can_fail(make_daemon, programs):
    """A daemon whose syncs do nothing loses what it acknowledged, and this test sees it.  What is not synced may
    survive a cut by chance, which is another one each time."""
    daemon = make_daemon(start=False, snapshot_interval="200ms")
    seeds = iter(range(1, 1000000))
    daemon.environment.update(power_environment(programs, daemon.data, lie=True), FAULTLINE_POWER_SEED="0")
    daemon.start()

    def cut():
        assert daemon.kill(signal.SIGUSR2) == 137
        daemon.environment["FAULTLINE_POWER_SEED"] = str(next(seeds))

    with pytest.raises((AssertionError, OSError)):
        storm(daemon, cut, 10)
