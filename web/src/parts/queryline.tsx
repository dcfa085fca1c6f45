// SPDX-License-Identifier: Apache-2.0
// One line to search with: completion of fields and values, the error at its character.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Failure } from '../api';
import type { Facet } from '../types-detail';
import { around, offers, pieceAt, type Offer } from '../query';
import { Hostile } from './text';

export function QueryError({ q, error }: { q: string; error: Failure }) {
	const at = (error.body as { error?: { at?: number } } | undefined)?.error?.at;
	const place = typeof at === 'number' ? around(q, at) : null;
	return (
		<div class="query-error" id="query-error" role="alert">
			{place && <p class="mono" aria-hidden="true"><Hostile text={place[0]} most={0} /><mark><Hostile text={place[1] || ' '} most={0} /></mark><Hostile text={place[2]} most={0} /></p>}
			<p><Hostile text={error.message} most={400} />{typeof at === 'number' && <span class="dim"> (character {at + 1})</span>}</p>
		</div>
	);
}

export function QueryLine({ q, facets, bad, submit }: { q: string; facets?: Record<string, Facet[]>; bad: boolean; submit: (q: string) => void }) {
	const [text, setText] = useState(q);
	const [list, setList] = useState<Offer[]>([]);
	const [at, setAt] = useState(-1);
	const input = useRef<HTMLInputElement>(null);
	const caret = useRef<number | null>(null);
	// before the next key is handled: a caret that is set later sends what is typed meanwhile to another place
	useLayoutEffect(() => { setText(q); setList([]); }, [q]);
	useLayoutEffect(() => {
		if (caret.current !== null && input.current)
			input.current.setSelectionRange(caret.current, caret.current);
		caret.current = null;
	});
	const close = () => { setList([]); setAt(-1); };
	const look = (value: string) => {
		setList(offers(value, input.current?.selectionStart ?? value.length, facets));
		setAt(-1);
	};
	function take(o: Offer) {
		const here = input.current?.selectionStart ?? text.length, piece = pieceAt(text, here);
		const value = text.slice(0, piece.from) + o.insert + text.slice(here).trimStart();
		caret.current = piece.from + o.insert.length;
		setText(value);
		setAt(-1);
		setList(o.insert.endsWith(':') ? offers(value, caret.current, facets) : []);
		input.current?.focus();
	}
	function key(e: KeyboardEvent) {
		if (e.key === 'ArrowDown' && list.length === 0)
			look(text);
		else if (e.key === 'ArrowDown' || e.key === 'ArrowUp')
			setAt((i) => list.length === 0 ? -1 : (i + (e.key === 'ArrowDown' ? 1 : i <= 0 ? list.length - Math.max(0, i) - 1 : -1)) % list.length);
		else if ((e.key === 'Enter' || e.key === 'Tab' && !e.shiftKey) && at >= 0 && list[at])
			take(list[at]!);
		else if (e.key === 'Escape' && list.length > 0)
			close();
		else
			return;
		e.preventDefault();
	}
	return (
		<form role="search" aria-label="query" class="query-line" onSubmit={(e) => { e.preventDefault(); close(); submit(text.trim()); }}>
			<div class="combo">
				<input ref={input} id="q" type="text" role="combobox" class="mono" value={text} aria-label="search signatures" autoComplete="off" spellcheck={false} maxLength={1000}
					aria-expanded={list.length > 0} aria-controls="offers" aria-autocomplete="list" aria-activedescendant={at >= 0 ? 'offer-' + at : undefined}
					aria-invalid={bad} aria-describedby={bad ? 'query-error' : 'query-hint'} placeholder="module:csagent.sys kind:kernel new:<1h hosts:>10"
					onInput={(e) => { setText(e.currentTarget.value); look(e.currentTarget.value); }} onKeyDown={key} onBlur={close} />
				<ul id="offers" role="listbox" aria-label="completions" hidden={list.length === 0}>
					{list.map((o, i) => (
						<li key={o.shown} id={'offer-' + i} role="option" aria-selected={i === at} onPointerDown={(e) => { e.preventDefault(); take(o); }}>
							<code><Hostile text={o.shown} most={60} /></code> <small class="dim">{o.note}</small>
						</li>))}
				</ul>
			</div>
			<button type="submit" class="primary">Search</button>
			{text !== '' && <button type="button" onClick={() => { setText(''); submit(''); }}>Clear</button>}
		</form>
	);
}
