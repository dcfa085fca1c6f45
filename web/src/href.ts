// SPDX-License-Identifier: Apache-2.0
// The only place where an address is made of data.

// Own paths and http(s) addresses; everything else leads nowhere.
export function href(to: string): string | undefined {
	if (to.startsWith('/') && !to.startsWith('//') && !to.startsWith('/\\'))
		return to;
	try {
		const url = new URL(to);
		return url.protocol === 'https:' || url.protocol === 'http:' ? url.href : undefined;
	} catch {
		return undefined;
	}
}

const segment = (s: string) => encodeURIComponent(s).replace(/^\.+$/, (dots) => dots.replaceAll('.', '%2E'));

export const paths = {
	now: '/',
	deployments: '/deployments',
	deployment: (id: string) => '/deployments/' + segment(id),
	signatures: (q?: string) => '/signatures' + (q ? '?q=' + encodeURIComponent(q) : ''),
	signature: (id: string) => '/signatures/' + segment(id),
	host: (id: string) => '/hosts/' + segment(id),
	halts: '/halts',
	api: (id: string) => '/v1/deployments/' + segment(id) + '?view=page',
	halt: (n: string) => '/halts/' + segment(n),
	health: '/health',
	about: '/about',
	signin: (back: string) => '/signin?back=' + encodeURIComponent(back),
};
