// SPDX-License-Identifier: Apache-2.0
// Signature: what is this, and who has it?
import { useState } from 'preact/hooks';
import type { Fact, LadderRow, Ranked, SignatureDoc } from '../types-detail';
import { useDoc } from '../doc';
import { count, parseTime } from '../format';
import { paths } from '../href';
import { CopyButton } from '../parts/copy';
import { FormDialog, type Form } from '../parts/formdialog';
import { Meter } from '../parts/meter';
import { BinChart, BinTable, binTimes } from '../parts/minutes';
import { Num } from '../parts/num';
import { Sentence } from '../parts/sentence';
import { Chip } from '../parts/shapes';
import { Stack } from '../parts/stack';
import { ActButton, Card, Empty, ErrorBox, Facts, Scroll, Skeleton, whyNot } from '../parts/states';
import { Hostile, IdLink, OutLink } from '../parts/text';
import { Age, Time } from '../parts/time';
import { query, setQuery } from '../router';
import { useTitle } from '../shell';
import { AdviceCard, History, mergeForm, Merged } from './advice';
import { DumpDialog } from './dump';
import { databaseKnownTo } from './now';

const PAST = 'This comes from the database, which does not answer; what is live stands here still.';

function StackCard({ d }: { d: SignatureDoc }) {
	const s = d.stack, from = s?.from;
	return (
		<Card id="stack" title="Stack of the crashing thread" note={from ? <>of a {from.source === 'dump' ? 'dump' : 'report'} received <Time at={from.received} /></> : undefined}>
			{s?.frames?.length ? <Stack caption="Frames of the crashing thread, newest first" frames={s.frames} />
				: s?.state === 'database_down' ? <Empty>{PAST}</Empty> : <Empty>No report of this signature carried frames, and no dump was kept.</Empty>}
		</Card>
	);
}

function Trend({ d }: { d: SignatureDoc }) {
	const hours = query.value.get('range') === '24h', o = hours ? d.over_time?.hours : d.over_time?.minutes;
	const unknown = hours ? databaseKnownTo() : null;
	const chart = (name: 'hosts' | 'sites' | 'crashes', title: string, token: string, axis: boolean) => {
		const s = o?.[name];
		return s?.v?.length ? <BinChart bins={s} title={title} token={token} annotations={d.over_time?.annotations} axis={axis} height={axis ? 104 : 78} sync="signature" unknownFrom={unknown} /> : null;
	};
	return (
		<Card id="trend" title={hours ? 'Per hour' : 'Per minute'} note={hours ? 'last 24 hours and more, from the database' : <>live{o?.complete_from && <>, complete since <Time at={o.complete_from} /></>}</>}
			actions={<span class="segments" role="group" aria-label="time range">
				<button type="button" aria-pressed={!hours} onClick={() => setQuery({ range: null })}>2 h</button>
				<button type="button" aria-pressed={hours} onClick={() => setQuery({ range: '24h' })}>24 h</button></span>}>
			{o?.hosts?.v?.length ? <>{chart('hosts', 'hosts, first crash of each', 'exposed', false)}{chart('sites', 'sites', 'hold', false)}{chart('crashes', 'crashes', 'exposed', true)}
				<details class="as-table"><summary>Show as table</summary><BinTable caption="Hosts, sites and crashes in each bin" xs={binTimes(o.hosts, o.hosts.v.length)}
					columns={[['hosts', o.hosts.v], ['sites', o.sites?.v ?? []], ['crashes', o.crashes?.v ?? []]]} /></details></>
				: <Empty>{hours && o?.state === 'database_down' ? PAST : 'Nothing in this time.'}</Empty>}
		</Card>
	);
}

