#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kill-storm.sh [ROUNDS]: kill -9 the daemon under load so many times (200).  No acknowledged
# report may be lost, none counted twice.  Run it in a build directory, or set builddir.
here=$(cd "$(dirname "$0")" && pwd)
make -s -C "${builddir:-.}" all tests/tools/powercut.so || exit 1
FAULTLINE_ROUNDS=${1:-200} builddir=${builddir:-.} srcdir=$here/.. PYTHONDONTWRITEBYTECODE=1 \
	exec /usr/bin/python3 -m pytest -p no:cacheprovider -q -s -k "$(basename "$0" -storm.sh)" "$here/it/test_storm.py"
