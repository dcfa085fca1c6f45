// SPDX-License-Identifier: Apache-2.0
// What stands where data should: loading, empty, error, no permission.
import type { ComponentChildren } from 'preact';
import { Failure, session } from '../api';
import type { Doc } from '../doc';
import { Hostile } from './text';

// Blocks of the final height; quiet for the first 150 ms, words after 3 s.
export function Skeleton({ wait, heights }: { wait: Doc<unknown>['wait']; heights: number[] }) {
	return (
		<div class={wait === 'short' ? 'skeleton quiet' : 'skeleton'} aria-busy="true">
			{heights.map((h) => <div class="card" style={{ height: h + 'px' }} />)}
			{wait === 'long' && <p class="dim" role="status">still waiting for the server</p>}
		</div>
	);
}

export function Empty({ children, command }: { children: ComponentChildren; command?: string }) {
	return <p class="empty">{children}{command && <> <code>{command}</code></>}</p>;
}

export function ErrorBox({ error, again, still }: { error: Failure; again?: () => void; still?: string }) {
	return (
		<div class="card error" role="group" aria-label="error">
			<p><b>{error.status === 0 ? 'No contact' : <code>{error.code}</code>}</b>: <Hostile text={error.message} most={400} /></p>
			{still && <p class="dim">{still}</p>}
			{again && <button type="button" onClick={again}>Retry</button>}
		</div>
	);
}

const ROLE: Record<string, string> = {
	halt: 'operator', resume: 'operator', ack: 'operator', pause: 'operator', release: 'operator', mute: 'triager', accept: 'triager',
	triage: 'triager', dump: 'dumps', admin: 'admin',
};

// Why something cannot be done, or null when it can.  `list` is the document's own "can".
export function whyNot(what: string, list?: string[]): string | null {
	const allowed = list ?? session.value?.can;
	if (!allowed || allowed.includes(what))
		return null;
	if (session.value && session.value.needed && !session.value.signed_in)
		return 'sign in to act';
	return `needs role ${ROLE[what] ?? 'operator'}; you are ${session.value?.role ?? 'nobody'}`;
}

// A button that says in words why it is dead.
export function ActButton({ what, list, onClick, children, class: name, id }: {
	what: string; list?: string[]; onClick: () => void; children: ComponentChildren; class?: string; id?: string;
}) {
	const reason = whyNot(what, list);
	return (
		<span class="act">
			<button type="button" class={name} id={id} aria-disabled={reason ? 'true' : undefined} aria-describedby={reason ? `why-${what}` : undefined}
				onClick={() => { if (!reason) onClick(); }}>{children}</button>
			{reason && <span class="why" id={`why-${what}`}>{reason}</span>}
		</span>
	);
}

export function Card({ title, note, children, class: name, id, actions }: {
	title?: ComponentChildren; note?: ComponentChildren; children: ComponentChildren; class?: string; id?: string; actions?: ComponentChildren;
}) {
	return (
		<section class={name ? 'card ' + name : 'card'} aria-labelledby={title && id ? id + '-h' : undefined} id={id}>
			{title && <header><h2 id={id ? id + '-h' : undefined}>{title}</h2>{note && <span class="note">{note}</span>}{actions && <span class="push">{actions}</span>}</header>}
			{children}
		</section>
	);
}

// What may be wider than its card: scrolled by keys too.
export function Scroll({ label, tall, children }: { label: string; tall?: boolean; children: ComponentChildren }) {
	return <div class={tall ? 'scroll tall' : 'scroll'} tabIndex={0} role="region" aria-label={label}>{children}</div>;
}

// Facts: name, large value, a line below.
export function Facts({ list }: { list: { name: string; value: ComponentChildren; below?: ComponentChildren }[] }) {
	return (
		<dl class="card facts">
			{list.map((f) => <div><dt>{f.name}</dt><dd class="value">{f.value}</dd>{f.below && <dd class="below">{f.below}</dd>}</div>)}
		</dl>
	);
}

// Name and value, one a line.
export function Pairs({ list }: { list: [string, ComponentChildren][] }) {
	return <dl class="pairs">{list.map(([name, value]) => <><dt>{name}</dt><dd>{value}</dd></>)}</dl>;
}
