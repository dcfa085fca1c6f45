// SPDX-License-Identifier: Apache-2.0
// Native dialogs: the browser moves the focus in, gives it back, and closes on Escape.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Failure, newKey, send } from '../api';
import { actorName } from '../prefs';
import { say } from '../say';
import type { Decision } from '../types';
import { Hostile } from './text';
import { Time } from './time';

export function Dialog({ title, close, children }: { title: ComponentChildren; close: () => void; children: ComponentChildren }) {
	const node = useRef<HTMLDialogElement>(null);
	useEffect(() => {
		const d = node.current!, before = document.activeElement as HTMLElement | null;
		d.showModal();
		d.querySelector<HTMLElement>('[data-first]')?.focus();
		return () => {
			d.close();
			if (before?.isConnected)
				before.focus();
		};
	}, []);
	return (
		<dialog ref={node} aria-labelledby="dialog-title" onCancel={(e) => { e.preventDefault(); close(); }}
			onClick={(e) => { if (e.target === node.current) close(); }}>
			<div class="dialog-body"><h2 id="dialog-title">{title}</h2>{children}</div>
		</dialog>
	);
}

export interface Action {
	path: string;			// POSTed to
	title: ComponentChildren;
	button: string;			// says the act: "Resume serving"
	cancel?: string;		// "Keep it halted"
	consequence: ComponentChildren;	// in hosts
	confirm?: string;		// the id that has to be typed
	position?: string;		// of the document on the screen
	more?: Record<string, unknown>;
	danger?: boolean;
	field?: { name: string; label: string; value: string };	// one more line ("for": "4h")
}

interface Conflict { message: string; decision?: Decision; position?: string }

// Reason always; 409 says who acted before, and one may act again on what is so now.
export function ActionDialog({ action, close, done }: { action: Action; close: () => void; done: () => void }) {
	const [reason, setReason] = useState('');
	const [typed, setTyped] = useState('');
	const [extra, setExtra] = useState(action.field?.value ?? '');
	const [error, setError] = useState<string | null>(null);
	const [conflict, setConflict] = useState<Conflict | null>(null);
	const [busy, setBusy] = useState(false);
	const position = useRef(action.position), key = useRef(newKey());

	async function act(e: Event) {
		e.preventDefault();
		if (busy)
			return;
		if (!reason.trim())
			return setError('A reason is needed: it is kept with the decision.');
		if (action.confirm !== undefined && typed.trim() !== action.confirm)
			return setError('The id does not match. Type it as it is shown, or paste it.');
		setBusy(true);
		setError(null);
		try {
			await send('POST', action.path, {
				reason: reason.trim(), ...(actorName.value ? { actor: actorName.value } : {}),
				...(position.current ? { expect_position: position.current } : {}),
				...(action.confirm !== undefined ? { confirm: typed.trim() } : {}), ...action.more,
				...(action.field ? { [action.field.name]: extra } : {}),
			}, key.current);
			say('Done: ' + action.button);
			done();
			close();
		} catch (e) {
			const f = e as Failure;
			if (f.status === 409) {
				const body = f.body as { decision?: Decision; position?: string } | undefined;
				setConflict({ message: f.message, decision: body?.decision, position: body?.position });
				done();
			} else {
				setError(f.message);
				if (f.status !== 0)
					key.current = newKey();
			}
			setBusy(false);
		}
	}

	if (conflict)
		return (
			<Dialog title="Somebody else acted first" close={close}>
				<p role="alert" id="conflict"><Hostile text={conflict.message} most={600} /></p>
				{conflict.decision && <p class="dim">{conflict.decision.action} by <Hostile text={conflict.decision.actor ?? 'the server'} /> at <Time at={conflict.decision.at} zone /></p>}
				<p>Nothing was changed by you. The page now shows what is so.</p>
				<div class="buttons">
					<button type="button" data-first onClick={close}>Leave it so</button>
					{conflict.position && <button type="button" class="danger" onClick={() => {
						position.current = conflict.position;
						key.current = newKey();
						setConflict(null);
					}}>Act on the new state…</button>}
				</div>
			</Dialog>
		);
	return (
		<Dialog title={action.title} close={close}>
			<form onSubmit={act} class="action" noValidate>
				<div class="consequence">{action.consequence}</div>
				<label for="reason">Reason</label>
				<textarea id="reason" rows={2} maxLength={500} required data-first value={reason} onInput={(e) => setReason(e.currentTarget.value)} />
				{action.field && <>
					<label for="extra">{action.field.label}</label>
					<input id="extra" type="text" value={extra} onInput={(e) => setExtra(e.currentTarget.value)} />
				</>}
				{action.confirm !== undefined && <>
					<label for="confirm">Type <code><Hostile text={action.confirm} /></code> to confirm</label>
					<input id="confirm" type="text" autoComplete="off" spellcheck={false} value={typed} onInput={(e) => setTyped(e.currentTarget.value)} />
				</>}
				<label for="actor">Your name <span class="dim">(goes into the record)</span></label>
				<input id="actor" type="text" maxLength={100} autoComplete="name" value={actorName.value} onInput={(e) => { actorName.value = e.currentTarget.value; }} />
				<p class="form-error" id="action-error" role="alert">{error && <Hostile text={error} most={400} />}</p>
				<div class="buttons">
					<button type="button" onClick={close}>{action.cancel ?? 'Cancel'}</button>
					<button type="submit" class={action.danger ? 'danger' : 'primary'} disabled={busy}>{action.button}</button>
				</div>
			</form>
		</Dialog>
	);
}
