// SPDX-License-Identifier: Apache-2.0
// Deployment: why this verdict, and may I go on?
import { useState } from 'preact/hooks';
import { useDoc } from '../doc';
import { count, decimal, odds, parseTime, rate } from '../format';
import { paths } from '../href';
import { useKeys } from '../keys';
import { copyText, CopyButton } from '../parts/copy';
import { ActionDialog, type Action } from '../parts/dialog';
import { EvidenceChart } from '../parts/evidence';
import { BinChart } from '../parts/minutes';
import { Num } from '../parts/num';
import { RingFill, ringName } from '../parts/rings';
import { Sentence } from '../parts/sentence';
import { Chip, known, ShapeMark, type Shape } from '../parts/shapes';
import { ActButton, Card, Empty, ErrorBox, Facts, Pairs, Skeleton } from '../parts/states';
import { Hostile, IdLink } from '../parts/text';
import { Age, Time } from '../parts/time';
import { TwoByTwo } from '../parts/twobytwo';
import { useVotes, Votes } from '../parts/votes';
import { place, query, setQuery } from '../router';
import { say } from '../say';
import { useTitle } from '../shell';
import type { Deployment, KeyRow } from '../types';
import { ackAction, haltAction, muteAction, pauseAction, releaseAction, resumeAction } from './actions';
import { databaseKnownTo } from './now';

const halted = (d: Deployment) => d.verdict === 'halt' || known(d.status).startsWith('halt');

function Actions({ d, act }: { d: Deployment; act: (a: Action) => void }) {
	const stopped = halted(d), paused = !stopped && (d.status === 'watch' || d.sticky === true || d.state === 'paused');
	return (
		<div class="actions">
			{!stopped && d.open !== false && <ActButton what="halt" list={d.can} class="danger" id="do-halt" onClick={() => act(haltAction(d))}>Halt…</ActButton>}
			{!stopped && !paused && d.open !== false && <ActButton what="pause" list={d.can} id="do-pause" onClick={() => act(pauseAction(d))}>Pause…</ActButton>}
			{paused && <ActButton what="release" list={d.can} id="do-release" onClick={() => act(releaseAction(d))}>Release…</ActButton>}
			{stopped && <ActButton what="resume" list={d.can} class="danger" id="do-resume" onClick={() => act(resumeAction(d, true))}>Resume…</ActButton>}
			{(stopped || paused) && !d.acknowledged && <ActButton what="ack" list={d.can} id="do-ack" onClick={() => act(ackAction(d.id, d.position))}>Acknowledge…</ActButton>}
			<CopyButton text={d.copy_text ?? d.summary} id="copy">Copy for chat</CopyButton>
			<a class="button" href={paths.api(d.id)} download={'deployment.json'}>Export JSON</a>
		</div>
	);
}

// What a hold still waits for, with how far it is.
function Needed({ d }: { d: Deployment }) {
	if (!d.needed?.length)
		return null;
	return (
		<Card title="Still needed" id="needed">
			<ul class="needed">{d.needed.map((n) => (
				<li>
					<Hostile text={n.text} />
					{typeof n.have === 'number' && typeof n.need === 'number' ? <progress max={n.need} value={Math.min(n.have, n.need)} aria-label={n.kind} /> : <span />}
					<span class="dim">{typeof n.have === 'number' && typeof n.need === 'number' ? `${count(n.have)} of ${count(n.need)}` : n.until ? <>until <Time at={n.until} />, <Age at={n.until} until /></> : null}</span>
				</li>))}</ul>
		</Card>
	);
}

