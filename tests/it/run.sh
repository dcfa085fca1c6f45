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
exec $python -m pytest -p no:cacheprovider -q -rfEs --tb=short --durations=10 "$@" "$srcdir/tests/it"
