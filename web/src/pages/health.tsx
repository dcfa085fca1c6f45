// SPDX-License-Identifier: Apache-2.0
// Health: can this server be trusted right now, and for how long?
import { offsetSeconds } from '../clock';
import type { Delivery, HealthDoc } from '../types-detail';
import { useDoc } from '../doc';
import { paused } from '../live';
import { bytes, duration } from '../format';
import { BinChart } from '../parts/minutes';
import { Num } from '../parts/num';
import { Sentence } from '../parts/sentence';
import { ShapeMark, type Shape } from '../parts/shapes';
import { Card, Empty, ErrorBox, Facts, Pairs, Skeleton } from '../parts/states';
import { Hostile } from '../parts/text';
import { Age, Time } from '../parts/time';
import { useTitle } from '../shell';
import { useEffect } from 'preact/hooks';

const STATE: Record<string, { shape: Shape; word: string }> = {
	ok: { shape: 'tick', word: 'Works' }, attention: { shape: 'diamond', word: 'Needs attention' }, failed: { shape: 'octagon', word: 'Failed' },
};

function Problems({ d }: { d: HealthDoc }) {
	return (d.problems ?? []).length === 0 ? null : (
		<ul class="card problems" aria-label="problems">{d.problems!.map((p) => (
			<li class={p.level}><ShapeMark shape={p.level === 'failed' ? 'octagon' : 'diamond'} size={15} /> <span><b>{p.level}</b> <Hostile text={p.text} most={400} /></span></li>))}</ul>
	);
}

function Deliveries({ list }: { list: Delivery[] }) {
	return (
		<table class="stack"><caption class="sr">Last deliveries</caption>
			<thead><tr><th scope="col">At</th><th scope="col">Id</th><th scope="col">State</th><th scope="col" class="r">Status</th><th scope="col" class="r">Attempts</th></tr></thead>
			<tbody>{list.slice(0, 5).map((x) => <tr><td data-label="At"><Time at={x.at} /></td><td data-label="Id" class="mono"><Hostile text={x.id} most={24} /></td><td data-label="State">{x.state}</td><td data-label="Status" class="r">{x.status ?? '–'}</td><td data-label="Attempts" class="r">{x.attempts ?? '–'}</td></tr>)}</tbody></table>
	);
}

function Webhooks({ d }: { d: HealthDoc }) {
	const list = d.webhooks ?? [];
	return (
		<Card id="webhooks" title="Webhooks" note="last five deliveries of each">
			{list.length === 0 ? <Empty>None is configured: nobody is told of a halt but who asks.</Empty> : list.map((w) => (
				<div class="hook"><h3><Hostile text={w.name} most={48} /> {((w.dead_letters ?? w.dead)?.length ?? 0) > 0 && <b class="bad">{(w.dead_letters ?? w.dead)!.length} given up</b>}</h3>
					{(w.last ?? []).length > 0 ? <Deliveries list={w.last!} /> : <Empty command={`POST /v1/webhooks/${w.name}/ping`}>Nothing was sent yet. Try it:</Empty>}
					{(w.dead_letters ?? w.dead ?? []).length > 0 && <details><summary>Given up</summary><ul>{(w.dead_letters ?? w.dead)!.slice(0, 20).map((x) => <li><code><Hostile text={x.id} most={40} /></code> <Time at={x.at} /> <Hostile text={x.error ?? ''} most={100} /></li>)}</ul></details>}
				</div>))}
		</Card>
	);
}

