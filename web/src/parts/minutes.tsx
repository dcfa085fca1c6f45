// SPDX-License-Identifier: Apache-2.0
// Counts per bin: small multiples that share the time axis and the cursor of the evidence above them.
import { count, hourMinute, parseTime } from '../format';
import { zoneChoice } from '../prefs';
import type { Annotation } from '../types';
import { bars, countAxis, drawAnnotations, hatchTail, pen, colour, Plot, timeAxis } from './plot';

export interface Bins { t0: string; step_s: number; open?: boolean; v: (number | null)[] }

export interface BinsProps {
	bins: Bins;
	title: string;
	token: string;		// of the colour
	from?: number;		// seconds; else where the bins start
	to?: number;
	annotations?: Annotation[];
	axis?: boolean;		// with times below
	height?: number;
	sync?: string;
	unknownFrom?: number | null;	// seconds: from there the database does not know yet
	table?: boolean;
}

export function binTimes(b: { t0: string; step_s: number }, n: number): number[] {
	const t0 = (parseTime(b.t0) ?? 0) / 1000;
	return Array.from({ length: n }, (_v, i) => t0 + i * b.step_s);
}

export function BinChart(p: BinsProps) {
	const xs = binTimes(p.bins, p.bins.v.length), v = p.bins.v;
	const from = p.from ?? xs[0] ?? 0, to = p.to ?? (xs[xs.length - 1] ?? 0) + p.bins.step_s;
	const have = v.filter((n): n is number => typeof n === 'number');
	const top = Math.max(1, ...have), sum = have.reduce((a, b) => a + b, 0);
	const peak = v.indexOf(Math.max(...have, 0));
	const z = zoneChoice.value;
	const unit = p.bins.step_s === 60 ? 'a minute' : p.bins.step_s === 3600 ? 'an hour' : `in ${p.bins.step_s} s`;
	const words = sum === 0 ? 'None.' : `${count(sum)} in all, at most ${count(top)} ${unit}, at ${hourMinute((xs[peak] ?? 0) * 1000, z)}.`;
	return (
		<Plot label={p.title} summary={words} height={p.height ?? (p.axis ? 84 : 68)} sync={p.sync} data={[xs, v]}
			deps={[from, to, top, p.annotations?.length, p.bins.open, p.unknownFrom]}
			readout={(x, i) => `${hourMinute(x * 1000, z)}  ${p.title}: ${count(v[i])}`}
			table={p.table ? <BinTable caption={p.title} xs={xs} columns={[[p.title, v]]} /> : undefined}
			make={() => ({
				padding: [8, 12, p.axis ? 0 : 8, 0],
				scales: { x: { time: true, range: [from, Math.max(to, from + 60)] }, y: { range: [0, top] } },
				axes: [p.axis ? timeAxis() : { ...timeAxis(), size: 0, values: () => [] }, { ...countAxis(64), splits: () => [0, top], values: (_u, t) => t.map(count) }],
				series: [{}, bars(p.token, p.bins.step_s, p.bins.open ?? false)],
				hooks: {
					draw: [(u) => {
						hatchTail(u, p.unknownFrom ?? null);
						drawAnnotations(u, p.annotations?.filter((a) => a.kind !== 'start'), false);
						const c = pen(u, 'left', 'top'), dpr = devicePixelRatio, width = c.measureText(p.title).width;
						c.fillStyle = colour('card');
						c.globalAlpha = 0.8;
						c.fillRect(u.bbox.left + 4 * dpr, u.bbox.top + 3 * dpr, width + 4 * dpr, 15 * dpr);
						c.globalAlpha = 1;
						c.fillStyle = colour('text');
						c.fillText(p.title, u.bbox.left + 6 * dpr, u.bbox.top + 4 * dpr);
					}],
				},
			})} />
	);
}

export function BinTable({ caption, xs, columns }: { caption: string; xs: number[]; columns: [string, (number | null)[]][] }) {
	return (
		<table class="plain"><caption class="sr">{caption}</caption>
			<thead><tr><th scope="col">From</th>{columns.map(([name]) => <th scope="col" class="r">{name}</th>)}</tr></thead>
			<tbody>{xs.map((x, i) => columns.some(([, v]) => v[i]) && (
				<tr key={x}><td>{hourMinute(x * 1000, zoneChoice.value)}</td>{columns.map(([, v]) => <td class="r">{count(v[i])}</td>)}</tr>))}
			</tbody></table>
	);
}
