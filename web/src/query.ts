// SPDX-License-Identifier: Apache-2.0
// The query line as text: where a term stands, what may stand there, how a facet is put in and taken out.
// The server parses it (docs/SEARCH.md); nothing here decides what is valid.
import type { Facet, Term } from './types-detail';

export const FIELDS: [string, string][] = [
	['module', 'name of the module that crashed'], ['kind', 'kernel, boot-critical, service, user'], ['new', 'first seen: new:<1h'],
	['last', 'last seen: last:<10m'], ['hosts', 'how many hosts: hosts:>10'], ['sites', 'how many sites: sites:>2'],
	['reports', 'how many reports: reports:>100'], ['site', 'seen at this site'], ['os', 'operating system'], ['product', 'product of the hosts'],
	['build', 'build of the module or system'], ['content', 'content version of the hosts: content:291=32'], ['deployment', 'on hosts it was served to'],
	['state', 'verdict of its deployment: halt, watch'], ['reason', 'part of the reason'], ['offset', 'offset in the module'],
];
const OPERATORS: Record<string, string[]> = {
	new: ['<10m', '<1h', '<24h', '<7d'], last: ['<10m', '<1h', '<24h'], hosts: ['>10', '>100', '>1000'], sites: ['>1', '>5'], reports: ['>10', '>100'],
	kind: ['kernel', 'boot-critical', 'service', 'user'], state: ['halt', 'watch', 'hold', 'proceed'],
};

// A value as it is written in a query: quoted when it holds what would end it.
export function quoted(value: string): string {
	return /^[^\s"\\<>=!~^$-][^\s"\\]*$/.test(value) ? value : '"' + value.replace(/["\\]/g, (c) => '\\' + c) + '"';
}

// The piece of text that the caret is in: from the last space outside quotes.
export function pieceAt(text: string, caret: number): { from: number; text: string } {
	let from = 0, inside = false;
	for (let i = 0; i < caret; i++) {
		if (text[i] === '"' && text[i - 1] !== '\\')
			inside = !inside;
		else if (text[i] === ' ' && !inside)
			from = i + 1;
	}
	return { from, text: text.slice(from, caret) };
}

export interface Offer { insert: string; shown: string; note: string }

export function offers(text: string, caret: number, facets: Record<string, Facet[]> | undefined): Offer[] {
	const piece = pieceAt(text, caret), minus = piece.text.startsWith('-') ? '-' : '', word = piece.text.slice(minus.length).toLowerCase();
	const colon = word.indexOf(':');
	if (colon < 0)
		return FIELDS.filter(([name]) => name.startsWith(word)).slice(0, word ? 8 : 6).map(([name, note]) => ({ insert: minus + name + ':', shown: minus + name + ':', note }));
	const field = word.slice(0, colon), begun = word.slice(colon + 1).replace(/^"/, '');
	const known = (facets?.[field] ?? []).map((f) => ({ value: f.value, note: `${f.signatures} ${f.signatures === 1 ? 'signature' : 'signatures'}`, raw: false }));
	const usual = (OPERATORS[field] ?? []).filter((v) => !known.some((k) => k.value === v)).map((value) => ({ value, note: '', raw: true }));
	return [...known, ...usual].filter((v) => v.value.toLowerCase().startsWith(begun) && v.value.toLowerCase() !== begun).slice(0, 10).map((v) => {
		const insert = `${minus}${field}:${v.raw ? v.value : quoted(v.value)} `;
		return { insert, shown: insert.trimEnd(), note: v.note };
	});
}

// A query counts characters; a text of JavaScript counts UTF-16 units.
const unit = (text: string, characters: number) => Array.from(text).slice(0, characters).join('').length;

export function without(q: string, t: Term): string {
	const from = unit(q, t.at), to = unit(q, t.at + t.length);
	return (q.slice(0, from) + q.slice(to)).replace(/\s+/g, ' ').trim();
}

export const termText = (q: string, t: Term) => q.slice(unit(q, t.at), unit(q, t.at + t.length));

export const has = (parsed: Term[] | undefined, field: string, value: string) =>
	parsed?.find((t) => t.field === field && !t.negated && t.value.toLowerCase() === value.toLowerCase());

export function toggled(q: string, parsed: Term[] | undefined, field: string, value: string): string {
	const there = has(parsed, field, value);
	return there ? without(q, there) : `${q.trim()} ${field}:${quoted(value)}`.trim();
}

// The place of an error, as pieces around the character.
export function around(q: string, at: number): [string, string, string] {
	const all = Array.from(q), i = Math.max(0, Math.min(at, all.length));
	return [all.slice(0, i).join(''), all[i] ?? '', all.slice(i + 1).join('')];
}
