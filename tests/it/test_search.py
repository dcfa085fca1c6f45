# SPDX-License-Identifier: Apache-2.0
"""Finding signatures: the query language against the real ledger, facets, pages, files."""
import csv
import io
import urllib.parse

import pytest

import fleet

MODULES = ("csagent.sys", "tcpip.sys", "app.exe")


def search(daemon, q="", **more):
    return daemon.get("/v1/signatures?" + urllib.parse.urlencode({"q": q, **more}))


def found(daemon, q="", **more):
    a = search(daemon, q, **more)
    assert a.status == 200, a
    return a.json


def titles(daemon, q="", **more):
    return [s["title"] for s in found(daemon, q, **more)["signatures"]]


@pytest.fixture
def crashes(daemon):
    """Sixty hosts at four sites; 3 modules with 4 offsets each, on 1 to 12 hosts; one under a deployment."""
    fleet.beat(daemon, n=60)
    fleet.deploy(daemon, served=4, modules=["csagent.sys"])
    last = None
    for m, module in enumerate(MODULES):
        for k in range(4):
            for i in range(1 + m * 4 + k):
                last = fleet.crash(daemon, i, module=module, module_id=f"66907e3b5600{k % 2}", offset=hex(0x100 * (k + 1)),
                                   kind="user" if module == "app.exe" else "kernel",
                                   reason="SIGSEGV" if module == "app.exe" else "PAGE_FAULT_IN_NONPAGED_AREA")
    fleet.folded(daemon, last)
    return daemon


def test_terms(crashes):
    d = crashes
    everything = found(d, facets=1)
    assert everything["total"] == 12 and len(everything["signatures"]) == 12
    assert [s["hosts"] for s in everything["signatures"]] == list(range(12, 0, -1))
    assert titles(d, "module:csagent.sys") == [f"csagent.sys+{hex(0x100 * k)}" for k in (4, 3, 2, 1)]
    assert titles(d, "module:cs* -offset:0x100") == [f"csagent.sys+{hex(0x100 * k)}" for k in (4, 3, 2)]
    assert titles(d, "AGENT.sys+0x4") == ["csagent.sys+0x400"]
    assert found(d, "kind:user")["total"] == 4 and found(d, "-kind:user")["total"] == 8
    assert [s["hosts"] for s in found(d, "hosts:>=11")["signatures"]] == [12, 11]
    assert found(d, "reason:nonpaged")["total"] == 8
    assert found(d, "build:66907e3b56001")["total"] == 6
    assert found(d, "site:site-3")["total"] == 9  # hosts 3, 7, ...: signatures on four hosts and more
    assert found(d, "os:22631 product:sensor")["total"] == 12 and found(d, "os:1*")["total"] == 0
    assert found(d, "new:<1h last:<1h")["total"] == 12 and found(d, "new:>1h")["total"] == 0
    assert found(d, "deployment:d1")["total"] == 12 and found(d, "deployment:none")["total"] == 0
    assert found(d, "state:none")["total"] == 0
    assert sum(f["signatures"] for f in everything["facets"]["state"]) == 12


def test_rows_say_what_a_list_of_top_crashers_says(crashes):
    a = found(crashes, "module:app.exe", facets=1)
    row = a["signatures"][0]
    assert row["rank"] == 1 and row["rank_before"] is None  # nothing crashed twelve hours ago
    assert [s["rank"] for s in found(crashes)["signatures"]] == list(range(1, 13))
    assert found(crashes, "module:csagent.sys")["signatures"][0]["rank"] == 9  # of all, not of those found
    assert row["builds"] == 2 and sum(row["hours"]) == row["crashes"] == 12
    assert row["deployment"]["id"] == "d1" and row["deployment"]["status"] in ("hold", "watch", "halt")
    facets = {name: {f["value"]: f["signatures"] for f in values} for name, values in a["facets"].items()}
    assert facets["kind"] == {"user": 4} and facets["module"] == {"app.exe": 4} and facets["deployment"] == {"d1": 4}
    assert facets["site"] == {"site-0": 4, "site-1": 4, "site-2": 4, "site-3": 4}
    assert facets["os"] == {"22631": 4} and facets["product"] == {"sensor": 4}


def test_groups(crashes):
    assert titles(crashes, group="module") == ["app.exe", "tcpip.sys", "csagent.sys"]
    assert found(crashes, "module:app.exe", group="build")["total"] == 2


def test_pages_do_not_overlap_while_rows_come(crashes):
    seen, cursor = [], None
    while True:
        a = found(crashes, sort="newest", limit=5, **({"cursor": cursor} if cursor else {}))
        seen += [s["id"] for s in a["signatures"]]
        cursor = a["next"]
        if cursor is None:
            break
        fleet.folded(crashes, fleet.crash(crashes, 1, module=f"late{len(seen)}.sys"))
    assert len(seen) == 12 == len(set(seen))
    total = found(crashes)["total"]
    end = found(crashes, from_end=1, limit=5)
    assert end["offset"] == total - 5 and end["next"] is None
    assert [s["id"] for s in end["signatures"]] == [s["id"] for s in found(crashes)["signatures"]][-5:]
    assert found(crashes, offset=3, limit=2)["signatures"] == found(crashes)["signatures"][3:5]


def test_an_empty_answer_says_what_stands_in_the_way(crashes):
    a = found(crashes, "kind:kernel hosts:>9")
    assert a["total"] == 0 and [(t["field"], t["without"]) for t in a["parsed"]] == [("kind", 3), ("hosts", 8)]


def test_errors_point_at_the_character(daemon):
    for q, at in (("modul:x", 0), ("kind:kernel hosts:many", 18), ("ä new:soon", 6), ('a "b', 2)):
        a = search(daemon, q)
        e = a.json["error"]
        assert a.status == 400 and (e["code"], e["field"], e["at"]) == ("invalid_parameter", "q", at) and e["message"]


def test_files_hold_what_the_list_counts(crashes):
    fleet.folded(crashes, fleet.crash(crashes, 5, module="=cmd|'x'!A1\u202e.dll", offset="0x1", kind="user"))
    total = found(crashes, "kind:user")["total"]
    a = crashes.get("/v1/signatures.csv?q=kind:user")
    assert a.status == 200 and a.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in a.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(a.body.decode(), newline="")))
    assert len(rows) - 1 == total == 5 and rows[0][:3] == ["id", "title", "kind"]
    evil = next(r for r in rows if "cmd" in r[1])
    assert evil[1].startswith("'=") and "\u202e" not in a.body.decode() and "U+202E" in evil[9]
    j = crashes.get("/v1/signatures.json?q=kind:user")
    assert len(j.json["signatures"]) == total and "attachment" in j.headers["Content-Disposition"]
    assert search(crashes, "kind:user", limit=1).json["total"] == total
