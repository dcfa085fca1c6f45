// SPDX-License-Identifier: Apache-2.0
// What a team knows about a signature: the fix that its hosts are told, which others are the same, who said so.
import type { SignatureDoc, Told } from '../types-detail';
import { paths } from '../href';
import type { Form } from '../parts/formdialog';
import { ActButton, Card, Empty } from '../parts/states';
import { Hostile, IdLink, OutLink } from '../parts/text';
import { Time } from '../parts/time';

const at = (d: SignatureDoc, verb: string) => `/v1/signatures/${encodeURIComponent(d.id)}/${verb}`;
// What the screen shows: somebody else's record in between is a conflict.
const expected = (d: SignatureDoc) => ({ expect_position: d.history?.[0]?.position ?? '' });
const own = (d: SignatureDoc) => d.advice && !d.advice.inherited_from ? d.advice : null;

export function adviceForm(d: SignatureDoc): Form {
	const now = own(d);
	return {
		method: 'PUT', path: at(d, 'advice'), title: <>Advice for <Hostile text={d.title} mono /></>, button: 'Tell the hosts', more: expected(d),
		about: <p>Every host that reports this crash is told this text, on every way it can report. Write what its user or its administrator is to do.</p>,
		fields: [
			{ name: 'text', label: 'Known fix', rows: 4, max: 500, value: now?.text, need: 'Write what is to be done.' },
			{ name: 'link', label: 'Link (optional)', max: 300, value: now?.link ?? '', hint: 'https:// or http://' },
		],
	};
}

function removeForm(d: SignatureDoc): Form {
	return {
		method: 'DELETE', path: at(d, 'advice'), title: <>Remove the advice for <Hostile text={d.title} mono /></>, button: 'Remove it', danger: true, fields: [],
		about: <p>Hosts that report this crash are told nothing more. The text stays in the history.</p>,
	};
}

export function mergeForm(d: SignatureDoc): Form {
	if (d.merged_into)
		return {
			method: 'POST', path: at(d, 'unmerge'), title: <>Take <Hostile text={d.title} mono /> out again</>, button: 'Unmerge', fields: [],
			about: <p>It stands for itself again. Votes, counts and verdicts were never changed by the merge.</p>,
		};
	return {
		method: 'POST', path: at(d, 'merge'), title: <>Merge <Hostile text={d.title} mono /></>, button: 'Merge', more: expected(d),
		about: <p>Pages show both as one story, and hosts of this one are told the advice of the other. Votes, counts and verdicts stay as they were cast.</p>,
		fields: [{ name: 'into', label: 'Into which signature', max: 40, need: 'Give the id of the signature it belongs to.', hint: 'its id: s1-… (the last part of its page’s address)' }],
	};
}

export function Merged({ d }: { d: SignatureDoc }) {
	const claimed = d.alias_history?.claimed_as ?? [], alias = d.alias_history?.triage_alias;
	return (
		<>
			{d.merged_into && <p class="said">Shown with <a href={paths.signature(d.merged_into.id)}><Hostile text={d.merged_into.title ?? d.merged_into.id} mono /></a>: <Hostile text={d.merged_into.reason} most={200} /> (<Hostile text={d.merged_into.actor ?? 'somebody'} />)</p>}
			{(d.merged ?? []).length > 0 && <p class="said">Together with {d.merged!.map((m, i) => <>{i > 0 && ', '}<a href={paths.signature(m.id)}><Hostile text={m.title ?? m.id} mono /></a></>)}</p>}
			{alias && alias !== d.id && <p class="said">Dumps of it show <a href={paths.signature(alias)}><Hostile text={alias} mono /></a></p>}
			{claimed.length > 0 && <p class="said">Senders also called it {claimed.map((c, i) => <>{i > 0 && ', '}<a href={paths.signature(c.id)}><Hostile text={c.id} mono /></a></>)}</p>}
		</>
	);
}

export function AdviceCard({ d, fill }: { d: SignatureDoc; fill: (f: Form) => void }) {
	const a = d.advice;
	return (
		<Card id="advice" title="Advice that its hosts are told">
			{a ? <>
				<blockquote><Hostile text={a.text} most={0} /></blockquote>
				{a.link && <p><OutLink to={a.link}><Hostile text={a.link} most={64} /></OutLink></p>}
				<p class="note">by <Hostile text={a.actor ?? 'somebody'} /> at <Time at={a.at} />{a.reason && <>: <Hostile text={a.reason} most={120} /></>}{a.inherited_from && <>; from <IdLink to={paths.signature(a.inherited_from)} text={a.inherited_from} /></>}</p>
			</> : <Empty>None yet. When the fix is known, write it here: every host with this crash is told.</Empty>}
			<div class="buttons-left">
				<ActButton what="triage" list={d.can} id="edit-advice" onClick={() => fill(adviceForm(d))}>{own(d) ? 'Edit…' : 'Write advice…'}</ActButton>
				{own(d) && <ActButton what="triage" list={d.can} id="remove-advice" onClick={() => fill(removeForm(d))}>Remove…</ActButton>}
			</div>
		</Card>
	);
}

const WORDS: Record<string, string> = { advice: 'advised', advice_removed: 'removed the advice', merge: 'merged it into', unmerge: 'took it out again' };
function line(h: Told) {
	return <li><Time at={h.at} /><span><b><Hostile text={h.actor ?? 'somebody'} most={40} /></b> {WORDS[h.action] ?? h.action} {h.into && <IdLink to={paths.signature(h.into)} text={h.into} />}
		{h.text && <> “<Hostile text={h.text} most={80} />”</>}{h.reason && <span class="dim">: <Hostile text={h.reason} most={120} /></span>}</span></li>;
}

export function History({ d }: { d: SignatureDoc }) {
	const list = d.history ?? [];
	return list.length === 0 ? null : <Card id="history" title="History" note="advice and merges, newest first"><ol class="log">{list.map(line)}</ol></Card>;
}
