// SPDX-License-Identifier: Apache-2.0
// Halts: who or what decided what, with the evidence at that moment and the way to fold it again.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { get } from '../api';
import type { DecisionDoc, DecisionList, DecisionRow, ProofVote } from '../types-detail';
import { useDoc } from '../doc';
import { factor, odds } from '../format';
import { paths } from '../href';
import { CopyButton } from '../parts/copy';
import { Meter } from '../parts/meter';
import { Num } from '../parts/num';
import { Sentence } from '../parts/sentence';
import { ShapeMark, type Shape } from '../parts/shapes';
import { Card, Empty, ErrorBox, Facts, Pairs, Skeleton } from '../parts/states';
import { DataTable, type Column } from '../parts/table';
import { Hostile, IdLink } from '../parts/text';
import { Time } from '../parts/time';
import { query, setQuery } from '../router';
import { useTitle } from '../shell';

const ACTS: Record<string, { word: string; shape: Shape }> = {
	halt: { word: 'HALT', shape: 'octagon' }, resume: { word: 'resume', shape: 'triangle' }, pause: { word: 'pause', shape: 'diamond' },
	ack: { word: 'acknowledge', shape: 'tick' }, release: { word: 'release', shape: 'triangle-hollow' }, mute: { word: 'mute', shape: 'dots' },
	accept: { word: 'accept', shape: 'dots' }, close: { word: 'close', shape: 'circle' }, delete: { word: 'delete', shape: 'circle' },
};

export function Act({ row }: { row: DecisionRow }) {
	const a = ACTS[row.action] ?? { word: row.action, shape: 'circle' as Shape };
	const shadow = row.action === 'halt' && row.mode === 'shadow';
	return <span class={'decided ' + row.action}><ShapeMark shape={shadow ? 'octagon-hollow' : a.shape} size={13} /> <b>{shadow ? 'WOULD HALT' : a.word}</b>{row.action === 'halt' && row.certified === false && <small class="chip uncertified">uncertified</small>}</span>;
}

const who = (r: DecisionRow) => <span class="who">{r.automatic ? 'the engine' : <Hostile text={r.actor ?? 'somebody'} most={24} />}</span>;

// `at`: where the rows stand in the document; `from` the first of them that does.
function columns(at: string, index: (r: DecisionRow) => number): Column<DecisionRow>[] {
	const k = (r: DecisionRow, name: string) => `${at}.${index(r)}.evidence.${name}`;
	const num = (r: DecisionRow, name: 'served_with' | 'served' | 'unserved_with' | 'unserved') => index(r) >= 0 ? <Num k={k(r, name)} v={r.evidence?.[name]} /> : <>{r.evidence?.[name]}</>;
	return [
		{ key: 'at', head: 'When', cell: (r) => <a href={paths.halt(r.n)} data-open><Time at={r.at} /></a> },
		{ key: 'action', head: 'What', cell: (r) => <Act row={r} /> },
		{ key: 'deployment', head: 'Deployment', cell: (r) => r.deployment ? <IdLink to={paths.deployment(r.deployment)} text={r.deployment} most={32} /> : '–' },
		{ key: 'who', head: 'Who', cell: who },
		{ key: 'why', head: 'Why', wide: true, cell: (r) => <span class="because"><Hostile text={r.reason} most={240} /></span> },
		{ key: 'odds', head: 'Evidence then', cell: (r) => r.evidence ? <Meter log10={r.evidence.log10_odds} halt={r.evidence.threshold_log10 ?? 6} /> : null },
		{ key: 'hosts', head: 'Served / others', unit: 'with it', right: true, cell: (r) => r.evidence ? <span class="num"><span class="bad">{num(r, 'served_with')} of {num(r, 'served')}</span> / <span class="good">{num(r, 'unserved_with')} of {num(r, 'unserved')}</span></span> : null },
		{ key: 'token', head: 'Replay token', cell: (r) => r.replay_token ? <CopyButton class="bare" text={r.replay_token}>Copy</CopyButton> : null },
	];
}

