# SPDX-License-Identifier: Apache-2.0
"""Why a deployment halted, and why not: every number of the evidence can be recomputed by hand."""
import math
import subprocess

import pytest

import fleet
from test_api_deploy import wait_verdict


def by_hand(votes):
    """The running log odds of a key from its grid, its weight and each vote's q."""
    grid = votes["grid"]
    assert abs(sum(math.exp(g["log_share"]) for g in grid) - 1) < 1e-9
    factors = [0.0] * len(grid)
    odds = []
    for v in votes["votes"]:
        if v["counted"]:
            for i, g in enumerate(grid):
                factors[i] += (math.log(g["ratio"]) if v["served"] else 0) - math.log1p((g["ratio"] - 1) * v["q"])
        log_e = math.log(sum(math.exp(g["log_share"] + f) for g, f in zip(grid, factors)))
        odds.append(votes["standing"]["log_weight"] + log_e)
    return odds


def test_the_odds_follow_from_the_votes(daemon):
    fleet.bad_rollout(daemon)
    wait_verdict(daemon, "halt")
    votes = daemon.get("/v1/deployments/d1/votes").json
    assert votes["total"] == votes["kept"] == len(votes["votes"]) == fleet.BAD and votes["next"] is None
    odds = by_hand(votes)
    for v, want in zip(votes["votes"], odds):
        assert abs(v["log_odds"] - want) < 1e-5
        rho, y1, y0 = votes["standing"]["rho"], v["at_risk_served"], v["at_risk_unserved"]
        assert abs(v["q"] - rho * y1 / (rho * y1 + y0)) < 1e-8
    assert odds[-1] >= votes["standing"]["log_needed"] > odds[-2]
    page = daemon.get("/v1/deployments/d1/votes?from=2&limit=3").json
    assert page["votes"] == votes["votes"][2:5] and page["next"] == 5


def test_the_whole_evidence(daemon):
    fleet.bad_rollout(daemon)
    wait_verdict(daemon, "halt")
    e = daemon.get("/v1/deployments/d1/evidence").json
    assert e["verdict"] == "halt" and len(e["token"]) == 49
    assert "fewer than 1 of" in e["reason"]
    assert e["blast_radius"]["exposed"] == 10 and e["blast_radius"]["harmed"] == fleet.BAD
    assert e["blast_radius"]["projected_if_resumed"] == round(0.6 * (fleet.HOSTS - 10))
    first = e["standings"][0]
    assert first["reaches"] and first["table"]["served_with"] == fleet.BAD and first["table"]["unserved_with"] == 0
    assert first["hazard_ratio"]["low"] > 1
    assert sum(m["served"] for m in e["timeline"]) == 10
    assert e["assumptions"]["randomised_per_host"] and e["assumptions"]["strata"] >= 1
    assert any("not served" in text for text in e["would_change"])


def test_why_it_did_not_halt(daemon):
    """A crash that both arms have; one nobody has; silence; a key that is no key."""
    fleet.beat(daemon)
    fleet.deploy(daemon)
    other = {"module": "graphics.sys", "module_id": "5f000000a000", "offset": "0x1000"}
    reports = [fleet.crash(daemon, i, **other) for i in (0, 50, 60, 70)]
    signature = fleet.folded(daemon, reports[-1])["signature"]
    s = daemon.get(f"/v1/deployments/d1/evidence?signature={signature}").json["standing"]
    assert not s["reaches"] and s["table"]["served_with"] == 1 and s["table"]["unserved_with"] == 3
    assert "needed" in s["why"]
    s = daemon.get("/v1/deployments/d1/evidence?signature=s1-0123456789abcdef").json["standing"]
    assert "ever counted" in s["why"]
    assert daemon.get("/v1/deployments/d1/evidence?key=dark").json["standing"]["key"] == "dark"
    assert daemon.get("/v1/deployments/d1/evidence?key=no").status == 400
    assert daemon.get("/v1/deployments/d1/evidence?signature=x").status == 400
    assert daemon.get("/v1/deployments/none/evidence").status == 404
    assert daemon.get("/v1/deployments/none/votes").status == 404


def explain(daemon, programs, *args):
    return subprocess.run([programs.faultline, "explain", "--server", f"http://127.0.0.1:{daemon.api_port}", *args],
                          capture_output=True, text=True, timeout=60, check=False)


def test_explain_for_a_person(daemon, programs):
    fleet.bad_rollout(daemon)
    wait_verdict(daemon, "halt")
    p = explain(daemon, programs, "d1")
    assert p.returncode == 0, p.stderr
    assert p.stdout.startswith("d1: halt (halted)\n") and "fewer than 1 of" in p.stdout
    for part in ("token", "odds", "with it", "what would change it", "assumed:", "going on would harm"):
        assert part in p.stdout, part
    assert len([line for line in p.stdout.splitlines() if " served " in line and "+" in line]) >= fleet.BAD
    dark = explain(daemon, programs, "d1", "--key", "dark")
    assert dark.returncode == 0
    assert explain(daemon, programs, "none").returncode == 1
    assert explain(daemon, programs).returncode == 2
    assert explain(daemon, programs, "d1", "--json").stdout.startswith("{")


def test_a_halt_keeps_its_votes_in_the_database(make_daemon):
    """The decision and its ordered vote log are enough to come to the odds again, without the log."""
    store = pytest.importorskip("test_store_daemon")
    daemon = make_daemon(database="")
    fleet.bad_rollout(daemon)
    wait_verdict(daemon, "halt")

    def decisions():
        try:
            return store.ask(daemon, "SELECT proof FROM decisions WHERE automatic AND deployment = 'd1'")
        except store.psycopg2.Error:  # the schema is being made
            return None

    rows = daemon.until(decisions, "the decision in the database")
    proof = rows[0][0]
    assert len(proof["votes"]) == proof["votes_total"] == fleet.BAD
    odds = by_hand({**proof, "standing": proof})
    assert all(abs(v["log_odds"] - want) < 1e-9 for v, want in zip(proof["votes"], odds))
    assert odds[-1] >= proof["log_needed"] > odds[-2]
