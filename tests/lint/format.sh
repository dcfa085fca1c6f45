#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The C files are as the pinned clang-format leaves them.
top=${srcdir:-.}
for tool in clang-format-14 clang-format; do
	command -v $tool >/dev/null && $tool --version | grep -q 'version 14\.' && break
	tool=
done
[ -n "$tool" ] || { echo "clang-format 14 is not there"; exit 77; }
cd "$top" || exit 99
find base proto triage collector client cli tests -name '*.[ch]' ! -name '*.pb-c.*' -print0 |
	xargs -0 "$tool" --dry-run -Werror 2>&1 | grep -c 'clang-format-violations' >/dev/null && {
	echo "not formatted; run: $tool -i on"
	find base proto triage collector client cli tests -name '*.[ch]' ! -name '*.pb-c.*' -print0 |
		xargs -0 "$tool" --dry-run 2>&1 | sed -n 's/^\([^:]*\.[ch]\):.*/  \1/p' | sort | uniq -c
	exit 1
}
echo "format: fine"
