# SPDX-License-Identifier: Apache-2.0
"""The documents behind the pages of a signature, a host, the decisions and the server's health."""
import hashlib
import os
import signal

import fleet

OCTETS = {"Content-Type": "application/octet-stream"}


def error(answer):
    e = answer.json["error"]
    return answer.status, e["code"], e.get("field")


def joined(document):
    return "".join(p["text"] for p in document["summary_parts"])


def halted(daemon):
    """A rollout that halts; the deployment and its signature."""
    fleet.beat(daemon)
    fleet.bad_rollout(daemon)
    return daemon.until(lambda: (v := daemon.get("/v1/deployments/d1/verdict").json).get("verdict") == "halt" and v, "the halt")


def postgres(daemon):
    """Process ids of the private server, the parent first."""
    with open(os.path.join(daemon.data, "pg", "postmaster.pid"), encoding="ascii") as f:
        first = int(f.readline())
    with open(f"/proc/{first}/task/{first}/children", encoding="ascii") as f:
        return [first] + [int(pid) for pid in f.read().split()]


def signature_of(daemon):
    return daemon.get("/v1/signatures").json["signatures"][0]["id"]


def test_signature_page(make_daemon):
    daemon = make_daemon(database="", public_url="https://faultline.example.com",
                         issue_links="Jira=https://jira.example.com/new?summary={title}&text={url} bad=javascript:alert(1)")
    halted(daemon)
    s = signature_of(daemon)
    short = daemon.get(f"/v1/signatures/{s}").json
    daemon.until(lambda: daemon.get("/v1/signatures/%s/reports" % s).json.get("reports"), "the database")
    page = daemon.get(f"/v1/signatures/{s}?view=page").json
    for key in set(short) - {"as_of", "stale_seconds", "position"}:
        assert page[key] == short[key], key
    assert page["freshness"]["state"] in ("live", "database_behind") and page["role"] == "operator" and "triage" in page["can"]
    assert joined(page) == page["summary"] and page["summary"].startswith("Kernel crash in csagent.sys, ")
    over = page["over_time"]
    assert sum(over["minutes"]["crashes"]["v"]) == page["crashes"] and over["minutes"]["source"] == "live"
    assert max(over["minutes"]["hosts"]["v"]) <= page["hosts"] <= sum(over["minutes"]["hosts"]["v"])
    assert len(over["minutes"]["hosts"]["v"]) == 120 and over["minutes"]["hosts"]["step_s"] == 60
    assert over["hours"]["source"] == "database" and over["hours"]["state"] == "database"
    hours = daemon.until(lambda: (o := daemon.get(f"/v1/signatures/{s}?view=page").json["over_time"]["hours"]) and
                         sum(v or 0 for v in o["crashes"]["v"]) == page["crashes"] and o, "all of it in the database")
    assert sum(v or 0 for v in hours["hosts"]["v"]) >= page["hosts"] and len(hours["hosts"]["v"]) == 24
    assert {a["kind"] for a in over["annotations"]} == {"served", "halt"}
    assert sum(r["hosts"] for r in page["site_list"]["rows"]) + page["site_list"]["unknown"] == page["hosts"]
    assert page["os_builds"]["rows"] == [{"name": "22631", "hosts": page["hosts"]}]
    assert [r["rung"] for r in page["ladder"]] == ["key", "build", "module"]
    tested = [r for r in page["ladder"] if r["tested"]]
    assert tested and all(r["log10_odds"] is not None and r["exposed"] > 0 for r in tested)
    assert any(r["note"] == "shown, not tested" for r in page["ladder"])
    assert page["deployments"][0]["id"] == "d1" and page["deployments"][0]["status"] == "halt"
    facts = page["correlations"]["facts"]
    assert page["correlations"]["state"] == "ok" and all("reading" in f for f in facts)
    assert page["builds"][0]["this"] and page["builds"][0]["module_id"] == short["module_id"]
    assert page["stack"]["frames"][0]["module"] == "csagent.sys" and page["stack"]["from"]["source"] == "report"
    link, = page["issue_links"]
    assert link == {"name": "Jira", "url": "https://jira.example.com/new?summary=csagent.sys%2B0xe14ed"
                    f"&text=https%3A%2F%2Ffaultline.example.com%2Fsignatures%2F{s}"}
    assert 0 < len(page["hosts_list"]) <= 20 and page["hosts_list"][0]["id"].startswith("h:")
    assert page["advice"] is None and page["merged"] == [] and page["history"] == []
    assert error(daemon.get(f"/v1/signatures/{s}?view=x")) == (400, "invalid_parameter", "view")
    assert daemon.get("/v1/signatures/s1-0000000000000001?view=page").status == 404
    # the database stops: the live half stays, the other says so
    server = postgres(daemon)
    for pid in server:
        os.kill(pid, signal.SIGSTOP)
    try:
        page = daemon.get(f"/v1/signatures/{s}?view=page", timeout=60).json
        assert page["hosts"] == short["hosts"] and len(page["over_time"]["minutes"]["hosts"]["v"]) == 120
        state = page["over_time"]["hours"]["state"]
        assert state in ("down", "slow") and "hosts" not in page["over_time"]["hours"]
        assert page["dump_samples"] == {"state": page["dump_samples"]["state"], "rows": []}
        host = daemon.get(f"/v1/hosts/{fleet.host(0)}?view=page", timeout=60).json
        assert host["timeline"]["state"] in ("down", "slow") and host["timeline"]["note"]
        assert any(r["kind"] == "served" for r in host["timeline"]["rows"])
        decisions = daemon.get("/v1/decisions", timeout=60).json
        assert decisions["state"] in ("down", "slow") and decisions["decisions"][0]["action"] == "halt"
    finally:
        for pid in server:
            os.kill(pid, signal.SIGCONT)


