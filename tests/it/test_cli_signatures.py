# SPDX-License-Identifier: Apache-2.0
"""faultline signatures: what it asks for, and what it prints of the answer."""
import csv
import io
import json
import subprocess
import urllib.parse

import pytest

import fake_api
import fleet

NOW = "2026-12-01T03:17:22.012Z"


def row(i, **more):
    return {"id": f"s1-{i:016x}", "title": f"module{i}.sys+0x{i:x}", "kind": "kernel", "rank": i + 1, "rank_before": i + 1,
            "hosts": 5000 - i, "sites": 8, "reports": 61, "first_seen": "2026-12-01T03:03:50.101Z",
            "last_seen": "2026-12-01T03:16:50.440Z", "reason": "PAGE_FAULT", "builds": 3, "hours": [0] * 23 + [61],
            "deployment": None, **more}


def answer(rows, **more):
    return {"freshness": {"time": NOW}, "q": "", "parsed": [], "total": len(rows), "signatures": rows, "next": None, **more}


@pytest.fixture
def api():
    made = fake_api.FakeApi({})
    yield made
    made.close()


@pytest.fixture
def signatures(api, programs):
    def run(*args, status=0, server=None):
        done = subprocess.run([programs.faultline, "signatures", "--server", f"127.0.0.1:{server or api.port}", *args],
                              capture_output=True, check=False, timeout=60)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stdout.decode(), done.stderr.decode()
    return run


def test_table(api, signatures):
    api.answers["/v1/signatures"] = 200, answer([
        row(0, rank_before=13, deployment={"id": "sensor-291", "status": "halt"}),
        row(1, rank_before=None),
        row(2, rank_before=None, first_seen="2026-10-01T03:03:50.101Z"),
        row(3, rank_before=1, title="\x1b[2J\u202eevil"),
    ], total=1214)
    out, _ = signatures("module:*.sys", "kind:kernel", "--sort", "trend", "--group", "build", "--limit", "4")
    path, parameters, _ = api.asked[-1]
    assert path == "/v1/signatures"
    assert parameters == {"q": "module:*.sys kind:kernel", "sort": "trend", "group": "build", "limit": "4"}
    lines = out.split("\n")
    assert lines[0].split()[:8] == ["RANK", "MOVED", "SIGNATURE", "KIND", "HOSTS", "SITES", "REPORTS", "FIRST"]
    assert lines[1].split()[:13] == ["1", "▲12", "module0.sys+0x0", "kernel", "5,000", "8", "61", "13", "min", "31", "s", "3",
                                     "▁" * 23 + "█"] and lines[1].endswith("sensor-291 halt")
    assert lines[2].split() == ["s1-0000000000000000", "PAGE_FAULT"]
    assert [lines[i].split()[1] for i in (3, 5, 7)] == ["new", "back", "▼3"]
    assert "<U+001B>[2J<U+202E>evil" in out and "\x1b" not in out and "\u202e" not in out
    assert lines[9] == "4 of 1,214 signatures; --limit shows more"


def test_pages_follow_the_cursor(api, signatures):
    everything = [row(i) for i in range(2500)]

    def page(parameters):
        begin, n = int(parameters.get("cursor", "c0")[1:]), int(parameters["limit"])
        end = begin + n
        return 200, answer(everything[begin:end], total=2500, next=f"c{end}" if end < 2500 else None)
    api.answers["/v1/signatures"] = page
    out, _ = signatures("--limit", "all")
    assert [a[1]["limit"] for a in api.asked] == ["1000", "1000", "1000"] and out.endswith("\n2,500 signatures\n")
    assert sum("kernel" in line for line in out.split("\n")) == 2500
    api.asked.clear()
    out, _ = signatures("--limit", "1200")
    assert [a[1]["limit"] for a in api.asked] == ["1000", "200"] and out.endswith("1,200 of 2,500 signatures; --limit shows more\n")


def test_facets(api, signatures):
    api.answers["/v1/signatures"] = 200, answer([row(0)], facets={
        "kind": [{"value": "kernel", "signatures": 1200}, {"value": "user", "signatures": 3}], "site": [], "os": [{"value": "\u202e", "signatures": 1}]})
    out, _ = signatures("--facets")
    assert api.asked[-1][1]["facets"] == "1"
    assert out.startswith("kind       kernel 1,200, user 3\nsite       \nos         <U+202E> 1\n")


@pytest.mark.parametrize("query, at, mark", [
    ("kind:kernel foo:bar", 12, 12), ("\u754c foo:bar", 2, 3), ("e\u0301 foo:bar", 3, 2), ("\u202e foo:x", 2, 9), ("new:<1h", None, None)])
def test_mistakes_are_shown_where_they_are(api, signatures, query, at, mark):
    api.answers["/v1/signatures"] = 400, {"error": {"code": "invalid_parameter", "message": '"foo" is no field; fields are module',
                                                    "field": "q", **({} if at is None else {"at": at})}}
    for options in ([], ["--json"], ["--csv"]):
        api.answers["/v1/signatures.csv"] = api.answers["/v1/signatures"]
        out, err = signatures(*options, "--", query, status=2)
        lines = err.split("\n")
        assert out == "" and lines[0] == 'faultline signatures: "foo" is no field; fields are module'
        if at is not None:
            assert lines[1] == "  " + query.replace("\u202e", "<U+202E>") and lines[2] == "  " + " " * mark + "^"


