# SPDX-License-Identifier: Apache-2.0
"""The life of faultlined: settings, start, reload, stop, and what it refuses."""
import json
import os
import signal
import socket
import subprocess

import pytest


def run(programs, *arguments, **k):
    return subprocess.run([programs.faultlined, *arguments], capture_output=True, text=True, timeout=60, check=False, **k)


# ---- the command line and the file


def test_help_names_every_setting(programs):
    p = run(programs, "--help")
    assert p.returncode == 0
    with open(os.path.join(programs.srcdir, "base", "settings.def"), encoding="utf-8") as f:
        names = [line.split("(")[1].split(",")[0].replace("_", "-") for line in f if line.startswith("SETTING(")]
    assert len(names) > 30
    for name in names:
        assert f"--{name} " in p.stdout, name


def test_version_is_one_line(programs):
    p = run(programs, "--version")
    assert p.returncode == 0 and p.stdout.count("\n") == 1 and "faultline" in p.stdout


@pytest.mark.parametrize("flag,says", [
    ("--no-such-thing=1", "no-such-thing"),
    ("--workers=many", "workers"),
    ("--log-bytes=20X", "log-bytes"),
    ("--listen=nowhere", "listen"),
    ("--trust-labels=perhaps", "trust-labels"),
])
def test_mistakes_on_the_command_line_are_named(programs, tmp_path, flag, says):
    p = run(programs, f"--data={tmp_path}/d", "--database=none", flag)
    assert p.returncode != 0
    assert says in p.stderr, p.stderr
    assert len(p.stderr.splitlines()) <= 3, p.stderr


def test_mistakes_in_the_file_are_named_with_their_line(programs, tmp_path):
    path = tmp_path / "faultlined.conf"
    path.write_text("[daemon]\n# fine\nworkers = 2\nbake = 30 parsecs\n")
    p = run(programs, f"--config={path}")
    assert p.returncode != 0
    assert str(path) in p.stderr and "4" in p.stderr and "bake" in p.stderr, p.stderr


def test_flags_win_over_the_file(make_daemon, tmp_path):
    path = tmp_path / "faultlined.conf"
    path.write_text("[daemon]\nlog-level = debug\nmax-header = 16K\nmax-body = 1K\n")
    d = make_daemon(config=str(path), max_body="4M")
    a = d.ingest("POST", "/v1/reports", {"host": "h", "reason": "SIGSEGV", "labels": {"x": "y" * 200}})
    assert a.status == 200, a
    d.report([{"host": f"h{i}", "reason": "SIGSEGV", "product": "p" * 100} for i in range(20)])  # more than 1K


# ---- who may listen where


def test_open_listener_without_tokens_is_refused(programs, tmp_path):
    p = run(programs, f"--data={tmp_path}/d", "--database=none", "--listen=0.0.0.0:0", "--stream-listen=127.0.0.1:0",
            "--api-listen=127.0.0.1:0")
    assert p.returncode != 0
    assert "token" in p.stderr and "allow-unauthenticated" in p.stderr, p.stderr


