#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# embed.sh FILE...: print the files as C arrays, plain and gzip'd, for collector/api/assets.h.
# Only what every build machine has: gzip, od, sed, sha256sum.
set -eu

bytes() {
	od -An -v -tx1 | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
}

type_of() {
	case $1 in
	*.html) echo 'text/html; charset=utf-8' ;;
	*.js) echo 'text/javascript; charset=utf-8' ;;
	*.css) echo 'text/css; charset=utf-8' ;;
	*.svg) echo 'image/svg+xml' ;;
	*) echo "embed.sh: unknown kind of file: $1" >&2; exit 1 ;;
	esac
}

echo '/* Made by web/embed.sh; do not edit. */'
echo '#include "collector/api/assets.h"'
i=0
for f; do
	echo "static const uint8_t plain_${i}[] = {"
	bytes <"$f"
	echo "};"
	echo "static const uint8_t gzip_${i}[] = {"
	gzip -9 -n -c "$f" | bytes
	echo "};"
	i=$((i + 1))
done
echo 'const struct asset assets[] = {'
i=0
for f; do
	type=$(type_of "$f")
	tag=$(sha256sum <"$f" | cut -c1-16)
	echo "	{ \"/${f##*/}\", \"$type\", \"\\\"$tag\\\"\", plain_$i, gzip_$i, sizeof(plain_$i), sizeof(gzip_$i) },"
	i=$((i + 1))
done
echo '};'
echo 'const size_t n_assets = sizeof(assets) / sizeof(assets[0]);'
