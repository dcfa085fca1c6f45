// SPDX-License-Identifier: Apache-2.0
import { useMemo } from 'preact/hooks';
import { useDoc } from '../doc';
import { ShapeMark, STATUS, known } from '../parts/shapes';
import { Card, Empty, ErrorBox, Skeleton } from '../parts/states';
import { DataTable, type Column } from '../parts/table';
import { Time } from '../parts/time';
import { query, setQuery } from '../router';
import { useTitle } from '../shell';
import { count } from '../format';
import type { DeploymentRow, Deployments, Status } from '../types';
import { deploymentColumns } from './now';

const ORDER: Status[] = ['halt', 'halt_uncertified', 'halt_recovered', 'watch', 'would_halt', 'hold', 'proceed'];

export function DeploymentsPage() {
	useTitle('Deployments');
	const q = query.value, state = q.get('state') ?? '', sort = q.get('sort') ?? '', text = q.get('q') ?? '';
	const ask = new URLSearchParams({ view: 'page', limit: '200' });
	if (state)
		ask.set('state', state);
	if (text)
		ask.set('q', text);
	if (sort)
		ask.set('sort', sort.replace(/^-/, ''));
	if (q.get('cursor'))
		ask.set('cursor', q.get('cursor')!);
	const doc = useDoc<Deployments>('/v1/deployments?' + ask, { topic: 'now', events: ['now', 'verdict'] });
	const d = doc.data, rows = useMemo(() => d?.deployments ?? [], [d]);
	const f = d?.facets;
	const columns: Column<DeploymentRow>[] = [...deploymentColumns(rows, true)];
	columns.splice(columns.length - 1, 0, { key: 'created', head: 'Created', sort: 'newest', cell: (r) => <Time at={r.created} /> });
	const facet = (value: string, word: string, n: number | undefined, shape?: Status) => (n ?? 0) > 0 || state === value ? (
		<button type="button" class="facet" aria-pressed={state === value} onClick={() => setQuery({ state: state === value ? null : value, cursor: null })}>
			{shape && <ShapeMark shape={STATUS[shape].shape} size={12} />} {word} <b>{count(n ?? 0)}</b>
		</button>) : null;
	return (
		<div data-doc={doc.path} data-position={d?.position}>
			<h1 tabIndex={-1}>Deployments</h1>
			<div class="filters">
				<form role="search" aria-label="deployments" onSubmit={(e) => { e.preventDefault(); setQuery({ q: ((e.currentTarget as HTMLFormElement).elements.namedItem('id') as HTMLInputElement).value.trim(), cursor: null }); }}>
					<input type="search" name="id" aria-label="part of an id, artefact or version" placeholder="Part of an id, artefact or version" defaultValue={text} key={text} />
				</form>
				<div class="facets" role="group" aria-label="states">
					{ORDER.map((s) => facet(s, STATUS[s].word, f?.status?.[s], s))}
					{facet('open', 'open', f?.open)}
					{facet('closed', 'closed', f?.closed)}
				</div>
			</div>
			{doc.error && <ErrorBox error={doc.error} again={doc.again} />}
			{!d ? !doc.error && <Skeleton wait={doc.wait} heights={[260]} /> : (
				<Card title="All" note={`${count(d.total ?? rows.length)} ${(d.total ?? rows.length) === 1 ? 'deployment' : 'deployments'}${state ? ', ' + (STATUS[known(state)]?.word === 'UNKNOWN' ? state : STATUS[known(state)].word) : ''}`} id="list">
					{rows.length === 0 ? (state || text ? <Empty>No deployment matches. <button type="button" class="bare link" onClick={() => setQuery({ state: null, q: null, cursor: null })}>Show all</button></Empty>
						: <Empty command="faultline deploy create …">No deployment registered.</Empty>)
						: <DataTable caption="Deployments" columns={columns} rows={rows} id={(r) => r.id} sorted="-gravity" nav
							note={(d.next || q.get('cursor')) && <p class="pages">{q.get('cursor') && <button type="button" onClick={() => setQuery({ cursor: null })}>First page</button>} {d.next && <button type="button" onClick={() => setQuery({ cursor: d.next! })}>Next page</button>}</p>} />}
				</Card>
			)}
		</div>
	);
}
