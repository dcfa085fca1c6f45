# SPDX-License-Identifier: Apache-2.0
"""What the API tells out of the database, and what it says when there is none."""
import hashlib
import os
import re

import fleet

OCTETS = {"Content-Type": "application/octet-stream"}


def error(answer):
    e = answer.json["error"]
    return answer.status, e["code"], e.get("field")


def stored(daemon, report):
    return daemon.until(lambda: (r := daemon.get(f"/v1/reports/{report}").json).get("stage") == "stored" and r, "the database")


def test_reports_of_a_signature_and_of_a_host(make_daemon):
    daemon = make_daemon(database="")
    ids = [fleet.crash(daemon, i % 5, uptime_s=i, labels={"site": "berlin", "n": str(i)}) for i in range(23)]
    last = stored(daemon, ids[-1])
    assert last["source"] == "log" and last["stages"]["stored"]
    seen, cursor = [], ""
    while True:
        page = daemon.get(f"/v1/signatures/{last['signature']}/reports?limit=10{cursor}").json
        assert page["history"] == "database" and len(page["reports"]) <= 10
        seen += page["reports"]
        if page["next"] is None:
            break
        cursor = "&cursor=" + page["next"]
    assert [r["id"] for r in seen] == ids[::-1]  # newest first, each once
    assert seen[0]["offset"] == "0xe14ed" and seen[0]["site"] == "berlin" and seen[0]["title"] == "csagent.sys+0xe14ed"
    of_host = daemon.get(f"/v1/hosts/{fleet.host(3)}/reports").json["reports"]
    assert [r["id"] for r in of_host] == [i for n, i in enumerate(ids) if n % 5 == 3][::-1]
    assert daemon.get("/v1/hosts/nobody/reports").json["reports"] == []
    assert error(daemon.get("/v1/hosts/a/reports?limit=0")) == (400, "invalid_parameter", "limit")
    assert error(daemon.get("/v1/hosts/a/reports?cursor=zz")) == (400, "invalid_parameter", "cursor")
    assert error(daemon.get("/v1/signatures/x/reports")) == (400, "invalid_parameter", "id")


def test_what_triage_found(make_daemon, programs):
    daemon = make_daemon(database="")
    path = os.path.join(programs.srcdir, "tests", "fuzz", "corpus", "minidump", "linux-x64")
    with open(path, "rb") as f:
        dump = f.read()
    answer = daemon.report({"host": "a", "module": "claimed.so", "module_id": "ab", "offset": 1, "reason": "SIGSEGV",
                            "has_dump": True})
    assert daemon.ingest("PUT", answer["put_url"], dump, headers=OCTETS).status == 200
    stored(daemon, answer["id"])
    found = daemon.until(lambda: daemon.get(f"/v1/reports/{answer['id']}").json["triage_result"], "the triage result")
    assert found["module"] != "claimed.so" and found["format"] == "minidump"
    assert found["outcome"] == "read" and found["error"] is None and found["sha256"] == hashlib.sha256(dump).hexdigest()
    assert re.fullmatch("s1-[0-9a-f]{16}", found["signature"]) and found["offset"].startswith("0x")
    assert found["address"].startswith("0x") and found["reason_class"] in ("access", "abort", "arithmetic", "other")
    assert found["frames"][0]["trust"] == "context" and found["frames"][0]["offset"].startswith("0x")
    assert set(found["frames"][0]) == {"module", "module_id", "offset", "trust", "function"}


def test_what_triage_could_not_read(make_daemon):
    daemon = make_daemon(database="")
    answer = daemon.report({"host": "a", "module": "m.so", "offset": 1, "has_dump": True})
    assert daemon.ingest("PUT", answer["put_url"], b"no dump at all", headers=OCTETS).status == 200
    stored(daemon, answer["id"])
    found = daemon.until(lambda: daemon.get(f"/v1/reports/{answer['id']}").json["triage_result"], "the triage result")
    assert found["outcome"] == "unsupported" and found["error"] and found["address"] is None and found["signature"] is None
    assert found["frames"] == [] and found["sha256"] == hashlib.sha256(b"no dump at all").hexdigest()


def test_no_database_is_said(daemon):
    report = fleet.folded(daemon, fleet.crash(daemon, 1))
    assert report["triage_result"] is None and not report["stages"]["stored"]
    a = daemon.get(f"/v1/signatures/{report['signature']}/reports")
    assert error(a) == (503, "database_down", None) and "without a database" in a.json["error"]["message"]
    assert daemon.get("/v1/now").json["database"] == "none"


def test_reports_that_left_the_log_are_in_the_database(make_daemon):
    daemon = make_daemon(database="", segment_bytes="1M", log_bytes="3M", snapshot_interval="1s")
    first = fleet.crash(daemon, 1, version="first")
    stored(daemon, first)
    filler = [{"host": f"f{i}", "module": f"m{i}.so", "offset": i, "labels": {f"l{k}": "x" * 200 for k in range(8)}}
              for i in range(300)]

    def gone():
        daemon.report(filler)
        return daemon.get(f"/v1/reports/{first}").json["source"] == "database"
    daemon.until(gone, "the log to let go", 60)
    r = daemon.get(f"/v1/reports/{first}").json
    assert r["id"] == first and r["stage"] == "stored" and r["version"] == "first" and r["offset"] == "0xe14ed"
