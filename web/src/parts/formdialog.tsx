// SPDX-License-Identifier: Apache-2.0
// A dialog with fields of its own; reason and name as everywhere, and 409 says who was there first.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Failure, send } from '../api';
import { actorName } from '../prefs';
import { say } from '../say';
import { Dialog } from './dialog';
import { Hostile } from './text';

export interface Field { name: string; label: string; value?: string; rows?: number; max?: number; hint?: ComponentChildren; need?: string }

export interface Form {
	method: 'POST' | 'PUT' | 'DELETE';
	path: string;
	title: ComponentChildren;
	button: string;
	about: ComponentChildren;
	fields: Field[];
	more?: Record<string, unknown>;
	danger?: boolean;
}

export function FormDialog({ form, close, done }: { form: Form; close: () => void; done: () => void }) {
	const [values, set] = useState<Record<string, string>>(() => Object.fromEntries(form.fields.map((f) => [f.name, f.value ?? ''])));
	const [reason, setReason] = useState('');
	const [error, setError] = useState<string | null>(null);
	const [busy, setBusy] = useState(false);

	async function act(e: Event) {
		e.preventDefault();
		if (busy)
			return;
		const missing = form.fields.find((f) => f.need && !values[f.name]!.trim());
		if (missing)
			return setError(missing.need!);
		if (!reason.trim())
			return setError('A reason is needed: it is kept with the record.');
		setBusy(true);
		setError(null);
		try {
			const given = Object.fromEntries(Object.entries(values).map(([k, v]) => [k, v.trim()] as const).filter(([, v]) => v));
			await send(form.method, form.path, { ...given, reason: reason.trim(), ...(actorName.value ? { actor: actorName.value } : {}), ...form.more });
			say('Done: ' + form.button);
			done();
			close();
		} catch (e) {
			const f = e as Failure;
			setError(f.status === 409 ? f.message + ' Nothing was changed by you; the page behind shows what is so.' : f.message);
			if (f.status === 409)
				done();
			setBusy(false);
		}
	}
	return (
		<Dialog title={form.title} close={close}>
			<form onSubmit={act} class="action" noValidate>
				<div class="consequence">{form.about}</div>
				{form.fields.map((f, i) => (
					<>
						<label for={'field-' + f.name}>{f.label}</label>
						{f.rows ? <textarea id={'field-' + f.name} rows={f.rows} maxLength={f.max} data-first={i === 0 ? '' : undefined} value={values[f.name]} onInput={(e) => set({ ...values, [f.name]: e.currentTarget.value })} />
							: <input id={'field-' + f.name} type="text" maxLength={f.max} spellcheck={false} autoComplete="off" data-first={i === 0 ? '' : undefined} value={values[f.name]} onInput={(e) => set({ ...values, [f.name]: e.currentTarget.value })} />}
						{f.hint && <small class="dim">{f.hint}</small>}
					</>))}
				<label for="reason">Reason</label>
				<textarea id="reason" rows={2} maxLength={500} required data-first={form.fields.length === 0 ? '' : undefined} value={reason} onInput={(e) => setReason(e.currentTarget.value)} />
				<label for="actor">Your name <span class="dim">(goes into the record)</span></label>
				<input id="actor" type="text" maxLength={100} autoComplete="name" value={actorName.value} onInput={(e) => { actorName.value = e.currentTarget.value; }} />
				<p class="form-error" id="action-error" role="alert">{error && <Hostile text={error} most={400} />}</p>
				<div class="buttons">
					<button type="button" onClick={close}>Cancel</button>
					<button type="submit" class={form.danger ? 'danger' : 'primary'} disabled={busy}>{form.button}</button>
				</div>
			</form>
		</Dialog>
	);
}
