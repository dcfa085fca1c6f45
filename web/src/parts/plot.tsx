// SPDX-License-Identifier: Apache-2.0
// uPlot under Preact: one instance a chart, data at most once a frame, built again only for colours and zone.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import uPlot from 'uplot';
import { clock, hourMinute, parseTime } from '../format';
import { label } from '../hostile';
import { colours, zoneChoice } from '../prefs';
import { say } from '../say';
import type { Annotation } from '../types';

// What a token is right now, for a canvas.
export function colour(token: string): string {
	const probe = document.createElement('i');
	probe.style.color = `var(--${token})`;
	document.body.append(probe);
	const c = getComputedStyle(probe).color;
	probe.remove();
	return c;
}

export const FONT = '12px Inter, system-ui, sans-serif';

// uPlot leaves the context's alignment as it used it last.
export function pen(u: uPlot, align: CanvasTextAlign, base: CanvasTextBaseline): CanvasRenderingContext2D {
	const c = u.ctx, dpr = devicePixelRatio;
	c.font = FONT.replace('12px', 12 * dpr + 'px');
	c.textAlign = align;
	c.textBaseline = base;
	c.setLineDash([]);
	c.lineWidth = dpr;
	return c;
}

export const timeAxis = (): uPlot.Axis => ({
	stroke: colour('dim'), font: FONT, grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, size: 26, space: 64,
	// whole minutes: the labels show no seconds, and two of the same would stand side by side
	incrs: [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440].map((m) => m * 60),
	values: (_u, ticks) => ticks.map((t) => hourMinute(t * 1000, zoneChoice.value)),
});

export const countAxis = (size = 44): uPlot.Axis => ({
	stroke: colour('dim'), font: FONT, grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, size, gap: 6,
	space: 28, incrs: [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7],
});

const MARKS: Record<string, { word: string; token: string }> = {
	halt: { word: 'halted', token: 'halt' }, pause: { word: 'paused', token: 'watch' }, watch: { word: 'paused', token: 'watch' },
	resume: { word: 'resumed', token: 'dim' }, start: { word: 'started', token: 'dim' },
};

// Vertical lines for what was done; words where there is room.
export function drawAnnotations(u: uPlot, list: Annotation[] | undefined, words: boolean) {
	const dpr = devicePixelRatio;
	let free = -Infinity;
	for (const a of list ?? []) {
		const mark = MARKS[a.kind], ms = parseTime(a.t);
		if (!mark || ms === null || ms / 1000 < (u.scales.x!.min ?? 0) || ms / 1000 > (u.scales.x!.max ?? 0))
			continue;
		const x = Math.round(u.valToPos(ms / 1000, 'x', true));
		const c = pen(u, 'right', 'top');
		c.strokeStyle = c.fillStyle = colour(mark.token);
		c.lineWidth = (a.kind === 'halt' ? 1.5 : 1) * dpr;
		if (a.kind === 'start')
			c.setLineDash([2 * dpr, 3 * dpr]);
		c.beginPath();
		c.moveTo(x, u.bbox.top);
		c.lineTo(x, u.bbox.top + u.bbox.height);
		c.stroke();
		if (!words)
			continue;
		const text = a.kind === 'halt' ? `${mark.word} ${clock(ms, zoneChoice.value)}` : mark.word;
		const width = c.measureText(text).width, gap = 5 * dpr;
		// Left of its line, else right of it, else without words.
		const from = x - gap - width >= Math.max(free, u.bbox.left) ? x - gap - width : x + gap;
		if (from < free || from + width > u.bbox.left + u.bbox.width)
			continue;
		c.textAlign = 'left';
		c.fillText(text, from, u.bbox.top + 4 * dpr);
		free = Math.max(x, from + width) + gap;
	}
}

export interface PlotProps {
	label: string;
	summary: string;	// the sentence that says what the chart shows
	height: number;
	make: () => Omit<uPlot.Options, 'width' | 'height'>;
	data: uPlot.AlignedData;
	deps?: unknown[];	// built again when these change
	stops?: (number | null)[];	// x of what ← and → step over; without: every x
	readout: (x: number, i: number) => string;
	table?: ComponentChildren;
	sync?: string;
	hint?: string;
	legend?: ComponentChildren;
}

const redraws = new Map<uPlot, number>();
function soon(u: uPlot, data: uPlot.AlignedData) {
	cancelAnimationFrame(redraws.get(u) ?? 0);
	redraws.set(u, requestAnimationFrame(() => { redraws.delete(u); u.setData(data); }));
}

