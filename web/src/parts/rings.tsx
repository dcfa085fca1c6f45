// SPDX-License-Identifier: Apache-2.0
import { count } from '../format';
import { label } from '../hostile';
import type { Ring } from '../types';

const share = (r: Ring) => r.size ? Math.min(1, r.served / r.size) : r.served > 0 ? (r.state === 'proceed' ? 1 : 0.5) : 0;

export const ringName = (r: Ring, i: number) => r.name ? label(r.name, 24) : `ring ${r.n ?? i}`;

function words(rings: Ring[]) {
	return rings.map((r, i) => `${ringName(r, i)}: ${count(r.served)}${r.size ? ' of ' + count(r.size) : ''} served, ${r.state.replaceAll('_', ' ')}`).join('; ');
}

// Equal segments, filled by the share served; the halted one is hatched, so that it is seen without colour.
export function RingBar({ rings }: { rings: Ring[] | undefined }) {
	if (!rings?.length)
		return <span class="dim">no plan</span>;
	return (
		<span class="rings" role="img" aria-label={words(rings)}>
			{rings.slice(0, 12).map((r) => <span class={'ring ' + r.state}><i style={{ width: (share(r) * 100).toFixed(1) + '%' }} /></span>)}
		</span>
	);
}

export function RingFill({ ring }: { ring: Ring }) {
	return <span class={'ring wide ' + ring.state} aria-hidden="true"><i style={{ width: (share(ring) * 100).toFixed(1) + '%' }} /></span>;
}
