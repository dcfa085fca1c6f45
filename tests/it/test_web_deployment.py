# SPDX-License-Identifier: Apache-2.0
"""A deployment's page in a real Chromium: evidence, votes, and what people do to it."""
import math

import pytest

import browser
import fleet
import web_help

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)
page = web_help.page_fixture


def chip(status):
    return f"return document.querySelector('.title-line .chip')?.dataset.status === '{status}'"


def fill(page, selector, text):
    page.run("""const n = document.querySelector(arguments[0]);
        n.value = arguments[1];
        n.dispatchEvent(new InputEvent('input', { bubbles: true }))""", selector, text)


def submit(page):
    page.run("document.querySelector('dialog form').requestSubmit()")


def test_why_it_was_halted(daemon, page, programs):
    fleet.bad_rollout(daemon)
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    web_help.go(page, daemon, "/deployments/d1")
    assert page.wait(chip("halt"))
    assert page.wait("return document.querySelectorAll('#votes tbody tr').length > 0")
    web_help.numbers_are_the_apis(page, daemon, 20)
    d = daemon.get("/v1/deployments/d1?view=page").json
    # the server's sentence, word for word
    assert page.text("#sentence").strip() == d["summary"]
    # weight times the factors is the last of the odds; the vote that is marked HALT is the one that the chart names
    votes = d["votes"]
    log10 = d["key"]["log10_weight"] + sum(math.log10(v["factor"]) for v in votes if v.get("counted", True))
    assert abs(log10 - votes[-1]["log10_odds"]) < 0.01 and len(votes) == d["votes_total"]
    marked = page.run("return [...document.querySelectorAll('#votes tbody tr')].filter((r) => r.querySelector('.chip.halt')).map((r) => r.cells[0].textContent)")
    assert len(marked) == 1
    label = page.run("return document.querySelector('#evidence .canvas').getAttribute('aria-label')")
    assert f"halt at vote {marked[0]}" in label
    first = next(v for v in votes if v["reached"] == "halt")
    assert str(first["n"]) == marked[0] and first["log10_odds"] >= d["thresholds"]["halt_log10"]
    # the chart by the keyboard
    page.run("document.querySelector('#evidence .canvas').focus()")
    page.press("End")
    assert page.wait(f"return document.querySelector('#evidence .readout').textContent.startsWith('vote {votes[-1]['n']}  ')")
    page.press("ArrowLeft")
    assert page.wait(f"return document.querySelector('#evidence .readout').textContent.startsWith('vote {votes[-2]['n']}  ')")
    # another key, in the address
    page.run("document.querySelector('#evidence .canvas').blur()")
    page.press("]")
    assert page.wait("return location.search.startsWith('?key=')")
    page.viewport(390, 900)
    assert page.wait("return document.documentElement.scrollWidth <= 390"), page.run("return document.documentElement.scrollWidth")
    page.viewport(1440, 1000)
    page.go(f"http://127.0.0.1:{daemon.api_port}/deployments/d1")
    page.wait(chip("halt"))
    page.screenshot(web_help.artefact(programs, "deployment.png"))
    assert web_help.complaints(page) == []


def test_acknowledge_and_resume(daemon, page):
    fleet.bad_rollout(daemon)
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    web_help.go(page, daemon, "/deployments/d1")
    assert page.wait(chip("halt"))
    page.press("a")
    assert page.wait("return document.querySelector('dialog[open] #reason') === document.activeElement")
    submit(page)  # no reason
    assert page.wait("return document.querySelector('#action-error').textContent.includes('reason')")
    page.type("on it")  # letters are letters here, not shortcuts
    submit(page)
    assert page.wait("return !document.querySelector('dialog') && document.querySelector('.said').textContent.includes('on it')")

    page.press("r")
    assert page.wait("return document.querySelector('dialog[open] #confirm')")
    assert "hosts" in page.text("dialog .harm") and page.text("dialog .buttons button") == "Keep it halted"
    page.press("Escape")  # nothing acts by accident
    assert page.wait("return !document.querySelector('dialog')")
    assert daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt"
    assert page.run("return document.activeElement.id") in ("do-resume", "")

    page.click("#do-resume")
    page.wait("return document.querySelector('#confirm')")
    fill(page, "#reason", "the vendor mended it")
    fill(page, "#confirm", "d2")
    submit(page)
    assert page.wait("return document.querySelector('#action-error').textContent.includes('does not match')")
    fill(page, "#confirm", "d1")
    submit(page)
    assert page.wait("return !document.querySelector('dialog')")
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] != "halt", "the resume")
    assert page.wait("return document.querySelector('.title-line .chip').dataset.status !== 'halt'")
    assert page.wait("return document.querySelector('#decisions').textContent.includes('the vendor mended it')")


def test_two_people_act_at_once(daemon, page):
    fleet.bad_rollout(daemon)
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt", "the halt")
    web_help.go(page, daemon, "/deployments/d1")
    assert page.wait(chip("halt"))
    page.click("#do-resume")
    page.wait("return document.querySelector('#confirm')")
    fill(page, "#reason", "mine")
    fill(page, "#confirm", "d1")
    # somebody else decides while the dialog is open
    assert daemon.post("/v1/deployments/d1/ack", {"reason": "I look at it", "actor": "anna"}).status == 200
    submit(page)
    assert page.wait("return document.querySelector('#conflict')")
    assert "anna" in page.text("#conflict") and "I look at it" in page.text("dialog")
    assert daemon.get("/v1/deployments/d1/verdict").json["verdict"] == "halt"
    page.run("[...document.querySelectorAll('dialog button')].find((b) => b.textContent.startsWith('Act on')).click()")
    assert page.wait("return document.querySelector('dialog form')")
    submit(page)  # what was typed is still there
    assert page.wait("return !document.querySelector('dialog')")
    daemon.until(lambda: daemon.get("/v1/deployments/d1/verdict").json["verdict"] != "halt", "the resume")


def test_a_hold_says_what_is_needed(daemon, page):
    fleet.beat(daemon)
    fleet.deploy(daemon, "d1", served=10)
    web_help.go(page, daemon, "/deployments/d1")
    assert page.wait(chip("hold"))
    assert page.wait("return document.querySelectorAll('#needed li').length > 0")
    assert "No host has voted" in page.text("#votes")
    page.press("h")
    assert page.wait("return document.querySelector('dialog[open] #reason')")
    fill(page, "#reason", "seen on the desk")
    submit(page)
    assert page.wait(chip("halt"))
    web_help.go(page, daemon, "/deployments/none")
    assert page.wait("return document.querySelector('main').textContent.includes('no deployment with this id')")


def test_who_may_not_act_reads_why(make_daemon, page, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret-secret-secret\n")
    tokens.chmod(0o600)
    d = make_daemon(token_file=str(tokens))  # on loopback reading stays open
    bearer = {"Authorization": "Bearer secret-secret-secret"}
    assert d.put("/v1/deployments/d1", fleet.PLAN, headers=bearer).status in (200, 201)
    web_help.go(page, d, "/deployments/d1")
    assert page.wait("return document.querySelector('#do-halt')?.getAttribute('aria-disabled') === 'true'")
    assert page.text(".act .why") == "sign in to act"
    page.click("#do-halt")
    assert page.run("return document.querySelector('dialog')") is None
