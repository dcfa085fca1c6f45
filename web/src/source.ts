// SPDX-License-Identifier: Apache-2.0
// One event stream with the topics somebody wants; live.ts says which tab of a browser has it.

export const EVENTS = ['hello', 'ping', 'reset', 'now', 'verdict', 'alarm', 'deployment', 'signature'] as const;
export type EventName = typeof EVENTS[number];
export interface News { event: EventName | 'open' | 'lost'; data: unknown }

export class Source {
	private stream: EventSource | null = null;
	private key = '';
	private lastId = '';
	private retry: ReturnType<typeof setTimeout> | undefined;
	private wait = 500;

	constructor(private readonly tell: (news: News) => void) {}

	want(topics: string[]) {
		const key = topics.slice().sort().slice(0, 8).join(',');
		if (key === this.key)
			return;
		this.key = key;
		this.wait = 500;
		this.open();
	}

	// Somebody signed in, or came back: do not sit out the pause.
	again() {
		if (this.key && (!this.stream || this.stream.readyState !== EventSource.OPEN)) {
			this.wait = 500;
			this.open();
		}
	}

	private open() {
		clearTimeout(this.retry);
		this.stream?.close();
		this.stream = null;
		if (!this.key)
			return;
		const last = this.lastId ? '&last_event_id=' + encodeURIComponent(this.lastId) : '';
		const stream = new EventSource('/v1/stream?topics=' + this.key.split(',').map(encodeURIComponent).join(',') + last);
		this.stream = stream;
		stream.onopen = () => {
			this.wait = 500;
			this.tell({ event: 'open', data: null });
		};
		stream.onerror = () => {
			// Its own retry knows no limit and keeps no pace: ours does.
			stream.close();
			if (this.stream !== stream)
				return;
			this.stream = null;
			this.tell({ event: 'lost', data: null });
			this.retry = setTimeout(() => this.open(), this.wait);
			this.wait = Math.min(this.wait * 2, 8000);
		};
		for (const event of EVENTS)
			stream.addEventListener(event, (e) => {
				const message = e as MessageEvent<string>;
				if (message.lastEventId)
					this.lastId = message.lastEventId;
				if (event === 'reset')
					this.lastId = '';
				let data: unknown = null;
				try {
					data = JSON.parse(message.data);
				} catch { /* then it has no data */ }
				this.tell({ event, data });
			});
	}
}
