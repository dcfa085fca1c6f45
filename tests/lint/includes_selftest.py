#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The include lint finds what is planted, and nothing else."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import includes  # noqa: E402

RULES = {
    "base/.may_include": "base/*.h\n<openssl/*> base/crypto.c\n",
    "collector/.may_include": "base/*.h\ncollector/*.h\n",
    "collector/store/.may_include": "base/*.h\ncollector/store/*.h\n<libpq-fe.h>  # the only user\n!<sys/socket.h>\n",
}
# file, its line, is it a violation?
CASES = [
    ("base/a.c", '#include "base/a.h"', False),
    ("base/a.c", '#include "base/a.def"', False),
    ("base/a.c", "#include <stdio.h>", False),
    ("base/a.c", "#include <sys/socket.h>", False),
    ("base/a.c", '#include "config.h"', False),
    ("base/a.c", '#include "collector/x.h"', True),
    ("base/a.c", "#include <openssl/evp.h>", True),
    ("base/crypto.c", "#include <openssl/evp.h>", False),
    ("base/a.c", "#include <someone/elses.h>", True),
    ("base/a.h", "  #  include <libpq-fe.h>", True),
    ("collector/deep/er/a.c", '#include "base/a.h"', False),
    ("collector/deep/er/a.c", '#include "collector/store/pg.h"', True),
    ("collector/deep/er/a.c", "#include <libpq-fe.h>", True),
    ("collector/store/a.c", "#include <libpq-fe.h>", False),
    ("collector/store/a.c", '#include "collector/main.h"', True),
    ("collector/store/a.c", "#include <sys/socket.h>", True),
    ("cli/a.c", "#include <stdio.h>", True),	# no rules at all
]


def found(case):
    path, line, _ = case
    with tempfile.TemporaryDirectory() as top:
        for name, text in list(RULES.items()) + [(path, line + "\n")]:
            os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)
            with open(os.path.join(top, name), "w", encoding="utf-8") as f:
                f.write(text)
        return bool(includes.check(top))


def main():
    wrong = [c for c in CASES if found(c) != c[2]]
    for path, line, expected in wrong:
        print(f"{path}: {line}: should {'' if expected else 'not '}be found")
    if not wrong:
        print(f"{len(CASES)} planted lines judged rightly")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