export function Plot(p: PlotProps) {
	const box = useRef<HTMLDivElement>(null);
	const plot = useRef<uPlot | null>(null);
	const [at, point] = useState<number | null>(null);
	const props = useRef(p);
	props.current = p;
	const xs = p.data[0] as number[];

	useEffect(() => {
		const holder = box.current!;
		const o = p.make();
		const u = new uPlot({
			...o, width: Math.max(200, holder.clientWidth), height: p.height, legend: { show: false },
			cursor: {
				y: false, points: { show: false }, drag: { x: false, y: false, setScale: false }, ...o.cursor,
				...(p.sync ? { sync: { key: p.sync, setSeries: false } } : {}),
			},
			hooks: { ...o.hooks, setCursor: [(c) => point(typeof c.cursor.idx === 'number' && (c.cursor.left ?? -1) >= 0 ? c.cursor.idx : null)] },
		}, props.current.data, holder);
		plot.current = u;
		const resize = new ResizeObserver(() => {
			const width = Math.max(200, holder.clientWidth);
			if (width !== u.width)
				u.setSize({ width, height: p.height });
		});
		resize.observe(holder);
		return () => {
			resize.disconnect();
			cancelAnimationFrame(redraws.get(u) ?? 0);
			redraws.delete(u);
			u.destroy();
			plot.current = null;
		};
	}, [colours.value, zoneChoice.value, p.height, ...(p.deps ?? [])]);

	const first = useRef(true);
	useEffect(() => {
		if (!first.current && plot.current)
			soon(plot.current, p.data);
		first.current = false;
	}, [p.data]);

	const stops = (p.stops ?? xs).flatMap((x) => typeof x === 'number' ? [x] : []);
	function step(e: KeyboardEvent) {
		const u = plot.current;
		if (!u || stops.length === 0 || !['ArrowLeft', 'ArrowRight', 'Home', 'End', 'Escape'].includes(e.key))
			return;
		e.preventDefault();
		if (e.key === 'Escape') {
			u.setCursor({ left: -10, top: -10 });
			return;
		}
		const here = at === null ? null : xs[at] ?? null;
		let i = here === null ? -1 : stops.findIndex((x) => x >= here);
		if (e.key === 'Home')
			i = 0;
		else if (e.key === 'End')
			i = stops.length - 1;
		else if (e.key === 'ArrowRight')
			i = here === null ? 0 : Math.min(stops.length - 1, stops[i] === here ? i + 1 : Math.max(0, i));
		else
			i = here === null ? stops.length - 1 : Math.max(0, (i < 0 ? stops.length : i) - 1);
		const x = stops[i]!;
		u.setCursor({ left: u.valToPos(x, 'x'), top: 10 });
		say(props.current.readout(x, xs.indexOf(x)));
	}

	const shown = at !== null && xs[at] !== undefined ? p.readout(xs[at]!, at) : p.hint ?? '';
	return (
		<div class="plot">
			<div ref={box} class="canvas" tabIndex={0} role="img" aria-label={label(`${p.label}. ${p.summary}`, 1000)} onKeyDown={step}
				style={{ height: p.height + 'px' }} onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })} />
			{p.legend}
			{(shown || p.hint) && <p class="readout mono" aria-hidden="true">{shown}</p>}
			{p.table && <details class="as-table"><summary>Show as table</summary>{p.table}</details>}
		</div>
	);
}

// Bins as bars from zero; the open one at half strength; unknown stays a gap.
export function bars(token: string, step: number, openLast: boolean): uPlot.Series {
	return {
		stroke: 'transparent', points: { show: false },
		paths: (u, si, i0, i1) => {
			const c = u.ctx, xs = u.data[0], v = u.data[si]!, dpr = devicePixelRatio;
			c.save();
			c.beginPath();
			c.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
			c.clip();
			c.fillStyle = colour(token);
			const zero = u.valToPos(0, u.series[si]!.scale ?? 'y', true);
			for (let i = i0; i <= i1; i++) {
				const n = v[i];
				if (typeof n !== 'number' || n === 0)
					continue;
				const x = u.valToPos(xs[i]!, 'x', true), w = Math.max(dpr, u.valToPos(xs[i]! + step, 'x', true) - x - dpr);
				const y = u.valToPos(n, u.series[si]!.scale ?? 'y', true);
				c.globalAlpha = openLast && i === xs.length - 1 ? 0.5 : 1;
				c.fillRect(x, y, w, zero - y);
			}
			c.restore();
			return null;
		},
	};
}

// What is not known yet: the time that the database is behind.
export function hatchTail(u: uPlot, fromSeconds: number | null) {
	if (fromSeconds === null)
		return;
	const c = u.ctx, dpr = devicePixelRatio, x0 = Math.max(u.bbox.left, u.valToPos(fromSeconds, 'x', true)), x1 = u.bbox.left + u.bbox.width;
	if (x1 - x0 < dpr)
		return;
	c.save();
	c.beginPath();
	c.rect(x0, u.bbox.top, x1 - x0, u.bbox.height);
	c.clip();
	c.strokeStyle = colour('edge');
	c.lineWidth = dpr;
	c.beginPath();
	for (let x = x0 - u.bbox.height; x < x1; x += 7 * dpr) {
		c.moveTo(x, u.bbox.top + u.bbox.height);
		c.lineTo(x + u.bbox.height, u.bbox.top);
	}
	c.stroke();
	c.restore();
}
