// SPDX-License-Identifier: Apache-2.0
// A kept dump, opened by the server's triage: what it is, registers, threads, modules, what the bug check means.
import { useState } from 'preact/hooks';
import type { DumpDoc, DumpRow, Module } from '../types-detail';
import { useDoc } from '../doc';
import { bytes, count } from '../format';
import { Dialog } from '../parts/dialog';
import { Stack } from '../parts/stack';
import { Empty, ErrorBox, Pairs, Scroll, Skeleton } from '../parts/states';
import { Hostile, HostileBlock } from '../parts/text';

const NAMES = ['What', 'Stack', 'Registers', 'Threads', 'Modules'] as const;

function BugCheck({ triage }: { triage: NonNullable<DumpDoc['triage']> }) {
	const b = triage.bugcheck;
	if (!b)
		return null;
	return (
		<>
			<h3>Bug check <code>{b.code}</code> <Hostile text={b.name} /></h3>
			<table class="plain"><caption class="sr">Parameters of the bug check</caption>
				<thead><tr><th scope="col">#</th><th scope="col">Value</th><th scope="col">Means</th></tr></thead>
				<tbody>{(b.params ?? []).map((p, i) => <tr><td>{i + 1}</td><td class="mono"><Hostile text={p.value} /></td>
					<td>{p.meaning ? <Hostile text={p.meaning} most={120} /> : <span class="dim">–</span>}{p.text && <>: <b><Hostile text={p.text} most={120} /></b></>}</td></tr>)}</tbody></table>
		</>
	);
}

// Members that the server adds later are shown as they are named.
function Rest({ of, name }: { of: Record<string, unknown> | null | undefined; name: string }) {
	const list = Object.entries(of ?? {}).filter(([, v]) => v !== null && typeof v !== 'object');
	return list.length === 0 ? null : <><h3>{name}</h3><Pairs list={list.map(([k, v]) => [k.replaceAll('_', ' '), <Hostile text={String(v)} most={200} mono />])} /></>;
}

function Modules({ list, left }: { list: Module[]; left: number }) {
	const [find, set] = useState('');
	const shown = list.filter((m) => (m.name ?? '').toLowerCase().includes(find.toLowerCase()));
	return (
		<>
			<label for="find-module" class="sr">part of a module's name</label>
			<input id="find-module" type="text" placeholder="Part of a name" value={find} onInput={(e) => set(e.currentTarget.value)} />
			<Scroll label="Loaded modules" tall><table><caption class="sr">Loaded modules</caption>
				<thead><tr><th scope="col">Module</th><th scope="col">Base</th><th scope="col" class="r">Size</th><th scope="col">Id</th><th scope="col">Version</th></tr></thead>
				<tbody>{shown.map((m) => <tr><td class="mono"><Hostile text={m.name} most={48} /></td><td class="mono">{m.base}</td><td class="r">{bytes(m.size)}</td>
					<td class="mono"><Hostile text={m.code_id ?? m.debug_id} most={40} /></td><td><Hostile text={m.version} most={40} /></td></tr>)}</tbody></table></Scroll>
			<p class="note">{count(shown.length)} of {count(list.length)}{left > 0 && `; ${count(left)} more are not listed`}</p>
		</>
	);
}

function Body({ d, tab }: { d: DumpDoc; tab: typeof NAMES[number] }) {
	const t = d.triage;
	if (!t)
		return <Empty>Triage could not read it: <Hostile text={d.error ?? d.outcome ?? 'no reason given'} most={300} /></Empty>;
	switch (tab) {
	case 'Stack':
		return <><Stack caption="Frames of the crashing thread" frames={t.frames ?? []} folded={false} /><p class="note">End of the stack: <Hostile text={t.stack_end} /></p></>;
	case 'Registers':
		return t.registers?.length ? <dl class="registers">{t.registers.map((r) => <div><dt class="mono"><Hostile text={r.name} /></dt><dd class="mono"><Hostile text={r.value} /></dd></div>)}</dl>
			: <Empty>This dump holds no registers of the crashing thread.</Empty>;
	case 'Threads':
		return <>{(t.threads ?? []).map((th) => <details><summary>Thread {th.id ?? '?'} {th.name && <Hostile text={th.name} most={60} />}, {count(th.frames?.length ?? 0)} frames</summary>
			<Stack caption={`Frames of thread ${th.id ?? '?'}`} frames={th.frames ?? []} folded={false} /></details>)}
			{(t.threads ?? []).length === 0 && <Empty>Only the crashing thread is in this dump.</Empty>}
			{(t.threads_left_out ?? 0) > 0 && <p class="note">{count(t.threads_left_out)} more threads are not listed.</p>}</>;
	case 'Modules':
		return <Modules list={t.modules ?? []} left={t.modules_left_out ?? 0} />;
	default:
		return (
			<>
				{t.summary && <HostileBlock text={t.summary} caption="what happened" />}
				{t.partial && <p class="bar amber">Read in part: <Hostile text={t.partial_reason ?? 'something is missing'} most={200} /></p>}
				<Pairs list={[
					['Format', <Hostile text={t.format} />], ['System', <><Hostile text={t.os} /> <Hostile text={t.os_version ?? ''} /> <Hostile text={t.arch ?? ''} /></>],
					['Address', <span class="mono"><Hostile text={t.address} /></span>], ['Threads', count(t.thread_count)], ['Modules', count(t.module_count)],
					['Blamed by', <Hostile text={t.signature?.rule} />], ['Size', bytes(d.size)], ['SHA-256', <span class="mono"><Hostile text={d.sha256} /></span>],
				]} />
				<BugCheck triage={t} />
				<Rest of={t.kernel} name="Kernel" /><Rest of={t.process} name="Process" /><Rest of={t.annotations} name="Annotations" />
			</>
		);
	}
}

export function DumpDialog({ dump, close }: { dump: Pick<DumpRow, 'sha256'>; close: () => void }) {
	const doc = useDoc<DumpDoc & { position?: string }>(`/v1/dumps/${encodeURIComponent(dump.sha256)}/triage?threads=all`);
	const [tab, choose] = useState<typeof NAMES[number]>('What');
	return (
		<Dialog title={<>Dump <span class="mono"><Hostile text={dump.sha256.slice(0, 16)} />…</span></>} close={close}>
			<div class="dump" id="dump">
				<div class="segments" role="group" aria-label="parts of the dump">{NAMES.map((name, i) => <button type="button" key={name} aria-pressed={tab === name} data-first={i === 0 ? '' : undefined} onClick={() => choose(name)}>{name}</button>)}</div>
				{doc.error && <ErrorBox error={doc.error} again={doc.again} still="The file itself may still be downloaded." />}
				{doc.data ? <Body d={doc.data} tab={tab} /> : !doc.error && <Skeleton wait={doc.wait} heights={[240]} />}
			</div>
			<div class="buttons">
				<a class="button" href={`/v1/dumps/${encodeURIComponent(dump.sha256)}`} download data-plain>Download</a>
				<button type="button" onClick={close}>Close</button>
			</div>
		</Dialog>
	);
}
