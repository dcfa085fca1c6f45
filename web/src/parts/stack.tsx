// SPDX-License-Identifier: Apache-2.0
// Frames with how each was found; frames that only report a crash are folded into one line.
import type { Frame } from '../types-detail';
import { ShapeMark, type Shape } from './shapes';
import { Scroll } from './states';
import { Hostile } from './text';

const FOUND: Record<string, { shape: Shape; words: string }> = {
	context: { shape: 'square', words: 'the registers at the crash' }, cfi: { shape: 'square-hollow', words: 'unwind information' },
	fp: { shape: 'up', words: 'the chain of frame pointers' }, frame_pointer: { shape: 'up', words: 'the chain of frame pointers' },
	scan: { shape: 'dots', words: 'a value on the stack that looks like a return address' },
};

export function Found({ trust }: { trust?: string }) {
	const f = FOUND[trust ?? ''] ?? { shape: 'dots' as Shape, words: 'as the sender says' };
	return <span class="found" title={f.words}><ShapeMark shape={f.shape} size={12} /> {trust?.replaceAll('_', ' ') ?? 'given'}</span>;
}

const place = (f: Frame) => (f.module ? f.module + (f.offset ?? f.module_offset ? '+' + (f.offset ?? f.module_offset) : '') : f.address ?? '?');

export function Stack({ frames, caption, folded = true }: { frames: Frame[]; caption: string; folded?: boolean }) {
	const rows: (Frame | Frame[])[] = [];
	frames.forEach((f, i) => {
		const before = rows[rows.length - 1], frame = { ...f, n: f.n ?? i };
		if (!folded || !f.messenger || f.blamed)
			rows.push(frame);
		else if (Array.isArray(before))
			before.push(frame);
		else
			rows.push([frame]);
	});
	return (
		<Scroll label={caption}>
			<table class="stack-table"><caption class="sr">{caption}</caption>
				<thead><tr><th scope="col" class="r">#</th><th scope="col">Module + offset</th><th scope="col">Function</th><th scope="col">How found</th></tr></thead>
				<tbody>{rows.map((f) => Array.isArray(f) ? <Folded frames={f} /> : <Row f={f} />)}</tbody>
			</table>
		</Scroll>
	);
}

function Row({ f }: { f: Frame }) {
	return (
		<tr class={f.blamed ? 'blamed' : undefined}>
			<td class="r dim">{f.n}</td>
			<td class="mono"><Hostile text={place(f)} most={64} />{f.blamed && <b class="arrow"> ← blamed</b>}</td>
			<td class="mono">{f.function ? <Hostile text={f.function} most={64} /> : <span class="dim">no symbols</span>}</td>
			<td><Found trust={f.trust} /></td>
		</tr>
	);
}

function Folded({ frames }: { frames: Frame[] }) {
	return (
		<tr class="folded">
			<td class="r dim" aria-hidden="true">⋮</td>
			<td colSpan={3}>
				<details><summary>{frames.length} reporting {frames.length === 1 ? 'frame' : 'frames'} skipped: <span class="mono"><Hostile text={frames.map((f) => f.function ?? place(f)).join(', ')} most={80} /></span></summary>
					<ol start={frames[0]!.n}>{frames.map((f) => <li class="mono"><Hostile text={place(f)} most={64} /> {f.function && <Hostile text={f.function} most={64} />} <Found trust={f.trust} /></li>)}</ol>
				</details>
			</td>
		</tr>
	);
}
