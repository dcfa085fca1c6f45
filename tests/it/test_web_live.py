# SPDX-License-Identifier: Apache-2.0
"""Pages that stay open while the fleet, people, the database and the network change: nobody reloads."""
import os
import signal

import pytest

import browser
import fleet
import web_help

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)
page = web_help.page_fixture
WAIT = 60  # events are awaited; this is for machines that are busy


def look(page, daemon, path):
    """Open a page and mark it: whoever reloads it loses the mark."""
    web_help.go(page, daemon, path)
    page.run("window.stays = true")


def shows(page, script):
    assert page.wait("return " + script, WAIT), page.text("main")
    assert page.run("return window.stays") is True


def chip(status):
    return f"document.querySelector('.title-line .chip')?.dataset.status === '{status}'"


def test_deployments_come_halt_and_go_on(daemon, page):
    fleet.beat(daemon)
    look(page, daemon, "/deployments")
    assert "d1" not in page.text("main")
    fleet.deploy(daemon)
    shows(page, "[...document.querySelectorAll('main tbody a')].some((a) => a.textContent === 'd1')")

    look(page, daemon, "/deployments/d1")
    shows(page, chip("hold"))
    for i in range(fleet.BAD):
        fleet.crash(daemon, i)
    shows(page, chip("halt"))
    shows(page, f"document.querySelectorAll('#votes tbody tr').length === {fleet.BAD}")
    assert daemon.post("/v1/deployments/d1/resume", {"reason": "mended at the vendor", "actor": "anna"}).status == 200
    shows(page, "document.querySelector('.title-line .chip').dataset.status !== 'halt'")
    shows(page, "document.querySelector('#decisions').textContent.includes('mended at the vendor')")
    web_help.numbers_are_the_apis(page, daemon, 20)


def test_decisions_come_by_themselves(daemon, page):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    look(page, daemon, "/halts")
    assert page.run("return document.querySelectorAll('main tbody tr').length") == 0
    assert daemon.post("/v1/deployments/d1/halt", {"reason": "seen on the desk", "actor": "anna"}).status == 200
    shows(page, "document.querySelector('main tbody')?.textContent.includes('seen on the desk')")
    assert daemon.post("/v1/deployments/d1/resume", {"reason": "it was the cable", "actor": "berta"}).status == 200
    shows(page, "document.querySelector('main tbody')?.textContent.includes('it was the cable')")
    for who in ("anna", "berta"):
        assert who in page.text("main tbody")


def test_a_signature_counts_on(daemon, page):
    fleet.beat(daemon)
    fleet.folded(daemon, fleet.crash(daemon, 0))
    signature = daemon.until(lambda: daemon.get("/v1/signatures").json["signatures"], "the signature")[0]["id"]
    look(page, daemon, f"/signatures/{signature}")
    shows(page, "document.querySelector('[data-k=hosts]')?.textContent === '1'")
    for i in (1, 2):
        fleet.folded(daemon, fleet.crash(daemon, i))
    shows(page, "document.querySelector('[data-k=hosts]').textContent === '3'")
    web_help.numbers_are_the_apis(page, daemon)


def test_health_counts_what_is_refused(daemon, page):
    look(page, daemon, "/health")
    shows(page, "document.querySelector('#discards .empty') !== null")
    assert daemon.ingest("POST", "/v1/reports", {"kind": "user"}).status == 400
    shows(page, "document.querySelectorAll('#discards tbody tr').length === 1")


def test_hosts_that_fall_silent_are_seen(make_daemon, page):
    daemon = make_daemon(halt_silence_grace="1s", halt_dark_window="1m")

    def beat(hosts):
        assert daemon.ingest("POST", "/v1/heartbeats", [
            {"host": f"q{i}", "boot_id": f"b{i}", "interval_s": 2, "labels": {"site": f"s{i % 4}"}} for i in hosts]).status == 200
    beat(range(40))
    daemon.until(lambda: daemon.get("/v1/now").json["fleet"]["alive"]["value"] == 40, "the fleet")
    look(page, daemon, "/")
    shows(page, """document.querySelector('[data-k="fleet.alive.value"]').textContent === '40'""")

    def dark():
        beat(range(3, 40))  # three of them no more
        return page.text('[data-k="fleet.dark.value"]') == "3"
    daemon.until(dark, "the silence on the page", 120)
    assert page.run("return window.stays") is True


def postgres(daemon):
    with open(os.path.join(daemon.data, "pg", "postmaster.pid"), encoding="ascii") as f:
        first = int(f.readline())
    with open(f"/proc/{first}/task/{first}/children", encoding="ascii") as f:
        return [first] + [int(pid) for pid in f.read().split()]


