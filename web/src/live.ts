// SPDX-License-Identifier: Apache-2.0
// What is new: the stream's events for whoever asks, how old the last news is, and whether updates are paused.
import { computed, effect, signal } from '@preact/signals';
import { learnSession, newKey, refused } from './api';
import { heard, tick } from './clock';
import { Source, type EventName, type News } from './source';
import type { Freshness } from './types';

type Listener = (data: unknown, event: EventName) => void;

const topics = new Map<string, number>();
const listeners = new Set<{ events: EventName[]; call: Listener }>();

export const freshness = signal<Freshness | null>(null);
export const connected = signal(false);
export const paused = signal(false);
export const missed = signal(0);

const LATE_S = 8, LOST_S = 30;	// a ping comes every 5 s
let lastNews = performance.now();
export const silence = signal(0);	// seconds since anything was heard

export type Contact = 'starting' | 'live' | 'late' | 'lost';
const everHeard = signal(false);
export const contact = computed<Contact>(() =>
	silence.value >= LOST_S ? 'lost' : !everHeard.value ? 'starting' : silence.value >= LATE_S ? 'late' : 'live');

export function gotNews(f?: Freshness | null, fromStream = false) {
	lastNews = performance.now();
	everHeard.value = true;
	silence.value = 0;
	if (f) {
		freshness.value = f;
		heard(f.time, fromStream);
	}
}

effect(() => {
	tick.value;
	const s = (performance.now() - lastNews) / 1000;
	silence.value = s < 1 ? 0 : Math.floor(s);
});

function tell(news: News) {
	if (news.event === 'open' || news.event === 'lost') {
		connected.value = news.event === 'open';
		if (news.event === 'lost' && !document.hidden)
			void learnSession();	// an event stream does not say 401
		return;
	}
	const f = (news.data as { freshness?: Freshness } | null)?.freshness;
	gotNews(f, true);
	for (const l of listeners)
		if (l.events.includes(news.event))
			l.call(news.data, news.event);
}

// ---- the connection: one for all tabs of a browser (HTTP/1.1 allows about six to a server)
//
// The tab that holds a Web Lock has it and tells the others by a BroadcastChannel; when it closes, the next gets
// the lock.  A SharedWorker would need a Trusted Types policy, and ours allows none.  Without locks (plain HTTP
// from another host) each visible tab has its own.

type Word = { news: News } | { id: string; topics: string[] } | { lead: true } | { again: true };

const LOCK = 'faultline-stream';
const GONE_MS = 90_000;		// a tab says that it is there every 20 s, a sleeping one once a minute
const STEAL_S = 12, STEAL_AGAIN_MS = 60_000;
const me = newKey();
const others = new Map<string, { topics: string[]; seen: number }>();
const channel = typeof BroadcastChannel !== 'undefined' && navigator.locks ? new BroadcastChannel('faultline') : null;
let source: Source | null = null;	// this tab has the connection
let asleep = false;

const mine = () => asleep ? [] : [...topics.keys()];
const post = (word: Word) => channel?.postMessage(word);

// What is wanted goes to the one who has the connection.
function ask() {
	if (!source)
		return post({ id: me, topics: mine() });
	const all = new Set(mine());
	for (const [id, tab] of others)
		if (performance.now() - tab.seen > GONE_MS)
			others.delete(id);
		else
			tab.topics.forEach((t) => all.add(t));
	source.want([...all]);
}

function lead() {
	source = new Source((news) => {
		post({ news });
		tell(news);
	});
	post({ lead: true });
	ask();
}

function follow() {
	source?.want([]);
	source = null;
}

let stolen = -STEAL_AGAIN_MS;
function take(steal: boolean) {
	navigator.locks.request(LOCK, { steal }, () => {
		lead();
		return new Promise<void>((release) => addEventListener('pagehide', () => {
			follow();
			release();
		}, { once: true }));
	}).catch(() => {
		// Another tab took it from us: we were asleep.
		follow();
		ask();
		take(false);
	});
}

function hear(word: Word) {
	if ('news' in word)
		tell(word.news);
	else if ('lead' in word)
		ask();
	else if ('again' in word)
		source?.again();
	else {
		others.set(word.id, { topics: word.topics, seen: performance.now() });
		if (source)
			ask();
	}
}

export function start() {
	if (channel) {
		channel.onmessage = (e: MessageEvent<Word>) => hear(e.data);
		take(false);
		addEventListener('pagehide', () => post({ id: me, topics: [] }));
		addEventListener('pageshow', (e) => { if (e.persisted) take(false); });
		// A leader that is frozen says nothing: a tab that somebody looks at takes over.
		effect(() => {
			if (silence.value >= STEAL_S && !source && !document.hidden && performance.now() - stolen > STEAL_AGAIN_MS) {
				stolen = performance.now();
				take(true);
			}
		});
	} else {
		lead();
	}
	ask();
	setInterval(ask, 20_000);
	let timer: ReturnType<typeof setTimeout>;
	document.addEventListener('visibilitychange', () => {
		clearTimeout(timer);
		if (document.hidden) {
			timer = setTimeout(() => { asleep = true; ask(); }, 60_000);
		} else if (asleep) {
			asleep = false;
			ask();
			woken.value++;
		}
	});
	effect(() => {
		if (!refused.value) {
			source?.again();
			post({ again: true });
		}
	});
}

// Rises when the tab is looked at again after its sleep.
export const woken = signal(0);

// ---- for the pages

export function listen(topic: string | null, events: EventName[], call: Listener): () => void {
	const mine = { events, call };
	listeners.add(mine);
	if (topic) {
		topics.set(topic, (topics.get(topic) ?? 0) + 1);
		ask();
	}
	return () => {
		listeners.delete(mine);
		if (topic) {
			const left = (topics.get(topic) ?? 1) - 1;
			if (left > 0)
				topics.set(topic, left);
			else
				topics.delete(topic);
			ask();
		}
	};
}
