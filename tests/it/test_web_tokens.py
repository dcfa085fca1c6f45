# SPDX-License-Identifier: Apache-2.0
"""The colours of web/src/style/tokens.css: contrast, and distances as people with each kind of colour vision see them."""
import math
import os
import re

TOKENS = os.path.join(os.path.dirname(__file__), "../../web/src/style/tokens.css")
# Machado, Oliveira, Fernandes 2009, full severity, on linear RGB
VISION = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
# smallest distance of any two status colours that the design was chosen by
STATUS = {"light": {"normal": 19.6, "protan": 13.4, "deutan": 14.0, "tritan": 14.5},
          "dark": {"normal": 24.0, "protan": 17.8, "deutan": 16.1, "tritan": 21.0}}


def tokens():
    with open(TOKENS, encoding="utf-8") as f:
        found = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", f.read())
    assert len(found) >= 18
    return {theme: {name: pair[i] for name, *pair in found} for i, theme in enumerate(("light", "dark"))}


def linear(colour):
    rgb = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]


def contrast(a, b):
    x, y = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(a), linear(b)))
    return (y + 0.05) / (x + 0.05)


def lab(colour, matrix):
    rgb = linear(colour)
    r, g, b = (min(1, max(0, sum(m * c for m, c in zip(row, rgb)))) for row in matrix)
    x, y, z = ((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047, 0.2126729 * r + 0.7151522 * g + 0.0721750 * b,
               (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883)
    fx, fy, fz = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def ciede2000(one, two):
    l1, a1, b1 = one
    l2, a2, b2 = two
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(mean ** 7 / (mean ** 7 + 25 ** 7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, a)) % 360 if a or b else 0 for a, b in ((a1, b1), (a2, b2)))
    dh = 0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    big = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(dh / 2))
    lm, cm = (l1 + l2) / 2, (c1 + c2) / 2
    hm = h1 + h2 if c1 * c2 == 0 else (h1 + dh / 2) % 360
    t = (1 - 0.17 * math.cos(math.radians(hm - 30)) + 0.24 * math.cos(math.radians(2 * hm)) +
         0.32 * math.cos(math.radians(3 * hm + 6)) - 0.20 * math.cos(math.radians(4 * hm - 63)))
    sl = 1 + 0.015 * (lm - 50) ** 2 / math.sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    rt = -2 * math.sqrt(cm ** 7 / (cm ** 7 + 25 ** 7)) * math.sin(math.radians(60 * math.exp(-((hm - 275) / 25) ** 2)))
    return math.sqrt(((l2 - l1) / sl) ** 2 + ((c2 - c1) / sc) ** 2 + (big / sh) ** 2 + rt * (c2 - c1) / sc * big / sh)


def test_the_measure_itself():
    """Pairs of the published test data of CIEDE2000."""
    for one, two, want in (((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425), ((50, 2.5, 0), (73, 25, -18), 27.1492),
                           ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082)):
        assert abs(ciede2000(one, two) - want) < 1e-4


def test_contrast():
    for theme, t in tokens().items():
        for text in ("text", "dim", "link", "proceed", "hold", "watch", "halt", "exposed", "control"):
            for ground in ("card", "bg"):
                least = 4.5 if (text, ground) != ("watch", "bg") else 4.4  # watch stands on cards and its tint alone
                assert contrast(t[text], t[ground]) >= least, (theme, text, ground, contrast(t[text], t[ground]))
        assert contrast(t["watch"], t["watch-tint"]) >= 4.5 and contrast(t["halt"], t["halt-tint"]) >= 4.5
        assert contrast(t["on-fill"], t["halt-fill"]) >= 4.5
        for ground in ("card", "sunk"):
            assert contrast(t["edge"], t[ground]) >= 3, (theme, ground)
            assert contrast(t["dim"], t[ground]) >= 4.5, (theme, ground)


def test_distances():
    for theme, t in tokens().items():
        for vision, matrix in VISION.items():
            four = [lab(t[name], matrix) for name in ("proceed", "hold", "watch", "halt")]
            least = min(ciede2000(a, b) for i, a in enumerate(four) for b in four[:i])
            assert least >= STATUS[theme][vision] - 0.1, (theme, vision, least)
            arms = ciede2000(lab(t["exposed"], matrix), lab(t["control"], matrix))
            assert arms >= 37 - 0.5, (theme, vision, arms)
