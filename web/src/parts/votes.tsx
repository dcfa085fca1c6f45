// SPDX-License-Identifier: Apache-2.0
// The votes themselves: who counted, how much, and which one decided.
import { useEffect, useState } from 'preact/hooks';
import { get } from '../api';
import { paths } from '../href';
import type { Deployment, Vote } from '../types';
import { Num } from './num';
import { Chip, ShapeMark } from './shapes';
import { DataTable, type Column } from './table';
import { Hostile, IdLink } from './text';
import { Time } from './time';

const FIRST = 10;

export interface VoteList { rows: Vote[]; all: boolean; total: number; shown: number; showAll: () => void; more: () => void }

// The document brings the first votes; more pages on demand.
export function useVotes(id: string, key: string | null, d: Deployment | null): VoteList {
	const [extra, setExtra] = useState<Vote[]>([]);
	const [all, setAll] = useState(false);
	const [busy, setBusy] = useState(false);
	const chosen = d?.key?.id ?? key ?? '';
	useEffect(() => { setExtra([]); setAll(false); }, [id, chosen]);
	const own = d?.votes ?? [], last = own.length ? own[own.length - 1]!.n : 0;
	const rows = [...own, ...extra.filter((v) => v.n > last)];
	const total = Math.max(d?.votes_total ?? 0, rows.length), kept = Math.min(total, d?.votes_kept ?? total);
	async function more() {
		if (busy || rows.length >= kept)
			return;
		setBusy(true);
		try {
			const from = rows.length ? rows[rows.length - 1]!.n : 0;
			const page = await get<{ votes?: Vote[] }>(`/v1/deployments/${encodeURIComponent(id)}?view=votes&key=${encodeURIComponent(chosen)}&from=${from}&limit=200`);
			setExtra((e) => [...e, ...(page.votes ?? []).filter((v) => !e.some((o) => o.n === v.n))]);
		} catch { /* the table says how many of how many it shows */ }
		setBusy(false);
	}
	return {
		rows, all, total, shown: all ? rows.length : Math.min(FIRST, rows.length),
		showAll: () => { setAll(true); void more(); }, more: () => void more(),
	};
}

const columns: (all: Vote[]) => Column<Vote>[] = (all) => {
	const k = (v: Vote, name: string) => `votes.${all.indexOf(v)}.${name}`;
	return [
		{ key: 'n', head: '#', right: true, cell: (v) => v.n },
		{ key: 't', head: 'Received', cell: (v) => <Time at={v.t} /> },
		{ key: 'arm', head: 'Arm', cell: (v) => v.exposed ? <span class="arm exposed"><ShapeMark shape="square" size={11} /> exposed</span> : <span class="arm control"><ShapeMark shape="circle" size={11} /> control</span> },
		{ key: 'host', head: 'Host', cell: (v) => v.host ? <IdLink to={paths.host(v.host)} text={v.host} most={14} open /> : '–' },
		{ key: 'site', head: 'Site', cell: (v) => <Hostile text={v.site} most={18} /> },
		{ key: 'build', head: 'OS build', cell: (v) => <Hostile text={v.os_build} most={14} /> },
		{ key: 'after', head: 'After', right: true, cell: (v) => <Num k={k(v, 'since_served_s')} v={v.since_served_s} f="duration" /> },
		{ key: 'q', head: 'q', right: true, mono: true, cell: (v) => <Num k={k(v, 'q')} v={v.q} f="decimal" /> },
		{ key: 'factor', head: 'Factor', right: true, cell: (v) => v.counted === false ? <span class="dim">not counted</span> : <Num k={k(v, 'factor')} v={v.factor} f="factor" /> },
		{ key: 'odds', head: 'Odds', right: true, cell: (v) => typeof v.log10_odds === 'number' ? <span data-k={k(v, 'log10_odds')} data-f="power">10<sup>{v.log10_odds.toFixed(1).replace('-', '−')}</sup></span> : '–' },
		{ key: 'reached', head: 'Reached', cell: (v) => v.reached ? <Chip status={v.reached} /> : '' },
	];
};

export function Votes({ votes, pointed, point }: { votes: VoteList; pointed: number | null; point: (n: number | null) => void }) {
	const shown = votes.all ? votes.rows : votes.rows.slice(0, FIRST);
	return (
		<div class="votes">
			<DataTable caption="Votes in the order they were counted" columns={columns(votes.rows)} rows={shown} id={(v) => String(v.n)} total={votes.all ? votes.total : undefined}
				more={votes.all ? votes.more : undefined} nav rowClass={(v) => v.n === pointed ? 'pointed' : undefined} point={(v) => point(v?.n ?? null)} height={480}
				note={!votes.all && votes.total > shown.length ? <p class="pages"><button type="button" id="all-votes" onClick={votes.showAll}>Show all {votes.total}</button></p> : undefined} />
		</div>
	);
}