const READING: Record<string, string> = { 'explains it': 'bad' };
const times = (v: number | null | undefined) => typeof v === 'number' ? '×' : '';
function Correlations({ d }: { d: SignatureDoc }) {
	const c = d.correlations, facts = c?.facts ?? [];
	const row = (f: Fact, i: number) => {
		const k = `correlations.facts.${i}.`;
		return (
			<tr class={f.over_represented ? undefined : 'quiet'}>
				<td data-label="Fact">{f.kind.replaceAll('_', ' ')}</td>
				<td class="mono" data-label="Value"><Hostile text={f.fact} most={40} /></td>
				<td class="r" data-label="These hosts"><span><Num k={k + 'hosts'} v={f.hosts} /> of <Num k="correlations.hosts" v={c?.hosts} /></span></td>
				<td class="r" data-label="Fleet"><Num k={k + 'fleet_share'} v={f.fleet_share} f="rate" /></td>
				<td class="r" data-label="Lift">{times(f.lift) && <Num k={k + 'lift'} v={f.lift} f="factor" />}</td>
				<td class="r" data-label="At least">{times(f.low) && <Num k={k + 'low'} v={f.low} f="factor" />}</td>
				<td data-label="Reading">{READING[f.reading ?? ''] ? <b class="bad">{f.reading}</b> : <span class={f.reading === 'no' ? 'dim' : undefined}>{f.reading ?? (f.over_represented ? 'weak' : 'no')}</span>}
					{typeof f.cannot_be_told_from === 'number' && <small class="dim"> same hosts as <Hostile text={facts[f.cannot_be_told_from]?.fact} most={24} /></small>}</td>
			</tr>
		);
	};
	return (
		<Card id="correlations" title="Over-represented among these hosts" note="against the whole fleet; lift with its lower bound">
			{c?.statement && <p class="statement"><Hostile text={c.statement} most={0} /></p>}
			{facts.length === 0 ? <Empty>{c?.state === 'busy' ? 'The fleet is being counted.' : 'Nothing is over-represented among them, or they are too few to say.'}</Empty>
				: <Scroll label="Facts over-represented among the hosts with this signature"><table class="stack"><caption class="sr">Facts over-represented among the hosts with this signature</caption>
					<thead><tr><th scope="col">Fact</th><th scope="col">Value</th><th scope="col" class="r">These hosts</th><th scope="col" class="r">Fleet</th><th scope="col" class="r">Lift</th><th scope="col" class="r">At least</th><th scope="col">Reading</th></tr></thead>
					<tbody>{facts.map(row)}</tbody></table></Scroll>}
			{typeof c?.facts_compared === 'number' && <p class="note"><Num k="correlations.facts_compared" v={c.facts_compared} /> facts compared with <Num k="correlations.fleet_hosts" v={c.fleet_hosts} /> hosts of the fleet, counted at <Time at={c.fleet_counted} />.</p>}
		</Card>
	);
}

const RUNG: Record<string, string> = { key: 'Signature', build: 'Build', module: 'Module', class: 'Class', function: 'Function' };
function Ladder({ d }: { d: SignatureDoc }) {
	const row = (r: LadderRow, i: number) => {
		const k = `ladder.${i}.`, key = r.key ?? r.id ?? '';
		return (
			<li>
				<div class="what"><small class="dim">{RUNG[r.rung] ?? r.rung}</small>
					{r.id && r.id !== d.id ? <IdLink to={paths.signature(r.id)} text={key} most={40} /> : <span class="mono"><Hostile text={key} most={40} /></span>}
					<small class="dim">{r.note}</small></div>
				<div class="arms">{typeof r.exposed === 'number' ? <><b class="bad" title="served hosts"><Num k={k + 'exposed'} v={r.exposed} /></b> / <b class="good" title="other hosts"><Num k={k + 'control'} v={r.control} /></b></> : <><Num k={k + 'hosts'} v={r.hosts} /> hosts</>}</div>
				<div>{r.tested && <Meter log10={r.log10_odds} halt={r.threshold_log10 ?? 6} />}</div>
			</li>
		);
	};
	return (
		<Card id="ladder" title="Ladder" note={d.ladder_deployment ? 'hosts: served / others' : 'hosts'}>
			<ol class="ladder">{(d.ladder ?? []).map(row)}</ol>
			{d.ladder_deployment && <p class="note">Tested for <a href={paths.deployment(d.ladder_deployment)}><Hostile text={d.ladder_deployment} most={40} /></a></p>}
		</Card>
	);
}

