// SPDX-License-Identifier: Apache-2.0
// The API token is exchanged for a cookie that no script can read; it is kept nowhere else.
import { useState } from 'preact/hooks';
import { Failure, refused, session, signIn } from '../api';
import { href } from '../href';
import { Hostile } from '../parts/text';
import { go, place, query } from '../router';
import { useTitle } from '../shell';

export function SignIn() {
	const [error, setError] = useState<string | null>(null);
	const [busy, setBusy] = useState(false);
	useTitle('Sign in');

	async function submit(e: SubmitEvent) {
		e.preventDefault();
		const field = (e.currentTarget as HTMLFormElement).elements.namedItem('token') as HTMLInputElement;
		if (busy || !field.value.trim())
			return setError('Paste the API token.');
		setBusy(true);
		setError(null);
		try {
			await signIn(field.value.trim());
			field.value = '';
			if (place.value.path === '/signin')
				go(href(query.value.get('back') ?? '/')?.match(/^\/(?!signin)/) ? query.value.get('back')! : '/', 'replace');
		} catch (e) {
			const f = e as Failure;
			setError(f.status === 401 ? 'The server does not know this token.' : f.message);
			field.select();
		}
		setBusy(false);
	}
	return (
		<div class="lonely">
			<h1 tabIndex={-1}>Sign in</h1>
			<p>{session.value?.signed_in ? `You are signed in as ${session.value.role}.` : refused.value ? 'This server shows its pages to those who have its API token.' : 'Sign in with the API token to act; reading is open.'}</p>
			<form onSubmit={submit} class="card" id="sign-in" noValidate>
				<label for="token">API token</label>
				<input id="token" name="token" type="password" autoComplete="current-password" autoFocus spellcheck={false} required aria-describedby="sign-in-error" />
				<p class="form-error" role="alert" id="sign-in-error">{error && <Hostile text={error} most={300} />}</p>
				<div class="buttons"><button type="submit" class="primary" disabled={busy}>Sign in</button></div>
				<p class="dim">It is one line of the file that the server's setting <code>token-file</code> names.</p>
			</form>
		</div>
	);
}
