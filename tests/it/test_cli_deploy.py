# SPDX-License-Identifier: Apache-2.0
"""faultline deploy against the real daemon."""
import json
import os
import subprocess

import pytest

import fleet


@pytest.fixture
def deploy(daemon, programs):
    def run(*args, status=0, stdin=None, env=None):
        done = subprocess.run([programs.faultline, "deploy", *args], input=stdin, text=True, capture_output=True, check=False,
                              env={**os.environ, "FAULTLINE_SERVER": f"http://127.0.0.1:{daemon.api_port}", **(env or {})})
        assert done.returncode == status, (args, done.stdout, done.stderr)
        return done
    return run


def test_the_life_of_a_deployment(daemon, deploy, tmp_path):
    fleet.beat(daemon)
    out = deploy("create", "d1", "--artefact", "sensor", "--version", "291-32", "--module", "csagent.sys", "--module", "x.sys",
                 "--ring", "canary=10", "--ring", "early=5%", "--ring", "rest", "--product", "sensor", "--bake", "30m").stdout
    assert out.startswith("created d1") and "nothing_served" in out
    plan = daemon.get("/v1/deployments/d1").json["plan"]
    assert plan["modules"] == ["csagent.sys", "x.sys"] and plan["eligible"]["products"] == ["sensor"]
    assert [r["name"] for r in plan["rings"]] == ["canary", "early", "rest"] and plan["rings"][1]["percent"] == 5
    assert deploy("create", "d1", "--plan", "-", stdin=json.dumps(plan)).stdout.startswith("kept d1")

    hosts = tmp_path / "hosts"
    hosts.write_text("".join(fleet.host(i) + "\n" for i in range(10)))
    assert "served 10" in deploy("serve", "d1", "--hosts", str(hosts)).stdout
    assert "served 11" in deploy("serve", "d1", "--host", fleet.host(10)).stdout
    out = deploy("serve", "d1", "--host", fleet.host(10), "--withdrawn", "--json").stdout
    assert json.loads(out)["withdrawn"] == 1
    for i in range(fleet.BAD + 1):  # 11 are served
        fleet.crash(daemon, i)
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    show = deploy("show", "d1").stdout
    assert "canary (10 hosts), early (" in show and "rest (the rest)" in show
    assert daemon.get("/v1/deployments/d1").json["rings"][2] == {"name": "rest", "hosts": None}
    assert "halt (halted)" in show and "csagent.sys+0xe14ed" in show and show.count("  report ") >= fleet.BAD
    assert json.loads(deploy("show", "d1", "--json").stdout)["evidence"]["hosts"] >= fleet.BAD
    assert deploy("list").stdout.startswith("halt     d1 ")

    assert "--reason" in deploy("resume", "d1", status=2).stderr
    assert deploy("resume", "d1", "--reason", "was the lab").stdout.startswith("hold ")
    assert "halted_by_person" in deploy("halt", "d1", "--reason", "phones ring").stdout
    assert "deployment_halted" in deploy("delete", "d1", status=1).stderr
    assert deploy("delete", "d1", "--force").stdout == "deleted d1\n"
    assert deploy("list").stdout == ""


def test_errors_are_sentences_and_statuses(daemon, deploy):
    assert "no such deployment" in deploy("show", "nosuch", status=1).stderr
    assert "one deployment id" in deploy("show", status=2).stderr
    assert "usage:" in deploy("fly", "d1", status=2).stderr
    assert "rings[0].name" in deploy("create", "d1", "--ring", "=5", status=1).stderr
    assert "--ring wants" in deploy("create", "d1", "--ring", "a=b", status=2).stderr
    assert "cannot reach" in deploy("list", "--server", "http://127.0.0.1:1", status=1).stderr
    assert deploy("--help").stdout.startswith("usage: faultline deploy")
    assert daemon.get("/v1/deployments").json["deployments"] == []


def test_hostile_texts_do_not_reach_the_terminal(daemon, deploy):
    fleet.deploy(daemon, served=0, artefact="a\u202eb\u009b31m")
    out = deploy("show", "d1").stdout
    assert "\u202e" not in out and "\u009b" not in out and "a<U+202E>b<U+009B>31m" in out


def test_the_token_file(make_daemon, programs, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("# ours\n  secret-secret-secret  # the first\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens))
    command = [programs.faultline, "deploy", "create", "d1", "--server", f"127.0.0.1:{d.api_port}"]
    refused = subprocess.run(command, text=True, capture_output=True, check=False)
    assert refused.returncode == 1 and "unauthorized" in refused.stderr
    assert subprocess.run(command + ["--token-file", str(tokens)], check=False, stdout=subprocess.DEVNULL).returncode == 0
    env = {**os.environ, "FAULTLINE_TOKEN_FILE": str(tokens)}
    assert subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_a_plan_is_weighed_before_it_starts(programs):
    def plan(*args, status=0):
        done = subprocess.run([programs.faultline, "deploy", "plan", *args], text=True, capture_output=True, check=False)
        assert done.returncode == status, (args, done.stdout, done.stderr)
        return done

    five = ["--fleet", "1000000", "--ring", "canary=1000,30m,90m", "--ring", "early=0.9%,30m,210m", "--ring", "some=90000,30m,330m",
            "--ring", "half=400000,30m,330m", "--ring", "rest,30m"]
    told = json.loads(plan(*five, "--json").stdout)
    assert [r["name"] for r in told["rings"]] == ["canary", "early", "some", "half", "rest"]
    assert told["rings"][0]["reports_to_halt"] == 3 and told["rings"][4]["reports_to_halt"] is None
    assert all(r["next_ring_fits"] for r in told["rings"])
    worst = told["payloads"][0]
    assert worst["hazard"] == 1 and worst["by_crash"]["halted"] and 80 < worst["by_crash"]["harmed"] < 120
    assert worst["by_crash"]["ring"] == "canary" and worst["by_silence"]["harmed"] > worst["by_crash"]["harmed"]
    text = plan(*five).stdout
    assert "canary" in text and "certifies" in text and "!" not in text
    bold = plan("--fleet", "1000000", "--ring", "canary=10", "--ring", "all", "--upload", "0%").stdout
    assert "! all is larger than a clean canary allows" in bold and "not halted" in bold
    stricter = json.loads(plan(*five, "--halt", "alpha=1e-9", "--json").stdout)
    assert stricter["rings"][1]["reports_to_halt"] > told["rings"][1]["reports_to_halt"]
    assert "must be from" in plan(*five, "--halt", "alpha=2", status=2).stderr
    assert "rest" in plan("--fleet", "10", "--ring", "a", "--ring", "b", status=2).stderr
    assert "--fleet" in plan("--ring", "a", status=2).stderr
