# SPDX-License-Identifier: Apache-2.0
"""What the tests of the dashboard share."""
import math
import os
import re

import pytest

import browser


@pytest.fixture(name="page")
def page_fixture():
    b = browser.Browser(1440, 1000)
    yield b
    b.close()


def artefact(programs, name):
    folder = os.path.join(programs.builddir, "tests", "it")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)


def assets(daemon):
    """The scripts and styles that the shell names."""
    found = re.findall(r'(?:src|href)="(/assets/[\w.-]+\.(?:js|css))"', daemon.get("/").text)
    assert len(found) >= 3
    return found


def complaints(page):
    """What the browser's console says against the page: errors, and violations of its policy."""
    return [m for m in page.console() if "/v1/stream" not in m]


def go(page, daemon, path):
    """Open a page; it is live when this returns."""
    page.go(f"http://127.0.0.1:{daemon.api_port}{path}")
    assert page.wait("return document.querySelector('#fresh')?.dataset.state === 'live' &&"
                     " document.querySelector('main h1') !== null"), page.text("body")


# ---- the formatters again, by hand: web/src/format.ts must say the same

def _sig(v, n):
    """n significant digits, half away from zero, grouped, without trailing zeros."""
    if v == 0:
        return "0"
    digits = n - 1 - math.floor(math.log10(abs(v)))
    rounded = round(v + math.copysign(10 ** (-digits - 9), v), digits)
    text = f"{rounded:,.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _count(v):
    if abs(v) < 1e6:
        return f"{math.floor(v + 0.5):,}"
    return f"{v / 1e6:,.1f} M" if abs(v) < 1e9 else f"{v / 1e9:,.1f} G"


def _rate(v):
    if v == 0:
        return "0"
    if v >= 0.9995:
        return "100 %"
    if v >= 0.0001:
        p = v * 100
        return (str(math.floor(p + 0.5)) if p >= 9.95 else f"{p:#.2g}") + " %"
    return _sig(v * 1e6, 2) + " per million" if v * 1e6 >= 0.95 else _sig(v * 1e9, 2) + " per billion"


def _duration(s):
    if s < 9.95:
        return f"{math.floor(max(0, s) * 10 + 0.5) / 10:g} s"
    if s < 60:
        return f"{math.floor(s)} s"
    for limit, big, one, small, unit in ((3600, 60, "min", 1, "s"), (86400, 3600, "h", 60, "min"),
                                         (math.inf, 86400, "d", 3600, "h")):
        if s < limit:
            return f"{math.floor(s / big)} {one} {math.floor(s % big / small):02d} {unit}"
    raise AssertionError


def _odds(x):
    def one_in(y):
        n = 10 ** y
        for least, size, word in ((0.9995e9, 1e9, " billion"), (0.9995e6, 1e6, " million")):
            if n >= least:
                return "1 in " + _sig(n / size, 2) + word
        return "1 in " + _sig(n, 2)
    if x > 12:
        return "more than 1 in 10¹²"
    if x <= 0:
        return "even" if x > -0.05 else "for harmless, " + one_in(-x)
    return one_in(x)


FORMATS = {
    "count": _count,
    "decimal": lambda v: _count(round(v)) if abs(v) >= 100 else _sig(v, 2) if v == 0 or abs(v) >= 0.0001 else None,
    "rate": _rate, "duration": _duration, "odds": _odds,
    "factor": lambda v: "×" + (_count(v) if v >= 1000 else _sig(v, 3)),
    "power": lambda v: "10" + f"{v:.1f}".replace("-", "−"),
    "milliseconds": lambda v: _sig(v, 2) + " ms",
}
SHOWN = """const doc = document.querySelector('[data-doc]');
return doc && { doc: doc.dataset.doc, position: doc.dataset.position,
    numbers: [...doc.querySelectorAll('[data-k]')].map((n) => [n.dataset.k, n.dataset.f, n.textContent]) }"""


def value(document, path):
    for name in path.split("."):
        document = document[int(name)] if isinstance(document, list) else (document or {}).get(name)
    return document


# Values that pass with time, not with events: a page and an answer of another moment differ.
MOVING = re.compile(r"behind_s|_per_s$|_p99_ms$|_lag_s$|\.queue$")


def numbers_are_the_apis(page, daemon, least=8):
    """Each number on the page is the one at its data-k in the answer of the same position."""
    differ = None

    def same():
        nonlocal differ
        shown = page.run(SHOWN)
        if not shown:
            return False
        document = daemon.get(shown["doc"]).json
        differ = [(k, v, text) for k, f, text in shown["numbers"] if not MOVING.search(k)
                  for v in [value(document, k)] if text != ("–" if v is None else FORMATS[f](v))]
        for k, _, _ in shown["numbers"]:
            assert not k.startswith("undefined") and ".-1." not in k, k
        # of one position they are one; of two, the page is about to follow
        assert not differ or document["position"] != shown["position"], differ
        return not differ and len(shown["numbers"]) >= least
    try:
        daemon.until(same, "the page to be the API's answer", 15)
    except AssertionError as e:
        raise AssertionError(f"{e}: {differ}") from None
