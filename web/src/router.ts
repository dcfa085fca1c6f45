// SPDX-License-Identifier: Apache-2.0
// Real paths; what changes a view is in the query string.
import { computed, signal } from '@preact/signals';

export const place = signal({ path: location.pathname, search: location.search });
export const query = computed(() => new URLSearchParams(place.value.search));
// Rises with every change of the page (not of its query): focus goes to the heading.
export const visits = signal(0);

function look() {
	const before = place.peek().path;
	place.value = { path: location.pathname, search: location.search };
	if (before !== location.pathname)
		visits.value++;
}

addEventListener('popstate', look);

export function go(to: string, how: 'push' | 'replace' = 'push') {
	const url = new URL(to, location.href);
	if (url.origin !== location.origin)
		return;
	const other = url.pathname !== location.pathname;
	if (new URLSearchParams(location.search).get('kiosk') === '1' && !url.searchParams.has('kiosk'))
		url.searchParams.set('kiosk', '1');
	history[how === 'push' ? 'pushState' : 'replaceState'](null, '', url.pathname + url.search);
	look();
	if (other)
		scrollTo(0, 0);
}

// Change some members of the query; null takes one away.
export function setQuery(changes: Record<string, string | null>, how: 'push' | 'replace' = 'push') {
	const q = new URLSearchParams(location.search);
	for (const [name, value] of Object.entries(changes))
		if (value === null || value === '')
			q.delete(name);
		else
			q.set(name, value);
	const text = q.toString();
	go(location.pathname + (text ? '?' + text : ''), how);
}

// One listener for every link of ours; what the browser does with modifiers stays its own.
document.addEventListener('click', (e) => {
	if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey)
		return;
	const a = (e.target as Element).closest?.('a');
	if (!a || !a.href || a.target || a.hasAttribute('download') || a.dataset.plain !== undefined)
		return;
	const url = new URL(a.href);
	if (url.origin !== location.origin || /^\/(v1|assets)\//.test(url.pathname))
		return;
	if (url.pathname === location.pathname && url.search === location.search && url.hash)
		return;
	e.preventDefault();
	go(url.pathname + url.search);
});