def test_a_database_that_stands_still(make_daemon, page):
    """Verdicts go on, the page says what is old, and the words leave when it is back."""
    daemon = make_daemon(database="")
    fleet.beat(daemon)
    first = fleet.crash(daemon, 0)
    daemon.until(lambda: daemon.get(f"/v1/reports/{first}").json.get("stage") == "stored", "the database")
    look(page, daemon, "/")
    assert page.run("return document.querySelector('#bar-database')") is None
    stopped = postgres(daemon)
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        fleet.deploy(daemon)
        for i in range(fleet.BAD):
            fleet.crash(daemon, i)
        shows(page, "document.querySelector('#banner').dataset.level === 'halt'")
        shows(page, "document.querySelector('#bar-database') !== null")
        assert "erdicts and counts are live" in page.text("#bar-database")
        assert page.run("return document.querySelector('#fresh').dataset.state") == "live"
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    shows(page, "document.querySelector('#bar-database') === null")
    assert web_help.complaints(page) == []


def test_a_paused_page_stands_still_but_never_hides_a_halt(daemon, page):
    fleet.beat(daemon)
    look(page, daemon, "/signatures")
    page.press("p")
    shows(page, "/paused, \\d+ change/.test(document.body.textContent)")
    fleet.deploy(daemon)
    for i in range(fleet.BAD):
        fleet.crash(daemon, i)
    shows(page, "document.querySelector('header').textContent.includes('1 HALTED')")  # the chips stay live
    shows(page, "/paused, [1-9]/.test(document.body.textContent)")
    assert "+0xe14ed" not in page.text("main"), page.text("#pause")
    page.press("p")
    shows(page, "document.querySelector('main').textContent.includes('+0xe14ed')")


def test_the_keyboard_comes_back_from_a_dialog(daemon, page):
    fleet.beat(daemon)
    fleet.deploy(daemon)
    look(page, daemon, "/deployments/d1")
    shows(page, "document.querySelector('#do-halt') !== null")
    page.run("document.querySelector('#do-halt').focus()")
    page.press("Enter")
    shows(page, "document.querySelector('dialog[open]')?.contains(document.activeElement)")
    seen = set()
    for _ in range(12):  # Tab stays within
        page.press("Tab")
        where = page.run("""const a = document.activeElement;
            return a === document.body ? 'window' : a.closest('dialog') ? a.id || a.textContent : 'outside ' + a.outerHTML.slice(0, 80)""")
        assert not where.startswith("outside"), where
        seen.add(where)
    assert len(seen) >= 3, seen
    page.press("Escape")
    shows(page, "!document.querySelector('dialog') && document.activeElement.id === 'do-halt'")
    page.press("?")
    shows(page, "document.querySelector('dialog[open]') !== null")
    page.press("Escape")
    shows(page, "!document.querySelector('dialog')")


def test_long_names_in_capitals_break_between_words(daemon, page):
    """And what is copied is the name: nothing is put into it."""
    fleet.folded(daemon, fleet.crash(daemon, 0, reason="PAGE_FAULT_IN_NONPAGED_AREA"))
    page.viewport(390)
    look(page, daemon, "/signatures")
    shows(page, "[...document.querySelectorAll('main bdi')].some((n) => n.textContent.includes('PAGE_FAULT_IN_NONPAGED_AREA') && n.querySelectorAll('wbr').length === 4)")


def test_every_state_of_a_rollout_on_a_wall_and_a_phone(daemon, page, programs):
    """A clean one, one in shadow, one that is paused: no page is wider than its window, each number is the API's."""
    fleet.beat(daemon)
    fleet.deploy(daemon, "clean", served=200, bake="1s")
    fleet.deploy(daemon, "shadow", served=10, mode="shadow")
    fleet.deploy(daemon, "paused", served=0)
    assert daemon.post("/v1/deployments/paused/pause", {"reason": "\u202e<b>" + "A" * 300}).status == 200
    for name in ("clean", "shadow", "paused"):
        look(page, daemon, f"/deployments/{name}")
        shows(page, "document.querySelector('main [aria-busy=true]') === null && document.querySelector('.title-line .chip') !== null")
        web_help.numbers_are_the_apis(page, daemon, 5)
        for width in (390, 2560, 1440):
            page.viewport(width)
            shows(page, f"window.innerWidth === {width}")
            shows(page, "document.documentElement.scrollWidth <= document.documentElement.clientWidth")
            page.screenshot(web_help.artefact(programs, f"rollout-{name}-{width}.png"))
    assert page.run("return document.querySelectorAll('main b.because, main script').length") == 0
    assert web_help.complaints(page) == []
