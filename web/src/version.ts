// SPDX-License-Identifier: Apache-2.0
// A wall screen runs for months: when the server has another page, it takes that.
import { signal } from '@preact/signals';
import { listen } from './live';

export const newer = signal(false);

export function watchVersion() {
	const own = document.querySelector<HTMLScriptElement>('script[type=module]')?.getAttribute('src');
	let asked = performance.now();
	listen(null, ['hello', 'ping'], async (_data, event) => {
		if (!own || event === 'ping' && performance.now() - asked < 600_000)
			return;
		asked = performance.now();
		try {
			const answer = await fetch('/', { credentials: 'same-origin' });
			if (!answer.ok || (await answer.text()).includes(own))
				return;
			newer.value = true;
			if (document.documentElement.dataset.kiosk !== undefined)
				location.reload();
		} catch { /* another time */ }
	});
}