def test_nothing_found(api, signatures):
    api.answers["/v1/signatures"] = 200, answer([], parsed=[
        {"field": "module", "at": 0, "length": 13, "without": 2}, {"field": "new", "at": 14, "length": 7, "without": 214}])
    out, _ = signatures("-module:a.sys new:<1h", status=2)  # an option, for all it looks like
    out, _ = signatures("--", "-module:a.sys new:<1h", status=3)
    assert out == "No signature matches.  Widest part of the query: new:<1h (removing it gives 214)\n"


def test_json_and_csv(api, signatures):
    api.answers["/v1/signatures"] = 200, answer([row(0)])
    out, _ = signatures("--json", "x")
    assert json.loads(out)["signatures"][0]["hosts"] == 5000
    api.answers["/v1/signatures.json"] = 200, {"q": "", "signatures": [row(i) for i in range(3000)]}
    out, _ = signatures("--json", "--limit", "all")
    assert len(json.loads(out)["signatures"]) == 3000
    text = "rank,id\r\n" + "".join(f"{i},\"'=cmd()\"\r\n" for i in range(200000))
    api.answers["/v1/signatures.csv"] = 200, text.encode()
    out, _ = signatures("--csv", "--sort", "last", "kind:kernel")
    assert out == text and len(list(csv.reader(io.StringIO(out)))) == 200001
    assert api.asked[-1][1] == {"q": "kind:kernel", "sort": "last", "group": "signature"}


def test_refusals(api, signatures):
    for args in (["--sort", "size"], ["--group", "x"], ["--limit", "0"], ["--limit", "9x"], ["--json", "--csv"], ["--json", "--limit", "1001"],
                 ["x" * 5000]):
        _, err = signatures(*args, status=2)
        assert err
    _, err = signatures(server=1, status=1)
    assert "cannot reach" in err
    api.answers["/v1/signatures"] = 503, {"error": {"code": "catching_up", "message": "not yet"}}
    _, err = signatures(status=1)
    assert "not yet (catching_up)" in err
    api.answers["/v1/signatures"] = 200, {"signatures": []}
    _, err = signatures("x", status=1)
    assert "does not search" in err


# ---- the real daemon


def test_same_grammar_as_the_api(daemon, programs, signatures):
    """The query means on the command line what it means in the API, and so do its mistakes."""
    fleet.bad_rollout(daemon)
    last = None
    for i in range(7):
        last = fleet.crash(daemon, i, module=f"=cmd{i}|'x'!A1\u202e.dll", offset=hex(16 * i + 1), kind="user")
    fleet.folded(daemon, last)
    daemon.until(lambda: daemon.get("/v1/signatures?q=state:halt").json["total"] > 0, "the halt")
    port = daemon.api_port
    out, _ = signatures("module:csagent.sys", "kind:kernel", "new:<1h", "hosts:>5", server=port)
    assert out.endswith("\n1 signature\n") and "csagent.sys+0xe14ed" in out and "d1 halt" in out
    for query in ("", "kind:user", "-kind:user", "state:halt", "hosts:<2 new:<1h", '"csagent.sys"'):
        expected = daemon.get("/v1/signatures?q=" + urllib.parse.quote(query)).json
        out, _ = signatures("--json", "--", query, server=port)
        got = json.loads(out)
        assert got["total"] == expected["total"] and [s["id"] for s in got["signatures"]] == [s["id"] for s in expected["signatures"]]
        out, _ = signatures("--csv", "--", query, server=port)
        rows = list(csv.reader(io.StringIO(out, newline="")))
        assert len(rows) - 1 == expected["total"] > 0 and "\u202e" not in out
        assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for r in rows for cell in r if not cell[1:].isdigit())
        out, _ = signatures("--json", "--limit", "all", "--", query, server=port)
        assert len(json.loads(out)["signatures"]) == expected["total"]
    for query in ("foo:bar", "kind:kernel new:<1x", "kind:kernl", 'title:"open', "\u754c hosts:>many"):
        error = daemon.get("/v1/signatures?q=" + urllib.parse.quote(query)).json["error"]
        _, err = signatures(query, status=2, server=port)
        lines = err.split("\n")
        assert lines[0] == f"faultline signatures: {error['message']}" and lines[1] == f"  {query}"
        wide = query[:error["at"]].count("\u754c")
        assert lines[2] == "  " + " " * (error["at"] + wide) + "^"
    out, _ = signatures("kind:kernel hosts:>1000", status=3, server=port)
    assert "hosts:>1000 (removing it gives 1)" in out
    done = subprocess.run([programs.faultline, "top", "--once", "--server", f"127.0.0.1:{port}", "--filter", "kind:user", "--sort", "hosts"],
                          text=True, capture_output=True, check=True, timeout=60)
    assert "SIGNATURES kind:user BY hosts: 7" in done.stdout and "\u202e" not in done.stdout
