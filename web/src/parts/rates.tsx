// SPDX-License-Identifier: Apache-2.0
// Crash arrivals per second of the last hour: all, and those that stop a machine.
import uPlot from 'uplot';
import { clock, decimal } from '../format';
import { zoneChoice } from '../prefs';
import type { Rates } from '../types';
import { BinTable, binTimes } from './minutes';
import { colour, countAxis, drawAnnotations, hatchTail, Plot, timeAxis } from './plot';

export function RatesChart({ rates, unknownFrom = null }: { rates: Rates; unknownFrom?: number | null }) {
	const xs = binTimes(rates, rates.all.length), per = (v: number | null) => v === null ? null : v / rates.step_s;
	const all = rates.all.map(per), kernel = rates.kernel.map(per);
	const have = all.filter((v): v is number => v !== null);
	const top = Math.max(0.5, ...have) * 1.15, z = zoneChoice.value;
	const mean = have.length ? have.reduce((a, b) => a + b, 0) / have.length : 0;
	const words = have.length === 0 ? 'Nothing is known yet.'
		: `Last hour: ${decimal(mean)} crashes a second on average, at most ${decimal(Math.max(...have))}; now ${decimal(have[have.length - 1])}.` +
		((rates.annotations ?? []).filter((a) => a.kind === 'halt').map((a) => ` Halt at ${clock(Date.parse(a.t), z)}.`).join(''));
	const line = (token: string, width: number): uPlot.Series => ({ stroke: colour(token), width, points: { show: false }, spanGaps: false });
	return (
		<Plot label="Crash arrivals per second" summary={words} height={190} data={[xs, all, kernel]} deps={[xs[0], top, rates.annotations?.length, unknownFrom]}
			readout={(x, i) => `${clock(x * 1000, z)}  all ${decimal(all[i])}/s  kernel and boot-critical ${decimal(kernel[i])}/s`}
			hint="Point at the chart, or focus it and use ← →."
			legend={<p class="legend"><span class="control"><i class="line" /> all crashes</span><span class="exposed"><i class="line" /> kernel and boot-critical</span></p>}
			table={<BinTable caption="Crash arrivals, reports in each bin" xs={xs} columns={[['all', rates.all], ['kernel', rates.kernel]]} />}
			make={() => ({
				padding: [8, 8, 0, 0],
				scales: { x: { time: true, range: [xs[0] ?? 0, (xs[xs.length - 1] ?? 0) + rates.step_s] }, y: { range: [0, top] } },
				axes: [timeAxis(), countAxis(44)],
				series: [{}, line('control', 1.5), { ...line('exposed', 2), fill: colour('halt-tint') }],
				hooks: { draw: [(u) => { hatchTail(u, unknownFrom); drawAnnotations(u, rates.annotations, true); }] },
			})} />
	);
}
