# SPDX-License-Identifier: Apache-2.0
"""faultline deploy drill: the fire drill, against a server as it is shipped."""
import http.server
import json
import os
import subprocess
import threading

import fleet


def drill(programs, daemon, *arguments):
    p = subprocess.run([programs.faultline, "deploy", "drill", "--server", f"http://127.0.0.1:{daemon.api_port}",
                        "--stream", f"127.0.0.1:{daemon.stream}", "--json", *arguments],
                       capture_output=True, text=True, timeout=120, check=False)
    return p.returncode, json.loads(p.stdout) if p.stdout else None, p.stderr


def receiver(status):
    """An HTTP server that answers so; what it got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # pylint: disable=invalid-name
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):  # pylint: disable=arguments-differ
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, got


def hooked(make_daemon, text):
    d = make_daemon(start=False, halt_host_age="1h")  # the shipped value: hosts of a drill are known for seconds
    path = os.path.join(d.directory, "webhooks")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o600)
    d.settings["webhook-file"] = path
    return d.start()


def test_the_alarm_works_with_shipped_settings(make_daemon, programs):
    server, got = receiver(200)
    d = hooked(make_daemon, f"[desk]\nurl = http://127.0.0.1:{server.server_address[1]}/\n"
                            f"[other]\nurl = http://127.0.0.1:{server.server_address[1]}/other\ndeployments = nightly-*\n")
    fleet.beat(d)  # a real fleet, and a rollout of everything to everybody
    assert d.put("/v1/deployments/real", {"rings": [{"name": "one", "percent": 5}], "assignment": "hash",
                                           "halt": {"host_age": 0}}).status == 201
    assert d.post("/v1/deployments/real/receipts", {"hosts": [fleet.host(i) for i in range(10)]}).status == 200
    for n in range(3):  # and again: the second time the hosts are known
        code, r, err = drill(programs, d)
        assert code == 0 and r["works"], (r, err)
        assert r["deployment"].startswith("drill-") and r["crashed"] <= r["served"] == 10 and r["decided"] >= 5
        assert 0 < r["accepted_ms"] and 0 < r["halted_ms"] and 0 < r["endpoints_ms"]
        assert {w["name"]: w["state"] for w in r["webhooks"]} == {"desk": "delivered", "other": "not_for_it"}
        raised = [e for e in got if e["type"] == "dev.faultline.halt.raised"]
        assert raised[-1]["data"]["deployment"] == r["deployment"] and "faultline-drill-" in raised[-1]["data"]["reason"]
        assert len(raised) == n + 1
    # nothing is left, and nobody else was impressed
    assert [x["id"] for x in d.get("/v1/deployments").json["deployments"]] == ["real"]
    v = d.get("/v1/deployments/real/verdict").json
    assert v["verdict"] == "hold" and v["served"] == 10 and v["bad"] == 0 and v["harmed"] == 0, v
    assert v["assumptions"]["at_risk_served"] == 10, v
    assert d.get("/v1/alarms").json["alarms"] == []
    assert d.get("/v1/hosts/drill-0000").json["goodbye"] is True
    assert d.get("/v1/silence").json["boot_looping"] == 0
    assert d.get("/v1/now").json["hosts"]["known"] == fleet.HOSTS + r["hosts"]
    server.shutdown()


def test_alarms_one_after_the_other(make_daemon, programs):
    d = make_daemon(halt_host_age="1h")
    code, r, err = drill(programs, d, "row", "--times", "5")
    assert code == 0 and r["alarms"]["worked"] == 5 and r["deployment"] == "row-5", (r, err)
    assert 0 < r["alarms"]["p50_ms"] <= r["alarms"]["p99_ms"] <= r["alarms"]["max_ms"]
    assert r["decided"] == r["crashed"] and r["webhooks"] == []
    assert d.get("/v1/deployments").json["deployments"] == []


def test_an_alarm_that_does_not_arrive(make_daemon, programs):
    server, _ = receiver(410)
    d = hooked(make_daemon, f"[desk]\nurl = http://127.0.0.1:{server.server_address[1]}/\n")
    code, r, err = drill(programs, d, "fire-1", "--wait", "3s")
    assert code == 1 and not r["works"] and r["failed"] == "webhooks", r
    assert r["webhooks"][0]["state"] != "delivered" and "webhook" in err
    assert d.get("/v1/deployments/fire-1").status == 404
    server.shutdown()


def test_a_server_that_judges_in_the_shadow_does_not_pass(make_daemon, programs):
    d = make_daemon(halt_shadow="yes")
    code, r, err = drill(programs, d, "fire-2", "--wait", "4s")
    assert code == 1 and r["failed"] == "halt" and "was not told to halt" in err
    assert r["crashed"] == 10 and d.get("/v1/deployments/fire-2").status == 404


def test_nobody_there(programs):
    for more, word in ((["--server", "http://127.0.0.1:1", "--stream", "127.0.0.1:1", "--wait", "1s"], "connect"),
                       (["--hosts", "3"], "--help"), (["a", "b"], "usage")):
        p = subprocess.run([programs.faultline, "deploy", "drill", *more], capture_output=True, text=True, timeout=60,
                           check=False)
        assert p.returncode == (1 if word == "connect" else 2) and word in p.stderr, p
