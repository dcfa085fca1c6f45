# SPDX-License-Identifier: Apache-2.0
"""The reading half of the API against the real daemon."""
import re
import shutil
import subprocess

import pytest

import fleet


def error(answer):
    e = answer.json["error"]
    return answer.status, e["code"], e.get("field")


def signatures(daemon, query=""):
    a = daemon.get("/v1/signatures" + query)
    assert a.status == 200, a
    return a.json["signatures"]


def test_a_report_is_there_at_once_under_both_ids(daemon):
    name = fleet.crash(daemon, 1, occurred="2024-07-19T04:09:00Z", count=3, labels={"site": "berlin", "a": "<b>"})
    a = daemon.get(f"/v1/reports/{name}")
    assert a.status == 200
    r = a.json
    assert r["id"] == name and r["stages"]["accepted"]
    assert r["stage"] in ("accepted", "folded")
    assert (r["module"], r["offset"], r["kind"], r["count"]) == ("csagent.sys", "0xe14ed", "kernel", 3)
    assert r["occurred"] == "2024-07-19T04:09:00.000Z"
    assert {"name": "a", "value": "<b>"} in r["labels"]
    assert re.fullmatch(r"h:[0-9a-f]{16}", r["host"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", r["received"])
    assert r["claimed"]["title"] == "csagent.sys+0xe14ed"
    done = fleet.folded(daemon, name)
    assert done["outcome"] == "counted" and done["signature"] == r["claimed"]["signature"]
    again = daemon.get(f"/v1/reports/{r['crash_id']}")
    assert again.status == 200 and again.json["id"] == name


def test_ids_of_nothing_are_refused(daemon):
    good = fleet.crash(daemon, 1)
    bad = good[:-1] + ("0" if good[-1] != "0" else "1")
    assert error(daemon.get(f"/v1/reports/{bad}")) == (404, "unknown_report", "id")
    assert error(daemon.get("/v1/reports/bp-xyz")) == (404, "unknown_report", "id")
    assert error(daemon.get("/v1/signatures/s1-0000000000000001")) == (404, "unknown_signature", None)
    assert error(daemon.get("/v1/signatures/csagent")) == (400, "invalid_parameter", "id")
    assert error(daemon.get("/v1/hosts/nobody")) == (404, "unknown_host", None)
    assert error(daemon.get("/v1/hosts/" + "x" * 65)) == (400, "invalid_host_id", "id")
    assert error(daemon.get("/v1/elsewhere")) == (404, "not_found", None)
    assert daemon.ingest("GET", "/v1/signatures").status == 404  # the fleet's port is not this one


def test_signatures_sorts_filters_and_details(daemon):
    fleet.beat(daemon)
    for i in range(5):
        fleet.crash(daemon, i)
    for i in range(2):
        fleet.crash(daemon, i, kind="user", module="/usr/lib/libfoo.so.1", module_id="abc0", offset="0x77",
                    reason="SIGSEGV /SEGV_MAPERR", version="1.2")
    last = fleet.crash(daemon, 9, kind="service", module="svc.exe", offset="0x5", reason="SIGABRT", count=100)
    fleet.folded(daemon, last)

    by_hosts = signatures(daemon)
    assert [s["title"] for s in by_hosts] == ["csagent.sys+0xe14ed", "libfoo.so.1+0x77", "svc.exe+0x5"]
    assert [s["hosts"] for s in by_hosts] == [5, 2, 1]
    assert by_hosts[0]["sites"] == 4 and by_hosts[0]["kind"] == "kernel" and by_hosts[0]["offset"] == "0xe14ed"
    assert signatures(daemon, "?sort=newest")[0]["title"] == "svc.exe+0x5"
    assert signatures(daemon, "?sort=trend")[0]["title"] == "svc.exe+0x5"
    assert [s["title"] for s in signatures(daemon, "?kind=user")] == ["libfoo.so.1+0x77"]
    assert [s["title"] for s in signatures(daemon, "?module=CSAGENT.SYS")] == ["csagent.sys+0xe14ed"]
    assert len(signatures(daemon, "?new_since=1h")) == 3
    assert signatures(daemon, "?new_since=2030-01-01T00:00:00Z") == []

    one = daemon.get(f"/v1/signatures/{by_hosts[1]['id']}").json
    assert one["title"] == "libfoo.so.1+0x77" and one["versions"] == ["1.2"]
    assert {r["rung"] for r in one["rungs"]} == {"build", "module"}
    assert len(one["hours"]) == 24 and sum(one["hours"]) == 2
    sample = daemon.get(f"/v1/reports/{one['sample_reports'][0]['report']}").json
    assert sample["module"] == "/usr/lib/libfoo.so.1"


def test_signatures_of_a_deployment(daemon):
    fleet.beat(daemon)
    fleet.folded(daemon, fleet.crash(daemon, 70, module="old.sys", offset="0x1"))
    fleet.deploy(daemon, "d1", served=10)
    fleet.folded(daemon, fleet.crash(daemon, 3))
    assert [s["title"] for s in signatures(daemon, "?deployment=d1")] == ["csagent.sys+0xe14ed"]
    assert error(daemon.get("/v1/signatures?deployment=d2")) == (404, "unknown_deployment", None)


def test_pages_hold_every_row_once(daemon):
    daemon.report([{"host": fleet.host(i % 50), "module": f"m{i % 137}.so", "offset": hex(i % 137), "reason": "SIGSEGV"}
                   for i in range(1000)])
    daemon.until(lambda: len(signatures(daemon, "?limit=1000")) == 137, "the signatures")
    for sort in ("hosts", "newest", "trend"):
        seen, cursor = [], ""
        while True:
            page = daemon.get(f"/v1/signatures?sort={sort}&limit=10{cursor}").json
            assert len(page["signatures"]) <= 10
            seen += [s["id"] for s in page["signatures"]]
            if page["next"] is None:
                break
            cursor = "&cursor=" + page["next"]
        assert len(seen) == len(set(seen)) == 137
    other = daemon.get("/v1/signatures?sort=hosts&limit=10").json["next"]
    assert error(daemon.get(f"/v1/signatures?sort=newest&cursor={other}")) == (400, "invalid_parameter", "cursor")


@pytest.mark.parametrize("query, field", [
    ("sort=size", "sort"), ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=ten", "limit"), ("kind=big", "kind"),
    ("new_since=soon", "new_since"), ("cursor=00", "cursor"), ("deployment=a%2Fb", "deployment"), ("module=%zz", "module"),
])
def test_a_wrong_parameter_is_named(daemon, query, field):
    assert error(daemon.get("/v1/signatures?" + query)) == (400, "invalid_parameter", field)


def test_hosts(daemon):
    fleet.beat(daemon, n=10)
    fleet.deploy(daemon, served=3)
    fleet.folded(daemon, fleet.crash(daemon, 2))
    h = daemon.get(f"/v1/hosts/{fleet.host(2)}").json
    assert h["site"] == "site-2" and h["product"] == "sensor" and h["boots"] == 1 and h["reports"] == 1
    assert [s["deployment"] for s in h["served"]] == ["d1"]
    assert daemon.get(f"/v1/signatures/{h['last_signature']}").json["title"] == "csagent.sys+0xe14ed"
    assert daemon.get(f"/v1/hosts/{h['id']}").json["number"] == h["number"]
    assert daemon.get(f"/v1/hosts/{fleet.host(5)}").json["served"] == []


def test_now_counts_what_came(daemon):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    for i in range(4):
        last = fleet.crash(daemon, i, module="x.so", offset=hex(i))
    fleet.folded(daemon, last)

    def settled():
        n = daemon.get("/v1/now").json
        return n["reports"]["counted"] == 4 and n["arrivals"]["last_minute"] == 4 and len(n["largest"]) == 4 and n
    now = daemon.until(settled, "the counts")
    assert now["server"] == "live" and now["stale_seconds"] < 10
    assert now["hosts"]["known"] == fleet.HOSTS and now["hosts"]["sites"] == fleet.SITES
    assert now["signatures"] == 4 and len(now["largest"]) == len(now["newest"]) == 4
    assert sum(now["arrivals"]["reports"]) == 4 and now["counters"]["reports"] == 4
    assert [d["id"] for d in now["deployments"]] == ["d1"] and now["deployments_total"] == 1


def test_metrics_are_clean_and_bounded(daemon):
    fleet.bad_rollout(daemon)
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    a = daemon.get("/metrics")
    assert a.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert a.text.endswith("\n")
    values = daemon.metrics()
    assert values["reports_total"] == fleet.BAD
    assert values['deployments{state="halted"}'] == 1
    assert values['deployment_halted{deployment="d1"}'] == 1
    assert not [v for v in values if "host-" in v or "csagent" in v]
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (package prometheus)")
    check = subprocess.run(["promtool", "check", "metrics"], input=a.text, text=True, capture_output=True, check=False)
    assert (check.returncode, check.stdout + check.stderr) == (0, "")


def test_health_and_version(daemon):
    assert daemon.get("/healthz").text == "ok\n"
    assert daemon.get("/readyz").json["ready"] is True
    version = daemon.get("/version").json
    assert version["name"] == "faultline" and re.fullmatch("[0-9a-f]{32}", version["log"])


def test_tokens(make_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("# for tests\nsecret-secret-secret\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens))
    good, bad = {"Authorization": "Bearer secret-secret-secret"}, {"Authorization": "Bearer secret-secret-secreT"}
    assert d.get("/v1/now").status == 200  # loopback: reads are open
    assert error(d.put("/v1/deployments/d1", fleet.PLAN)) == (401, "unauthorized", None)
    assert d.put("/v1/deployments/d1", fleet.PLAN, headers=bad).status == 401
    assert d.put("/v1/deployments/d1", fleet.PLAN, headers=good).status == 201
    assert d.discards("unauthorized") >= 2


def test_reads_of_a_foreign_listener_need_the_token(make_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-secret-secret\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens), api_listen="0.0.0.0:0")
    good = {"Authorization": "Bearer secret-secret-secret"}
    for path in ("/v1/now", "/v1/signatures", "/v1/stream", "/v1/deployments", "/metrics"):
        assert d.get(path).status == 401, path
    for path in ("/", "/favicon-clear.svg", "/healthz", "/readyz", "/version"):
        assert d.get(path).status == 200, path
    assert d.get("/v1/now", headers=good).status == 200
