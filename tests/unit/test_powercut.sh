#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# powercut.so on a real process: cuts lose nothing that was acknowledged, and with syncs
# that do nothing they do.
set -u
so=${builddir:-.}/tests/tools/powercut.so
victim=${builddir:-.}/tests/unit/test_power
cuts=${FAULTLINE_POWER_CUTS:-4}
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

case $so in /*) ;; *) so=$PWD/$so ;; esac
if nm "$victim" 2>/dev/null | grep -q __asan_init; then
	echo "SKIPPED: a sanitizer's run time does not go with a preloaded library"
	exit 77
fi

# one_cut DATA ROUND LIE: run the victim until its power is cut after some acknowledgements
one_cut() {
	LD_PRELOAD=$so FAULTLINE_POWER_DIR=$1 FAULTLINE_POWER_PROGRAM=test_power FAULTLINE_POWER_SEED=$2 \
		FAULTLINE_POWER_LIE=$3 FAULTLINE_POWER_CUT_AFTER=$4 "$victim" victim "$1" "$2" >>"$1.acked" 2>>"$1.err" &
	pid=$!
	if [ "$4" = 0 ]; then
		# by signal, in the middle of the work
		want=$(($(wc -l <"$1.acked") + 300))
		while [ "$(wc -l <"$1.acked")" -lt "$want" ] && kill -0 $pid 2>/dev/null; do :; done
		kill -USR2 $pid
	fi
	wait $pid
	status=$?
	[ $status = 137 ] && return
	echo "the victim ended with status $status, not by the power cut"
	cat "$1.err"
	exit 1
}

mkdir "$dir/true" "$dir/false"
: >"$dir/true.acked"
i=1
while [ $i -le "$cuts" ]; do
	one_cut "$dir/true" $i 0 $((i % 2 * (i * 37 % 150 + 20)))
	i=$((i + 1))
done
"$victim" verify "$dir/true" <"$dir/true.acked" || exit 1

: >"$dir/false.acked"
i=1
while [ $i -le 20 ]; do
	one_cut "$dir/false" $i 1 120
	if ! "$victim" verify "$dir/false" <"$dir/false.acked" >/dev/null 2>&1; then
		echo "without syncs: loss found after $i cuts"
		exit 0
	fi
	i=$((i + 1))
done
echo "a disk that ignores syncs lost nothing: this test proves nothing"
exit 1
