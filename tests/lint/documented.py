#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""documented.py [--write] [TOP]: the tables of settings, counters and discard codes in the
documents are those of base/*.def.  --write brings the documents up to date."""
import os
import re
import sys

STRING = r'"((?:[^"\\]|\\.)*)"'
SETTING = re.compile(rf"^SETTING\((\w+), (\w+), {STRING}, ([01]), {STRING}, {STRING}\)", re.M)
COUNTER = re.compile(rf"^(COUNTER|GAUGE)\((\w+), {STRING}\)", re.M)
DISCARD = re.compile(rf"^DISCARD\((\w+), (\d+), {STRING}\)", re.M)
ROW = re.compile(r"^(?:SETTING|COUNTER|GAUGE|DISCARD)\(", re.M)

SECTIONS = {
    "daemon": "Daemon", "gates": "Gates", "log": "Log", "ledger": "Ledger", "store": "Store", "triage": "Triage",
    "halt": "Halt engine",
}
TYPES = {"STRING": "text", "BOOL": "yes | no", "COUNT": "number", "REAL": "number", "BYTES": "size", "TIME": "time"}


def rows(top, name, pattern):
    with open(os.path.join(top, "base", name), encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    found = pattern.findall(text)
    if len(found) != len(ROW.findall(text)):
        raise SystemExit(f"base/{name}: a row is not understood; keep each on one line")
    return [tuple(x.replace('\\"', '"').replace("\\\\", "\\") for x in r) for r in found]


def mdoc(text):
    """Text that mdoc takes as it is: no line starts with a control character."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def settings_mdoc(top):
    out, last = [], None
    for field, kind, preset, reload_, section, text in rows(top, "settings.def", SETTING):
        if section != last:
            if last:
                out.append(".El")
            out += [f".Ss {SECTIONS.get(section, section.capitalize())}", ".Bl -tag -width Ds"]
            last = section
        name = field.replace("_", "\\-")
        out.append(f".It Ic {name} No = Ar {TYPES[kind]}")
        out.append(mdoc(text + "."))
        shown = f"The default is\n.Ql {mdoc(preset)} ." if preset else "Not set by default."
        out += shown.split("\n")
        if reload_ == "1":
            out.append("Applied on reload.")
    return "\n".join(out + [".El"])


def cell(text):
    return text.replace("|", "\\|")


def settings_table(top):
    out = ["| setting | default | on reload | what it does |", "|---|---|---|---|"]
    for field, _, preset, reload_, _, text in rows(top, "settings.def", SETTING):
        shown = f"`{preset}`" if preset else "(empty)"
        out.append(f"| `{field.replace('_', '-')}` | {shown} | {'yes' if reload_ == '1' else 'restart'} | {cell(text)} |")
    return "\n".join(out)


def counters_table(top):
    out = ["| metric | what it counts |", "|---|---|"]
    for kind, name, text in rows(top, "counters.def", COUNTER):
        out.append(f"| `faultline_{name}{'_total' if kind == 'COUNTER' else ''}` | {cell(text)} |")
    return "\n".join(out)


def discards_table(top):
    out = ["| code | HTTP status | what to do |", "|---|---|---|"]
    for code, status, text in rows(top, "discards.def", DISCARD):
        out.append(f"| `{code}` | {status} | {cell(text)} |")
    return "\n".join(out)


# document -> (what starts a marker line, what ends it, its tables)
DOCUMENTS = {
    "docs/man/faultlined.conf.5": ('.\\" ', "", {"settings": settings_mdoc}),
    "docs/OPERATIONS.md": ("<!-- ", " -->",
                           {"settings": settings_table, "counters": counters_table, "discards": discards_table}),
}


def main():
    words = [a for a in sys.argv[1:] if a != "--write"]
    top = words[0] if words else os.environ.get("srcdir", ".")
    bad = []
    for name, (before, after, tables) in DOCUMENTS.items():
        path = os.path.join(top, name)
        with open(path, encoding="utf-8") as f:
            text = fresh = f.read()
        for table, make in tables.items():
            begin, end = f"{before}{table}: begin{after}\n", f"{before}{table}: end{after}\n"
            if begin not in fresh or end not in fresh:
                bad.append(f"{name}: no place for the table of {table}")
                continue
            head, rest = fresh.split(begin, 1)
            fresh = head + begin + make(top) + "\n" + end + rest.split(end, 1)[1]
        if fresh != text and "--write" in sys.argv:
            with open(path, "w", encoding="utf-8") as f:
                f.write(fresh)
        elif fresh != text:
            bad.append(f"{name}: not up to date with base/*.def: run tests/lint/documented.py --write")
    print("\n".join(bad) if bad else "settings, counters and discard codes: documented")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
