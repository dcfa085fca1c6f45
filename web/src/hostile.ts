// SPDX-License-Identifier: Apache-2.0
// Text from dumps, hosts and people: what would hide or reorder is named, and length has a limit.

// Controls, soft hyphen, Arabic letter mark, zero width and bidi, line separators, word joiner to isolates,
// byte order mark and annotation marks, the tag characters, and halves of surrogate pairs.
const MARKS = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu;

export interface Piece { text: string; mark: boolean }

export const codePoint = (c: string) => 'U+' + (c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');

export function pieces(s: string): Piece[] {
	const all: Piece[] = [];
	let from = 0;
	for (const m of s.matchAll(MARKS)) {
		if (m.index > from)
			all.push({ text: s.slice(from, m.index), mark: false });
		all.push({ text: codePoint(m[0]), mark: true });
		from = m.index + m[0].length;
	}
	if (from < s.length)
		all.push({ text: s.slice(from), mark: false });
	return all;
}

// The same for places that take plain text alone: titles, labels, canvas, clipboard.
export const plain = (s: string) => pieces(s).map((p) => p.mark ? `[${p.text}]` : p.text).join('');

export const LONGEST = 96;

// The middle goes: both ends of a name tell more than its start.
export function cut(s: string, most = LONGEST): string {
	if (s.length <= most)
		return s;
	const c = Array.from(s);
	if (c.length <= most)
		return s;
	const head = Math.ceil((most - 1) * 0.6);
	return c.slice(0, head).join('') + '…' + c.slice(c.length - (most - 1 - head)).join('');
}

export const label = (s: string, most = LONGEST) => plain(cut(s, most));