function Numbers({ d }: { d: Deployment }) {
	const b = d.blast ?? {}, stopped = halted(d);
	const share = b.exposed && b.harmed !== undefined ? b.harmed / b.exposed : null;
	const all = (b.exposed ?? 0) + (b.never_served ?? 0);
	return (
		<Facts list={[
			{ name: stopped ? 'Served before the stop' : 'Served so far', value: <Num k="blast.exposed" v={b.exposed} />,
				below: <>of {count(all)} eligible{all > 0 && b.exposed ? ', ' + rate(b.exposed / all) : ''}
					{stopped && b.last_served && <>; last at <Time at={b.last_served} />{b.none_since && ', none since'}</>}</> },
			{ name: 'Confirmed harmed', value: <Num k="blast.harmed" v={b.harmed} class={b.harmed ? 'bad' : undefined} />,
				below: <><Num k="blast.boot_loop" v={b.boot_loop} /> boot-looping{(b.harmed_back ?? 0) > 0 && <>, <Num k="blast.harmed_back" v={b.harmed_back} /> are back</>}</> },
			{ name: 'Silent since served', value: <Num k="blast.silent" v={b.silent} />,
				below: typeof b.silent_usual === 'number' ? <>usual for {count(b.exposed)} hosts: <Num k="blast.silent_usual" v={b.silent_usual} f="decimal" /></> : 'usual: not known yet' },
			{ name: stopped ? 'If resumed to everyone' : 'If served to everyone', value: typeof b.projected_if_resumed === 'number' ? <>≈ <Num k="blast.projected_if_resumed" v={b.projected_if_resumed} /></> : '–',
				below: share !== null ? `hosts harmed, at ${rate(share)} of those served` : 'hosts harmed' },
			{ name: 'Next ring allowed', value: b.next_ring_max === 0 ? 'none' : <Num k="blast.next_ring_max" v={b.next_ring_max} />,
				below: d.latched ? 'latched; a person releases it' : d.watch_until ? <>resumes by itself at <Time at={d.watch_until} />, in <Age at={d.watch_until} until /></> : d.sticky ? 'paused until a person releases it' : b.next_ring_max === 0 ? 'for now' : 'hosts' },
		]} />
	);
}

const name = (k: KeyRow) => `${k.title ?? k.key ?? k.id}, ${k.kind ?? ''}: ${odds(k.log10_odds)}${k.tested === false ? ' (shown, not tested)' : ''}`;

// "Why did it not halt": every key with evidence; the highest stands first.
function KeySelect({ d, choose }: { d: Deployment; choose: (id: string) => void }) {
	if (!d.keys?.length)
		return null;
	return (
		<p class="key-select">
			<label for="key">{halted(d) ? 'Key' : 'Why did it not halt'}</label>
			<select id="key" value={d.key?.id ?? ''} onChange={(e) => choose(e.currentTarget.value)}>
				{d.keys.map((k) => <option value={k.id}>{name(k).slice(0, 120)}</option>)}
			</select>
			{d.key?.why && <span class="dim" id="why"><Hostile text={d.key.why} most={300} /></span>}
		</p>
	);
}

