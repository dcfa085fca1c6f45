// SPDX-License-Identifier: Apache-2.0
// Tables: order from the server, in the URL; nothing moves under a pointer; over 200 rows only those in sight exist.
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useKeys } from '../keys';
import { query, setQuery } from '../router';

export interface Column<T> {
	key: string;
	head: string;
	unit?: string;
	right?: boolean;
	mono?: boolean;
	wide?: boolean;		// takes what is left
	sort?: string;		// name for ?sort=; first click is worst first ("-name")
	cell: (row: T, i: number) => ComponentChildren;
}

export interface TableProps<T> {
	caption: string;
	columns: Column<T>[];
	rows: T[];
	id: (row: T) => string;
	total?: number;		// of all pages
	more?: () => void;	// asked for when the end comes near
	last?: () => void;	// End: the last page, not all rows
	param?: string;		// query name of the order ("sort")
	sorted?: string;	// order without one in the URL
	nav?: boolean;		// j, k, o
	rowClass?: (row: T) => string | undefined;
	point?: (row: T | null) => void;
	note?: ComponentChildren;
	height?: number;	// of the scrolling part, when virtual
	reach?: boolean;	// no cell can have the focus: then the table itself, to be scrolled by keys
}

export const ROW = 32, OVER = 8, MANY = 200;

// The order that was on the screen stays while somebody points or is in it: new values, old places.
function useFrozen<T>(rows: T[], id: (row: T) => string, held: boolean): { rows: T[]; changes: number; release: () => void } {
	const order = useRef<string[]>([]);
	const [, again] = useState(0);
	const fresh = rows.map(id);
	if (!held || order.current.length === 0) {
		order.current = fresh;
		return { rows, changes: 0, release: () => {} };
	}
	const by = new Map(rows.map((r) => [id(r), r]));
	const known = new Set(order.current);
	// Pages that were loaded below are no change of order.
	const tail = fresh.slice(order.current.length);
	const kept = order.current.filter((k) => by.has(k));
	const appended = tail.filter((k) => !known.has(k));
	const all = [...kept, ...appended];
	let changes = fresh.filter((k, i) => all[i] !== k).length;
	if (all.length !== fresh.length)
		changes = Math.max(1, changes);
	return {
		rows: all.map((k) => by.get(k)!), changes,
		release: () => { order.current = fresh; again((n) => n + 1); },
	};
}

export function Head<T>({ column, param, sorted }: { column: Column<T>; param: string; sorted?: string }) {
	const now = query.value.get(param) ?? sorted ?? '';
	const name = column.sort;
	const direction = name === undefined ? undefined : now === '-' + name ? 'descending' : now === name ? 'ascending' : 'none';
	const text = <>{column.head}{column.unit && <small> {column.unit}</small>}</>;
	return (
		<th scope="col" class={column.right ? 'r' : undefined} aria-sort={direction}>
			{name === undefined ? text
				: <button type="button" class="sort" onClick={() => setQuery({ [param]: now === '-' + name ? name : '-' + name }, 'replace')}>{text}</button>}
		</th>
	);
}