export function HaltsPage() {
	useTitle('Halts');
	const q = query.value, action = q.get('action') ?? '', deployment = q.get('deployment') ?? '', automatic = q.get('automatic') === '1';
	const ask = new URLSearchParams({ limit: '100' });
	if (deployment)
		ask.set('deployment', deployment);
	const path = '/v1/decisions?' + ask;
	const doc = useDoc<DecisionList>(path, { topic: 'verdicts', events: ['verdict'] });
	const [more, set] = useState<{ path: string; rows: DecisionRow[]; next: string | null }>({ path: '', rows: [], next: null });
	const d = doc.data, first = d?.decisions ?? [], mine = more.path === path;
	const seen = new Set(first.map((r) => r.n)), rows = [...first, ...(mine ? more.rows.filter((r) => !seen.has(r.n)) : [])].filter((r) => (!action || r.action === action) && (!automatic || r.automatic)), next = mine ? more.next : d?.next ?? null;
	const load = async () => {
		const page = await get<DecisionList>(`${path}&cursor=${encodeURIComponent(next!)}`);
		set({ path, rows: [...mine ? more.rows : [], ...page.decisions ?? []], next: page.next ?? null });
	};
	const facet = (value: string, word: string) => <button type="button" class="facet" aria-pressed={action === value} onClick={() => setQuery({ action: action === value ? null : value })}>{word}</button>;
	return (
		<div data-doc={doc.path} data-position={d?.position} class="halts">
			<h1 tabIndex={-1}>Halts and decisions</h1>
			<div class="filters">
				<form role="search" aria-label="of one deployment" onSubmit={(e) => { e.preventDefault(); setQuery({ deployment: ((e.currentTarget as HTMLFormElement).elements.namedItem('id') as HTMLInputElement).value.trim() }); }}>
					<input type="search" name="id" key={deployment} aria-label="id of a deployment" placeholder="Id of a deployment" defaultValue={deployment} spellcheck={false} />
				</form>
				<div class="facets" role="group" aria-label="kind of decision">
					{['halt', 'pause', 'resume', 'ack', 'release', 'mute', 'accept'].map((a) => facet(a, ACTS[a]!.word))}
					<button type="button" class="facet" aria-pressed={automatic} onClick={() => setQuery({ automatic: automatic ? null : '1' })}>by the engine</button>
				</div>
			</div>
			{d?.state === 'live' && <p class="bar plain">These are the last decisions that the server itself remembers; the whole history is in the database, which {d.freshness?.state === 'database_down' ? 'does not answer' : 'is not configured'}.</p>}
			{doc.error && <ErrorBox error={doc.error} again={doc.again} still="Verdicts are not touched by this." />}
			{!d ? !doc.error && <Skeleton wait={doc.wait} heights={[320]} /> : (
				<Card id="list" title="Decisions" note="newest first; each with the evidence of that moment">
					{rows.length === 0 ? <Empty>{action || deployment || automatic ? <>No such decision. <button type="button" class="bare link" onClick={() => setQuery({ action: null, deployment: null, automatic: null })}>Show all</button></> : 'Nothing was ever halted, paused or resumed here.'}</Empty>
						: <DataTable caption="Decisions, newest first" columns={columns('decisions', (r) => first.indexOf(r))} rows={rows} id={(r) => r.n} nav
							note={next ? <p class="pages"><button type="button" onClick={() => void load()}>Older</button></p> : undefined} />}
				</Card>
			)}
		</div>
	);
}

function Signed({ valid }: { valid: boolean | null | undefined }) {
	return valid === true ? <><ShapeMark shape="tick" size={12} /> signature valid</> : valid === false ? <b class="bad">signature does not match</b> : <>this server signs no decisions</>;
}

function votes(list: ProofVote[]): Column<ProofVote>[] {
	const k = (v: ProofVote, name: string) => `proof.votes.${list.indexOf(v)}.${name}`;
	return [
		{ key: 'n', head: '#', right: true, cell: (v) => v.n },
		{ key: 't', head: 'Received', cell: (v) => <Time at={v.t} /> },
		{ key: 'arm', head: 'Arm', cell: (v) => <span class={'arm ' + (v.exposed ? 'exposed' : 'control')}><ShapeMark shape={v.exposed ? 'square' : 'circle'} size={11} /> {v.exposed ? 'exposed' : 'control'}</span> },
		{ key: 'host', head: 'Host', unit: 'number', right: true, cell: (v) => v.host_number },
		{ key: 'site', head: 'Site', unit: 'number', right: true, cell: (v) => v.site_number },
		{ key: 'risk', head: 'At risk', unit: 'served / others', right: true, cell: (v) => <><Num k={k(v, 'at_risk_served')} v={v.at_risk_served} /> / <Num k={k(v, 'at_risk_unserved')} v={v.at_risk_unserved} /></> },
		{ key: 'q', head: 'q', right: true, cell: (v) => <Num k={k(v, 'q')} v={v.q} f="decimal" /> },
		{ key: 'factor', head: 'Factor', right: true, cell: (v) => typeof v.log_factor === 'number' ? factor(Math.exp(v.log_factor)) : <Num k={k(v, 'factor')} v={v.factor} f="factor" /> },
		{ key: 'odds', head: 'Odds', cell: (v) => <Num k={k(v, 'log10_odds')} v={v.log10_odds} f="odds" /> },
		{ key: 'counted', head: 'Note', cell: (v) => v.counted === false ? <span class="dim">its site had voted</span> : null },
	];
}