function Evidence({ d, pointed, point, votes }: { d: Deployment; pointed: number | null; point: (n: number | null) => void; votes: ReturnType<typeof useVotes> }) {
	const m = d.per_minute, key = d.key, t = d.thresholds ?? {};
	const bins = Math.max(m?.served?.length ?? 0, m?.crashed?.length ?? 0, m?.dark?.length ?? 0);
	const now = (parseTime(d.as_of) ?? parseTime(d.freshness?.time) ?? 0) / 1000;
	const start = (parseTime(m?.t0) ?? parseTime(d.created) ?? now * 1000) / 1000;
	const first = votes.rows.length ? (parseTime(votes.rows[0]!.t) ?? Infinity) / 1000 : Infinity;
	const from = Math.min(start, first - 60);
	const to = Math.max(from + 300, m ? start + bins * m.step_s : now, votes.rows.length ? (parseTime(votes.rows[votes.rows.length - 1]!.t) ?? 0) / 1000 + 30 : 0);
	const title = key?.kind === 'dark' ? 'Evidence that it makes hosts go dark' : key?.kind === 'boot' || key?.id === 'boot' ? 'Evidence that it makes hosts boot again and again' : null;
	const knownTo = databaseKnownTo();
	return (
		<Card id="evidence" title={title ?? <>Evidence that {d.version ? <Hostile text={d.version} most={40} /> : 'it'} makes <code><Hostile text={key?.title ?? 'hosts'} most={60} /></code> crash</>}
			note="odds against “harmless”, log scale; each mark is one vote">
			<EvidenceChart title="Evidence" votes={votes.rows} start={key?.log10_weight ?? 0} from={from} to={to} watch={t.watch_log10 ?? 3} halt={key?.log10_needed ?? t.halt_log10 ?? 6}
				annotations={d.annotations} chosen={pointed} choose={point} more={Math.max(0, votes.total - votes.rows.length)} />
			{m && bins > 0 && <>
				<h3>Per minute</h3>
				{(['served', 'crashed', 'dark'] as const).map((kind, i) => (
					<BinChart key={kind} bins={{ t0: m.t0, step_s: m.step_s, open: m.open, v: m[kind] ?? [] }} sync="deployment"
						title={['served', 'crashed, exposed hosts', 'went dark, exposed hosts (known some minutes after the last heartbeat)'][i]!}
						token={['hold', 'exposed', 'exposed'][i]!} from={from} to={to} annotations={d.annotations} axis={i === 2} unknownFrom={kind === 'served' ? null : knownTo} />))}
			</>}
		</Card>
	);
}

const RING: Record<string, Shape> = { proceed: 'triangle', clean: 'triangle', complete: 'triangle', halt: 'octagon', halted: 'octagon', watch: 'diamond', hold: 'bars' };

function Rings({ d }: { d: Deployment }) {
	return (
		<Card title="Rings" note="bar = served of ring" id="rings">
			{!d.rings?.length ? <Empty>No plan was given; what is served is counted as one.</Empty> : (
				<div class="ring-rows" role="list">{d.rings.map((r, i) => (
					<div class="ring-row" role="listitem">
						<ShapeMark shape={RING[r.state] ?? 'circle'} size={15} />
						<div><b>{ringName(r, i)}</b> <span class="dim">{r.size === null ? 'everyone else' : <><Num k={`rings.${i}.size`} v={r.size} /> hosts</>}{r.served > 0 && <>, <Num k={`rings.${i}.served`} v={r.served} /> served</>}</span><RingFill ring={r} /></div>
						<div class="right-text">{r.text ? <Hostile text={r.text} /> : r.state.replaceAll('_', ' ')}{r.started && <><br /><span class="dim">from <Time at={r.started} /></span></>}</div>
					</div>))}</div>)}
		</Card>
	);
}

function Crashing({ d, act }: { d: Deployment; act: (a: Action) => void }) {
	if (!d.signatures?.length)
		return null;
	return (
		<Card title="What is crashing" id="crashing">
			{d.signatures.slice(0, 5).map((s, i) => (
				<Pairs list={[
					['Signature', <IdLink to={paths.signature(s.id)} text={s.title} most={44} />],
					['Reason', <Hostile text={s.reason || '–'} />],
					['In manifest', s.in_manifest === null || s.in_manifest === undefined ? 'no manifest was given' : s.in_manifest ? <>yes, <Hostile text={d.artefact ?? d.id} most={40} /> delivers it</> : 'no'],
					['Hosts', <><Num k={`signatures.${i}.hosts`} v={s.hosts} /> at <Num k={`signatures.${i}.sites`} v={s.sites} /> sites</>],
					['First seen', <><Time at={s.first_seen} />{s.first_seen_ever && ', never before'}</>],
					['', d.can?.includes('mute') ? <span class="token">
						<button type="button" class="bare link" onClick={() => act(muteAction(d, s.id, s.title, 'mute'))}>Mute…</button>
						<button type="button" class="bare link" onClick={() => act(muteAction(d, s.id, s.title, 'accept'))}>Accept…</button></span> : ''],
				]} />))}
		</Card>
	);
}

