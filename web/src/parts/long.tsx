// SPDX-License-Identifier: Apache-2.0
// A table of as many rows as there are: rows are asked for by their place when they come in sight, and only those
// in sight exist.  What has the focus is kept as a place, not as a node: nodes are recycled.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useKeys } from '../keys';
import { Head, OVER, ROW, type Column } from './table';

export interface LongProps<T> {
	caption: string;
	columns: Column<T>[];
	total: number;
	row: (i: number) => T | undefined;
	need: (from: number, to: number) => void;
	sorted?: string;
	version: unknown;	// another list: back to the top
}

// No browser scrolls further than some millions of pixels: beyond, a pixel stands for more than a pixel.
const TALLEST = 8_000_000;

export function LongTable<T>(p: LongProps<T>) {
	const box = useRef<HTMLDivElement>(null);
	const [top, setTop] = useState(0);
	const focus = useRef<number | null>(null);
	const view = Math.max(6 * ROW, Math.round(innerHeight * 0.72));
	const pool = Math.ceil(view / ROW) + 2 * OVER;
	const full = p.total * ROW, height = Math.min(full, TALLEST);
	const scale = full > height ? (full - view) / (height - view) : 1;
	const first = Math.max(0, Math.min(Math.floor(top * scale / ROW) - OVER, p.total - pool));
	const last = Math.min(p.total, first + pool);
	const gap = scale === 1 ? first * ROW : Math.max(0, Math.min(height - (last - first) * ROW, top - OVER * ROW));

	useEffect(() => p.need(first, last), [first, last, p.version]);
	useEffect(() => {
		if (box.current)
			box.current.scrollTop = 0;
		setTop(0);
		focus.current = null;
	}, [p.version]);

	function land() {
		// A row that is still on its way: the table holds the focus for it.
		const target = box.current?.querySelector<HTMLElement>(`tr[data-i="${focus.current}"] [data-open]`) ?? box.current;
		if (target !== document.activeElement)
			target?.focus({ preventScroll: true });
	}
	function focusRow(i: number) {
		const at = Math.max(0, Math.min(p.total - 1, i)), b = box.current;
		focus.current = at;
		if (b) {
			const y = at * ROW / scale;
			if (y < b.scrollTop + ROW || y > b.scrollTop + b.clientHeight - 3 * ROW)
				b.scrollTop = at === p.total - 1 ? b.scrollHeight : Math.max(0, y - b.clientHeight / 2);
			setTop(b.scrollTop);
		}
		requestAnimationFrame(land);
	}
	// A recycled or newly filled row: the focus goes back to the place where the reader was.
	useLayoutEffect(() => {
		const row = document.activeElement?.closest<HTMLElement>('tr[data-i]');
		const inside = document.activeElement === box.current || row && box.current?.contains(row);
		if (inside && focus.current !== null && row?.dataset.i !== String(focus.current))
			land();
	});
	const move = (d: number) => focusRow(focus.current === null ? (d > 0 ? 0 : p.total - 1) : focus.current + d);
	useKeys([
		{ key: 'j', does: 'next row', act: () => move(1) },
		{ key: 'k', does: 'previous row', act: () => move(-1) },
		{ key: 'o', does: 'open the row', act: () => box.current?.querySelector<HTMLElement>(`tr[data-i="${focus.current}"] [data-open]`)?.click() },
	]);
	function key(e: KeyboardEvent) {
		const here = focus.current ?? first;
		const to = { End: p.total - 1, Home: 0, PageDown: here + 20, PageUp: here - 20, ArrowDown: here + 1, ArrowUp: here - 1 }[e.key];
		if (to === undefined)
			return;
		e.preventDefault();
		focusRow(to);
	}
	const rows = [];
	for (let i = first; i < last; i++) {
		const row = p.row(i);
		rows.push(
			<tr key={i % pool} data-i={i} aria-rowindex={i + 2} aria-busy={row === undefined}>
				{row === undefined ? <td colSpan={p.columns.length} class="dim">…</td>
					: p.columns.map((c) => <td key={c.key} class={[c.right && 'r', c.mono && 'mono', c.wide && 'wide'].filter(Boolean).join(' ') || undefined}>{c.cell(row, i)}</td>)}
			</tr>);
	}
	return (
		<div class="data-table long">
			<div class="scroll virtual" ref={box} role="region" tabIndex={0} aria-label={p.caption} onScroll={(e) => setTop(e.currentTarget.scrollTop)} onKeyDown={key}
				style={{ height: Math.min(view, full + ROW + 18) + 'px' }}
				onFocusIn={(e) => {
					const i = (e.target as Element).closest<HTMLElement>('tr[data-i]')?.dataset.i;
					if (i !== undefined)
						focus.current = Number(i);
				}}>
				<table aria-rowcount={p.total + 1}>
					<caption class="sr">{p.caption}</caption>
					<thead><tr aria-rowindex={1}>{p.columns.map((c) => <Head key={c.key} column={c} param="sort" sorted={p.sorted} />)}</tr></thead>
					<tbody>
						{gap > 0 && <tr class="gap" aria-hidden="true"><td colSpan={p.columns.length} style={{ height: gap + 'px' }} /></tr>}
						{rows}
						{height - gap - (last - first) * ROW > 0 && <tr class="gap" aria-hidden="true"><td colSpan={p.columns.length} style={{ height: height - gap - (last - first) * ROW + 'px' }} /></tr>}
					</tbody>
				</table>
			</div>
		</div>
	);
}
