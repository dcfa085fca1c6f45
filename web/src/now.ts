// SPDX-License-Identifier: Apache-2.0
// GET /v1/now for the whole page: the Now page shows it, the bar of every other page its chips.
import { effect, signal } from '@preact/signals';
import { Failure, get, refused } from './api';
import { gotNews, listen, missed, paused, silence, woken } from './live';
import { say } from './say';
import type { Now, Status, Tile } from './types';

export const now = signal<Now | null>(null);		// always the newest
export const shownNow = signal<Now | null>(null);	// what the page shows: stands still while updates are paused
export const nowError = signal<Failure | null>(null);

// The stream leaves the trends of a day out: they change every 15 minutes and stay as they were.
function keepTrends(next: Now) {
	const before = now.value?.fleet, fleet = next.fleet;
	if (!before || !fleet)
		return;
	for (const name of ['alive', 'dark', 'boot_loop', 'crashing_10m'] as const) {
		const tile: Tile | undefined = fleet[name];
		if (tile && !tile.spark)
			tile.spark = before[name]?.spark;
	}
}

const bad = (s: Status | undefined) => s === 'halt' || s === 'halt_uncertified';

function announce(before: Now | null, next: Now) {
	if (!before)
		return;
	const old = new Map(before.deployments?.map((d) => [d.id, d.status]));
	for (const d of next.deployments ?? [])
		if (old.has(d.id) ? old.get(d.id) !== d.status : d.status !== 'hold')
			say(`Deployment ${d.id}: ${bad(d.status) ? 'halted' : d.status}`, bad(d.status) ? 'alert' : 'polite');
}

function take(next: Now) {
	keepTrends(next);
	announce(now.value, next);
	now.value = next;
	nowError.value = null;
	gotNews(next.freshness);
	if (paused.value)
		missed.value++;
	else
		shownNow.value = next;
}

let asking = false;
export async function fetchNow() {
	if (asking)
		return;
	asking = true;
	try {
		take(await get<Now>('/v1/now', AbortSignal.timeout(15_000)));
	} catch (e) {
		nowError.value = e instanceof Failure ? e : new Failure(0, 'no_contact', 'the server does not answer');
	}
	asking = false;
}

export function startNow() {
	void fetchNow();
	// Trends come with the GET alone; after a gap everything may be different.
	setInterval(() => { if (!document.hidden) void fetchNow(); }, 5 * 60_000);
	listen('now', ['now', 'verdict', 'alarm', 'reset', 'hello'], (data, event) => {
		if (event === 'now')
			take(data as Now);
		else if (now.value !== null || event !== 'hello')
			void fetchNow();
	});
	// A stream that something between us and the server holds back: then we ask.
	effect(() => {
		const s = silence.value;
		if (s >= 6 && s % 5 === 1 && !document.hidden && !refused.peek())
			void fetchNow();
	});
	effect(() => { if (!paused.value) { missed.value = 0; shownNow.value = now.peek(); } });
	effect(() => { woken.value; if (!refused.value && now.peek() === null || woken.value > 0) void fetchNow(); });
}