def test_without_a_database(daemon):
    halted(daemon)
    s = signature_of(daemon)
    page = daemon.get(f"/v1/signatures/{s}?view=page").json
    assert page["over_time"]["hours"] == {"source": "database", "state": "none"}
    assert page["freshness"]["database"] is None
    row = daemon.until(lambda: daemon.get("/v1/decisions").json["decisions"], "the decision")[0]
    assert (row["action"], row["automatic"], row["deployment"], row["signature_valid"]) == ("halt", True, "d1", None)
    one = daemon.get(f"/v1/decisions/{row['n']}").json
    assert one["decision"] == row and one["proof"] is None and one["state"] == "none"
    assert error(daemon.get("/v1/decisions/0000000000000001"))[:2] == (404, "unknown_decision")
    host = daemon.get(f"/v1/hosts/{fleet.host(0)}?view=page").json
    assert joined(host) == host["summary"] and "served d1 at " in host["summary"]
    kinds = [r["kind"] for r in host["timeline"]["rows"]]
    assert {"served", "first_seen", "crash"} <= set(kinds), kinds
    at = [r["at"] for r in host["timeline"]["rows"]]
    assert at == sorted(at, reverse=True)
    assert host["votes"][0]["deployment"] == "d1" and host["votes"][0]["votes"] and host["votes"][0]["served"]
    assert error(daemon.get("/v1/hosts/nobody?view=page"))[:2] == (404, "unknown_host")


def test_decisions(make_daemon):
    daemon = make_daemon(database="")
    halted(daemon)
    daemon.post("/v1/deployments/d1/resume", {"reason": "<script>alert(1)</script>", "actor": "anna"})
    rows = daemon.until(lambda: len(r := daemon.get("/v1/decisions").json["decisions"]) == 2 and r, "both")
    assert [r["action"] for r in rows] == ["resume", "halt"] and rows[0]["actor"] == "anna"
    assert rows[0]["reason"] == "<script>alert(1)</script>"
    n = rows[1]["n"]
    one = daemon.until(lambda: (d := daemon.get(f"/v1/decisions/{n}").json)["state"] == "database" and d, "the database")
    proof = one["proof"]
    odds = proof["log_weight"] + sum(v["log_factor"] for v in proof["votes"] if v["counted"])
    assert abs(odds / 2.302585092994046 - proof["votes"][-1]["log10_odds"]) < 1e-3
    assert one["decision"]["evidence"]["log10_odds"] >= one["decision"]["evidence"]["threshold_log10"]
    daemon.until(lambda: daemon.get("/v1/decisions").json["decisions"][0]["evidence"] is None or True, "rows")
    page = daemon.until(lambda: (p := daemon.get("/v1/decisions?limit=1").json)["next"] and p, "a page")
    rest = daemon.get("/v1/decisions?limit=1&cursor=" + page["next"]).json
    assert [r["n"] for r in page["decisions"] + rest["decisions"]] == [r["n"] for r in rows] and rest["next"] is None
    assert daemon.get("/v1/decisions?deployment=other").json["decisions"] == []
    assert error(daemon.get("/v1/decisions?deployment=a'b"))[:2] == (400, "invalid_parameter")


