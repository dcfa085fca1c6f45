// SPDX-License-Identifier: Apache-2.0
// Signatures: what is new or rising.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Failure, get } from '../api';
import { serverNow } from '../clock';
import type { SignatureList, SignatureRow } from '../types-detail';
import { useDoc, useWithNow } from '../doc';
import { count, parseTime } from '../format';
import { paths } from '../href';
import { shownNow } from '../now';
import { CopyButton } from '../parts/copy';
import { LongTable } from '../parts/long';
import { Num } from '../parts/num';
import { QueryError, QueryLine } from '../parts/queryline';
import { Chip, ShapeMark } from '../parts/shapes';
import { Spark } from '../parts/spark';
import { Card, Empty, ErrorBox, Skeleton } from '../parts/states';
import { DataTable, MANY, type Column } from '../parts/table';
import { Hostile, IdLink } from '../parts/text';
import { Time } from '../parts/time';
import { has, termText, toggled, without } from '../query';
import { query, setQuery } from '../router';
import { useTitle } from '../shell';

const PAGE = 200;
const SORTS = ['hosts', 'sites', 'reports', 'crashes', 'newest', 'last', 'trend'];
const GROUPS: [string, string][] = [['signature', 'Signature'], ['build', 'Build'], ['module', 'Module']];
const FACETS: [string, string][] = [['kind', 'Kind'], ['module', 'Module'], ['product', 'Product'], ['os', 'OS build'], ['site', 'Site'], ['deployment', 'Deployment'], ['state', 'Verdict']];

// Movement is worth a mark from five ranks on; what was not there before is new, in a word.
const MOVED = 5, NEW_MS = 12 * 3600 * 1000;
function Movement({ row }: { row: SignatureRow }) {
	if (row.rank_before === null || row.rank_before === undefined)
		return serverNow() - (parseTime(row.first_seen) ?? 0) < NEW_MS ? <small class="moved new">new</small> : null;
	const by = row.rank_before - (row.rank ?? row.rank_before);
	if (Math.abs(by) < MOVED)
		return null;
	return <small class="moved" title={`rank ${row.rank_before} in the 12 hours before`}><ShapeMark shape={by > 0 ? 'up' : 'down'} size={9} />{Math.abs(by)}<span class="sr"> ranks {by > 0 ? 'up' : 'down'}</span></small>;
}

// `first`: what stands at data-k is the first page, which is the document.
function columns(first: SignatureRow[], group: string): Column<SignatureRow>[] {
	const at = new Map(first.map((r, i) => [r.id, i]));
	const n = (r: SignatureRow, name: 'hosts' | 'sites' | 'reports' | 'builds') => at.has(r.id) ? <Num k={`signatures.${at.get(r.id)}.${name}`} v={r[name]} /> : <>{count(r[name])}</>;
	const list: Column<SignatureRow>[] = [
		{ key: 'rank', head: 'Rank', right: true, cell: (r) => <span class="rank"><Movement row={r} /> {r.rank !== undefined && at.has(r.id) ? <Num k={`signatures.${at.get(r.id)}.rank`} v={r.rank} /> : count(r.rank)}</span> },
		{ key: 'title', head: GROUPS.find(([g]) => g === group)?.[1] ?? 'Signature', wide: true, cell: (r) => <><IdLink to={paths.signature(r.id)} text={r.title} most={56} open />{r.merged_into && <small class="dim" title="shown with another signature"> merged</small>} <small class="dim reason"><Hostile text={r.reason || ''} most={48} /></small></> },
		{ key: 'kind', head: 'Kind', cell: (r) => <span class="kind-word">{r.kind}</span> },
		{ key: 'hosts', head: 'Hosts', right: true, sort: 'hosts', cell: (r) => n(r, 'hosts') },
		{ key: 'sites', head: 'Sites', right: true, sort: 'sites', cell: (r) => n(r, 'sites') },
		{ key: 'reports', head: 'Reports', right: true, sort: 'reports', cell: (r) => n(r, 'reports') },
		{ key: 'hours', head: '24 h', sort: 'trend', cell: (r) => <Spark series={r.hours} name="crashes an hour, 24 hours" /> },
		{ key: 'first', head: 'First seen', sort: 'newest', cell: (r) => <Time at={r.first_seen} /> },
		{ key: 'last', head: 'Last seen', sort: 'last', cell: (r) => <Time at={r.last_seen} /> },
	];
	if (group !== 'build')
		list.push({ key: 'builds', head: 'Builds', right: true, cell: (r) => n(r, 'builds') });
	list.push({ key: 'under', head: 'Under', cell: (r) => r.deployment ? <a href={paths.deployment(r.deployment.id)} title={r.deployment.id.slice(0, 200)}><Chip status={r.deployment.status} /></a> : <span class="dim">–</span> });
	return list;
}

