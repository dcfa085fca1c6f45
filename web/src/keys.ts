// SPDX-License-Identifier: Apache-2.0
// Single keys: off in fields and dialogs, off altogether if the reader says so; `?` lists them.
import { useEffect } from 'preact/hooks';
import { signal } from '@preact/signals';
import { shortcuts } from './prefs';

export interface Key { key: string; does: string; act: (e: KeyboardEvent) => void }

export const keys = signal<Key[]>([]);

const FIELDS = 'input, textarea, select, [contenteditable]';

document.addEventListener('keydown', (e) => {
	if (shortcuts.value === 'off' || e.defaultPrevented || e.metaKey || e.ctrlKey || e.altKey)
		return;
	const at = e.target as Element;
	if (at.closest?.(FIELDS) || document.querySelector('dialog[open]'))
		return;
	// The newest answers first: a page's before the shell's.
	const k = keys.value.findLast((k) => k.key === e.key);
	if (k) {
		e.preventDefault();
		k.act(e);
	}
});

export function useKeys(list: Key[], on = true) {
	useEffect(() => {
		if (!on)
			return;
		keys.value = [...keys.peek(), ...list];
		return () => { keys.value = keys.peek().filter((k) => !list.includes(k)); };
	});
}
