// SPDX-License-Identifier: Apache-2.0
// A page's document: fetched, kept while it is fetched again, and again when the stream says so.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Failure, get, refused } from './api';
import { gotNews, listen, missed, paused, woken } from './live';
import type { EventName } from './source';
import type { Page } from './types';

export interface Doc<T> {
	data: T | null;
	path: string;
	error: Failure | null;
	wait: 'no' | 'short' | 'shown' | 'long';	// while there is nothing: quiet for 150 ms, words after 3 s
	again: () => void;
}

export interface Live { topic: string; events: EventName[]; about?: (data: unknown) => boolean }

const AT_MOST_MS = 1000;	// one refetch a second

export function useDoc<T extends Page>(path: string | null, live?: Live): Doc<T> {
	const [state, set] = useState<{ path: string; data: T | null; error: Failure | null }>({ path: '', data: null, error: null });
	const [wait, setWait] = useState<Doc<T>['wait']>('short');
	const fetchNow = useRef<() => void>(() => {});
	const soon = useRef<() => void>(() => {});

	useEffect(() => {
		if (path === null)
			return;
		const abort = new AbortController();
		let running = false, more = false, last = -AT_MOST_MS;
		let timer: ReturnType<typeof setTimeout> | undefined;
		const waits = [setTimeout(() => setWait('shown'), 150), setTimeout(() => setWait('long'), 3000)];
		setWait('short');

		async function run() {
			if (running) {
				more = true;
				return;
			}
			running = true;
			last = performance.now();
			try {
				const data = await get<T>(path!, abort.signal);
				gotNews(data.freshness);
				set({ path: path!, data, error: null });
			} catch (e) {
				if (abort.signal.aborted)
					return;
				const error = e instanceof Failure ? e : new Failure(0, 'unreadable', String(e));
				set((s) => ({ path: path!, data: s.path === path ? s.data : null, error }));
			}
			waits.forEach(clearTimeout);
			setWait('no');
			running = false;
			if (more) {
				more = false;
				soon.current();
			}
		}
		soon.current = () => {
			if (timer === undefined)
				timer = setTimeout(() => {
					timer = undefined;
					// paused meanwhile: what came before shows when updates go on
					if (paused.peek())
						missed.value++;
					else
						void run();
				}, Math.max(50, last + AT_MOST_MS - performance.now()));
		};
		fetchNow.current = () => void run();
		void run();
		return () => {
			abort.abort();
			clearTimeout(timer);
			waits.forEach(clearTimeout);
		};
	}, [path]);

	// The stream says that something changed.
	useEffect(() => {
		if (!live || path === null)
			return;
		return listen(live.topic, [...live.events, 'hello', 'reset'], (data, event) => {
			if (event !== 'hello' && event !== 'reset' && live.about && !live.about(data))
				return;
			if (paused.value)
				missed.value++;
			else
				soon.current();
		});
	}, [path, live?.topic, live?.events.join()]);

	// Updates go on, a tab came back, somebody signed in.
	const was = useRef({ paused: false, woken: 0, refused: false });
	const now = { paused: paused.value, woken: woken.value, refused: refused.value };
	useEffect(() => {
		const before = was.current;
		was.current = now;
		if (before.paused && !now.paused || before.woken !== now.woken || before.refused && !now.refused)
			fetchNow.current();
	}, [now.paused, now.woken, now.refused]);

	const mine = state.path === path;
	return {
		data: mine ? state.data : null, path: path ?? '', error: mine ? state.error : null,
		wait: mine && (state.data || state.error) ? 'no' : wait, again: () => fetchNow.current(),
	};
}

// Pages whose numbers move with the fleet: again when Now has changed, not more often than every few seconds.
export function useWithNow(doc: Doc<unknown>, position: string | undefined, seconds = 3) {
	const last = useRef(performance.now()), timer = useRef<ReturnType<typeof setTimeout> | null>(null);
	useEffect(() => {
		if (position === undefined || timer.current !== null)
			return;
		timer.current = setTimeout(() => {
			timer.current = null;
			last.current = performance.now();
			if (!paused.peek())
				doc.again();
		}, Math.max(200, last.current + seconds * 1000 - performance.now()));
	}, [position]);
	useEffect(() => () => clearTimeout(timer.current ?? undefined), []);
}