function Bars({ k, id, title, list }: { k: string; id: string; title: string; list: Ranked | undefined }) {
	const rows = list?.rows ?? [], most = Math.max(1, ...rows.map((r) => r.hosts));
	if (rows.length === 0)
		return null;
	return (
		<Card id={id} title={title} note={<><Num k={k + '.total'} v={list?.total} /> in all</>}>
			<ul class="bars">{rows.map((r, i) => (
				<li><span class="name"><Hostile text={r.name || '(unknown)'} most={36} /></span>
					<span class="track" aria-hidden="true"><i style={{ width: (100 * r.hosts / most).toFixed(1) + '%' }} /></span>
					<Num k={`${k}.rows.${i}.hosts`} v={r.hosts} /></li>))}</ul>
			{(list?.unknown ?? 0) > 0 && <p class="note"><Num k={k + '.unknown'} v={list!.unknown} /> hosts did not say.</p>}
		</Card>
	);
}

function Builds({ d }: { d: SignatureDoc }) {
	const rows = d.builds ?? [];
	if (rows.length === 0)
		return null;
	return (
		<Card id="builds" title="Builds of the module">
			<Scroll label="Builds of the module that crash"><table class="stack"><caption class="sr">Builds of the module that crash</caption>
				<thead><tr><th scope="col">Build id</th><th scope="col" class="r">Hosts</th><th scope="col" class="r">Crashes</th><th scope="col">First seen</th></tr></thead>
				<tbody>{rows.map((b, i) => <tr><td data-label="Build id">{b.this ? <b class="mono"><Hostile text={b.module_id} most={20} /> (this)</b> : <IdLink to={paths.signature(b.id)} text={b.module_id ?? b.id} most={20} />}</td>
					<td class="r" data-label="Hosts"><Num k={`builds.${i}.hosts`} v={b.hosts} /></td><td class="r" data-label="Crashes"><Num k={`builds.${i}.crashes`} v={b.crashes} /></td><td data-label="First seen"><Time at={b.first_seen} /></td></tr>)}</tbody></table></Scroll>
		</Card>
	);
}

function Dumps({ d, open }: { d: SignatureDoc; open: (sha256: string) => void }) {
	const s = d.dump_samples, rows = s?.rows ?? [], why = whyNot('dump', d.can);
	return (
		<Card id="dumps" title="Sample dumps" note={rows.length ? 'newest first' : undefined}>
			{rows.length === 0 ? <Empty>{s?.state === 'database_down' ? PAST : 'No dump of it was kept.'}</Empty> : (
				<ul class="dumps">{rows.map((r, i) => (
					<li>
						<div><span class="mono"><Hostile text={r.report ?? r.sha256.slice(0, 16)} most={28} /></span>
							<small class="dim sub"><Hostile text={r.format ?? r.outcome} most={32} />, <Num k={`dump_samples.rows.${i}.size`} v={r.size} f="bytes" />{r.partial && ', in part'} · <Time at={r.received} /></small></div>
						{r.kept === false ? <span class="dim">no longer kept</span> : !why && <span class="buttons-left">
							<button type="button" class="open-dump" aria-label={`open the dump received ${r.received?.slice(11, 19)}`} onClick={() => open(r.sha256)}>Open</button>
							<a class="button" href={`/v1/dumps/${encodeURIComponent(r.sha256)}`} download data-plain aria-label={`download the dump received ${r.received?.slice(11, 19)}`}>Download</a></span>}
					</li>))}</ul>)}
			{rows.length > 0 && why && <p class="note">Opening and downloading {why}.</p>}
		</Card>
	);
}

function Hosts({ d }: { d: SignatureDoc }) {
	const rows = d.hosts_list ?? [];
	if (rows.length === 0)
		return null;
	return (
		<Card id="hosts" title="Hosts" note={(d.hosts ?? 0) > rows.length ? `${rows.length} of ${count(d.hosts)}` : undefined}>
			<Scroll label="Hosts with this signature"><table class="stack"><caption class="sr">Hosts with this signature</caption>
				<thead><tr><th scope="col">Host</th><th scope="col">Site</th><th scope="col">State</th><th scope="col">Last seen</th></tr></thead>
				<tbody>{rows.map((h) => <tr><td data-label="Host"><IdLink to={paths.host(h.id)} text={h.id} most={22} /></td><td data-label="Site"><Hostile text={h.site} most={24} /></td>
					<td data-label="State">{h.state}</td><td data-label="Last seen"><Time at={h.last_seen} /></td></tr>)}</tbody></table></Scroll>
		</Card>
	);
}

