# SPDX-License-Identifier: Apache-2.0
"""faultline sim --virtual and --july-2024: the ledger in virtual time, no daemon."""
import json
import subprocess

import pytest

from conftest import FAULTLINE

FLEET = ["--hosts", "20000", "--sites", "400", "--interval", "10m"]
DAY = ["--rings", "1%,10%,100%", "--hours", "0,1,2", "--ring-time", "20m"]


def run(*arguments, code=0):
    p = subprocess.run([FAULTLINE, "sim", *arguments, "--json", "--quiet"], capture_output=True, text=True, timeout=240,
                       check=False)
    assert p.returncode == code, p.stdout + p.stderr
    return p.stdout if code == 0 else p.stderr


def rows(text):
    return [row for sheet in json.loads(text) for row in sheet["rows"]]


def test_a_bad_payload_halts_in_its_first_ring():
    text = run("--virtual", *FLEET, *DAY, "--hazard", "0.5", "--runs", "5", "--seed", "7", "--compare")
    (row,) = rows(text)
    assert row["runs"] == 5 and row["halted, %"][0] == 100
    assert 3 <= row["hosts harmed"][0] < 100, row
    assert row["hosts served"][0] <= 200 + 1
    assert row["reports at the halt"][0] >= 3
    assert row["fixed 50 in 60 min"][0] > row["hosts harmed"][0]
    # the same seed gives the same bytes, another seed another fleet; runs at once change nothing
    assert run("--virtual", *FLEET, *DAY, "--hazard", "0.5", "--runs", "5", "--seed", "7", "--compare", "--jobs",
               "3") == text
    assert run("--virtual", *FLEET, *DAY, "--hazard", "0.5", "--runs", "5", "--seed", "8", "--compare") != text


def test_harmless_deployments_are_not_halted():
    (row,) = rows(run("--virtual", *FLEET, *DAY, "--runs", "24", "--compare"))
    assert row["deployments"] == 24 and row["reports"] > 100
    assert row["false halts per 1000"][0] == 0, row
    assert row["Ubuntu new bucket, 6 h"][0] >= 0


def test_a_harmless_rebuild_is_not_halted():
    (row,) = rows(run("--virtual", *FLEET, *DAY, "--runs", "12", "--rebuild", "100"))
    assert row["false halts per 1000"][0] == 0, row


def test_july_scaled_down():
    found = rows(run("--july-2024", "--hosts", "40000"))
    uploads = [r for r in found if r["evidence"].endswith("% upload")]
    assert len(uploads) == 8
    assert all(r["halted, %"][0] == 100 for r in uploads), uploads
    ramp = next(r for r in uploads if r["schedule"].startswith("ramp") and r["evidence"].startswith("10 %"))
    flat = next(r for r in uploads if r["schedule"].startswith("flat") and r["evidence"].startswith("10 %"))
    assert ramp["hosts harmed"][0] < 1000 and flat["hosts harmed"][0] < 8000
    confused = next(r for r in found if r["schedule"].startswith("flat, harmless"))
    assert confused["halted, %"][0] == 0


def test_tables_are_named():
    p = subprocess.run([FAULTLINE, "sim", "--virtual", "--table", "list"], capture_output=True, text=True, timeout=60,
                       check=True)
    names = [line.split()[0] for line in p.stdout.splitlines()]
    assert {"null", "staged", "rebuild", "hazards", "old", "dark", "boot-loop", "small", "forged",
            "suspects"} <= set(names)


@pytest.mark.parametrize("bad", [["--table", "nothing"], ["--rings", "10%,1%", "--hours", "0,1"],
                                 ["--rings", "1%,100%", "--hours", "0"], ["--hazard", "2"], ["--order", "best"],
                                 ["--ramp", "20"], ["--set", "novalue"], ["extra"]])
def test_unusable_options(bad):
    run("--virtual", *bad, code=2)
