// SPDX-License-Identifier: Apache-2.0
// Now: is the fleet fine, what is halted, what runs.
import { useState } from 'preact/hooks';
import { parseTime } from '../format';
import { paths } from '../href';
import { useKeys } from '../keys';
import { freshness } from '../live';
import { fetchNow, nowError, shownNow } from '../now';
import { Banner, level } from '../parts/banner';
import { ActionDialog, type Action } from '../parts/dialog';
import { Meter } from '../parts/meter';
import { Num } from '../parts/num';
import { RatesChart } from '../parts/rates';
import { RingBar } from '../parts/rings';
import { Inline } from '../parts/sentence';
import { Chip } from '../parts/shapes';
import { ActButton, Card, Empty, ErrorBox, Skeleton } from '../parts/states';
import { DataTable, type Column } from '../parts/table';
import { Hostile, IdLink } from '../parts/text';
import { FleetTile } from '../parts/tile';
import { Time } from '../parts/time';
import { useTitle } from '../shell';
import type { DeploymentRow, NewSignature, Now } from '../types';
import { ackAction } from './actions';

// Columns that Now and the list have in common; `k` is where the rows stand in the document.
export function deploymentColumns(rows: DeploymentRow[], sortable: boolean): Column<DeploymentRow>[] {
	const k = (d: DeploymentRow, name: string) => `deployments.${rows.indexOf(d)}.${name}`;
	return [
		{ key: 'status', head: 'Verdict', sort: sortable ? 'gravity' : undefined, cell: (d) => <Chip status={d.status} certified={d.certified !== false} /> },
		{ key: 'id', head: 'Deployment', sort: sortable ? 'id' : undefined, cell: (d) => <IdLink to={paths.deployment(d.id)} text={d.id} most={32} open /> },
		{ key: 'rings', head: 'Rings', cell: (d) => <RingBar rings={d.rings} /> },
		{ key: 'odds', head: 'Evidence of harm', cell: (d) => <Meter log10={d.log10_odds} watch={d.log10_watch} halt={d.log10_halt} /> },
		{ key: 'exposed', head: 'Exposed', right: true, cell: (d) => <Num k={k(d, 'exposed')} v={d.exposed} /> },
		{ key: 'harmed', head: 'Harmed', right: true, cell: (d) => <Num k={k(d, 'harmed')} v={d.harmed} class={d.harmed ? 'bad' : undefined} /> },
		{ key: 'next', head: 'Next ring max', right: true, cell: (d) => d.next_ring_max === 0 ? 'none' : <Num k={k(d, 'next_ring_max')} v={d.next_ring_max} /> },
		{ key: 'because', head: 'Because', wide: true, cell: (d) => <span class="because" title={d.because}><Inline parts={d.because_parts} text={d.because ?? d.reason} /></span> },
	];
}

function signatureColumns(rows: NewSignature[]): Column<NewSignature>[] {
	const k = (s: NewSignature, name: string) => `new_signatures.${rows.indexOf(s)}.${name}`;
	return [
		{ key: 'title', head: 'Signature', wide: true, cell: (s) => <><IdLink to={paths.signature(s.id)} text={s.title} most={72} open /><small class="dim sub">{s.kind} · <Hostile text={s.reason || 'no reason given'} most={40} /></small></> },
		{ key: 'hosts', head: 'Hosts', right: true, cell: (s) => <Num k={k(s, 'hosts')} v={s.hosts} /> },
		{ key: 'sites', head: 'Sites', right: true, cell: (s) => <Num k={k(s, 'sites')} v={s.sites} /> },
		{ key: 'first', head: 'First seen', cell: (s) => <Time at={s.first_seen} /> },
		{ key: 'under', head: 'Under', cell: (s) => s.deployment ? <a href={paths.deployment(s.deployment)} title={s.deployment.slice(0, 200)}><Chip status={s.status} /></a> : <span class="dim">No deployment</span> },
	];
}

