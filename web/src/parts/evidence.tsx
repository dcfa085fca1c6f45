// SPDX-License-Identifier: Apache-2.0
// The evidence: log10 of (weight × E) over time, a linear axis of logarithms with a fixed range, so that HALT
// always stands at the same height.  A step at every vote; what is above the scale is a ▲ at its edge.
import uPlot from 'uplot';
import { clock, duration, odds, parseTime, superscript } from '../format';
import { label } from '../hostile';
import { colours, zoneChoice } from '../prefs';
import type { Annotation, Vote } from '../types';
import { colour, drawAnnotations, pen, Plot, timeAxis } from './plot';

const LOW = -2.4, HIGH = 9.6;
const clamp = (v: number) => Math.max(LOW + 0.1, Math.min(HIGH - 0.15, v));

export interface EvidenceProps {
	title: string;
	votes: Vote[];
	start: number;		// log10 of the key's weight
	from: number;		// seconds
	to: number;
	watch: number;
	halt: number;
	annotations?: Annotation[];
	chosen?: number | null;	// n of the vote that the table points at
	choose?: (n: number | null) => void;
	more?: number;		// votes that are not drawn
}

function firstOver(votes: Vote[], level: number, reached: string) {
	return votes.find((v) => v.reached === reached) ?? votes.find((v) => (v.log10_odds ?? -9) >= level && v.reached === reached);
}

// The sentence of the chart: the same vote and time as the table's.
export function summary(p: EvidenceProps): string {
	const z = zoneChoice.value, at = (v: Vote) => clock(parseTime(v.t) ?? 0, z);
	if (p.votes.length === 0)
		return `No vote yet. The odds stand at the key's weight, ${odds(p.start)}.`;
	const last = p.votes[p.votes.length - 1]!;
	const up = p.votes.filter((v) => v.exposed).length;
	const say = [`${p.votes.length} votes, ${up} of exposed hosts, from ${at(p.votes[0]!)} to ${at(last)}`];
	const w = firstOver(p.votes, p.watch, 'watch'), h = firstOver(p.votes, p.halt, 'halt');
	if (w)
		say.push(`watch at vote ${w.n}, ${at(w)}`);
	if (h)
		say.push(`halt at vote ${h.n}, ${at(h)}`);
	say.push(`now ${odds(last.log10_odds)}`);
	return say.join('; ') + '.';
}

function tint(u: uPlot, p: EvidenceProps) {
	const c = u.ctx, dpr = devicePixelRatio, { left, width, top } = u.bbox;
	const y = (v: number) => Math.round(u.valToPos(v, 'y', true));
	c.save();
	c.fillStyle = colour('watch-tint');
	c.fillRect(left, y(p.halt), width, y(p.watch) - y(p.halt));
	c.fillStyle = colour('halt-tint');
	c.fillRect(left, top, width, y(p.halt) - top);
	c.restore();
	for (const [v, token, word, dash] of [[p.watch, 'watch', 'WATCH', [4, 3]], [p.halt, 'halt', 'HALT', []]] as const) {
		const k = pen(u, 'left', 'bottom');
		k.save();
		k.strokeStyle = k.fillStyle = colour(token);
		k.setLineDash(dash.map((d) => d * dpr));
		k.lineWidth = 1.5 * dpr;
		k.beginPath();
		k.moveTo(left, y(v));
		k.lineTo(left + width, y(v));
		k.stroke();
		k.font = '600 ' + k.font;
		k.fillText(`${word}  1 in ${Math.round(10 ** v).toLocaleString('en')}`, left + 6 * dpr, y(v) - 4 * dpr);
		k.restore();
	}
}

