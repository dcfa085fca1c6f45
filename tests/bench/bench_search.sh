#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Finding signatures (GET /v1/signatures) among 10,000 and among 100,000: wall time, and the daemon's CPU, all
# threads, a request.
#
#	tests/bench/bench_search.sh [BUILD_DIR] [ROUNDS]
set -eu
build=${1:-build}
rounds=${2:-15}
for tool in curl python3; do
	command -v "$tool" >/dev/null 2>&1 || { echo "bench_search: $tool is not installed"; exit 77; }
done
dir=$(mktemp -d)
pid=''
cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || :
	wait 2>/dev/null || :
	rm -rf "$dir"
}
trap cleanup EXIT INT TERM

"$build/collector/faultlined" --data="$dir/data" --listen=127.0.0.1:0 --stream-listen=127.0.0.1:0 \
	--api-listen=127.0.0.1:0 --database=none 2>"$dir/log" &
pid=$!
until grep -q 'main: ready' "$dir/log"; do
	kill -0 "$pid" 2>/dev/null || { cat "$dir/log"; exit 99; }
	sleep 0.05
done
ingest=$(sed -n 's/.*ingest port \([0-9]*\).*/\1/p' "$dir/log")
api=$(sed -n 's/.*API port \([0-9]*\).*/\1/p' "$dir/log")

# signatures FROM to TO: a report of each, on 997 hosts at 20 sites, in 500 modules
load() {
	python3 - "$ingest" "$1" "$2" <<'PY'
import http.client, json, sys
port, begin, end = map(int, sys.argv[1:])
c = http.client.HTTPConnection("127.0.0.1", port)
for at in range(begin, end, 1000):
    body = json.dumps([{
        "host": f"host-{i % 997}", "kind": "user" if i % 3 else "kernel", "module": f"module{i % 500}.dll",
        "module_id": f"66907e3b{i % 7}6000", "offset": hex(0x100 + i), "reason": "ACCESS_VIOLATION",
        "labels": {"site": f"site-{i % 20}"}, "os": "windows", "os_build": str(22000 + i % 9), "product": "sensor",
    } for i in range(at, at + 1000)])
    c.request("POST", "/v1/reports", body, {"Content-Type": "application/json"})
    answer = c.getresponse()
    text = answer.read()
    assert answer.status == 200, text
PY
	until curl -fs "http://127.0.0.1:$api/v1/signatures?limit=1" | grep -q "\"total\":$2,"; do sleep 0.1; done
}

cpu_all() { cat "/proc/$pid/task/"*/schedstat | awk '{n += $1} END {printf "%.0f\n", n}'; }

# name parameters
ask() {
	i=0
	before=$(cpu_all)
	while [ "$i" -lt "$rounds" ]; do
		curl -fs -o /dev/null -w '%{time_total}\n' "http://127.0.0.1:$api/v1/signatures$2"
		i=$((i + 1))
	done | sort -n >"$dir/times"
	awk -v name="$1" -v cpu=$(($(cpu_all) - before)) -v n="$rounds" '{ t[NR] = $1 }
		END { printf "%-44s %8.1f %8.1f %8.1f\n", name, t[int((NR + 1) / 2)] * 1e3, t[NR] * 1e3, cpu / n / 1e6 }' "$dir/times"
}

printf '%-44s %8s %8s %8s   load %s\n' 'ms' median longest CPU "$(cut -d' ' -f1 /proc/loadavg)"
from=0
for n in 10000 100000; do
	load "$from" "$n"
	from=$n
	ask "$n: first 200" '?limit=200'
	ask "$n: first 200 with facets" '?limit=200&facets=1'
	ask "$n: kind:kernel new:<1h" '?limit=200&q=kind:kernel+new:%3C1h'
	ask "$n: module:*99*" '?limit=200&q=module:*99*'
	ask "$n: site:site-3 with facets" '?limit=200&facets=1&q=site:site-3'
	ask "$n: last 200" '?limit=200&from_end=1'
	ask "$n: all rows as CSV" '.csv?q='
done
