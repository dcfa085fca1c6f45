#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The dashboard's sources: types hold, the lock file names no address to download from, versions are exact,
# and no source has what the policy or the rules of web/README.md forbid.
cd "${srcdir:-.}/web" || exit 99
bad=0
say() {
	echo "$1"
	bad=1
}
grep -q '"resolved"' package-lock.json && say "package-lock.json records addresses (.npmrc: omit-lockfile-registry-resolved)"
grep -E '"integrity": "sha512-' package-lock.json | grep -q . || say "package-lock.json has no integrity hashes"
grep -E '^    "[^"]+": "[\^~*><]' package.json && say "package.json: versions are exact"
grep -rnE 'innerHTML|outerHTML|insertAdjacentHTML|dangerouslySet|document\.write|new Function|[^.a-z]eval\(' src && say "no text becomes markup or code"
grep -rnE '[^a-z]style="' src && say "no style attribute as a string: the policy refuses it"
grep -rnE '#[0-9a-fA-F]{6}\b' src --include='*.tsx' --include='*.ts' && say "colours are tokens (src/style/tokens.css)"
grep -rnE 'Date\.now\(\)' src | grep -v 'src/clock\.ts' && say "ages are by the server's clock (src/clock.ts)"
grep -rnE 'font(-size)?:[^;]*\b([0-9]|1[01])px' src/style && say "nothing is smaller than 12 px"
[ "$bad" = 0 ] || exit 1
[ -x node_modules/.bin/tsc ] || { echo "no node_modules (tools/install-web): types are not checked"; exit 77; }
node_modules/.bin/tsc --noEmit || exit 1
echo "web: fine"
