// SPDX-License-Identifier: Apache-2.0
// build.mjs OUT: the dashboard as files for web/embed.sh: index.html, favicons, assets/ with hashes in their names,
// licence texts; each with a brotli form beside it.  Prints sizes and fails over the budget (UI: 90 kB JavaScript and
// 10 kB CSS as gzip).  Needs node_modules (tools/install-web), never the network.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const BUDGET = { js: 90_000, css: 10_000 };
const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out) {
	console.error('usage: node build.mjs OUT');
	process.exit(2);
}

const common = {
	absWorkingDir: here, bundle: true, minify: true, write: false, outdir: '/out', charset: 'utf8', legalComments: 'none',
	target: ['chrome123', 'firefox120', 'safari17.5'], logLevel: 'warning',
	define: { 'process.env.NODE_ENV': '"production"' },
};

async function bundle(entry, options) {
	const result = await build({ ...common, entryPoints: [entry], ...options });
	return Object.fromEntries(result.outputFiles.map((f) => [f.path.endsWith('.css') ? 'css' : 'js', Buffer.from(f.contents)]));
}

function hashed(name, kind, bytes) {
	return `${name}-${createHash('sha256').update(bytes).digest('hex').slice(0, 8)}.${kind}`;
}

const files = new Map();
const theme = await bundle('src/theme.ts', { format: 'iife' });
const app = await bundle('src/main.tsx', { format: 'esm', jsx: 'automatic', jsxImportSource: 'preact' });
const names = { theme: hashed('theme', 'js', theme.js), style: hashed('style', 'css', app.css), app: hashed('app', 'js', app.js) };
files.set('assets/' + names.theme, theme.js);
files.set('assets/' + names.style, app.css);
files.set('assets/' + names.app, app.js);

const licences = ['preact', '@preact/signals', '@preact/signals-core', 'uplot'].map((name) => {
	const { version, license } = JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8'));
	return `${name} ${version} (${license})\n\n${readFileSync(join(here, 'node_modules', name, 'LICENSE'), 'utf8').trim()}\n`;
});
files.set('assets/licences.txt', Buffer.from('This dashboard contains the following libraries.\n\n' + licences.join('\n' + '-'.repeat(72) + '\n\n')));

for (const name of ['clear', 'watch', 'halt', 'unknown'])
	files.set(`favicon-${name}.svg`, readFileSync(join(here, 'src/static', `favicon-${name}.svg`)));
files.set('index.html', Buffer.from(readFileSync(join(here, 'src/static/index.html'), 'utf8').replace(/@(\w+)@/g, (_all, name) => names[name])));

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, 'assets'), { recursive: true });
const packed = { js: 0, css: 0 };
for (const [name, bytes] of files) {
	const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } });
	const gzip = gzipSync(bytes, { level: 9 });
	writeFileSync(join(out, name), bytes);
	writeFileSync(join(out, name + '.br'), brotli);
	const kind = name.split('.').pop();
	if (kind in packed)
		packed[kind] += gzip.length;
	console.log(`${name.padEnd(32)} ${String(bytes.length).padStart(7)} B  gzip ${String(gzip.length).padStart(6)}  brotli ${String(brotli.length).padStart(6)}`);
}
// What web/embed.sh is given, in this order.
writeFileSync(join(out, 'files'), [...files.keys()].join('\n') + '\n');
for (const [kind, most] of Object.entries(BUDGET)) {
	console.log(`${kind} in all: ${packed[kind]} of ${most} B gzip`);
	if (packed[kind] > most) {
		console.error(`the budget of ${most} B for ${kind} is exceeded`);
		process.exit(1);
	}
}