function marks(u: uPlot, p: EvidenceProps) {
	const c = u.ctx, dpr = devicePixelRatio, size = 4 * dpr;
	const numbered = new Set(p.votes.slice(0, 4).map((v) => v.n));
	for (const v of p.votes)
		if (v.reached)
			numbered.add(v.n);
	const exposed = colour('exposed'), control = colour('control'), card = colour('card'), text = colour('text');
	let lastLabel = -Infinity;
	for (const v of p.votes) {
		const t = parseTime(v.t), odds10 = v.log10_odds;
		if (t === null || typeof odds10 !== 'number')
			continue;
		const x = u.valToPos(t / 1000, 'x', true), y = u.valToPos(clamp(odds10), 'y', true);
		c.lineWidth = 1.75 * dpr;
		if (odds10 > HIGH) {
			c.fillStyle = v.exposed ? exposed : control;
			c.beginPath();
			c.moveTo(x - size, y + size);
			c.lineTo(x + size, y + size);
			c.lineTo(x, y - size);
			c.fill();
		} else if (v.exposed) {
			c.fillStyle = exposed;
			c.fillRect(x - size, y - size, 2 * size, 2 * size);
		} else {
			c.beginPath();
			c.arc(x, y, size + dpr / 2, 0, 2 * Math.PI);
			c.fillStyle = card;
			c.fill();
			c.strokeStyle = control;
			c.stroke();
		}
		if (v.n === p.chosen) {
			c.strokeStyle = text;
			c.strokeRect(x - 2 * size, y - 2 * size, 4 * size, 4 * size);
		}
		if (numbered.has(v.n) && Math.abs(x - lastLabel) > 1 && odds10 <= HIGH) {
			const k = pen(u, v.exposed ? 'right' : 'left', v.exposed ? 'middle' : 'bottom');
			k.fillStyle = text;
			k.font = '600 ' + k.font;
			k.fillText(String(v.n), v.exposed ? x - 8 * dpr : x + 7 * dpr, v.exposed ? y : y - 3 * dpr);
			lastLabel = x;
		}
	}
}

const TICKS: Record<number, string> = { 0: 'even' };

export function EvidenceChart(p: EvidenceProps) {
	const xs: number[] = [p.from], ys: number[] = [clamp(p.start)], who: (Vote | null)[] = [null];
	for (const v of p.votes) {
		const t = parseTime(v.t);
		if (t === null || typeof v.log10_odds !== 'number')
			continue;
		// Two votes of one moment: the axis must not go back.
		xs.push(Math.max(t / 1000, xs[xs.length - 1]! + 1e-3));
		ys.push(clamp(v.log10_odds));
		who.push(v);
	}
	if (p.to > xs[xs.length - 1]!) {
		xs.push(p.to);
		ys.push(ys[ys.length - 1]!);
		who.push(null);
	}
	const read = (_x: number, i: number) => {
		const v = who[i];
		if (!v)
			return i <= 0 ? `start: the key's weight, ${odds(p.start)}` : `now: ${odds(p.votes[p.votes.length - 1]?.log10_odds ?? p.start)}`;
		return `vote ${v.n}  ${clock(parseTime(v.t)!, zoneChoice.value)}  ${v.exposed ? 'exposed' : 'control'}  ${label(v.host ?? '', 24)}` +
			`  ${label(v.site ?? '', 24)}${typeof v.since_served_s === 'number' ? '  ' + duration(v.since_served_s) + ' after serving' : ''}  ${odds(v.log10_odds)}`;
	};
	const key = JSON.stringify([p.from, p.to, p.votes.length, p.votes[p.votes.length - 1]?.log10_odds, p.annotations?.length, p.chosen]);
	return (
		<Plot label={p.title} summary={summary(p)} height={300} sync="deployment" deps={[key, colours.value]}
			data={[xs, ys]} stops={xs.filter((_x, i) => who[i])} readout={read}
			hint="Point at the chart, or focus it and use ← →."
			legend={<p class="legend">
				<span class="exposed"><i class="square" /> exposed host voted (raises)</span>
				<span class="control"><i class="ring-mark" /> control host voted (lowers)</span>
				<span class="exposed"><i class="tri" /> above the scale, see table</span>
				{p.more ? <span>first {p.votes.length} of {p.votes.length + p.more} votes drawn</span> : null}
			</p>}
			make={() => ({
				padding: [8, 12, 0, 0],
				scales: { x: { time: true, range: [p.from, Math.max(p.to, p.from + 60)] }, y: { range: [LOW, HIGH] } },
				axes: [timeAxis(), {
					stroke: colour('dim'), font: '12px Inter, system-ui, sans-serif', size: 64, gap: 6, ticks: { show: false },
					grid: { stroke: colour('line'), width: 1 }, splits: () => [0, 3, 6, 9],
					values: (_u, t) => t.map((v) => TICKS[v] ?? '1 in 10' + superscript(String(v))),
				}],
				series: [{}, { stroke: colour('text'), width: 1.75, points: { show: false }, paths: uPlot.paths.stepped!({ align: 1 }) }],
				hooks: {
					drawClear: [(u) => tint(u, p)],
					draw: [(u) => { drawAnnotations(u, p.annotations?.filter((a) => a.kind !== 'start'), true); marks(u, p); }],
				},
			})} />
	);
}
