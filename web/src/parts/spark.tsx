// SPDX-License-Identifier: Apache-2.0
import { count } from '../format';
import type { Series } from '../types';

// A trend without axis or colour: a path that leaves gaps where nothing is known.
export function Spark({ series, name = 'trend' }: { series: Series | (number | null)[] | undefined; name?: string }) {
	const v = Array.isArray(series) ? series : series?.v ?? [];
	const have = v.filter((n): n is number => typeof n === 'number');
	if (have.length < 2)
		return <span class="spark" />;
	const low = Math.min(...have), high = Math.max(...have), span = high - low || 1;
	let pen = 'M', d = '';
	v.forEach((n, i) => {
		if (typeof n !== 'number') {
			pen = 'M';
			return;
		}
		d += `${pen}${(i * 100 / (v.length - 1)).toFixed(2)} ${(23 - (n - low) * 22 / span).toFixed(2)}`;
		pen = 'L';
	});
	const last = have[have.length - 1]!;
	return (
		<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label={`${name}, now ${count(last)}, highest ${count(high)}`}>
			<path d={d} vector-effect="non-scaling-stroke" />
		</svg>
	);
}