const DOUBT: Record<string, Shape> = { fine: 'triangle-hollow', weak: 'diamond', warn: 'diamond', bad: 'octagon', unknown: 'question' };

function Doubts({ d }: { d: Deployment }) {
	if (!d.doubts?.length && !d.co_suspects?.length)
		return null;
	return (
		<Card title="What would change this verdict" id="doubts">
			<ul class="doubts">
				{d.doubts?.map((x) => <li class={x.state}><ShapeMark shape={DOUBT[x.state] ?? 'question'} size={13} /><span><Hostile text={x.text} most={400} /></span></li>)}
				{d.co_suspects?.map((c) => <li class="warn"><ShapeMark shape="diamond" size={13} /><span><a href={paths.deployment(c.id)}><Hostile text={c.id} most={60} /></a> shares {count(c.shared_hosts)} of the hosts{c.paused && '; it is paused'}.</span></li>)}
			</ul>
		</Card>
	);
}

function Rules({ d }: { d: Deployment }) {
	const k = d.key, t = d.thresholds ?? {}, floor = (f?: [number, number]) => f ? `${count(f[0])} of ${count(f[1])}` : '–';
	const met = k?.floors && (k.floors.hosts?.[0] ?? 0) >= (k.floors.hosts?.[1] ?? 0) && (k.floors.sites?.[0] ?? 0) >= (k.floors.sites?.[1] ?? 0);
	const receipts: Record<string, string> = { served: 'recorded when served', inferred: 'inferred from heartbeats', plan: 'from the plan alone' };
	return (
		<Card title="Rules in force" id="rules">
			<Pairs list={[
				['Tested key', k ? `${k.kind ?? k.id}, ${k.pool ?? ''} pool, weight ${odds(k.log10_weight === undefined ? null : -k.log10_weight)}${k.muted ? ', muted' : ''}` : '–'],
				['Floors', k?.floors ? `hosts ${floor(k.floors.hosts)}, sites ${floor(k.floors.sites)}: ${met ? 'met' : 'not met'}` : '–'],
				['Tolerated ratio ρ', decimal(k?.rho)],
				['Halt at', <>{odds(k?.log10_needed ?? t.halt_log10)}{t.alpha_spent !== undefined && t.alpha !== undefined && t.alpha_spent > t.alpha && `, after resumes`}</>],
				['Receipts', receipts[d.receipts ?? ''] ?? d.receipts ?? '–'],
				['Mode', <>{d.mode ?? '–'}, {d.certified === false ? <Chip status="hold" word="UNCERTIFIED" certified={false} /> : 'certified'}</>],
				['Replay', d.replay_token ? <span class="token"><code><Hostile text={d.replay_token} most={48} /></code><CopyButton class="bare link" text={d.replay_command}>Copy the command</CopyButton></span> : 'no halt to replay'],
			]} />
		</Card>
	);
}

function Log({ d }: { d: Deployment }) {
	if (!d.decisions?.length)
		return null;
	return (
		<Card title="Decisions" note={<a href={paths.halts}>all</a>} id="decisions" class="late">
			<ol class="log" reversed>{[...d.decisions].reverse().map((x) => (
				<li><Time at={x.at} /><span><b>{x.action}</b> by {x.automatic ? 'the server' : <Hostile text={x.actor ?? 'a person'} most={60} />}: <Hostile text={x.reason ?? ''} most={300} /></span></li>))}</ol>
		</Card>
	);
}