def test_health(make_daemon):
    daemon = make_daemon(database="")
    fleet.beat(daemon, n=3)
    assert daemon.ingest("POST", "/v1/reports", {"host": ""}).status == 400
    h = daemon.until(lambda: (d := daemon.get("/v1/health").json)["status"] == "ok" and d, "health")
    assert h["summary"] == "Everything works." == joined(h) and h["problems"] == []
    assert h["database"]["state"] == "up" and h["ledger"]["hosts"] == 3
    assert {q["name"] for q in h["queues"]} == {"ledger", "database", "triage", "webhooks"}
    assert h["workers"]["up"] == h["workers"]["configured"]
    assert any(d["count"] >= 1 and d["help"] for d in h["discards"])
    assert h["disk"]["free"] > 0 and h["disk"]["horizon_days"] is None and "not known yet" in h["disk"]["horizon_text"]
    assert h["tokens"] == {"configured": False, "count": 0}
    os.kill(postgres(daemon)[0], signal.SIGQUIT)
    seen = daemon.until(lambda: (d := daemon.get("/v1/health").json)["database"]["restarts"] > 0 and d, "the restart")
    assert seen["version"] == h["version"]


def test_download_of_a_dump(make_daemon, programs, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef0123\n", encoding="ascii")
    tokens.chmod(0o600)
    bearer = {"Authorization": "Bearer 0123456789abcdef0123"}
    daemon = make_daemon(database="", token_file=str(tokens))
    with open(os.path.join(programs.srcdir, "tests", "fuzz", "corpus", "minidump", "linux-x64"), "rb") as f:
        dump = f.read()
    answer = daemon.report({"host": "a", "module": "claimed.so", "module_id": "ab", "offset": 1, "reason": "SIGSEGV",
                            "has_dump": True}, headers=bearer)
    assert daemon.ingest("PUT", answer["put_url"], dump, headers={**OCTETS, **bearer}).status == 200
    sha = hashlib.sha256(dump).hexdigest()
    got = daemon.until(lambda: (a := daemon.get(f"/v1/dumps/{sha}", headers=bearer)).status == 200 and a, "the dump")
    assert got.body == dump
    assert got.headers["Content-Disposition"] == f'attachment; filename="{sha}.dmp"'
    assert got.headers["Content-Type"] == "application/octet-stream" and got.headers["X-Content-Type-Options"] == "nosniff"
    assert daemon.get(f"/v1/dumps/{sha}").status == 401
    assert error(daemon.get("/v1/dumps/" + "0" * 64, headers=bearer))[:2] == (404, "dump_not_kept")
    assert error(daemon.get("/v1/dumps/..%2f..%2fetc%2fpasswd", headers=bearer))[:2] == (400, "invalid_parameter")
    found = daemon.until(lambda: daemon.get(f"/v1/reports/{answer['id']}").json.get("triage_result"), "triage")
    page = daemon.get(f"/v1/signatures/{found['signature']}?view=page").json
    assert page["stack"]["from"]["source"] == "dump" and page["stack"]["from"]["sha256"] == sha
    assert [f["blamed"] for f in page["stack"]["frames"]].count(True) == 1
    assert page["dump_samples"]["rows"][0]["kept"] and page["dump_samples"]["rows"][0]["size"] == len(dump)
    assert page["alias_history"]["claimed_as"][0]["reports"] == 1
