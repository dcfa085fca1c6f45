#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# embed.sh FILE...: print the files as C arrays, plain and packed, for collector/api/assets.h.
# A file below assets/ with a hash in its name (app-1a2b3c4d.js) never changes.  Needs only what every
# build machine has (gzip, od, sed, sha256sum); brotli and zstd are used where they are there, or the
# files FILE.br and FILE.zst taken.
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
	*.txt) echo 'text/plain; charset=utf-8' ;;
	*) echo "embed.sh: unknown kind of file: $1" >&2; exit 1 ;;
	esac
}

array() {
	echo "static const uint8_t $1[] = {"
	bytes
	echo "};"
}

echo '/* Made by web/embed.sh; do not edit. */'
echo '#include "collector/api/assets.h"'
i=0
table=
for f; do
	array "plain_$i" <"$f"
	gzip -9 -n -c "$f" | array "gzip_$i"
	more=
	if [ -f "$f.br" ]; then
		array "brotli_$i" <"$f.br"
		more="$more .brotli = { brotli_$i, sizeof(brotli_$i) },"
	elif command -v brotli >/dev/null; then
		brotli -q 11 -c "$f" | array "brotli_$i"
		more="$more .brotli = { brotli_$i, sizeof(brotli_$i) },"
	fi
	if [ -f "$f.zst" ]; then
		array "zstd_$i" <"$f.zst"
		more="$more .zstd = { zstd_$i, sizeof(zstd_$i) },"
	elif command -v zstd >/dev/null; then
		zstd -q -19 -c "$f" | array "zstd_$i"
		more="$more .zstd = { zstd_$i, sizeof(zstd_$i) },"
	fi
	path=/${f##*/}
	immutable=false
	case $f in
	*assets/*) path=/assets/${f##*/} ;;
	esac
	case ${path#/assets/} in
	/*) ;;
	*-????????.*) immutable=true ;;
	esac
	type=$(type_of "$f")
	tag=$(sha256sum <"$f" | cut -c1-16)
	table="$table
	{ .path = \"$path\", .type = \"$type\", .etag = \"\\\"$tag\\\"\", .immutable = $immutable,
	  .plain = { plain_$i, sizeof(plain_$i) }, .gzip = { gzip_$i, sizeof(gzip_$i) },$more },"
	i=$((i + 1))
done
if [ "$i" -eq 0 ]; then
	table='
	{ .path = NULL },'
fi
printf 'const struct asset assets[] = {%s\n};\n' "$table"
echo "const size_t n_assets = $i;"
