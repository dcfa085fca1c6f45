// SPDX-License-Identifier: Apache-2.0
// Hosts by state, and the way to one of them.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Failure, get } from '../api';
import type { HostList, HostRow } from '../types-detail';
import { useDoc, useWithNow } from '../doc';
import { count } from '../format';
import { paths } from '../href';
import { shownNow } from '../now';
import { Card, Empty, ErrorBox, Skeleton } from '../parts/states';
import { DataTable, type Column } from '../parts/table';
import { Hostile, IdLink } from '../parts/text';
import { Age, Time } from '../parts/time';
import { go, query, setQuery } from '../router';
import { useTitle } from '../shell';

const STATES: [string, string, string][] = [
	['dark', 'Dark', 'Their heartbeats stopped without a goodbye, and their silence is over its limit.'],
	['boot-looping', 'Boot-looping', 'They boot again and again and do not stay up.'],
	['active', 'Active', 'They send heartbeats in time.'],
	['goodbye', 'Said goodbye', 'They were shut down in an orderly way.'],
	['quiet', 'Quiet', 'They send reports but no heartbeats, and not lately: nobody can say whether they live.'],
	['unheard', 'Never heard', 'A deployment says that it served them; they were never heard of.'],
];

const COLUMNS: Column<HostRow>[] = [
	{ key: 'id', head: 'Host', cell: (h) => <IdLink to={paths.host(h.id)} text={h.id} most={40} open /> },
	{ key: 'site', head: 'Site', cell: (h) => <Hostile text={h.site} most={32} /> },
	{ key: 'product', head: 'Product', cell: (h) => <Hostile text={h.product} most={24} /> },
	{ key: 'os', head: 'OS build', cell: (h) => <Hostile text={h.os_build} most={24} /> },
	{ key: 'hw', head: 'Hardware', cell: (h) => <Hostile text={h.hw_class} most={24} /> },
	{ key: 'last', head: 'Last heard', cell: (h) => <Time at={h.last_seen} /> },
	{ key: 'age', head: 'Silent for', right: true, cell: (h) => <Age at={h.last_seen} ago={false} /> },
];

// More pages below the first; a page may be empty and yet have a next.
function useMore(path: string, doc: HostList | null) {
	const [more, set] = useState<{ path: string; rows: HostRow[]; next: string | null | undefined }>({ path: '', rows: [], next: undefined });
	const busy = useRef(false);
	const mine = more.path === path ? more : { path, rows: [], next: undefined };
	const next = mine.next === undefined ? doc?.next ?? null : mine.next;
	const load = async () => {
		if (!next || busy.current)
			return;
		busy.current = true;
		try {
			const d = await get<HostList>(`${path}&cursor=${encodeURIComponent(next)}`);
			set({ path, rows: [...mine.rows, ...d.hosts ?? []], next: d.next ?? null });
		} catch (e) {
			if (!(e instanceof Failure))
				throw e;
		}
		busy.current = false;
	};
	return { rows: [...doc?.hosts ?? [], ...mine.rows], next, load };
}

export function HostsPage() {
	useTitle('Hosts');
	const q = query.value, state = STATES.find(([s]) => s === q.get('state')) ?? STATES[0]!, deployment = q.get('deployment') ?? '';
	const path = `/v1/hosts?state=${state[0]}&limit=200${deployment ? '&deployment=' + encodeURIComponent(deployment) : ''}`;
	const doc = useDoc<HostList>(path, { topic: 'now', events: ['now'] });
	useWithNow(doc, shownNow.value?.position);
	const { rows, next, load } = useMore(path, doc.data);
	const fleet = shownNow.value?.fleet;
	const known: Record<string, number | null | undefined> = { dark: fleet?.dark?.value, 'boot-looping': fleet?.boot_loop?.value, active: fleet?.alive?.value };
	const empty = doc.data && rows.length === 0;
	useEffect(() => {
		if (empty && next)
			void load();
	}, [empty, next]);
	return (
		<div data-doc={doc.path} data-position={doc.data?.position}>
			<h1 tabIndex={-1}>Hosts</h1>
			<div class="filters">
				<form role="search" aria-label="one host" onSubmit={(e) => {
					e.preventDefault();
					const id = ((e.currentTarget as HTMLFormElement).elements.namedItem('host') as HTMLInputElement).value.trim();
					if (id)
						go(paths.host(id));
				}}>
					<input type="search" name="host" id="find-host" aria-label="id of a host" placeholder="Id of a host: its name, or h:…" spellcheck={false} />
				</form>
				<div class="facets" role="group" aria-label="state">
					{STATES.map(([s, name]) => <button type="button" class="facet" key={s} aria-pressed={s === state[0]} onClick={() => setQuery({ state: s === STATES[0]![0] ? null : s })}>{name}{typeof known[s] === 'number' && !deployment && <> <b>{count(known[s])}</b></>}</button>)}
				</div>
			</div>
			{deployment && <p class="hint">Only those that <a href={paths.deployment(deployment)}><Hostile text={deployment} most={48} /></a> served. <button type="button" class="bare link" onClick={() => setQuery({ deployment: null })}>All</button></p>}
			{doc.error && <ErrorBox error={doc.error} again={doc.again} />}
			{!doc.data ? !doc.error && <Skeleton wait={doc.wait} heights={[320]} /> : (
				<Card id="list" title={state[1]} note={state[2]}>
					{rows.length === 0 ? <Empty>{next ? 'Looking…' : `No host is in this state${deployment ? ' among those it served' : ''}.`}</Empty>
						: <DataTable caption={`Hosts: ${state[1]}`} columns={COLUMNS} rows={rows} id={(h) => h.id} nav total={next ? rows.length + 1 : rows.length} more={() => void load()}
							note={next ? <p class="pages"><button type="button" onClick={() => void load()}>More hosts</button></p> : undefined} />}
				</Card>
			)}
		</div>
	);
}
