#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A rollout in rings that stops by itself: the whole loop of a deployer, to copy from.
#
#	rollout.sh ID PUSH RING...
#
# ID is a deployment that was registered before (faultline deploy create ID --assignment listed ...;
# `hash` if the rings were drawn at random).  Each RING is a file of host ids, one a line.  PUSH is a
# command that installs the payload on the hosts it reads from standard input.
#
# Exit status: 0 every ring was served and certified; 10 the verdict stayed `hold` for $WAIT; 11 halted;
# anything else: something failed, and nothing more was served.
set -eu

wait=${WAIT:-2h}    # for the verdict on a ring
batch=${BATCH:-100} # hosts between two looks at the verdict: with PUSH's speed, what a halt may still cost

[ $# -ge 3 ] || { sed -n '3,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
id=$1 push=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

say() {
	echo "rollout $id: $*" >&2
}

# The verdict decides: 0 go on, else leave with it.
gate() {
	status=0
	faultline gate "$id" "$@" || status=$?
	case $status in
	0) return ;;
	10) say "held: not promoted" ;;
	11) say "HALTED: nothing more is served" ;;
	*) say "cannot tell (exit $status): nothing more is served" ;;
	esac
	exit "$status"
}

# Between batches `hold` is the ordinary answer: only a halt, or no answer, ends the ring.
not_halted() {
	status=0
	faultline gate "$id" --quiet || status=$?
	case $status in
	0 | 10) ;;
	*) gate ;;
	esac
}

serve() {
	rm -f "$dir"/part.*
	split -a 6 -l "$batch" "$1" "$dir/part."
	for part in "$dir"/part.*; do
		[ -f "$part" ] || return 0 # an empty ring
		not_halted
		# The receipt first: a host that dies at once never says that it was served.
		faultline deploy served "$id" --hosts-file "$part" >/dev/null
		sh -c "$push" <"$part"
	done
}

ring=0
for file; do
	ring=$((ring + 1))
	size=$(wc -l <"$file")
	if [ $ring -gt 1 ]; then
		say "may ring $ring have $((size)) hosts?"
		gate --wait "$wait" --next "$((size))"
	fi
	say "serving ring $ring"
	serve "$file"
done
say "served; waiting for the last verdict"
gate --wait "$wait"
say "done"
