# SPDX-License-Identifier: Apache-2.0
"""Correlations: what the hosts of a signature have in common, with nobody having registered a deployment."""
import json
import os
import subprocess

FLEET = 1200


def july_host(i):
    """A third of the fleet has got the bad content file; it harms Windows hosts alone."""
    windows = i % 4 != 0
    return {"host": f"host-{i}", "boot_id": f"boot-{i}", "product": "sensor", "os": "windows" if windows else "linux",
            "os_build": ("22631", "19045")[i // 7 % 2] if windows else "6.1.0",
            "hw_class": ("laptop", "desktop", "server")[i // 11 % 3],
            "content": {"291": "32" if i % 3 == 1 else "31", "channel": "stable" if i % 5 else "beta"},
            "labels": {"site": f"site-{i % 40}", "gpu": f"gpu-{i // 3 % 4}", "driver": f"net-{i // 13 % 3}"}}


def july(daemon):
    for first in range(0, FLEET, 200):
        a = daemon.ingest("POST", "/v1/heartbeats", [july_host(i) for i in range(first, first + 200)])
        assert a.status == 200, a
    daemon.until(lambda: daemon.get(f"/v1/hosts/host-{FLEET - 1}").status == 200, "the hosts")
    bad = [i for i in range(FLEET) if i % 3 == 1 and i % 4 != 0][:40]
    for i in bad:
        h = july_host(i)
        report = daemon.report({"host": h["host"], "kind": "kernel", "module": "csagent.sys",
                                "module_id": "66907e3b56000", "offset": "0xe14ed",
                                "reason": "PAGE_FAULT_IN_NONPAGED_AREA", "reason_code": "0x50", "product": "sensor",
                                "os": "windows", "os_build": h["os_build"], "labels": h["labels"]})
    daemon.until(lambda: (r := daemon.get(f"/v1/reports/{report['id']}")).status == 200 and r.json["stages"]["folded"],
                 "the fold")
    (row,) = daemon.get("/v1/signatures").json["signatures"]
    return row["id"], len(bad)


def correlate(programs, daemon, *arguments):
    return subprocess.run([programs.faultline, "correlate", *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "FAULTLINE_SERVER": f"http://127.0.0.1:{daemon.api_port}"}, check=False)


def test_july_without_a_deployment(daemon, programs):
    signature, n = july(daemon)
    assert daemon.get("/v1/deployments").json["deployments"] == []
    a = daemon.get(f"/v1/signatures/{signature}/correlations").json
    best = a["facts"][0]
    assert (best["kind"], best["fact"]) == ("content", "291=32"), a
    assert best["over_represented"] and best["hosts"] == n and best["fleet_hosts"] == FLEET // 3
    assert 2.9 < best["lift"] < 3.1 and 1.5 < best["low"] < best["lift"] <= best["high"]
    assert a["hosts"] == n and a["fleet_hosts"] == FLEET and a["facts_compared"] > 40 and a["hosts_not_heard_of"] == 0
    assert a["signature"]["id"] == signature and "291=32" in a["statement"] and a["position"]
    # what all hosts share says nothing, and what does not differ is not claimed
    assert not any(f["fact"] == "sensor" for f in a["facts"])
    assert [f["fact"] for f in a["facts"] if f["over_represented"]] == ["291=32"]

    p = correlate(programs, daemon, signature)
    assert p.returncode == 0 and "291=32" in p.stdout.splitlines()[0] and p.stdout.count("*") == 2, p
    p = correlate(programs, daemon, signature, "--json", "--limit", "3")
    assert p.returncode == 0 and len(json.loads(p.stdout)["facts"]) == 3


def test_a_deployment_is_a_fact_too(daemon, programs):
    served = [f"host-{i}" for i in range(FLEET) if i % 3 == 1]
    for first in range(0, FLEET, 400):
        daemon.ingest("POST", "/v1/heartbeats", [july_host(i) for i in range(first, first + 400)])
    daemon.until(lambda: daemon.get(f"/v1/hosts/host-{FLEET - 1}").status == 200, "the hosts")
    assert daemon.put("/v1/deployments/c-291-32", {"rings": [{"name": "all", "hosts": FLEET}], "assignment": "hash",
                                                   "mode": "shadow"}).status == 201
    assert daemon.post("/v1/deployments/c-291-32/receipts", {"hosts": served}).status == 200
    signature, n = july(daemon)
    facts = daemon.get(f"/v1/signatures/{signature}/correlations").json["facts"]
    found = {(f["kind"], f["fact"]): f for f in facts}
    assert facts[0]["fact"] == "291=32"
    for kind, name in (("deployment", "c-291-32"), ("ring", "c-291-32/all")):
        f = found[kind, name]  # the same hosts: numbers cannot tell it from the content
        assert f["hosts"] == n and f["fleet_hosts"] == len(served) and f["cannot_be_told_from"] == 0


def test_refusals(daemon, programs):
    assert daemon.get("/v1/signatures/s1-0123456789abcdef/correlations").status == 404
    assert daemon.get("/v1/signatures/nonsense/correlations").status == 400
    assert daemon.get("/v1/signatures/s1-0123456789abcdef/correlations?limit=0").status == 400
    assert correlate(programs, daemon, "s1-0123456789abcdef").returncode == 1
    assert correlate(programs, daemon).returncode == 2
