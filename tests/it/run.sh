#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The integration tests: pytest against the programs of this build.
python=/usr/bin/python3
if ! $python -c 'import pytest' 2>/dev/null; then
	echo "python3-pytest is not installed"
	exit 77
fi
srcdir=${srcdir:-.}
export srcdir builddir="${builddir:-.}" PYTHONDONTWRITEBYTECODE=1
# Tests mostly wait: two processes, a file of tests to each.
parallel=
$python -c 'import xdist' 2>/dev/null && parallel="-n 2 --dist=loadfile"
# shellcheck disable=SC2086
exec $python -m pytest $parallel -p no:cacheprovider -q -rfEs --tb=short --durations=10 "$@" "$srcdir/tests/it"