export function HaltPage({ id }: { id: string }) {
	const doc = useDoc<DecisionDoc>(`/v1/decisions/${encodeURIComponent(id)}`);
	const d = doc.data, r = d?.decision, p = d?.proof;
	useTitle('Decision');
	const crumbs = <nav class="crumbs" aria-label="where this is"><a href={paths.halts}>Halts</a></nav>;
	if (!d || !r)
		return <div>{crumbs}<h1 tabIndex={-1}>Decision <Hostile text={id} mono /></h1>{doc.error ? <ErrorBox error={doc.error} again={doc.again} /> : <Skeleton wait={doc.wait} heights={[90, 220]} />}</div>;
	const e = r.evidence, related = d.related ?? [];
	return (
		<div data-doc={doc.path} data-position={d.position} class="halt-page">
			<div class="page-head"><div>{crumbs}
				<div class="title-line"><h1 tabIndex={-1}><Act row={r} /> {r.deployment && <Hostile text={r.deployment} most={80} />}</h1></div>
				<Sentence parts={d.summary_parts} text={d.summary ?? r.reason} /></div>
				<div class="actions">{r.deployment && <a class="button" href={paths.deployment(r.deployment)}>The deployment now</a>}<CopyButton text={`${d.summary ?? r.reason}\n${location.origin}${location.pathname}`}>Copy for chat</CopyButton></div>
			</div>
			{e && <Facts list={[
				{ name: 'Evidence then', value: <Num k="decision.evidence.log10_odds" v={e.log10_odds} f="odds" />, below: <>halt at {odds(e.threshold_log10)}</> },
				{ name: 'Served hosts with it', value: <Num k="decision.evidence.served_with" v={e.served_with} />, below: <>of <Num k="decision.evidence.served" v={e.served} /></> },
				{ name: 'Others with it', value: <Num k="decision.evidence.unserved_with" v={e.unserved_with} />, below: <>of <Num k="decision.evidence.unserved" v={e.unserved} /></> },
				{ name: 'Votes', value: <Num k="decision.evidence.votes" v={e.votes} />, below: e.signature ? <a href={paths.signature(e.signature)}><Hostile text={e.key} mono most={32} /></a> : <Hostile text={e.key} mono most={32} /> },
			]} />}
			<div class="two flow"><div class="column">
				{p?.votes?.length ? <Card id="proof" title="The votes, as they stood" note={<>odds start at {factor(10 ** (p.log10_weight ?? 0))}, the weight of this key; each vote multiplies them</>}>
					<DataTable caption="Votes at that moment" columns={votes(p.votes)} rows={p.votes} id={(v) => String(v.n)} reach />
				</Card> : e ? <Card id="proof" title="The votes, as they stood"><Empty>{d.state === 'live' ? 'They are kept in the database, which does not answer.' : 'None are kept for this kind of decision.'}</Empty></Card> : null}
				{related.length > 0 && <Card id="related" title="Other decisions about it"><DataTable caption="Other decisions about this deployment" columns={columns('related', (x) => related.indexOf(x))} rows={related} id={(x) => x.n} /></Card>}
			</div><div class="column">
				<Card id="record" title="The record">
					<Pairs list={[
						['When', <Time at={r.at} zone />], ['Who', who(r)], ['Why', <Hostile text={r.reason} most={0} />], ['Mode', <>{r.mode ?? '–'}{r.certified === false && ', uncertified'}{r.certified === true && ', certified'}</>],
						['Position', <code>{r.position}</code>], ['Signed', <Signed valid={r.signature_valid} />],
						...(p ? [['Floors', <><Num k="proof.hosts_needed" v={p.hosts_needed} /> hosts, <Num k="proof.sites_needed" v={p.sites_needed} /> sites</>], ['Pool', p.pool ?? '–']] as [string, ComponentChildren][] : []),
					]} />
				</Card>
				<Card id="replay" title="Check it yourself" note="the log alone gives the same verdict on any machine">
					{d.replay_token && <p class="token"><code><Hostile text={d.replay_token} most={80} /></code> <CopyButton text={d.replay_token} id="copy-token">Copy</CopyButton></p>}
					{d.replay && <p class="token"><code><Hostile text={d.replay} most={0} /></code> <CopyButton text={d.replay}>Copy</CopyButton></p>}
				</Card>
			</div></div>
		</div>
	);
}
