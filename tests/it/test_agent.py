# SPDX-License-Identifier: Apache-2.0
"""faultline agent: heartbeats, crash records, dumps, the spool over kills, halts, a goodbye."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest


class Agent:
    def __init__(self, programs, tmp_path, port, *arguments):
        self.watch, self.state = tmp_path / "crashes", tmp_path / "state"
        self.halted = tmp_path / "halted"
        self.watch.mkdir(exist_ok=True)
        self.arguments = [programs.faultline, "agent", "--server", f"127.0.0.1:{port}", "--state-dir", str(self.state),
                          "--watch", str(self.watch), "--host", "agent-host", "--halted", str(self.halted), *arguments]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return self

    def line(self, part):
        """Wait until the agent says so."""
        for line in self.process.stderr:
            if part in line:
                return line
        raise AssertionError(f"the agent left without saying {part!r}")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.process.stderr.close()
        return code

    def once(self):
        return subprocess.run(self.arguments + ["--once"], capture_output=True, text=True, timeout=60, check=False)

    def record(self, name, **members):
        """As a crash handler should: written aside, then moved into place."""
        path = self.watch / name
        tmp = self.watch / f".{name}.tmp"
        tmp.write_text(json.dumps(members))
        tmp.rename(path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def rows(daemon):
    return {r["title"]: r for r in daemon.get("/v1/signatures").json["signatures"]}


def crash(i=0):
    return {"kind": "service", "module": "libcrash.so", "module_id": "aabbccdd", "offset": hex(0x1000 + i), "reason": "SIGSEGV"}


def host(daemon):
    a = daemon.get("/v1/hosts/agent-host")
    return a.json if a.status == 200 else None


def test_heartbeat_versions_and_goodbye(daemon, programs, tmp_path):
    content = tmp_path / "content"
    content.mkdir()
    (content / "sensor-rules").write_text("291-32\n")
    agent = Agent(programs, tmp_path, daemon.stream, "--content", "engine=7.15", "--content-dir", str(content),
                  "--product", "sensor").start()
    agent.line("connected")
    h = daemon.until(lambda: host(daemon), "the host")
    assert h["content"] == [{"name": "engine", "value": "7.15"}, {"name": "sensor-rules", "value": "291-32"}]
    assert h["product"] == "sensor"
    assert not h["goodbye"]
    assert agent.end() == 0
    daemon.until(lambda: host(daemon)["goodbye"], "the goodbye")


def test_a_crash_record_that_appears_is_reported_once(daemon, programs, tmp_path):
    agent = Agent(programs, tmp_path, daemon.stream).start()
    agent.line("connected")
    agent.record("one.json", **crash())
    agent.line("one.json: reported")
    (agent.watch / "note.txt").write_text("nothing to see")
    agent.line("note.txt: not a crash")
    daemon.until(lambda: "libcrash.so+0x1000" in rows(daemon), "the signature")
    assert agent.end() == 0
    assert agent.once().returncode == 0     # it is still there, and was handled
    assert rows(daemon)["libcrash.so+0x1000"]["crashes"] == 1


def test_a_core_is_read_reported_and_sent_when_asked(daemon, programs, tmp_path):
    corpus = os.environ.get("FAULTLINE_CORPUS", os.path.join(programs.srcdir, "..", "shared", "corpus"))
    sample = os.path.join(corpus, "breakpad", "ascii_read_av.dmp")
    if not os.path.exists(sample):
        pytest.skip("no corpus of real dumps here")
    agent = Agent(programs, tmp_path, daemon.stream).start()
    agent.line("connected")
    with open(sample, "rb") as f, open(agent.watch / "crash.dmp", "wb") as out:
        out.write(f.read())
    line = agent.line("sending the dump of")
    rid = line.split("dump of ")[1].split(":")[0]
    agent.line("is stored")
    daemon.until(lambda: daemon.get(f"/v1/reports/{rid}").json["triage"] == "done", "triage")
    assert daemon.metrics()["dump_bytes_total"] == os.path.getsize(sample)
    assert agent.end() == 0


def test_the_spool_survives_kill_and_nothing_counts_twice(make_daemon, programs, tmp_path):
    port = free_port()
    agent = Agent(programs, tmp_path, port).start()
    agent.line("not connected")
    for i in range(20):
        agent.record(f"{i}.json", **crash(i))
        agent.line(f"/{i}.json: reported")
    agent.end(signal.SIGKILL)
    # nobody was there: all of it waits on disk; now with a server, killed in the middle, thrice
    d = make_daemon(stream_listen=f"127.0.0.1:{port}")
    for _ in range(3):
        agent.start()
        agent.line("connected")
        agent.end(signal.SIGKILL)
    assert agent.once().returncode == 0
    d.until(lambda: sum(r["crashes"] for t, r in rows(d).items() if t.startswith("libcrash.so")) == 20, "twenty crashes")
    assert d.get("/v1/now").json["reports"]["counted"] == 20


def test_a_restarted_server_gets_the_rest(make_daemon, programs, tmp_path):
    d = make_daemon(stream_listen=f"127.0.0.1:{free_port()}")
    agent = Agent(programs, tmp_path, d.stream).start()
    agent.line("connected")
    d.kill()
    agent.line("not connected")
    agent.record("late.json", **crash())
    agent.line("late.json: reported")
    d.start()
    agent.line("connected")
    d.until(lambda: "libcrash.so+0x1000" in rows(d), "the signature")
    assert agent.end() == 0


def test_halted_deployments_are_written_down(daemon, programs, tmp_path):
    agent = Agent(programs, tmp_path, daemon.stream).start()
    agent.line("connected")
    assert daemon.put("/v1/deployments/dep-1", {}).status == 201
    assert daemon.post("/v1/deployments/dep-1/halt", {"reason": "smoke"}).status == 200
    daemon.until(lambda: agent.halted.exists() and agent.halted.read_text() == "dep-1\n", "the halt in the file")
    assert daemon.post("/v1/deployments/dep-1/resume", {"reason": "no fire"}).status == 200
    daemon.until(lambda: agent.halted.read_text() == "", "the end of the halt")
    assert agent.end() == 0


def test_settings_file_and_mistakes(programs, tmp_path):
    conf = tmp_path / "agent.conf"

    def run(*arguments):
        return subprocess.run([programs.faultline, "agent", *arguments], capture_output=True, text=True, timeout=60, check=False)

    conf.write_text("# an agent\n[agent]\nserver = nowhere\n state-dir = " + str(tmp_path / "s") + "\n")
    p = run("--config", str(conf), "--once")
    assert p.returncode == 1 and "HOST:PORT" in p.stderr
    conf.write_text("server = 127.0.0.1:1\ninterval = soon\n")
    p = run("--config", str(conf))
    assert p.returncode == 2 and f"{conf}:2" in p.stderr
    assert run("--content", "no-equals-sign").returncode == 2
    assert run("--help").returncode == 0


def test_two_agents_do_not_share_a_spool(daemon, programs, tmp_path):
    agent = Agent(programs, tmp_path, daemon.stream).start()
    agent.line("connected")
    start = time.monotonic()
    p = agent.once()
    assert p.returncode == 1 and "another process" in p.stderr and time.monotonic() - start < 20
    assert agent.end() == 0