const STORES: [string, string][] = [['log', 'Log'], ['dumps', 'Dumps'], ['symbols', 'Symbols'], ['snapshots', 'Snapshots'], ['database', 'Database']];
function Disk({ d }: { d: HealthDoc }) {
	const disk = d.disk;
	if (!disk)
		return null;
	const share = disk.total ? 100 * (1 - (disk.free ?? 0) / disk.total) : 0;
	return (
		<Card id="disk" title="Disk" note={disk.horizon_text ? <Hostile text={disk.horizon_text} /> : undefined}>
			<div class="track whole" role="img" aria-label={`${share.toFixed(0)} % used`}><i style={{ width: share.toFixed(1) + '%' }} /></div>
			<p class="note"><Num k="disk.free" v={disk.free} f="bytes" /> free of <Num k="disk.total" v={disk.total} f="bytes" />{typeof disk.growth_bytes_per_day === 'number' && <>; grows by {bytes(Math.abs(disk.growth_bytes_per_day))} a day</>}</p>
			<table class="stack"><caption class="sr">What the disk holds</caption><thead><tr><th scope="col">What</th><th scope="col" class="r">Used</th><th scope="col" class="r">Limit</th></tr></thead>
				<tbody>{STORES.filter(([k]) => disk.used?.[k] !== undefined).map(([k, name]) => <tr><td data-label="What">{name}</td><td data-label="Used" class="r"><Num k={`disk.used.${k}`} v={disk.used?.[k]} f="bytes" /></td><td data-label="Limit" class="r">{disk.limits?.[k] ? <Num k={`disk.limits.${k}`} v={disk.limits[k]} f="bytes" /> : '–'}</td></tr>)}</tbody></table>
		</Card>
	);
}

function Discards({ d }: { d: HealthDoc }) {
	const list = (d.discards ?? []).map((x, i) => ({ ...x, i })).filter((x) => x.count > 0).sort((a, b) => (b.last_hour ?? 0) - (a.last_hour ?? 0) || b.count - a.count);
	return (
		<Card id="discards" title="Refused, by reason" note="what was sent and not taken">
			{list.length === 0 ? <Empty>Nothing was refused since the start.</Empty> : (
				<table class="stack"><caption class="sr">Refused requests and reports by code</caption><thead><tr><th scope="col">Code</th><th scope="col" class="r">HTTP</th><th scope="col" class="r">Last hour</th><th scope="col" class="r">In all</th><th scope="col">Means</th></tr></thead>
					<tbody>{list.map((x) => <tr><td data-label="Code" class="mono">{x.code}</td><td data-label="HTTP" class="r">{x.status || '–'}</td><td data-label="Last hour" class="r"><Num k={`discards.${x.i}.last_hour`} v={x.last_hour} /></td><td data-label="In all" class="r"><Num k={`discards.${x.i}.count`} v={x.count} /></td><td data-label="Means">{x.help}</td></tr>)}</tbody></table>)}
		</Card>
	);
}

