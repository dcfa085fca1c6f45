// SPDX-License-Identifier: Apache-2.0
// How numbers and times are written.  Everything on a page goes through here (parts/num.tsx names the
// formatter in data-f), so that a test can hold each of them against the API.

export const UNKNOWN = '–';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const sig2 = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 });
const sig3 = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const one = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const bad = (v: unknown): v is null | undefined => typeof v !== 'number' || !Number.isFinite(v);

// 412, 999,999, 1.2 M, 3.4 G
export function count(v: number | null | undefined): string {
	if (bad(v))
		return UNKNOWN;
	const size = Math.abs(v);
	if (size < 1e6)
		return whole.format(v);
	if (size < 1e9)
		return one.format(v / 1e6) + ' M';
	return one.format(v / 1e9) + ' G';
}

export const exact = (v: number) => whole.format(v);

export function signed(v: number | null | undefined): string {
	if (bad(v))
		return UNKNOWN;
	return (v > 0 ? '+' : '') + count(v).replace('-', '−');
}

// A measured number that is not a count: 2.4, 16,520, 0.00083
export function decimal(v: number | null | undefined): string {
	if (bad(v))
		return UNKNOWN;
	if (v === 0)
		return '0';
	return Math.abs(v) >= 100 ? count(Math.round(v)) : Math.abs(v) >= 0.0001 ? sig2.format(v) : power(Math.log10(v));
}

// A share of one: 5.0 %, 0.11 %, 1 per million
export function rate(v: number | null | undefined): string {
	if (bad(v))
		return UNKNOWN;
	if (v === 0)
		return '0';
	if (v >= 0.0001)
		return v >= 0.9995 ? '100 %' : two(v * 100) + ' %';
	const million = v * 1e6;
	if (million >= 0.95)
		return sig2.format(million) + ' per million';
	return sig2.format(v * 1e9) + ' per billion';
}

// Two significant digits with their zeros: 5.0, 38, 0.11
function two(v: number): string {
	return v >= 9.95 ? String(Math.round(v)) : v.toPrecision(2);
}

const SUP: Record<string, string> = {
	'-': '⁻', '0': '⁰', '1': '¹', '2': '²', '3': '³', '4': '⁴', '5': '⁵', '6': '⁶', '7': '⁷', '8': '⁸', '9': '⁹', '.': '·',
};
export const superscript = (s: string) => Array.from(s, (c) => SUP[c] ?? c).join('');

// 10⁶·⁷, from a decimal logarithm
export const power = (log10: number) => '10' + superscript(log10.toFixed(1));

// Odds from their decimal logarithm: even, 1 in 4.8 million, more than 1 in 10¹²
export function odds(log10: number | null | undefined): string {
	if (bad(log10))
		return UNKNOWN;
	if (log10 > 12)
		return 'more than 1 in 10¹²';
	if (log10 <= 0)
		return log10 > -0.05 ? 'even' : 'for harmless, ' + oneIn(-log10);
	return oneIn(log10);
}

function oneIn(log10: number): string {
	const n = 10 ** log10;
	if (n >= 0.9995e12)
		return '1 in 10¹²';
	if (n >= 0.9995e9)
		return '1 in ' + sig2.format(n / 1e9) + ' billion';
	if (n >= 0.9995e6)
		return '1 in ' + sig2.format(n / 1e6) + ' million';
	return '1 in ' + (n < 10 ? sig2.format(n) : whole.format(Number(n.toPrecision(2))));
}

export const factor = (v: number | null | undefined) =>
	bad(v) ? UNKNOWN : '×' + (v >= 1000 ? whole.format(v) : sig3.format(v));

// 0.4 s, 28 s, 11 min 02 s, 1 h 05 min, 3 d 04 h
export function duration(s: number | null | undefined): string {
	if (bad(s))
		return UNKNOWN;
	const pad = (n: number) => String(Math.floor(n)).padStart(2, '0');
	if (s < 9.95)
		return (Math.round(Math.max(0, s) * 10) / 10) + ' s';
	if (s < 60)
		return Math.floor(s) + ' s';
	if (s < 3600)
		return Math.floor(s / 60) + ' min ' + pad(s % 60) + ' s';
	if (s < 86400)
		return Math.floor(s / 3600) + ' h ' + pad(s % 3600 / 60) + ' min';
	return Math.floor(s / 86400) + ' d ' + pad(s % 86400 / 3600) + ' h';
}

export const milliseconds = (v: number | null | undefined) => bad(v) ? UNKNOWN : sig2.format(v) + ' ms';

export function bytes(v: number | null | undefined): string {
	if (bad(v))
		return UNKNOWN;
	if (v < 1024)
		return whole.format(v) + ' B';
	for (const [unit, size] of [['KiB', 2 ** 10], ['MiB', 2 ** 20], ['GiB', 2 ** 30], ['TiB', 2 ** 40]] as const)
		if (v < size * 1024 || unit === 'TiB')
			return sig3.format(v / size) + ' ' + unit;
	return UNKNOWN;
}

// What data-f may say.
export const FORMATS = { count, signed, decimal, rate, odds, factor, duration, milliseconds, bytes };
export type Format = keyof typeof FORMATS;

// ---- times

export type Zone = 'utc' | 'local';

const parts = new Map<Zone, Intl.DateTimeFormat>();
function formatter(zone: Zone): Intl.DateTimeFormat {
	let f = parts.get(zone);
	if (!f) {
		f = new Intl.DateTimeFormat('en-GB', {
			timeZone: zone === 'utc' ? 'UTC' : undefined, year: 'numeric', month: '2-digit', day: '2-digit',
			hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short',
		});
		parts.set(zone, f);
	}
	return f;
}

function split(ms: number, zone: Zone): Record<string, string> {
	return Object.fromEntries(formatter(zone).formatToParts(ms).map((p) => [p.type, p.value]));
}

// "UTC", "CET", "GMT+9": of that moment, so that a daylight-saving change shows.
export const zoneName = (ms: number, zone: Zone) => zone === 'utc' ? 'UTC' : split(ms, zone).timeZoneName ?? '';

export function clock(ms: number, zone: Zone): string {
	const p = split(ms, zone);
	return `${p.hour}:${p.minute}:${p.second}`;
}

export function hourMinute(ms: number, zone: Zone): string {
	const p = split(ms, zone);
	return `${p.hour}:${p.minute}`;
}

export function dateTime(ms: number, zone: Zone): string {
	const p = split(ms, zone);
	return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}`;
}

// Within a day the clock, before that the date.
export function moment(ms: number, now: number, zone: Zone): string {
	return Math.abs(now - ms) < 86_400_000 ? clock(ms, zone) : dateTime(ms, zone);
}

export const parseTime = (s: string | null | undefined): number | null => {
	const ms = s ? Date.parse(s) : NaN;
	return Number.isFinite(ms) ? ms : null;
};
