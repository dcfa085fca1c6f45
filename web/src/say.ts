// SPDX-License-Identifier: Apache-2.0
// The one region that a screen reader is told of: changes of state, never counters.
import { signal } from '@preact/signals';

export const said = signal<{ text: string; how: 'polite' | 'alert' }>({ text: '', how: 'polite' });

export function say(text: string, how: 'polite' | 'alert' = 'polite') {
	said.value = { text, how };
}
