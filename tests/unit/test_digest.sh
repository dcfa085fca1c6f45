#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The same log gives the same state whatever the processor offers and whoever compiled the
# ledger: with FMA and vectors masked in libc, and with every compiler found, optimised for
# this very processor and not at all.
set -eu
srcdir=${srcdir:-.} builddir=${builddir:-.}
tool=$builddir/tests/unit/ledger_digest
seed=77
want=$("$tool" $seed)

same() {
	if [ "$2" != "$want" ]; then
		echo "FAIL: $1: digest $2, expected $want"
		exit 1
	fi
	echo "ok: $1"
}

same "FMA and AVX masked" "$(GLIBC_TUNABLES=glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX512F,-FMA_Usable,-AVX2_Usable,-AVX512F_Usable "$tool" $seed)"

if ! grep -q '^S\["SAN_FLAGS"\]=""$' "$builddir/config.status"; then
	echo "other compilers are not tried in an instrumented build"
	exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/ledger-digest.XXXXXX")
trap 'rm -rf "$work"' EXIT
for cc in gcc clang; do
	command -v $cc >/dev/null || { echo "no $cc here"; continue; }
	for flags in "-O0" "-O3 -march=native"; do
		rm -f "$work"/*
		for f in "$srcdir"/collector/ledger/*.c "$srcdir"/tests/unit/ledger_digest.c "$srcdir"/tests/unit/ledger_help.c; do
			# shellcheck disable=SC2086
			$cc -std=gnu17 $flags -ffp-contract=off -I"$srcdir" -I"$builddir" -c "$f" -o "$work/$(basename "$f" .c).o"
		done
		$cc "$work"/*.o -o "$work/tool" "$builddir"/proto/libproto.a "$builddir"/proto/libpb.a \
			"$builddir"/base/libbase.a -lprotobuf-c -lxxhash -linih -lcrypto -pthread
		same "$cc $flags" "$("$work/tool" $seed)"
	done
done
