#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Shell scripts are clean under shellcheck, manual pages under mandoc.
cd "${srcdir:-.}" || exit 99
missing=
bad=0
if command -v shellcheck >/dev/null; then
	for f in check quickstart .ci/run tools/* $(find tests web tools docs -name node_modules -prune -o -name '*.sh' -print); do
		[ -f "$f" ] || continue
		head -n 1 "$f" | grep -q '^#!.*sh$' || continue
		shellcheck "$f" || bad=1
	done
else
	missing="$missing shellcheck"
fi
if command -v mandoc >/dev/null; then
	for f in docs/man/*.[158]; do
		mandoc -T lint -W warning "$f" || bad=1
	done
else
	missing="$missing mandoc"
fi
[ $bad = 0 ] || exit 1
[ -z "$missing" ] || { echo "not there:$missing"; exit 77; }
echo "scripts and manual pages: fine"