export function DeploymentPage({ id }: { id: string }) {
	const chosen = query.value.get('key');
	const path = `/v1/deployments/${encodeURIComponent(id)}?view=page` + (chosen ? '&key=' + encodeURIComponent(chosen) : '');
	const doc = useDoc<Deployment>(path, {
		topic: 'deployment:' + id, events: ['deployment', 'verdict'],
		about: (x) => (x as { deployment?: string } | null)?.deployment === id,
	});
	const d = doc.data;
	const [action, act] = useState<Action | null>(null);
	const [pointed, point] = useState<number | null>(null);
	const votes = useVotes(id, chosen, d);
	useTitle(id);
	const choose = (key: string) => setQuery({ key }, 'replace');
	const step = (by: number) => {
		const all = d?.keys ?? [], at = all.findIndex((k) => k.id === d?.key?.id);
		if (all.length)
			choose(all[(at + by + all.length) % all.length]!.id);
	};
	const click = (what: string) => document.querySelector<HTMLElement>(what)?.click();
	useKeys([
		{ key: 'h', does: 'halt, with a dialog', act: () => click('#do-halt') },
		{ key: 'r', does: 'resume or release, with a dialog', act: () => click('#do-resume, #do-release') },
		{ key: 'a', does: 'acknowledge, with a dialog', act: () => click('#do-ack') },
		{ key: 'c', does: 'copy the summary', act: () => { void copyText(d?.copy_text ?? d?.summary ?? '').then(() => say('Copied')); } },
		{ key: '[', does: 'previous key', act: () => step(-1) },
		{ key: ']', does: 'next key', act: () => step(1) },
	]);
	if (!d)
		return (
			<>
				<p class="crumbs"><a href="/">Now</a> / <a href="/deployments">Deployments</a></p>
				<h1 class="mono" tabIndex={-1}><Hostile text={id} /></h1>
				{doc.error ? (doc.error.status === 404 ? <Empty command="faultline deploy list">There is no deployment with this id.</Empty> : <ErrorBox error={doc.error} again={doc.again} />)
					: <Skeleton wait={doc.wait} heights={[90, 320, 260]} />}
			</>
		);
	return (
		<div data-doc={doc.path} data-position={d.position} data-at={place.value.path}>
			<p class="crumbs"><a href="/">Now</a> / <a href="/deployments">Deployments</a></p>
			<div class="page-head">
				<div>
					<div class="title-line"><Chip status={d.status} word={d.status === 'halt' ? 'HALTED' : undefined} certified={d.certified !== false} /><h1 tabIndex={-1}><Hostile text={d.id} /></h1>{d.open === false && <span class="dim">closed</span>}</div>
					<div id="sentence"><Sentence parts={d.summary_parts} text={d.summary} /></div>
					<p class="said">{d.since && <>{d.headline && d.headline.indexOf(d.id) < 0 ? <Hostile text={d.headline} /> : 'So it stands'} since <Time at={d.since} zone />, <Age at={d.since} /></>}
						{d.acknowledged && <> · acknowledged by <Hostile text={d.acknowledged.actor ?? 'somebody'} most={60} /> at <Time at={d.acknowledged.at} />: <Hostile text={d.acknowledged.reason} most={200} /></>}</p>
				</div>
				<Actions d={d} act={act} />
			</div>
			{doc.error && <ErrorBox error={doc.error} again={doc.again} still="What stands below is of before." />}
			<Numbers d={d} />
			<div class="two flow">
				<div class="column">
					<Needed d={d} />
					<div class="evidence-part">
						<KeySelect d={d} choose={choose} />
						<Evidence d={d} pointed={pointed} point={point} votes={votes} />
					</div>
					<Card title="Votes" id="votes" class="late" note={<>{votes.shown < votes.total ? `first ${votes.shown} of ${count(votes.total)}` : count(votes.total)}; odds start at this key's weight, {odds(d.key?.log10_weight === undefined ? null : -d.key.log10_weight)}; multiply by each factor</>}>
						{votes.total === 0 ? <Empty>No host has voted on this key.</Empty> : <Votes votes={votes} pointed={pointed} point={point} />}
					</Card>
					<Log d={d} />
				</div>
				<div class="column">
					<TwoByTwo d={d} />
					<Rings d={d} />
					<Crashing d={d} act={act} />
					<Doubts d={d} />
					<Rules d={d} />
				</div>
			</div>
			{action && <ActionDialog action={action} close={() => act(null)} done={doc.again} />}
		</div>
	);
}