export function HealthPage() {
	useTitle('Health');
	const doc = useDoc<HealthDoc>('/v1/health', { topic: 'now', events: ['now'] });
	// Lags and queues move without events of the fleet.
	useEffect(() => {
		const timer = setInterval(() => { if (!document.hidden && !paused.peek()) doc.again(); }, 10_000);
		return () => clearInterval(timer);
	}, []);
	const d = doc.data;
	if (!d)
		return <div><h1 tabIndex={-1}>Health</h1>{doc.error ? <ErrorBox error={doc.error} again={doc.again} still="Gates that cannot ask hold; hosts keep their reports until the server takes them." /> : <Skeleton wait={doc.wait} heights={[90, 160, 300]} />}</div>;
	const s = STATE[d.status ?? ''] ?? { shape: 'question' as Shape, word: d.status ?? 'Unknown' };
	const offset = offsetSeconds.value, w = d.workers, db = d.database, r = d.rates;
	const rate = (name: 'reports' | 'heartbeats' | 'refused', token: string, axis: boolean) => r?.series?.[name]?.v?.length ? <BinChart bins={r.series[name]!} title={name} token={token} axis={axis} height={axis ? 92 : 66} sync="health" table /> : null;
	return (
		<div data-doc={doc.path} data-position={d.position} class="health">
			<div class="page-head"><div>
				<div class="title-line"><h1 tabIndex={-1}>Health</h1><span class={'state ' + d.status}><ShapeMark shape={s.shape} size={13} /> {s.word}</span></div>
				<Sentence parts={d.summary_parts} text={d.summary} />
			</div></div>
			{doc.error && <ErrorBox error={doc.error} again={doc.again} still="What stands below is of before." />}
			<Problems d={d} />
			<Facts list={[
				{ name: 'Verdicts', value: <><Num k="ledger.behind_seconds" v={d.ledger?.behind_seconds} f="duration" /> behind</>, below: d.ledger?.state },
				{ name: 'Database', value: db?.state === 'up' ? <><Num k="database.behind_seconds" v={db.behind_seconds} f="duration" /> behind</> : db?.state === 'none' ? 'none' : <b class="bad">{db?.state ?? '–'}</b>, below: db?.state === 'up' ? <><Num k="database.behind_records" v={db.behind_records} /> records wait</> : db?.state === 'none' ? 'no history is kept' : 'history is late, verdicts are not' },
				{ name: 'Triage workers', value: <><Num k="workers.up" v={w?.up} /> of <Num k="workers.configured" v={w?.configured} /></>, below: <><Num k="workers.busy" v={w?.busy} /> busy, <Num k="workers.waiting" v={w?.waiting} /> dumps wait</> },
				{ name: 'Disk', value: <Hostile text={d.disk?.horizon_text ?? '–'} most={40} />, below: <><Num k="disk.free" v={d.disk?.free} f="bytes" /> free</> },
				{ name: 'This computer’s clock', value: offset === null ? '–' : Math.abs(offset) < 1 ? 'right' : <span class={Math.abs(offset) > 5 ? 'bad' : undefined}>{duration(Math.abs(offset))} {offset > 0 ? 'ahead' : 'behind'}</span>, below: 'ages here are by the server’s' },
			]} />
			<div class="two flow">
				<div class="column">
					<Card id="rates" title="Arrivals" note={<>now <Num k="ingest.heartbeats_per_s" v={d.ingest?.heartbeats_per_s} f="decimal" /> heartbeats/s, <Num k="ingest.reports_per_s" v={d.ingest?.reports_per_s} f="decimal" /> reports/s, <Num k="ingest.refused_1h" v={d.ingest?.refused_1h} /> refused in the last hour</>}>
						{rate('heartbeats', 'control', false)}{rate('reports', 'exposed', false)}{rate('refused', 'hold', true)}
					</Card>
					<Discards d={d} />
					<Webhooks d={d} />
				</div>
				<div class="column">
					<Card id="queues" title="Queues"><table class="stack"><caption class="sr">Queues</caption><thead><tr><th scope="col">Queue</th><th scope="col" class="r">Waiting</th><th scope="col">What</th></tr></thead>
						<tbody>{(d.queues ?? []).map((q, i) => <tr><td data-label="Queue">{q.name}</td><td data-label="Waiting" class="r"><Num k={`queues.${i}.waiting`} v={q.waiting} /></td><td data-label="What" class="dim">{q.what}</td></tr>)}</tbody></table></Card>
					<Disk d={d} />
					<Card id="workers" title="Triage workers"><Pairs list={[['Done', <Num k="workers.done" v={w?.done} />], ['Killed', <><Num k="workers.killed" v={w?.killed} /> (over a limit)</>], ['Restarts', <Num k="workers.restarts" v={w?.restarts} />]]} /></Card>
					<Card id="server" title="Server"><Pairs list={[
						['Version', <Hostile text={d.version} />], ['Started', <><Time at={d.started} /> (<Age at={d.started} />)</>], ['Hosts', <Num k="ledger.hosts" v={d.ledger?.hosts} />], ['Signatures', <Num k="ledger.signatures" v={d.ledger?.signatures} />],
						['Deployments', <Num k="ledger.deployments" v={d.ledger?.deployments} />], ['Log', <><Num k="log.bytes" v={d.log?.bytes} f="bytes" />{typeof d.log?.flush_p99_ms === 'number' && <>, <Num k="log.flush_p99_ms" v={d.log.flush_p99_ms} f="milliseconds" /> p99 to disk</>}{d.log?.stopped && <b class="bad">, stopped</b>}</>],
						['Tokens', d.tokens?.configured ? <><Num k="tokens.count" v={d.tokens.count} /> configured</> : 'none: everybody on this machine may act'],
					]} /></Card>
					{(d.settings ?? []).length > 0 && <Card id="settings" title="Settings"><details><summary>{d.settings!.length} settings in force</summary><Pairs list={d.settings!.map((x) => [x.name, <Hostile text={String(x.value ?? '–')} most={120} mono />])} /></details></Card>}
				</div>
			</div>
		</div>
	);
}
