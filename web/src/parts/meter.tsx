// SPDX-License-Identifier: Apache-2.0
import { odds } from '../format';

const TOP = 9;	// the small scale ends where the chart does: 1 in 10⁹

// log10 of weight × E on the scale of the chart: dashed tick WATCH, solid tick HALT.
export function Meter({ log10, watch = 3, halt = 6 }: { log10: number | null | undefined; watch?: number; halt?: number }) {
	if (typeof log10 !== 'number' || !Number.isFinite(log10))
		return <span class="dim">–</span>;
	const at = (v: number) => Math.max(0, Math.min(100, v * 100 / TOP)).toFixed(1) + '%';
	const level = log10 >= halt ? 'halt' : log10 >= watch ? 'watch' : 'low';
	const words = `evidence of harm: ${odds(log10)}; ${level === 'low' ? 'below watch' : level === 'watch' ? 'over watch, below halt' : 'over halt'}`;
	return (
		<span class={'meter ' + level} role="img" aria-label={words} title={odds(log10)}>
			<i style={{ width: at(log10) }} />
			<em class="at-watch" style={{ left: at(watch) }} /><em class="at-halt" style={{ left: at(halt) }} />
			{log10 > TOP && <em class="beyond" />}
		</span>
	);
}
