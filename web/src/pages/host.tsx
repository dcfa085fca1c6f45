// SPDX-License-Identifier: Apache-2.0
// Host: one machine's story.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Failure, get } from '../api';
import type { Happening, HostDoc } from '../types-detail';
import { useDoc } from '../doc';
import { duration } from '../format';
import { paths } from '../href';
import { Num } from '../parts/num';
import { Sentence } from '../parts/sentence';
import { ShapeMark, type Shape } from '../parts/shapes';
import { Card, Empty, ErrorBox, Facts, Pairs, Skeleton } from '../parts/states';
import { Hostile } from '../parts/text';
import { Age, Time } from '../parts/time';
import { useTitle } from '../shell';

const MARK: Record<string, { shape: Shape; tone: string; word: string }> = {
	crash: { shape: 'square', tone: 'bad', word: 'crash' }, dark: { shape: 'octagon', tone: 'bad', word: 'dark' }, silence: { shape: 'dots', tone: 'dim', word: 'silence' },
	boot: { shape: 'up', tone: '', word: 'boot' }, goodbye: { shape: 'down', tone: '', word: 'goodbye' }, content: { shape: 'circle', tone: '', word: 'content' },
	served: { shape: 'triangle', tone: 'good', word: 'served' }, withdrawn: { shape: 'triangle-hollow', tone: '', word: 'withdrawn' },
	advice: { shape: 'tick', tone: '', word: 'advice' }, first_seen: { shape: 'circle', tone: '', word: 'first heard' },
};

function Event({ e }: { e: Happening }) {
	const m = MARK[e.kind] ?? { shape: 'circle' as Shape, tone: '', word: e.kind };
	return (
		<li class={'event ' + e.kind}>
			<Time at={e.at} />
			<span class={'mark-line ' + m.tone}><ShapeMark shape={m.shape} size={13} /></span>
			<div>
				<b>{m.word}</b> {e.signature ? <a href={paths.signature(e.signature)}><Hostile text={e.text} most={200} /></a>
					: e.deployment ? <a href={paths.deployment(e.deployment)}><Hostile text={e.text} most={200} /></a> : <Hostile text={e.text} most={300} />}
				<small class="dim sub">
					{e.crash_kind && <>{e.crash_kind} · </>}{typeof e.uptime_seconds === 'number' && <>up for {duration(e.uptime_seconds)} · </>}
					{e.report && <>report <a href={'/v1/reports/' + encodeURIComponent(e.report)} data-plain><Hostile text={e.report} mono /></a> · </>}{e.source === 'live' ? 'live' : 'from the database'}
				</small>
			</div>
		</li>
	);
}

function TimeLine({ d, path }: { d: HostDoc; path: string }) {
	const t = d.timeline;
	const [more, set] = useState<{ rows: Happening[]; next: string | null | undefined; error: Failure | null }>({ rows: [], next: undefined, error: null });
	const next = more.next === undefined ? t?.next ?? null : more.next;
	const rows = [...t?.rows ?? [], ...more.rows];
	async function load() {
		try {
			const page = await get<HostDoc>(`${path}&cursor=${encodeURIComponent(next!)}`);
			set({ rows: [...more.rows, ...page.timeline?.rows ?? []], next: page.timeline?.next ?? null, error: null });
		} catch (e) {
			set({ ...more, error: e as Failure });
		}
	}
	return (
		<Card id="timeline" title="Time line" note="newest first; a dotted line is a time in which it was not heard">
			{t?.state === 'database_down' && <p class="bar amber">The database does not answer: only what is live stands here.</p>}
			{t?.note && <p class="note"><Hostile text={t.note} most={300} /></p>}
			{rows.length === 0 ? <Empty>Nothing is known of it yet.</Empty> : <ol class="timeline">{rows.map((e) => <Event e={e} />)}</ol>}
			{more.error && <ErrorBox error={more.error} />}
			{next && <p class="pages"><button type="button" onClick={() => void load()}>Older</button></p>}
		</Card>
	);
}