export function DataTable<T>(p: TableProps<T>) {
	const [held, hold] = useState(false);
	const [top, setTop] = useState(0);
	const box = useRef<HTMLDivElement>(null);
	const focus = useRef<number | null>(null);	// the row that has the keys: an index, not a node
	const { rows, changes, release } = useFrozen(p.rows, p.id, held);
	const virtual = rows.length > MANY || (p.total ?? 0) > MANY;
	const view = p.height ?? Math.round(innerHeight * 0.7);
	const pool = Math.ceil(view / ROW) + 2 * OVER;
	const first = virtual ? Math.max(0, Math.min(Math.floor(top / ROW) - OVER, rows.length - pool)) : 0;
	const shown = virtual ? rows.slice(first, first + pool) : rows;

	useEffect(() => {
		if (virtual && p.more && rows.length < (p.total ?? 0) && first + pool + OVER >= rows.length)
			p.more();
	}, [first, rows.length, p.total]);

	function focusRow(i: number) {
		const at = Math.max(0, Math.min(rows.length - 1, i));
		focus.current = at;
		if (virtual && box.current) {
			const y = at * ROW;
			if (y < box.current.scrollTop + ROW || y > box.current.scrollTop + view - 3 * ROW)
				box.current.scrollTop = Math.max(0, y - view / 2);
			setTop(box.current.scrollTop);
		}
		requestAnimationFrame(land);
	}
	function land() {
		const row = box.current?.querySelector<HTMLElement>(`tr[data-i="${focus.current}"]`);
		const target = row?.querySelector<HTMLElement>('[data-open]') ?? row?.querySelector<HTMLElement>('a, button');
		if (target && document.activeElement !== target)
			target.focus({ preventScroll: virtual });
	}
	// A recycled row carries the focus away with it: bring it back to where the reader was.
	useLayoutEffect(() => {
		const row = document.activeElement?.closest<HTMLElement>('tr[data-i]');
		if (virtual && row && box.current?.contains(row) && focus.current !== null && row.dataset.i !== String(focus.current))
			land();
	});
	const move = (d: number) => focusRow(focus.current === null ? (d > 0 ? 0 : rows.length - 1) : focus.current + d);
	useKeys([
		{ key: 'j', does: 'next row', act: () => move(1) },
		{ key: 'k', does: 'previous row', act: () => move(-1) },
		{ key: 'o', does: 'open the row', act: () => box.current?.querySelector<HTMLElement>(`tr[data-i="${focus.current}"] [data-open]`)?.click() },
	], p.nav === true);

	function onKey(e: KeyboardEvent) {
		if (!virtual)
			return;
		const jump = { End: rows.length - 1, Home: 0, PageDown: (focus.current ?? first) + 20, PageUp: (focus.current ?? first) - 20 }[e.key];
		if (jump === undefined)
			return;
		e.preventDefault();
		if (e.key === 'End' && p.last && rows.length < (p.total ?? 0))
			p.last();
		focusRow(jump);
	}
	const count = p.total ?? rows.length;
	return (
		<div class="data-table">
			{changes > 0 && <button type="button" class="changes" onClick={release}>{changes} {changes === 1 ? 'change' : 'changes'}, show</button>}
			<div class={virtual ? 'scroll virtual' : 'scroll'} ref={box} style={virtual ? { height: Math.min(view, (rows.length + 1) * ROW + 4) + 'px' } : undefined}
				tabIndex={virtual || p.reach ? 0 : undefined} role={virtual || p.reach ? 'region' : undefined} aria-label={virtual || p.reach ? p.caption : undefined}
				onScroll={virtual ? (e) => setTop(e.currentTarget.scrollTop) : undefined} onKeyDown={onKey}
				onPointerEnter={(e) => { if (e.pointerType !== 'touch') hold(true); }} onPointerLeave={() => { if (!box.current?.contains(document.activeElement)) hold(false); }}
				onFocusIn={(e) => {
					hold(true);
					const i = (e.target as Element).closest<HTMLElement>('tr[data-i]')?.dataset.i;
					if (i !== undefined)
						focus.current = Number(i);
				}}
				onFocusOut={(e) => { if (!box.current?.contains(e.relatedTarget as Node | null) && !box.current?.matches(':hover')) hold(false); }}>
				<table class={virtual ? undefined : 'stack'} aria-rowcount={virtual ? count + 1 : undefined}>
					<caption class="sr">{p.caption}</caption>
					<thead><tr aria-rowindex={virtual ? 1 : undefined}>{p.columns.map((c) => <Head key={c.key} column={c} param={p.param ?? 'sort'} sorted={p.sorted} />)}</tr></thead>
					<tbody>
						{virtual && first > 0 && <tr class="gap" aria-hidden="true"><td colSpan={p.columns.length} style={{ height: first * ROW + 'px' }} /></tr>}
						{shown.map((row, j) => {
							const i = first + j;
							return (
								<tr key={virtual ? i % pool : p.id(row)} data-i={i} aria-rowindex={virtual ? i + 2 : undefined} class={p.rowClass?.(row)}
									onPointerEnter={p.point && (() => p.point!(row))} onPointerLeave={p.point && (() => p.point!(null))}>
									{p.columns.map((c) => (
										<td key={c.key} data-label={c.head} class={[c.right && 'r', c.mono && 'mono', c.wide && 'wide'].filter(Boolean).join(' ') || undefined}>{c.cell(row, i)}</td>))}
								</tr>
							);
						})}
						{virtual && first + shown.length < rows.length && <tr class="gap" aria-hidden="true"><td colSpan={p.columns.length} style={{ height: (rows.length - first - shown.length) * ROW + 'px' }} /></tr>}
					</tbody>
				</table>
			</div>
			{p.note}
		</div>
	);
}
