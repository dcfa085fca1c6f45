#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The library as an embedder gets it: the example compiles against the one header and the one
# archive with nothing but libc, and no name of ours but faultline_* is visible.
set -eu
lib=${builddir:-.}/client/libfaultline-client.a
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
names=$(nm -g --defined-only "$lib" | awk 'NF == 3 { print $3 }' | grep -v '^faultline_' | grep -v -e '^__asan' -e '^__odr' -e '^asan' || :)
[ -z "$names" ] || { echo "names that an embedder would meet: $names"; exit 1; }
# shellcheck disable=SC2086 # flags are words
${CC:-cc} ${CLIENT_TEST_FLAGS:-} -Wall -Wextra -Werror -I"${srcdir:-.}/client" \
	"${srcdir:-.}/docs/examples/report.c" "$lib" -o "$dir/report"
"$dir/report" not-an-address 2>&1 | grep -q 'HOST:PORT'
