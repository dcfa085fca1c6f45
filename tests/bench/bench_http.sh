#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# HTTP report cost against nginx `return 204`, in one run: CPU per request of the gate's own
# thread, and with the journal's threads that make it durable; the servers on one core and
# wrk on another.
#
#	tests/bench/bench_http.sh [BUILD_DIR] [SECONDS] [ROUNDS]
set -eu
build=${1:-build}
seconds=${2:-3}
rounds=${3:-5}
for tool in wrk nginx taskset; do
	command -v "$tool" >/dev/null 2>&1 || PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null ||
		{ echo "bench_http: $tool is not installed"; exit 77; }
done
PATH=$PATH:/usr/sbin
dir=$(mktemp -d)
nginx_pid='' gate_pid=''
cleanup() {
	[ -z "$nginx_pid" ] || kill "$nginx_pid" 2>/dev/null || :
	[ -z "$gate_pid" ] || kill "$gate_pid" 2>/dev/null || :
	wait 2>/dev/null || :
	rm -rf "$dir"
}
trap cleanup EXIT INT TERM

# nginx cannot choose a free port itself
start_nginx() {
	cat >"$dir/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $dir/nginx.pid; error_log $dir/error.log;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path $dir/body; proxy_temp_path $dir/p;
fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
server { listen 127.0.0.1:$1; location / { return 204; } } }
CONF
	taskset -c 0 nginx -p "$dir" -c "$dir/nginx.conf" 2>/dev/null &
	nginx_pid=$!
	while [ ! -s "$dir/nginx.pid" ]; do
		kill -0 "$nginx_pid" 2>/dev/null || return 1
		sleep 0.05
	done
}
port=$((20000 + $$ % 10000))
until start_nginx "$port"; do
	port=$((port + 1))
	[ "$port" -lt 30100 ] || { cat "$dir/error.log"; exit 99; }
done
mkdir "$dir/data"
taskset -c 0 "$build/tests/bench/bench_gate" "$dir/data" >"$dir/port" &
gate_pid=$!
while [ ! -s "$dir/port" ]; do
	kill -0 "$gate_pid" 2>/dev/null || { echo "bench_gate did not start"; exit 99; }
	sleep 0.05
done
gate_port=$(cat "$dir/port")
worker=$(tr -d " " <"/proc/$nginx_pid/task/$nginx_pid/children")

"$build/tests/bench/bench_gate" --batch 16 >"$dir/batch"
cat >"$dir/report.json" <<'JSON'
{"host":"host-00001234","epoch":"0x0123456789abcdef","seq":7,"kind":"kernel","occurred":"2024-07-19T04:09:00Z","module":"csagent.sys","module_id":"65a1b2c3d4000","offset":"0xe14ed","reason":"PAGE_FAULT_IN_NONPAGED_AREA","reason_code":80,"product":"sensor","version":"7.11.18110","os":"windows","os_build":"22631.3880","boot_id":"0123456789abcdef"}
JSON
cat >"$dir/post.lua" <<'LUA'
function init(args)
	local f = io.open(args[1], "rb")
	wrk.method, wrk.body = "POST", f:read("*a")
	wrk.headers["Content-Type"] = args[2]
	f:close()
end
LUA

# nanoseconds on a processor: of the first thread, and of all threads
cpu() { cut -d' ' -f1 "/proc/$1/task/$1/schedstat"; }
cpu_all() { cat "/proc/$1/task/"*/schedstat | awk '{n += $1} END {printf "%.0f\n", n}'; }

# name url pid file type -> lines "name microseconds requests/s"
run() {
	before=$(cpu "$3") before_all=$(cpu_all "$3")
	taskset -c 1 wrk -t1 -c64 -d"${seconds}s" -s "$dir/post.lua" "$2" -- "$4" "$5" >"$dir/wrk"
	after=$(cpu "$3") after_all=$(cpu_all "$3")
	n=$(awk '/requests in/{print $1}' "$dir/wrk")
	if grep -q 'Non-2xx' "$dir/wrk"; then cat "$dir/wrk"; exit 1; fi
	awk -v n="$1" -v t=$((after - before)) -v all=$((after_all - before_all)) -v r="$n" -v s="$seconds" \
		'BEGIN{printf "%s %.2f %.0f\n", n, t / 1e3 / r, r / s
		       if (n !~ /nginx/) printf "%s+journal %.2f %.0f\n", n, all / 1e3 / r, r / s}' | tee -a "$dir/result"
}

echo "server, CPU microseconds a request, requests/s"
i=0
while [ "$i" -lt "$rounds" ]; do
	run nginx-204 "http://127.0.0.1:$port/" "$worker" "$dir/report.json" application/json
	run json-report "http://127.0.0.1:$gate_port/v1/reports" "$gate_pid" "$dir/report.json" application/json
	run protobuf-16 "http://127.0.0.1:$gate_port/v1/reports" "$gate_pid" "$dir/batch" application/x-protobuf
	i=$((i + 1))
done
awk '{ if (!($1 in best) || $2 < best[$1]) best[$1] = $2; n[$1]++; v[$1, n[$1]] = $2 }
END {
	for (k in best) {
		m = n[k]
		for (a = 1; a <= m; a++) for (b = a + 1; b <= m; b++) if (v[k, b] < v[k, a]) { t = v[k, a]; v[k, a] = v[k, b]; v[k, b] = t }
		median[k] = v[k, int((m + 1) / 2)]
	}
	printf "\n%-20s %8s %8s %8s\n", "", "best", "median", "x nginx"
	for (k in best) printf "%-20s %8.2f %8.2f %8.2f\n", k, best[k], median[k], median[k] / median["nginx-204"]
}' "$dir/result"