function Ingest({ doc }: { doc: Now }) {
	const i = doc.ingest, f = doc.freshness;
	if (!i)
		return null;
	return (
		<Card title="Ingest" id="ingest">
			<p class="ingest">
				<span><b>{i.receiving === false ? 'Not receiving' : 'Receiving'}</b> <Num k="ingest.heartbeats_per_s" v={i.heartbeats_per_s} f="decimal" /> heartbeats/s, <Num k="ingest.reports_per_s" v={i.reports_per_s} f="decimal" /> reports/s</span>
				<span><b>Journal</b> <Num k="ingest.journal_p99_ms" v={i.journal_p99_ms} f="milliseconds" /> p99 to disk</span>
				<span><b>Verdicts</b> <Num k="freshness.behind_s.ledger" v={f?.behind_s?.ledger} f="duration" /> behind</span>
				<span><b>Database</b> {f?.database ? <><Num k="freshness.behind_s.database" v={f?.behind_s?.database} f="duration" /> behind</> : f?.state === 'database_down' ? 'down' : 'none configured'}</span>
				<span><b>Refused</b> <Num k="ingest.refused_1h" v={i.refused_1h} /> in the last hour</span>
				{i.workers && <span><b>Workers</b> <Num k="ingest.workers.up" v={i.workers.up} /> of <Num k="ingest.workers.of" v={i.workers.of} /></span>}
				<a href={paths.health}>Health</a>
			</p>
		</Card>
	);
}

export function databaseKnownTo(): number | null {
	const f = freshness.value;
	return f?.state === 'database_behind' ? (parseTime(f.database) ?? 0) / 1000 || null : null;
}

export function NowPage() {
	const doc = shownNow.value, error = nowError.value;
	const [action, act] = useState<Action | null>(null);
	useTitle('Now');
	const verdict = doc?.verdict, l = level(verdict);
	useKeys([{ key: 'Enter', does: 'open what the banner is about', act: () => document.querySelector<HTMLElement>('#banner-link')?.click() }],
		document.activeElement === document.body && !!verdict?.deployment);
	if (!doc)
		return error ? <><h1 class="sr">Now</h1><ErrorBox error={error} again={() => void fetchNow()} still="Verdicts are still given to those who ask /v1/deployments/…/verdict." /></>
			: <><h1 class="sr">Now</h1><Skeleton wait="shown" heights={[112, 96, 220, 260]} /></>;
	const rows = doc.deployments ?? [], fresh = doc.new_signatures ?? [];
	return (
		<div data-doc="/v1/now" data-position={doc.position} class="now">
			<Banner verdict={verdict} actions={verdict?.deployment && l !== 'clear' ? <>
				<a class="button solid" id="banner-link" href={paths.deployment(verdict.deployment)}>See the evidence</a>
				{l === 'halt' && !verdict.acknowledged && <ActButton what="ack" list={doc.can} class="on-fill" id="banner-ack" onClick={() => act(ackAction(verdict.deployment!, doc.position))}>Acknowledge…</ActButton>}
			</> : verdict?.alarm ? <a class="button solid" id="banner-link" href={paths.signatures('new:<1h')}>See the signatures</a> : undefined} />
			{error && <ErrorBox error={error} again={() => void fetchNow()} still="What stands below is of before." />}
			<div class="tiles">
				<FleetTile name="Alive" k="fleet.alive" tile={doc.fleet?.alive} worse="down" />
				<FleetTile name="Dark" k="fleet.dark" tile={doc.fleet?.dark} worse="up" />
				<FleetTile name="Boot-looping" k="fleet.boot_loop" tile={doc.fleet?.boot_loop} worse="up" />
				<FleetTile name="Crashing, last 10 min" k="fleet.crashing_10m" tile={doc.fleet?.crashing_10m} worse="up" />
			</div>
			<Card title="Running deployments" id="running" note="evidence meter: dashed tick = watch (1 in 1,000), solid tick = halt (1 in 1,000,000)"
				actions={(doc.deployments_total ?? 0) > rows.length ? <a href={paths.deployments}>all {doc.deployments_total}</a> : undefined}>
				{rows.length === 0 ? <Empty command="faultline deploy create …">No deployment registered.</Empty>
					: <DataTable caption="Running deployments, worst first" columns={deploymentColumns(rows, false)} rows={rows} id={(d) => d.id} nav />}
			</Card>
			<div class="two">
				<Card title="Crash arrivals per second" id="rates" note="last 60 min, 20 s bins, by received time">
					{doc.rates?.all?.length ? <RatesChart rates={doc.rates} unknownFrom={null} /> : <Empty>No crash report in the last hour.</Empty>}
				</Card>
				<Card title="New signatures, last hour" id="new" note="by hosts">
					{fresh.length === 0 ? <Empty>No signature was seen for the first time in the last hour.</Empty>
						: <DataTable caption="New signatures of the last hour, by hosts" columns={signatureColumns(fresh)} rows={fresh} id={(s) => s.id} />}
				</Card>
			</div>
			<Ingest doc={doc} />
			{action && <ActionDialog action={action} close={() => act(null)} done={() => void fetchNow()} />}
		</div>
	);
}