function WhySilent({ d }: { d: HostDoc }) {
	const s = d.silence;
	if (!s)
		return <Card id="silence" title="When it counts as dark"><Empty>It sends no heartbeats, so its silence says nothing and is not judged.</Empty></Card>;
	return (
		<Card id="silence" title={d.state === 'dark' ? 'Why it counts as dark' : 'When it counts as dark'}>
			<Pairs list={[
				['Last heard', <><Time at={d.last_seen} /> (<Age at={d.last_seen} />)</>],
				['Limit', <Num k="silence.limit_seconds" v={s.limit_seconds} f="duration" />],
				['That is', <><Num k="silence.missed" v={s.missed} /> heartbeats of <Num k="silence.interval_seconds" v={s.interval_seconds} f="duration" /> and <Num k="silence.grace_seconds" v={s.grace_seconds} f="duration" /> of grace</>],
				[d.state === 'dark' ? 'Dark since' : 'Dark at', s.deadline ? <Time at={s.deadline} /> : 'never: it said goodbye'],
				...((s.not_listened_seconds ?? 0) > 0 ? [['We did not listen', <Num k="silence.not_listened_seconds" v={s.not_listened_seconds} f="duration" />] as [string, ComponentChildren]] : []),
				...(s.relayed ? [['Heard through', 'a relay: a silence of the whole relay counts once'] as [string, ComponentChildren]] : []),
			]} />
		</Card>
	);
}

export function HostPage({ id }: { id: string }) {
	const path = `/v1/hosts/${encodeURIComponent(id)}?view=page`;
	const doc = useDoc<HostDoc>(path, { topic: 'now', events: ['now', 'verdict'] });
	const d = doc.data;
	useTitle(id);
	const crumbs = <nav class="crumbs" aria-label="where this is"><a href="/hosts">Hosts</a></nav>;
	if (!d)
		return <div>{crumbs}<h1 tabIndex={-1} class="mono"><Hostile text={id} most={256} /></h1>{doc.error ? <ErrorBox error={doc.error} again={doc.again} still={doc.error.status === 404 ? 'A host is known by the name that it sends, or by its h:… id.' : undefined} /> : <Skeleton wait={doc.wait} heights={[90, 400]} />}</div>;
	const pairs = (list: { name: string; value: string }[] | undefined) => (list ?? []).map((c) => [c.name, <Hostile text={c.value} most={80} mono />] as [string, ComponentChildren]);
	return (
		<div data-doc={doc.path} data-position={d.position} class="host">
			<div class="page-head">
				<div>{crumbs}
					<div class="title-line"><h1 tabIndex={-1}><Hostile text={d.id} most={256} /></h1><span class={'state ' + d.state}>{d.state?.replaceAll('_', ' ')}</span></div>
					<Sentence parts={d.summary_parts} text={d.summary} />
				</div>
			</div>
			{doc.error && <ErrorBox error={doc.error} again={doc.again} still="What stands below is of before." />}
			<Facts list={[
				{ name: 'Site', value: <Hostile text={d.site || '–'} most={32} /> },
				{ name: 'Product', value: <Hostile text={d.product || '–'} most={28} />, below: <Hostile text={d.hw_class ?? ''} most={40} /> },
				{ name: 'OS build', value: <Hostile text={d.os_build || '–'} most={28} /> },
				{ name: 'Boots', value: <Num k="boots" v={d.boots} /> },
				{ name: 'Reports', value: <Num k="reports" v={d.reports} />, below: d.last_report ? <>last <Time at={d.last_report} /></> : undefined },
			]} />
			<div class="two flow">
				<div class="column"><TimeLine key={id} d={d} path={path} /></div>
				<div class="column">
					<WhySilent d={d} />
					<Card id="votes" title="Does it count?" note="for each deployment that served it">
						{(d.votes ?? []).length === 0 ? <Empty>No deployment served it.</Empty> : <ul class="votes-why">{d.votes!.map((v) => (
							<li><a href={paths.deployment(v.deployment)}><Hostile text={v.deployment} most={40} /></a> <b>{v.votes === undefined ? '' : v.votes ? 'counts' : 'does not count'}</b><p><Hostile text={v.why} most={0} /></p></li>))}</ul>}
					</Card>
					<Card id="facts" title="Facts">
						<Pairs list={[['First seen', <Time at={d.first_seen} />], ['Number', String(d.number ?? '–')], ...(d.cloned ? [['Cloned', 'two machines say they are this one: it does not count'] as [string, ComponentChildren]] : []),
							...pairs(d.content), ...pairs(d.labels)]} />
					</Card>
				</div>
			</div>
		</div>
	);
}