function Facets({ doc, q }: { doc: SignatureList | null; q: string }) {
	return (
		<aside class="facet-column" aria-label="facets">
			{FACETS.map(([field, name]) => {
				const list = doc?.facets?.[field] ?? [];
				if (list.length === 0)
					return null;
				return (
					<details key={field} open>
						<summary><b>{name}</b></summary>
						<ul>{list.slice(0, 20).map((f, i) => {
							const on = !!has(doc?.parsed, field, f.value);
							return (
								<li key={f.value}><button type="button" aria-pressed={on} onClick={() => setQuery({ q: toggled(q, doc?.parsed, field, f.value) })}>
									<span class="name"><Hostile text={f.value || '(none)'} most={32} /></span> <Num k={`facets.${field}.${i}.signatures`} v={f.signatures} class="dim" />
								</button></li>
							);
						})}</ul>
					</details>
				);
			})}
		</aside>
	);
}

function NoMatch({ doc, q }: { doc: SignatureList; q: string }) {
	const widest = (doc.parsed ?? []).filter((t) => typeof t.without === 'number' && t.without > 0).sort((a, b) => b.without! - a.without!)[0];
	if (!q)
		return <Empty command="faultline send --wait core">No crash has been reported yet. Send one:</Empty>;
	return (
		<div class="empty">
			<p>No signature matches.{widest && <> Widest part of your query: <code><Hostile text={termText(q, widest)} /></code> (removing it gives <Num k={`parsed.${doc.parsed!.indexOf(widest)}.without`} v={widest.without} />).</>}</p>
			<p class="buttons-left">{widest && <button type="button" onClick={() => setQuery({ q: without(q, widest) })}>Remove it</button>}
				<button type="button" onClick={() => setQuery({ q: null })}>Show all signatures</button></p>
		</div>
	);
}

// The pages of a long list, each fetched when it comes in sight; the first is the document itself.
function useRows(path: string, doc: SignatureList | null) {
	const pages = useRef(new Map<number, SignatureRow[]>());
	const asked = useRef(new Set<number>());
	const whose = useRef('');
	const [, again] = useState(0);
	const [error, setError] = useState<Failure | null>(null);
	if (whose.current !== path) {
		whose.current = path;
		pages.current.clear();
		asked.current.clear();
	}
	useEffect(() => {
		if (doc?.signatures)
			pages.current.set(0, doc.signatures);
		// The rest is asked for again as it comes in sight; until then the old rows stay.
		asked.current.clear();
		again((n) => n + 1);
	}, [doc]);
	const fetching = async (n: number) => {
		if (n === 0 || asked.current.has(n))
			return;
		asked.current.add(n);
		try {
			const d = await get<SignatureList>(`${path}&offset=${n * PAGE}`);
			if (whose.current !== path)
				return;
			pages.current.set(n, d.signatures ?? []);
			setError(null);
		} catch (e) {
			asked.current.delete(n);
			if (e instanceof Failure)
				setError(e);
		}
		again((k) => k + 1);
	};
	return {
		row: (i: number): SignatureRow | undefined => i < PAGE ? doc?.signatures?.[i] : pages.current.get(Math.floor(i / PAGE))?.[i % PAGE],
		need: (from: number, to: number) => {
			for (let n = Math.floor(from / PAGE); n <= Math.floor(Math.max(from, to - 1) / PAGE); n++)
				void fetching(n);
		},
		error,
	};
}

