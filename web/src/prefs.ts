// SPDX-License-Identifier: Apache-2.0
// What the reader chose; kept in this browser, never a secret.
import { effect, signal } from '@preact/signals';
import type { Zone } from './format';

export type Theme = 'system' | 'light' | 'dark';

function stored<T extends string>(name: string, values: readonly T[], first: T) {
	let start = first;
	try {
		const kept = localStorage.getItem('faultline.' + name) as T | null;
		if (kept && values.includes(kept))
			start = kept;
	} catch { /* storage may be closed to us: then nothing is kept */ }
	const s = signal<T>(start);
	effect(() => {
		try {
			if (s.value === first)
				localStorage.removeItem('faultline.' + name);
			else
				localStorage.setItem('faultline.' + name, s.value);
		} catch { /* as above */ }
	});
	return s;
}

export const theme = stored<Theme>('theme', ['system', 'light', 'dark'], 'system');
export const zoneChoice = stored<Zone>('zone', ['utc', 'local'], 'utc');
export const shortcuts = stored<'on' | 'off'>('shortcuts', ['on', 'off'], 'on');
export const actorName = signal('');

// Rises when colours changed: canvases draw again.
export const colours = signal(0);

effect(() => {
	const t = theme.value;
	if (t === 'system')
		document.documentElement.removeAttribute('data-theme');
	else
		document.documentElement.dataset.theme = t;
	colours.value = colours.peek() + 1;
});
for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)'])
	matchMedia(query).addEventListener('change', () => { colours.value++; });
