// SPDX-License-Identifier: Apache-2.0
import { useState } from 'preact/hooks';
import { say } from '../say';

// The clipboard needs a secure origin; over plain HTTP the older way through a selection still works.
export async function copyText(text: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = document.createElement('textarea');
		area.value = text;
		area.className = 'offscreen';
		document.body.append(area);
		area.select();
		const done = document.execCommand('copy');
		area.remove();
		return done;
	}
}

export function CopyButton({ text, children, class: name, id }: { text: string | null | undefined; children: string; class?: string; id?: string }) {
	const [done, set] = useState<string | null>(null);
	return (
		<button type="button" id={id} class={name} disabled={!text} onClick={async () => {
			const word = await copyText(text!) ? 'Copied' : 'Not copied';
			set(word);
			say(word);
			setTimeout(() => set(null), 2000);
		}}>{done ?? children}</button>
	);
}