export function SignaturesPage() {
	useTitle('Signatures');
	const params = query.value, q = params.get('q') ?? '';
	const group = GROUPS.some(([g]) => g === params.get('group')) ? params.get('group')! : 'signature';
	const sort = (params.get('sort') ?? '').replace(/^-/, '');
	const view = new URLSearchParams();
	if (q)
		view.set('q', q);
	if (SORTS.includes(sort))
		view.set('sort', sort);
	if (group !== 'signature')
		view.set('group', group);
	const rest = new URLSearchParams(view);
	rest.set('limit', String(PAGE));
	const path = '/v1/signatures?' + rest;
	const doc = useDoc<SignatureList>(path + '&facets=1', { topic: 'signatures', events: ['signature', 'verdict'] });
	useWithNow(doc, shownNow.value?.position);
	const d = doc.data, rows = d?.signatures ?? [], total = d?.total ?? rows.length;
	// Facets of the last good answer help to mend a query that is wrong.
	const kept = useRef<SignatureList | null>(null);
	if (d)
		kept.current = d;
	const long = useRows(path, d);
	const list = useMemo(() => columns(rows, group), [d, group]);
	const bad = doc.error?.status === 400 ? doc.error : null;
	const exported = (kind: string) => `/v1/signatures.${kind}${view.size ? '?' + view : ''}`;
	const caption = `Signatures${q ? ' that match' : ''}`;
	return (
		<div data-doc={doc.path} data-position={d?.position} class="signatures">
			<h1 tabIndex={-1}>Signatures</h1>
			<QueryLine q={q} facets={kept.current?.facets} bad={bad !== null} submit={(text) => setQuery({ q: text || null })} />
			<p class="hint dim" id="query-hint">Terms are joined by “and”: <code>module:csagent.sys</code> <code>-kind:user</code> <code>new:&lt;1h</code> <code>hosts:&gt;10</code> <code>"any part of a title"</code></p>
			{bad && <QueryError q={q} error={bad} />}
			{doc.error && !bad && <ErrorBox error={doc.error} again={doc.again} still={d ? 'What stands below is of before.' : undefined} />}
			<div class="with-facets">
				<Facets doc={d ?? kept.current} q={q} />
				{!d ? (!doc.error && <Skeleton wait={doc.wait} heights={[420]} />) : (
					<Card id="list" title={<><Num k="total" v={d.total} /> {total === 1 ? 'signature' : 'signatures'}</>}
						note={d.parsed?.length ? d.parsed.map((t) => <code class="term" key={t.at}><Hostile text={termText(q, t)} most={40} /></code>) : 'by distinct hosts; rank by crashes of the last 12 hours'}
						actions={<span class="exports">
							<span class="segments" role="group" aria-label="group by">{GROUPS.map(([g, name]) => <button type="button" key={g} aria-pressed={g === group} onClick={() => setQuery({ group: g === 'signature' ? null : g })}>{name}</button>)}</span>
							<a class="button" href={exported('csv')} download data-plain>CSV</a>
							<a class="button" href={exported('json')} download data-plain>JSON</a>
							<CopyButton text={`curl '${location.origin}${exported('json').replaceAll("'", '%27')}'`}>Copy as curl</CopyButton>
						</span>}>
						{long.error && <ErrorBox error={long.error} still="Rows further down are missing." />}
						{total === 0 ? <NoMatch doc={d} q={q} />
							: total > MANY ? <LongTable caption={caption} columns={list} total={total} row={long.row} need={long.need} sorted="-hosts" version={path} />
							: <DataTable caption={caption} columns={list} rows={rows} id={(r) => r.id} sorted="-hosts" nav />}
					</Card>
				)}
			</div>
		</div>
	);
}
