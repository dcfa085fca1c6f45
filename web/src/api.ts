// SPDX-License-Identifier: Apache-2.0
// The client of /v1: GETs by ETag (the browser's cache does it), writes that only our own page can make.
import { signal } from '@preact/signals';
import type { Session } from './types';

export class Failure extends Error {
	constructor(readonly status: number, readonly code: string, message: string, readonly field?: string, readonly body?: unknown) {
		super(message);
	}
}

export const session = signal<Session | null>(null);
// A read was refused: the page shows the way to sign in.
export const refused = signal(false);

export const can = (what: string) => session.value === null || session.value.can.includes(what);

async function failure(answer: Response): Promise<Failure> {
	let body: { error?: { code?: string; message?: string; field?: string } } | undefined;
	try {
		body = await answer.json();
	} catch { /* not ours, or cut off */ }
	return new Failure(answer.status, body?.error?.code ?? 'http_' + answer.status,
		body?.error?.message ?? `the server answered ${answer.status}`, body?.error?.field, body);
}

export async function get<T>(path: string, abort?: AbortSignal): Promise<T> {
	let answer: Response;
	try {
		answer = await fetch(path, { credentials: 'same-origin', signal: abort });
	} catch (e) {
		if (abort?.aborted)
			throw e;
		throw new Failure(0, 'no_contact', 'the server cannot be reached');
	}
	if (answer.status === 401)
		refused.value = true;
	if (!answer.ok)
		throw await failure(answer);
	return await answer.json() as T;
}

export const newKey = () =>
	Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');

export async function send<T>(method: 'POST' | 'PUT' | 'DELETE' | 'PATCH', path: string, body?: unknown, key?: string): Promise<T> {
	const headers: Record<string, string> = { 'Content-Type': 'application/json', 'X-Faultline': '1' };
	if (key)
		headers['Idempotency-Key'] = key;
	let answer: Response;
	try {
		answer = await fetch(path, { method, headers, credentials: 'same-origin', body: body === undefined ? undefined : JSON.stringify(body) });
	} catch {
		throw new Failure(0, 'no_contact', 'the server cannot be reached; it is not known whether it acted');
	}
	if (!answer.ok)
		throw await failure(answer);
	return answer.status === 204 ? undefined as T : await answer.json() as T;
}

export async function learnSession(): Promise<Session | null> {
	try {
		session.value = await get<Session>('/v1/session');
	} catch (e) {
		if (!(e instanceof Failure) || e.status !== 404)
			return session.value;
		session.value = null;	// an older server: everything is tried, the server decides
	}
	if (session.value?.can.includes('read') || session.value?.signed_in)
		refused.value = false;
	else if (session.value?.needed)
		refused.value = true;
	return session.value;
}

export async function signIn(token: string) {
	session.value = await send<Session>('POST', '/v1/session', { token });
	refused.value = false;
}

export async function signOut() {
	await send('DELETE', '/v1/session');
	await learnSession();
}
