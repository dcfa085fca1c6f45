# SPDX-License-Identifier: Apache-2.0
"""The daemon and its database: what the ledger counts is what PostgreSQL holds, whichever
of the two is killed when."""
import os
import random
import signal
import threading

import pytest

psycopg2 = pytest.importorskip("psycopg2")


def connect(daemon):
    c = psycopg2.connect(host=os.path.join(daemon.data, "pg", "s"), user="faultline", dbname="postgres",
                         options="-c search_path=faultline")
    c.autocommit = True
    return c


def ask(daemon, sql):
    def try_connect():
        try:
            return connect(daemon)
        except psycopg2.OperationalError:  # starting, or recovering from a kill
            return None

    c = daemon.until(try_connect, "connection to the database")
    try:
        with c.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()
    finally:
        c.close()


def postmaster(daemon):
    with open(os.path.join(daemon.data, "pg", "postmaster.pid"), encoding="utf-8") as f:
        return int(f.readline())


def reports(host, first, n):
    return [{"host": f"host-{host}", "epoch": str(1000 + host), "seq": first + i, "kind": "user",
             "module": f"m{(first + i) % 3}.so", "module_id": "abcdef01", "offset": 4096, "reason": "SIGSEGV",
             "labels": {"site": f"site-{host}"}} for i in range(n)]


def wait_stored(daemon, position_of):
    """Until a report is in the database."""
    daemon.until(lambda: daemon.get(f"/v1/reports/{position_of}").json.get("stage") == "stored", "the database")


def ledger_counts(daemon):
    page = daemon.get("/v1/signatures?limit=100").json
    return {s["title"]: s["reports"] for s in page["signatures"]}


def database_counts(daemon):
    return dict(ask(daemon, "SELECT title, reports FROM signatures"))


def assert_same(daemon, expected):
    got = database_counts(daemon)
    assert got == ledger_counts(daemon)
    assert sum(got.values()) == expected
    assert ask(daemon, "SELECT count(*) FROM reports WHERE outcome & 1 = 0") == [(expected,)]
    assert ask(daemon, "SELECT count(*) - count(DISTINCT position) FROM reports") == [(0,)]
    assert ask(daemon, "SELECT count(*) FROM rejected") == [(0,)]


def test_ingest_does_not_wait_for_the_database(make_daemon):
    d = make_daemon(database="", start=False)
    d.start(wait=False)
    d.wait_listening()
    last = d.report(reports(1, 1, 10))["reports"][-1]["id"]  # while initdb runs
    assert d.metrics()["database_up"] == 0
    wait_stored(d, last)
    assert d.metrics()["database_up"] == 1
    assert_same(d, 10)


def test_resent_reports_count_once_in_both(make_daemon):
    d = make_daemon(database="")
    batch = reports(1, 1, 20)
    d.report(batch)
    d.report(batch)
    last = d.report(batch[:5] + reports(1, 21, 5))["reports"][-1]["id"]
    wait_stored(d, last)
    assert_same(d, 25)
    assert ask(d, "SELECT count(*) FROM reports WHERE outcome & 1 = 1") == [(25,)]


def test_killed_in_turn(make_daemon):
    """Daemon, server and one of the server's processes are killed while reports, a third of
    them twice, come in."""
    d = make_daemon(database="", snapshot_interval="1s", batch_rows="50")
    rng = random.Random(5)
    sent, last = {}, None
    for turn in range(int(os.environ.get("FAULTLINE_ROUNDS", "6"))):
        for _ in range(10):
            host = rng.randrange(5)
            n = rng.randint(1, 30)
            batch = reports(host, sent.get(host, 0) + 1, n)
            sent[host] = sent.get(host, 0) + n
            last = d.report(batch)["reports"][-1]["id"]
            if rng.random() < 0.3:
                last = d.report(batch)["reports"][-1]["id"]
        if turn % 3 == 0:
            d.kill()
            d.start()
        elif turn % 3 == 1:
            d.until(lambda: d.metrics()["database_up"] == 1, "the database")
            os.kill(postmaster(d), signal.SIGKILL)
        else:
            d.until(lambda: d.metrics()["database_up"] == 1, "the database")
            for (pid,) in ask(d, "SELECT pid FROM pg_stat_activity WHERE application_name = 'faultlined'"):
                os.kill(pid, signal.SIGKILL)
    wait_stored(d, last)
    assert_same(d, sum(sent.values()))


def test_a_clean_stop_leaves_no_server(make_daemon):
    d = make_daemon(database="")
    wait_stored(d, d.report(reports(1, 1, 3))["reports"][-1]["id"])
    pid = postmaster(d)
    assert d.stop() == 0
    assert not os.path.exists(f"/proc/{pid}")
    d.start()
    wait_stored(d, d.report(reports(1, 4, 3))["reports"][-1]["id"])
    assert_same(d, 6)


def test_a_server_of_the_operator(make_daemon):
    """With a URL nothing is made there but a schema; two daemons may share the server."""
    owner = make_daemon(database="")
    url = f"host={owner.data}/pg/s user=faultline dbname=postgres"
    owner.until(lambda: owner.metrics()["database_up"] == 1, "the database")
    ask_nothing = connect(owner)
    with ask_nothing.cursor() as c:
        c.execute("CREATE DATABASE fleet")
    ask_nothing.close()
    d = make_daemon(database=url.replace("dbname=postgres", "dbname=fleet"))
    wait_stored(d, d.report(reports(1, 1, 7))["reports"][-1]["id"])
    assert not os.path.exists(os.path.join(d.data, "pg"))
    c = psycopg2.connect(url.replace("dbname=postgres", "dbname=fleet"))
    with c.cursor() as cursor:
        cursor.execute("SELECT sum(reports) FROM faultline.signatures")
        assert cursor.fetchone() == (7,)
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1")
        assert cursor.fetchall() == [("faultline",), ("public",)]
    c.close()


def test_reports_keep_coming_while_the_server_is_away(make_daemon):
    d = make_daemon(database="")
    wait_stored(d, d.report(reports(1, 1, 3))["reports"][-1]["id"])
    pid = postmaster(d)
    os.kill(pid, signal.SIGSTOP)
    try:
        done = threading.Event()

        def send():
            for i in range(20):
                d.report(reports(2, 1 + i * 10, 10))
            done.set()

        threading.Thread(target=send, daemon=True).start()
        assert done.wait(30)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_stored(d, d.report(reports(3, 1, 1))["reports"][-1]["id"])
    assert_same(d, 204)


def test_a_start_with_a_database_of_its_own_warns_of_nothing(make_daemon):
    daemon = make_daemon(database="")
    daemon.until(lambda: daemon.get("/v1/now").json["database"] == "up", "the database")
    daemon.restart()
    daemon.until(lambda: daemon.get("/v1/now").json["database"] == "up", "the database")
    assert [line for line in daemon.lines if " warn " in line or " error " in line] == []
    assert "faultline_store_failures_total 0" in daemon.get("/metrics").text
