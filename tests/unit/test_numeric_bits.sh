#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The arithmetic of the ledger has the same bits from every compiler found, at every level of
# optimisation, with fused multiply-add at hand and without.
set -eu
srcdir=${srcdir:-.} builddir=${builddir:-.}
want=$("$builddir"/tests/unit/numeric_digest)
work=$(mktemp -d "${TMPDIR:-/tmp}/numeric-bits.XXXXXX")
trap 'rm -rf "$work"' EXIT
for cc in gcc clang; do
	command -v $cc >/dev/null || { echo "no $cc here"; continue; }
	for flags in -O0 -O2 -O3 "-O3 -mfma -mavx2" "-O3 -march=native"; do
		# shellcheck disable=SC2086
		if ! $cc -std=gnu17 $flags -ffp-contract=off -I"$srcdir" -I"$builddir" -o "$work/tool" \
			"$srcdir"/tests/unit/numeric_digest.c "$srcdir"/collector/ledger/numeric.c \
			"$srcdir"/collector/ledger/eprocess.c "$srcdir"/collector/ledger/proceed.c \
			"$srcdir"/collector/ledger/baseline.c 2>"$work/errors"; then
			case $flags in
			*-m*) echo "passed over: $cc has no $flags"; continue ;;
			esac
			cat "$work/errors"
			exit 1
		fi
		case $flags in
		*-mfma*) grep -q ' fma ' /proc/cpuinfo || { echo "passed over: this processor has no FMA"; continue; } ;;
		esac
		got=$("$work/tool")
		if [ "$got" != "$want" ]; then
			echo "FAIL: $cc $flags: $got, expected $want"
			exit 1
		fi
		echo "ok: $cc $flags"
	done
done
