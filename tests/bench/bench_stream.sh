#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the native stream costs: durable reports per CPU-second of the gate and log threads, the
# whole daemon's CPU beside it, and how long an ack takes.  Ratios and CPU are the result; the
# rate depends on what else the machine does.   bench_stream.sh [BUILDDIR] [SECONDS]
set -eu
build=${1:-${builddir:-build}}
seconds=${2:-5}
dir=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || :; wait "$pid" 2>/dev/null || :; rm -rf "$dir"' EXIT

"$build/collector/faultlined" --data="$dir/data" --database=none --listen=127.0.0.1:0 \
	--stream-listen=127.0.0.1:0 --api-listen=127.0.0.1:0 --log-bytes=8G >"$dir/log" 2>&1 &
pid=$!
n=0
until grep -q ' ready: ' "$dir/log"; do
	n=$((n + 1))
	[ $n -lt 100 ] || { cat "$dir/log"; exit 1; }
	sleep 0.1
done
port=$(sed -n 's/.*stream port \([0-9]*\).*/\1/p' "$dir/log")

for load in "64 256 2" "64 64 2" "1 256 2" "1000 8 1" "64 1 1"; do
	# shellcheck disable=SC2086 # three words on purpose
	set -- $load
	echo "== $1 connections x batch of $2, window $3"
	"$build/cli/faultline" sim --load --stream "127.0.0.1:$port" --connections "$1" --batch "$2" \
		--window "$3" --duration "${seconds}s" --server-pid "$pid"
done
grep VmRSS "/proc/$pid/status"
