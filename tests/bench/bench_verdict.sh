#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From the decisive report on a socket to the verdict in a gate that waits: alarms of the fire drill, one
# after the other, first on an idle daemon, then while 200,000 reports a second flow over the native
# stream.  Everything runs on the same cores.   bench_verdict.sh [BUILDDIR] [ALARMS] [RATE]
set -eu
build=${1:-${builddir:-build}}
alarms=${2:-200}
rate=${3:-200000}
dir=$(mktemp -d)
load=
trap 'kill "$pid" $load 2>/dev/null || :; wait "$pid" 2>/dev/null || :; rm -rf "$dir"' EXIT

"$build/collector/faultlined" --data="$dir/data" --database=none --listen=127.0.0.1:0 \
	--stream-listen=127.0.0.1:0 --api-listen=127.0.0.1:0 --log-bytes=4G >"$dir/log" 2>&1 &
pid=$!
n=0
until grep -q ' ready: ' "$dir/log"; do
	n=$((n + 1))
	[ $n -lt 100 ] || { cat "$dir/log"; exit 1; }
	sleep 0.1
done
stream=127.0.0.1:$(sed -n 's/.*stream port \([0-9]*\).*/\1/p' "$dir/log")
api=http://127.0.0.1:$(sed -n 's/.*API port \([0-9]*\).*/\1/p' "$dir/log")

# Quantiles of a histogram of /metrics between two readings: the upper ends of their buckets.
quantiles() { # NAME BEFORE AFTER
	awk -v name="faultline_$1_bucket" 'index($0, name "{") == 1 {
			split($1, part, "\"")
			if (NR == FNR) before[part[2]] = $2
			else { n++; le[n] = part[2]; count[n] = $2 - before[part[2]] }
		}
		function at(share,  i) {
			for (i = 1; i < n && count[i] < share * count[n]; i++) ;
			return le[i] == "+Inf" ? "more" : sprintf("%.1f ms", le[i] * 1000)
		}
		END { if (count[n]) printf "%d, p50 %s, p99 %s, p99.9 %s, max %s\n", count[n], at(.5), at(.99), at(.999), at(1)
		      else print "none" }' "$2" "$3"
}

drill() { # COUNT
	echo "load average $(cut -d' ' -f1-3 /proc/loadavg), processes that want to run $(cut -d' ' -f4 /proc/loadavg)"
	curl -s "$api/metrics" >"$dir/before"
	"$build/cli/faultline" deploy drill --stream "$stream" --server "$api" --times "$1" |
		grep -E 'alarms worked|ALARM' || exit 1
	curl -s "$api/metrics" >"$dir/after"
	printf 'flushes of the log meanwhile: %s\n' "$(quantiles log_flush_seconds "$dir/before" "$dir/after")"
	printf 'turns of the ledger: %s\n' "$(quantiles ledger_turn_seconds "$dir/before" "$dir/after")"
}

echo "== nothing else going on, $alarms alarms"
drill "$alarms"
# The fleet's processors are its own in the field: here the generator gives way to the server.
echo "== $rate reports a second, $alarms alarms; the load generator runs at nice 5"
nice -n 5 "$build/cli/faultline" sim --load --load-rate "$rate" --stream "$stream" --connections 64 --batch 64 --window 4 \
	--duration 1h --server-pid "$pid" --json >"$dir/load" 2>&1 &
load=$!
counted() { curl -s "$api/metrics" | awk '$1 == "faultline_fold_records_total" { print $2 }'; }
sleep 1
from=$(counted) began=$(date +%s%N)
drill "$alarms"
awk -v n=$(($(counted) - from)) -v ns=$(($(date +%s%N) - began)) \
	'BEGIN { printf "%.0f records a second were folded meanwhile\n", n / ns * 1e9 }'
