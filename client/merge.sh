#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stands in for ar: one object whose only global symbols are the library's own, so that
# an embedder's names never meet ours.   merge.sh LIBRARY OBJECT...
set -eu
out=$1
shift
tmp=$out.o
trap 'rm -f "$tmp"' EXIT
${LD:-ld} -r -o "$tmp" "$@"
${OBJCOPY:-objcopy} --localize-hidden "$tmp"
rm -f "$out"
${REAL_AR:-ar} crs "$out" "$tmp"
