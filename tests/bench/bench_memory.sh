#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Memory of the daemon: idle, with 10,000 idle connections, and after a fleet of 100,000
# hosts has spoken.
#
#	tests/bench/bench_memory.sh [BUILD_DIR]
set -eu
build=${1:-build}
dir=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || :; wait 2>/dev/null || :; rm -rf "$dir"' EXIT

rss() { awk -v what="$1" '/^VmRSS/ { printf "%-44s %6.1f MB\n", what, $2 / 1024 }' "/proc/$pid/status"; }

ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
"$build/collector/faultlined" --data "$dir/data" --database none --listen 127.0.0.1:0 \
	--stream-listen 127.0.0.1:0 --api-listen 127.0.0.1:0 >"$dir/log" 2>&1 &
pid=$!
until grep -q ' ready: ' "$dir/log"; do
	kill -0 $pid 2>/dev/null || { cat "$dir/log"; exit 1; }
	sleep 0.1
done
port() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$dir/data/run/ports.json"; }
sleep 1
rss "idle"
exec {hold}< <(/usr/bin/python3 - "$(port stream)" <<-'END'
	import socket, sys, time
	held = []
	for _ in range(10000):
	    held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
	print("held", flush=True)
	time.sleep(8)
	END
)
read -r -u "$hold" _ && rss "10,000 connected stream clients"
exec {hold}<&-
"$build/cli/faultline" sim --hosts 100000 --sites 200 --connections 200 --rings rest --bad-ring 0 --rate 2000 \
	--serve-rate 100000 --duration 10s --interval 5s --quiet --stream "127.0.0.1:$(port stream)" \
	--server "http://127.0.0.1:$(port api)" >/dev/null || [ $? = 10 ]
rss "100,000 hosts, 2,000 crashes a second"
