// SPDX-License-Identifier: Apache-2.0
// Time is the server's: a browser whose clock is wrong still shows right ages.
import { signal } from '@preact/signals';

// Server time minus performance.now() (which no clock change touches), in ms.
let base: number | null = null;
export const offsetSeconds = signal<number | null>(null);

// A page out of the browser's cache carries an old time: only what the stream says may set the clock back.
export function heard(time: string | undefined | null, fromStream: boolean) {
	const ms = time ? Date.parse(time) : NaN;
	if (!Number.isFinite(ms))
		return;
	const b = ms - performance.now();
	// An answer is late by its way here, never early: the largest is the nearest; small steps back are ignored.
	if (base === null || b > base || fromStream && base - b > 2000)
		base = b;
	offsetSeconds.value = Math.round((Date.now() - (base + performance.now())) / 1000);
}

export const serverNow = () => base === null ? Date.now() : base + performance.now();

// Once a second, for all that counts.
export const tick = signal(0);
setInterval(() => { if (!document.hidden) tick.value++; }, 1000);
document.addEventListener('visibilitychange', () => { if (!document.hidden) tick.value++; });