export function SignaturePage({ id }: { id: string }) {
	const doc = useDoc<SignatureDoc>(`/v1/signatures/${encodeURIComponent(id)}?view=page`, { topic: 'now', events: ['now', 'verdict'] });
	const d = doc.data, dump = query.value.get('dump');
	const [form, fill] = useState<Form | null>(null);
	useTitle(d?.title ?? id);
	const head = <nav class="crumbs" aria-label="where this is"><a href={paths.signatures()}>Signatures</a></nav>;
	if (!d)
		return <div>{head}<h1 tabIndex={-1} class="mono"><Hostile text={id} /></h1>{doc.error ? <ErrorBox error={doc.error} again={doc.again} /> : <Skeleton wait={doc.wait} heights={[90, 300, 220]} />}</div>;
	const worst = d.deployments?.[0], last = d.last_seen;
	return (
		<div data-doc={doc.path} data-position={d.position} class="signature">
			<div class="page-head">
				<div>
					{head}
					<div class="title-line"><h1 tabIndex={-1}><Hostile text={d.title} most={256} len={d.title_len} /></h1>{d.kind && <span class="kind">{d.kind}</span>}{worst && <a href={paths.deployment(worst.id)} aria-label="its deployment"><Chip status={worst.status} /></a>}</div>
					<Sentence parts={d.summary_parts} text={d.summary} />
					{d.reason && <p class="said mono"><Hostile text={d.reason} most={200} /></p>}
					<Merged d={d} />
				</div>
				<div class="actions">
					<ActButton what="triage" list={d.can} id="merge" onClick={() => fill(mergeForm(d))}>{d.merged_into ? 'Unmerge…' : 'Merge…'}</ActButton>
					<CopyButton text={`${d.summary ?? d.title}\n${location.origin}${location.pathname}`}>Copy for chat</CopyButton>
					{(d.issue_links ?? []).map((l) => <span class="button out"><OutLink to={l.url}><Hostile text={l.name} most={24} /></OutLink></span>)}
				</div>
			</div>
			{doc.error && <ErrorBox error={doc.error} again={doc.again} still="What stands below is of before." />}
			<Facts list={[
				{ name: 'Hosts', value: <Num k="hosts" v={d.hosts} />, below: <><Num k="reports" v={d.reports} /> reports, <Num k="crashes" v={d.crashes} /> crashes</> },
				{ name: 'Sites', value: <Num k="sites" v={d.sites} />, below: d.site_list?.rows?.[0] && d.hosts ? <>largest <Hostile text={d.site_list.rows[0].name} most={24} /></> : undefined },
				{ name: 'First seen', value: <Time at={d.first_seen} />, below: <Age at={d.first_seen} /> },
				{ name: 'Last seen', value: <Time at={last} />, below: parseTime(last) !== null ? <Age at={last} /> : undefined },
				worst ? { name: 'Under', value: <a href={paths.deployment(worst.id)}><Hostile text={worst.id} most={28} /></a>, below: <><Num k="deployments.0.served_with" v={worst.served_with} /> of <Num k="deployments.0.served" v={worst.served} /> served hosts, <Num k="deployments.0.unserved_with" v={worst.unserved_with} /> of <Num k="deployments.0.unserved" v={worst.unserved} /> others</> }
					: { name: 'Under', value: 'No deployment' },
			]} />
			<div class="two flow">
				<div class="column">
					<StackCard d={d} />
					<Trend d={d} />
					<Correlations d={d} />
					<Hosts d={d} />
				</div>
				<div class="column">
					<AdviceCard d={d} fill={fill} />
					<Ladder d={d} />
					<Bars k="site_list" id="sites" title="Sites" list={d.site_list} />
					<Bars k="os_builds" id="os-builds" title="OS builds" list={d.os_builds} />
					<Bars k="products" id="products" title="Products" list={d.products} />
					<Bars k="hw_classes" id="hw" title="Hardware" list={d.hw_classes} />
					<Dumps d={d} open={(sha256) => setQuery({ dump: sha256 })} />
					<Builds d={d} />
					<History d={d} />
				</div>
			</div>
			{form && <FormDialog form={form} close={() => fill(null)} done={doc.again} />}
			{dump && <DumpDialog dump={{ sha256: dump }} close={() => setQuery({ dump: null }, 'replace')} />}
		</div>
	);
}