def test_open_listener_with_tokens_or_on_purpose(make_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("# the fleet\nabcdefghijklmnopqrstuvwxyz\n")
    tokens.chmod(0o600)
    d = make_daemon(listen="0.0.0.0:0", token_file=str(tokens))
    body = {"host": "h", "reason": "SIGSEGV"}
    assert d.ingest("POST", "/v1/reports", body).status == 401
    assert d.ingest("POST", "/v1/reports", body, headers={"Authorization": "Bearer wrong-wrong-wrong-wrong"}).status == 401
    good = {"Authorization": "Bearer abcdefghijklmnopqrstuvwxyz"}
    assert d.ingest("POST", "/v1/reports", body, headers=good).status == 200
    assert d.discards("unauthorized") == 2
    make_daemon(listen="0.0.0.0:0", allow_unauthenticated="yes")


def test_tokens_are_read_again_on_reload(make_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("abcdefghijklmnopqrstuvwxyz\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens))
    old, new = ({"Authorization": f"Bearer {t}"} for t in ("abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba"))
    body = {"host": "h", "reason": "SIGSEGV"}
    assert d.ingest("POST", "/v1/reports", body, headers=new).status == 401
    tokens.write_text("zyxwvutsrqponmlkjihgfedcba\n")
    d.send_signal(signal.SIGHUP)
    d.until(lambda: d.ingest("POST", "/v1/reports", body, headers=new).status == 200, "the new token", 20)
    assert d.ingest("POST", "/v1/reports", body, headers=old).status == 401


def test_reload_applies_settings_and_survives_a_bad_file(make_daemon, tmp_path):
    path = tmp_path / "faultlined.conf"
    path.write_text("max-body = 4M\n")
    d = make_daemon(config=str(path))
    big = [{"host": "h", "reason": "SIGSEGV", "product": "p" * 100} for _ in range(30)]
    assert d.ingest("POST", "/v1/reports", big).status == 200
    path.write_text("max-body = 1K\n")
    d.send_signal(signal.SIGHUP)
    d.until(lambda: d.ingest("POST", "/v1/reports", big).status == 413, "the new limit", 20)
    path.write_text("max-body = much\n")
    lines = len(d.lines)
    d.send_signal(signal.SIGHUP)
    d.until(lambda: any("max-body" in x for x in d.lines[lines:]), "a complaint", 20)
    assert d.ingest("POST", "/v1/reports", big).status == 413  # as before
    assert d.get("/healthz").status == 200


# ---- one daemon a directory


def test_second_daemon_on_the_same_directory_is_refused(daemon):
    p = subprocess.run(daemon.arguments(), capture_output=True, text=True, timeout=60, check=False)
    assert p.returncode != 0
    assert daemon.data in p.stderr, p.stderr
    daemon.report({"host": "h", "reason": "SIGSEGV"})  # the first one does not mind


def test_a_log_whose_host_key_is_lost_is_not_opened_with_another(daemon):
    daemon.report({"host": "h1", "module": "a.so", "module_id": "ab", "offset": 1, "reason": "SIGSEGV"})
    assert daemon.stop() == 0
    key = os.path.join(daemon.data, "host.key")
    os.rename(key, key + ".moved")
    r = subprocess.run(daemon.arguments(), capture_output=True, text=True, timeout=60, check=False)
    assert r.returncode == 1 and "host.key is missing" in r.stderr and "restore it from a backup" in r.stderr, r
    assert not os.path.exists(key)
    os.rename(key + ".moved", key)
    daemon.start()
    assert daemon.get("/v1/hosts/h1").status == 200


def test_port_that_is_taken_is_named(programs, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        address = "127.0.0.1:%d" % s.getsockname()[1]
        p = run(programs, f"--data={tmp_path}/d", "--database=none", f"--listen={address}", "--stream-listen=127.0.0.1:0",
                "--api-listen=127.0.0.1:0")
    assert p.returncode != 0 and address.split(":")[1] in p.stderr, p.stderr


def test_directory_that_cannot_be_made_is_named(programs):
    p = run(programs, "--data=/proc/no/such", "--database=none")
    assert p.returncode != 0 and "/proc/no/such" in p.stderr, p.stderr


# ---- stop and start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_clean_stop_keeps_everything(make_daemon, number):
    d = make_daemon()
    answer = d.report({"host": "h", "reason": "SIGSEGV", "module": "libx.so", "module_id": "ab12", "offset": 16})
    d.send_signal(number)
    assert d.wait_exit() == 0, d.log()
    d.start()
    a = d.get(f"/v1/reports/{answer['id']}")
    assert a.status == 200 and a.json["module"] == "libx.so", a
    rows = d.get("/v1/signatures").json["signatures"]
    assert [r["crashes"] for r in rows if r["module"] == "libx.so"] == [1]


def test_stop_does_not_wait_for_idle_connections(make_daemon):
    daemon = make_daemon(header_timeout="500ms")
    with socket.create_connection(("127.0.0.1", daemon.listen)) as a, socket.create_connection(
            ("127.0.0.1", daemon.stream)) as b, socket.create_connection(("127.0.0.1", daemon.api_port)) as c:
        a.sendall(b"POST /v1/reports HTTP/1.1\r\nHost: x\r\n")  # never finished
        assert b and c
        assert daemon.stop() == 0, daemon.log()


def test_files_are_for_the_owner_alone(daemon):
    daemon.report({"host": "h", "reason": "SIGSEGV"})
    for folder, folders, files in os.walk(daemon.data):
        for name in files:
            try:
                mode = os.stat(os.path.join(folder, name)).st_mode & 0o777
            except FileNotFoundError:  # written anew and renamed meanwhile
                continue
            inside = os.path.relpath(os.path.join(folder, name), daemon.data)
            if not inside.startswith("run"):
                assert mode & 0o077 == 0 or folder != daemon.data and os.stat(folder).st_mode & 0o077 == 0, (inside, oct(mode))


def test_ports_file_tells_where_it_listens(daemon):
    with open(os.path.join(daemon.data, "run", "ports.json"), encoding="utf-8") as f:
        ports = json.load(f)
    assert set(ports) >= {"listen", "stream", "api", "pid"} and len({ports["listen"], ports["stream"], ports["api"]}) == 3


def test_metrics_please_promtool(daemon):
    daemon.report({"host": "h", "reason": "SIGSEGV"})
    text = daemon.get("/metrics").text
    try:
        p = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("promtool is not installed")
    assert p.returncode == 0 and not p.stdout and not p.stderr, p.stdout + p.stderr
    assert daemon.metrics()["reports_total"] == 1


# ---- triage


def test_dump_that_is_no_dump_is_said_so(daemon):
    answer = daemon.report({"host": "h", "reason": "SIGSEGV", "module": "x.so", "module_id": "ab", "offset": 1, "has_dump": True})
    assert answer["want_dump"]
    a = daemon.ingest("PUT", answer["put_url"], b"this is not a dump", headers={"Content-Type": "application/octet-stream"})
    assert a.status == 200 and a.json["stored"], a

    def triaged():
        r = daemon.get(f"/v1/reports/{answer['id']}").json
        return r if r["triage"] not in (None, "waiting") else None

    assert daemon.until(triaged, "triage")["triage"] == "unreadable"
    assert daemon.metrics()["triage_failed_total"] == 1


def test_dumps_are_triaged_after_a_kill(daemon):
    ids = []
    for n in range(20):
        answer = daemon.report({"host": f"h{n}", "reason": "SIGSEGV", "module": f"x{n}.so", "module_id": "ab", "offset": 1,
                                "has_dump": True})
        daemon.ingest("PUT", answer["put_url"], b"no dump %d" % n, headers={"Content-Type": "application/octet-stream"})
        ids.append(answer["id"])
    daemon.kill()
    daemon.start()
    for i in ids:
        daemon.until(lambda i=i: daemon.get(f"/v1/reports/{i}").json["triage"] == "unreadable", f"triage of {i}")
